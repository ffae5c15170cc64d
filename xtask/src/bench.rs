//! `cargo xtask bench`: builds what is measured, optimised, and measures it.
//!
//! The benches themselves are `kanade-sim bench`; everything after the verb goes to it.

use std::process::Command;

use anyhow::Result;

use crate::process::{self, cargo, run_shown, seconds};
use crate::tools::{self, OWN_NATS_SERVER};
use crate::workspace::Workspace;

/// What is measured, and what measures.
const PACKAGES: [&str; 4] = ["kanade-backend", "kanade-agent", "kanade", "kanade-sim"];

/// What `cargo xtask bench` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Names and options of `kanade-sim bench`; `--help` after `--` shows them
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "NAME"
    )]
    rest: Vec<String>,
}

/// Builds, and runs the benches with their output as it is.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let nats_server = tools::nats_server(workspace)?;
    let mut build = cargo();
    build.args(["build", "--release"]);
    build.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
    build.current_dir(workspace.root());
    let took = process::run_build(&mut build, "  build      ")?;
    // Standard output is the benches' alone, for programs that read it.
    eprintln!("  build      optimised ✓ {}", seconds(took));
    let mut bench = Command::new(workspace.program("kanade-sim", true));
    process::without_own_variables(&mut bench);
    bench
        .arg("bench")
        .args(&arguments.rest)
        .env("KANADE_BIN_DIR", workspace.programs(true))
        .env(OWN_NATS_SERVER, &nats_server.path)
        .current_dir(workspace.root());
    run_shown(&mut bench)
}

//! Checks that the agent compiles for Windows, from a machine that is not Windows.
//!
//! Two toolchains can do it: rustup's, when the target is installed, and Debian's, which
//! builds the standard library from its sources. Both need the mingw compiler for the C parts
//! of dependencies. In CI the missing packages are installed; elsewhere a missing toolchain is
//! a line, not a failure.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::process::{cargo, run_captured, run_shown, without_own_variables};
use crate::steps::Passed;
use crate::test::{in_ci, locked};
use crate::tools::on_path;
use crate::workspace::Workspace;

const TARGET: &str = "x86_64-pc-windows-gnu";
const C_COMPILER: &str = "x86_64-w64-mingw32-gcc";
/// What runs on an endpoint; the backend is not built for Windows here.
const PACKAGES: [&str; 3] = ["kanade-shared", "kanade-agent-core", "kanade-agent"];
const DEBIAN_PACKAGES: [&str; 4] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "gcc-mingw-w64-x86-64",
];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// `cargo check` of the Windows target.
pub(crate) fn check(workspace: &Workspace) -> Result<Passed> {
    if cfg!(windows) {
        return Ok(Passed::NotChecked(
            "this is Windows; the build above was it".to_owned(),
        ));
    }
    let mut command = match toolchain() {
        Some(command) => command,
        None if in_ci() => {
            install()?;
            toolchain().context("the Windows toolchain is not usable after its installation")?
        }
        None => return Ok(Passed::NotChecked(how_to_get_it())),
    };
    command
        .current_dir(workspace.root())
        .args(["check", "--quiet", "--target", TARGET])
        .args(locked())
        .args(PACKAGES.iter().flat_map(|package| ["--package", package]))
        // Its own folder: another compiler would drop what the debug build has made.
        .env("CARGO_TARGET_DIR", workspace.target().join("windows"));
    run_shown(&mut command).map(|()| Passed::Whole)
}

fn how_to_get_it() -> String {
    format!(
        "no toolchain for Windows here (`rustup target add {TARGET}` and {C_COMPILER}, or Debian's {})",
        DEBIAN_PACKAGES.join(", ")
    )
}

/// A cargo that can check the target, when there is one.
fn toolchain() -> Option<Command> {
    on_path(C_COMPILER)?;
    rustup().or_else(of_debian)
}

fn rustup() -> Option<Command> {
    let targets =
        run_captured(Command::new("rustup").args(["target", "list", "--installed"])).ok()?;
    targets
        .lines()
        .any(|line| line.trim() == TARGET)
        .then(cargo)
}

fn of_debian() -> Option<Command> {
    let sysroot = run_captured(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"])).ok()?;
    let sources = PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust/library");
    if !sources.is_dir() || !Path::new(DEBIAN_CARGO).is_file() {
        return None;
    }
    let mut command = Command::new(DEBIAN_CARGO);
    without_own_variables(&mut command);
    command
        .env("RUSTC", DEBIAN_RUSTC)
        // `-Zbuild-std` is refused by a stable compiler without it.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", C_COMPILER)
        // `cargo run` names the libraries of the compiler that built this program.
        .env_remove("LD_LIBRARY_PATH")
        .arg("-Zbuild-std=std,panic_abort");
    Some(command)
}

fn install() -> Result<()> {
    if !debian::has_apt() {
        bail!("{}", how_to_get_it());
    }
    debian::install(&DEBIAN_PACKAGES).context("could not install the Windows toolchain")
}

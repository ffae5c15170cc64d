//! `cargo xtask test`: everything that is checked before a change lands, here and in CI.
//!
//! Cheap checks come first. With a filter only the matching tests run.

use std::env;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{cargo, run_shown, succeeds_within};
use crate::steps::{Passed, Steps};
use crate::tools::{self, CARGO_DENY, CARGO_NEXTEST, OWN_NATS_SERVER, OWN_POSTGRES};
use crate::web::Web;
use crate::workspace::Workspace;
use crate::{tidy, web, windows};

/// How long the advisory database may take to come; a firewall may swallow the attempt.
const DATABASE_WITHIN: Duration = Duration::from_secs(60);

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only the tests whose name contains one of these; the other checks are left out
    filters: Vec<String>,
}

/// Runs the checks; prints a table of them.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let mut steps = Steps::default();
    if arguments.filters.is_empty() {
        steps.run("fmt", || shown(cargo().args(["fmt", "--all", "--check"])));
        steps.run("tidy", || tidy::run(workspace).map(|()| Passed::Whole));
        steps.run("deny", || deny(workspace));
        steps.run("advisories", || advisories(workspace));
        // Before all that builds the backend, which it goes into.
        steps.run("web", || web::check(workspace));
        steps.run("clippy", || {
            shown(
                cargo()
                    .args(["clippy", "--quiet", "--workspace", "--all-targets"])
                    .args(locked())
                    .args(["--", "-D", "warnings"])
                    .envs(embedding(workspace)),
            )
        });
    }
    let whole = arguments.filters.is_empty();
    let built = steps.run("build", || {
        shown(
            cargo()
                .args(["build", "--quiet", "--workspace", "--all-targets"])
                .args(locked())
                .envs(embedding(workspace)),
        )
    });
    steps.run("tests", || {
        after_build(built, || tests(workspace, &arguments.filters))
    });
    if whole {
        steps.run("web client", || {
            after_build(built, || web::client(workspace))
        });
        steps.run("web e2e", || {
            after_build(built, || web::e2e::run(workspace))
        });
        steps.run("windows", || windows::check(workspace));
    }
    steps.finish()
}

/// True where the run is CI's, which checks also what costs much to set up.
pub(crate) fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// In CI a lock file that does not fit the manifests fails, instead of being put right unseen.
pub(crate) fn locked() -> Option<&'static str> {
    in_ci().then_some("--locked")
}

fn after_build(built: bool, act: impl FnOnce() -> Result<Passed>) -> Result<Passed> {
    if !built {
        bail!("not run, since the build failed");
    }
    act()
}

/// In CI the backend is built with the dashboard inside, as in a release; elsewhere a change of a
/// page would build it again. The same for every build: another one builds it again, too.
fn embedding(workspace: &Workspace) -> Option<(&'static str, String)> {
    let web = Web::find(workspace).ok().filter(|_| in_ci())?;
    web.embedding().ok()
}

fn shown(command: &mut Command) -> Result<Passed> {
    run_shown(command).map(|()| Passed::Whole)
}

fn cargo_deny(workspace: &Workspace) -> Result<Command> {
    let found = tools::cargo_tool(workspace, &CARGO_DENY)?;
    println!("{found}");
    let mut command = Command::new(found.path);
    command.current_dir(workspace.root());
    Ok(command)
}

fn deny(workspace: &Workspace) -> Result<Passed> {
    // The registry index is needed for yanked versions only, which belong to `advisories`.
    shown(
        cargo_deny(workspace)?
            .args(["--log-level", "error", "check", "--hide-inclusion-graph"])
            .args(["licenses", "bans", "sources"]),
    )
}

fn advisories(workspace: &Workspace) -> Result<Passed> {
    let mut fetch = cargo_deny(workspace)?;
    fetch.args(["--log-level", "off", "fetch", "db"]);
    if !succeeds_within(&mut fetch, DATABASE_WITHIN)? {
        return Ok(Passed::NotChecked(
            "the advisory database could not be reached".to_owned(),
        ));
    }
    shown(cargo_deny(workspace)?.args([
        "--log-level",
        "error",
        "check",
        "--disable-fetch",
        "advisories",
    ]))
}

fn tests(workspace: &Workspace, filters: &[String]) -> Result<Passed> {
    let nats_server = tools::nats_server(workspace)?;
    let postgresql = tools::postgresql(workspace)?;
    let nextest = tools::cargo_tool(workspace, &CARGO_NEXTEST)?;
    println!("{nats_server}\n{postgresql}\n{nextest}");
    let programs = workspace.programs(false);
    let programs = std::path::absolute(&programs)
        .with_context(|| format!("could not resolve `{}`", programs.display()))?;
    let mut command = Command::new(nextest.path);
    crate::process::without_own_variables(&mut command);
    command
        .current_dir(workspace.root())
        .args(["nextest", "run", "--workspace", "--cargo-quiet"])
        .args(filters)
        .envs(embedding(workspace))
        .env("KANADE_BIN_DIR", programs)
        .env(OWN_NATS_SERVER, nats_server.path)
        .env(OWN_POSTGRES, postgresql.path);
    shown(&mut command)
}

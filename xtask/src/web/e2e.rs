//! The dashboard in a real browser: Playwright against a real broker, backend and two agents.
//!
//! The fleet gets a folder of its own below `target/` and free ports; its logs stay there when
//! something fails. Which tests there are is the front end's; they find the fleet by
//! `KANADE_E2E_URL`, sign in by the link in `KANADE_E2E_SIGNIN`, or make more links with the token
//! in `KANADE_E2E_TOKEN`. The browser is Debian's, or the one that Playwright has fetched for itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Web;
use crate::process::{run_captured, run_shown};
use crate::stack::{AgentPlan, Plan, Ports, Stack, stop_leftovers};
use crate::steps::Passed;
use crate::test::in_ci;
use crate::workspace::Workspace;
use crate::{debian, tools, up};

const AGENTS: [AgentPlan; 2] = [
    AgentPlan {
        name: "agent-1",
        pc_id: Some("pc-1"),
    },
    AgentPlan {
        name: "agent-2",
        pc_id: Some("pc-2"),
    },
];
/// How long the agents may take to be a part of the fleet.
const JOIN_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The system's browser, which Playwright's settings name, too.
const CHROMIUM: &str = "/usr/bin/chromium";
const DEBIAN_PACKAGE: &str = "chromium";

/// Runs the browser tests; the programs and the dashboard are built.
pub(crate) fn run(workspace: &Workspace) -> Result<Passed> {
    if !has_tests(&workspace.root().join("web/e2e")) {
        return Ok(Passed::NotChecked("there is no test in web/e2e".to_owned()));
    }
    let web = match Web::find(workspace) {
        Ok(web) => web,
        Err(error) if in_ci() => return Err(error),
        Err(error) => return Ok(Passed::NotChecked(error.to_string())),
    };
    if !has_browser() && in_ci() && debian::has_apt() {
        debian::install(&[DEBIAN_PACKAGE]).context("could not install the browser")?;
    }
    if !has_browser() {
        let help = "no Chromium here (`apt-get install chromium`, or `npx playwright install chromium` in `web/`)";
        if in_ci() {
            bail!("{help}");
        }
        return Ok(Passed::NotChecked(help.to_owned()));
    }
    let nats_server = tools::nats_server(workspace)?;
    let home = workspace.target().join("web-e2e");
    stop_leftovers(&home.join("log"), &AGENTS);
    remove(&home)?;
    let plan = Plan {
        workspace,
        home,
        ports: Ports::free()?,
        release: false,
        nats_server: nats_server.path,
        agents: AGENTS.into(),
    };
    // From here on Ctrl-C ends the browser's program, and then we end the fleet.
    let stop = up::stop_requests()?;
    let mut stack = plan.start()?;
    let outcome = wait_for_agents(&plan, &mut stack, &stop).and_then(|()| try_pages(&web, &plan));
    stack.stop();
    if stop.load(Ordering::Relaxed) {
        bail!("stopped");
    }
    outcome.map(|()| Passed::Whole)
}

fn try_pages(web: &Web, plan: &Plan<'_>) -> Result<()> {
    let token = fs::read_to_string(plan.token_file()).context("could not read the API's token")?;
    let mut command = web.program("@playwright/test/cli.js");
    command
        .arg("test")
        .env("KANADE_E2E_URL", plan.url())
        .env("KANADE_E2E_SIGNIN", up::signin_link(plan)?)
        .env("KANADE_E2E_TOKEN", token.trim());
    run_shown(&mut command)
        .with_context(|| format!("the fleet's logs are in `{}`", plan.logs().display()))
}

fn has_tests(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .any(|name| name.ends_with(".spec.ts") || name.ends_with(".test.ts"))
}

fn has_browser() -> bool {
    // Where Playwright keeps its own on Linux, macOS and Windows.
    let caches = [
        ("HOME", ".cache/ms-playwright"),
        ("HOME", "Library/Caches/ms-playwright"),
        ("LOCALAPPDATA", "ms-playwright"),
    ];
    let own = caches.iter().any(|(variable, folder)| {
        let root = std::env::var_os(variable).map(PathBuf::from);
        root.is_some_and(|root| has_chromium(&root.join(folder)))
    });
    own || Path::new(CHROMIUM).is_file()
}

fn has_chromium(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name())
        .any(|name| name.to_string_lossy().starts_with("chromium"))
}

/// The data of the last run.
fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not delete `{}`", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn wait_for_agents(plan: &Plan<'_>, stack: &mut Stack, stop: &AtomicBool) -> Result<()> {
    let until = Instant::now() + JOIN_WITHIN;
    loop {
        stack.must_run()?;
        let answer = run_captured(plan.cli().args(["get", "agents", "-o", "json"]))?;
        if online(&answer) == AGENTS.len() {
            return Ok(());
        }
        if stop.load(Ordering::Relaxed) {
            bail!("stopped before the agents had joined");
        }
        if Instant::now() > until {
            let logs = plan.logs();
            bail!("the agents did not come online (see `{}`)", logs.display());
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// How many agents are online, out of the CLI's list (bare, or as pages give it).
fn online(answer: &str) -> usize {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let agents = answer
        .as_array()
        .or_else(|| answer.get("items")?.as_array());
    let is_online =
        |agent: &&Value| agent.get("presence").and_then(Value::as_str) == Some("online");
    agents.map_or(0, |agents| agents.iter().filter(is_online).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_agents_that_are_online_are_counted() {
        let agents = r#"[{"presence":"online"},{"presence":"offline"}]"#;
        assert_eq!(online(agents), 1);
        assert_eq!(online(&format!(r#"{{"items":{agents}}}"#)), 1);
        assert_eq!(online("error"), 0);
    }
}

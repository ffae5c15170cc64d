//! `cargo xtask up`: from a clone to a first job on a real agent, and a fleet to play with.
//!
//! A second run reuses tools, build and data. Everything that it makes is below `.tools/`,
//! `target/` and `.kanade/`, but for a context of the operator's CLI that is named `local`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use signal_hook::consts;

use crate::process::{self, cargo, run_captured, run_shown, seconds};
use crate::stack::{AgentPlan, OnlyOne, PACKAGES, Plan, Ports, Stack};
use crate::tools;
use crate::web::Web;
use crate::workspace::Workspace;

const EXAMPLE: &str = "examples/hello.yaml";
/// The job in it.
const JOB: &str = "hello";
/// How long the agent may take to be a part of the fleet.
const JOINS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The CLI's context for this fleet.
const CONTEXT: &str = "local";

#[cfg(unix)]
const STOP_SIGNALS: [i32; 3] = [consts::SIGINT, consts::SIGTERM, consts::SIGHUP];
#[cfg(not(unix))]
const STOP_SIGNALS: [i32; 2] = [consts::SIGINT, consts::SIGTERM];

/// What `cargo xtask up` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Delete the fleet's data in `.kanade/` first
    #[arg(long)]
    fresh: bool,
    /// Build and run optimised programs
    #[arg(long)]
    release: bool,
    /// Leave the dashboard out, which needs Node.js to build
    #[arg(long)]
    no_dashboard: bool,
    /// Stop after the first job, and fail when it failed
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    ports: Ports,
}

/// Starts the fleet, runs the first job, and stays until Ctrl-C.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let _only_one = OnlyOne::take(workspace)?;
    if arguments.fresh {
        remove_data(&workspace.fleet())?;
    }
    let nats_server = tools::nats_server(workspace)?;
    println!("  tools      {nats_server}");
    let web = match arguments.no_dashboard {
        true => None,
        false => Some(Web::find(workspace)?),
    };
    let took = build(arguments.release, web.as_ref())?;
    let dashboard = if web.is_some() { ", dashboard" } else { "" };
    println!(
        "  build      backend, agent, cli{dashboard} ✓ {}",
        seconds(took)
    );

    let plan = Plan {
        workspace,
        home: workspace.fleet(),
        ports: arguments.ports,
        release: arguments.release,
        nats_server: nats_server.path,
        agents: vec![AgentPlan::THIS_PC],
    };
    let stop = stop_requests()?;
    let mut stack = plan.start()?;
    let pc = this_pc(&plan, &mut stack, &stop)?;
    println!(
        "  start      broker ✓  database ✓  backend ✓ {}  agent ✓ this machine is `{pc}`",
        plan.url()
    );
    let outcome = first_job(&plan, &pc);
    if !arguments.check {
        if let Err(error) = &outcome {
            println!("  the first job did not go well: {error:#}");
        }
        show_what_next(&plan, &pc, web.is_some());
        stay(&mut stack, &stop)?;
    }
    print!("\n  stop       ");
    io::stdout().flush().ok();
    let ended = stack.stop();
    println!(
        "{}",
        if ended {
            "agent ✓  backend ✓  broker ✓"
        } else {
            "killed after waiting"
        }
    );
    if arguments.check { outcome } else { Ok(()) }
}

/// Builds the fleet's programs and the dashboard, with a line of progress on a terminal.
pub(crate) fn build(release: bool, web: Option<&Web>) -> Result<Duration> {
    let begun = Instant::now();
    let mut command = cargo();
    if let Some(web) = web {
        let shown = process::progress_line("  build      dashboard …");
        web.install()?;
        web.build()?;
        drop(shown);
        if release {
            let (name, value) = web.embedding()?;
            command.env(name, value);
        }
    }
    command
        .arg("build")
        .args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    if release {
        command.arg("--release");
    }
    process::run_build(&mut command, "  build      ")?;
    Ok(begun.elapsed())
}

/// Turns true when the person (or the system) wants this program to end; a second wish ends it
/// at once, and what then still runs is stopped by the next `up`.
pub(crate) fn stop_requests() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in STOP_SIGNALS {
        let first = Arc::clone(&stop);
        // In this order: the first wish finds the flag unset here, and sets it after.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, first))
            .context("could not listen for Ctrl-C")?;
    }
    Ok(stop)
}

/// Deletes the fleet's data, and nothing else. The lock in the folder stays where it is held.
fn remove_data(folder: &Path) -> Result<()> {
    for part in ["agent", "backend", "log"] {
        let path = folder.join(part);
        match fs::remove_dir_all(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("could not delete `{}`", path.display()));
            }
        }
    }
    Ok(())
}

/// Waits until the agent on this machine is in the fleet; gives its id.
fn this_pc(plan: &Plan<'_>, stack: &mut Stack, stop: &AtomicBool) -> Result<String> {
    let host = host_name();
    let until = Instant::now() + JOINS_WITHIN;
    loop {
        stack.must_run()?;
        let answer = run_captured(plan.cli().args(["get", "agents", "-o", "json"]));
        if let Ok(answer) = &answer
            && let Some(pc) = online_agent(answer, &host)
        {
            return Ok(pc);
        }
        if stop.load(Ordering::Relaxed) {
            bail!("stopped before the agent had joined");
        }
        if Instant::now() > until {
            let log = plan.logs().join("agent.log");
            let reason = answer.map_or_else(|error| format!(": {error:#}"), |_| String::new());
            bail!(
                "the agent of `{host}` did not come online within {} s (see `{}`){reason}",
                JOINS_WITHIN.as_secs(),
                log.display()
            );
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// The id of the online agent on `host`, out of the CLI's list (bare, or as pages give it).
fn online_agent(answer: &str, host: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let agents = answer
        .as_array()
        .or_else(|| answer.get("items")?.as_array())?;
    let text = |agent: &Value, key: &str| agent.get(key).and_then(Value::as_str).map(str::to_owned);
    agents
        .iter()
        .filter(|agent| text(agent, "presence").is_some_and(|presence| presence == "online"))
        .find(|agent| text(agent, "host_name").is_some_and(|name| name.eq_ignore_ascii_case(host)))
        .and_then(|agent| text(agent, "pc_id"))
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

fn first_job(plan: &Plan<'_>, pc: &str) -> Result<()> {
    println!("  first job  {EXAMPLE} → {pc}\n");
    run_captured(plan.cli().args(["apply", "-f", EXAMPLE]))?;
    let target = format!("pc:{pc}");
    run_shown(
        plan.cli()
            .args(["exec", JOB, "--target", &target, "--wait"]),
    )
}

fn show_what_next(plan: &Plan<'_>, pc: &str, dashboard: bool) {
    let url = plan.url();
    println!();
    if dashboard {
        match signin_link(plan) {
            Ok(link) => println!("  Dashboard   {link}   (works once, 10 minutes)"),
            Err(error) => println!("  could not make a link to the dashboard: {error:#}"),
        }
    }
    let cli = shown_path(
        plan.workspace,
        &plan.workspace.program("kanade", plan.release),
    );
    println!("  API         {url}/api/v1/docs");
    println!("  Logs        .kanade/log/");
    println!("  Try         {cli} run -t all -- uptime");
    println!("              {cli} get agents");
    println!("              {cli} describe agent {pc}");
    if dashboard {
        println!("              {cli} signin          another link to the dashboard");
    }
    match keep_context(plan) {
        Ok(Kept::Written) => {}
        Ok(Kept::Other) => {
            println!("  Your CLI's context `{CONTEXT}` is another fleet's. For this one first:");
            println!("              export KANADE_URL={url}");
            println!(
                "              export KANADE_TOKEN_FILE={}",
                plan.token_file().display()
            );
        }
        Err(error) => println!("  could not write the CLI's context: {error:#}"),
    }
    println!("  Ctrl-C stops everything; your data stays in .kanade/");
}

/// A link that opens the dashboard, signed in.
pub(crate) fn signin_link(plan: &Plan<'_>) -> Result<String> {
    let answer = run_captured(plan.cli().args(["signin", "-o", "json"]))?;
    let link: Value = serde_json::from_str(&answer).context("could not read the CLI's answer")?;
    let url = link.get("url").and_then(Value::as_str);
    url.map(str::to_owned)
        .with_context(|| format!("the CLI gave no link: {answer}"))
}

fn shown_path(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(workspace.root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// What became of the CLI's context.
enum Kept {
    /// It leads to this fleet.
    Written,
    /// There is one of that name that leads elsewhere; it was left alone.
    Other,
}

fn keep_context(plan: &Plan<'_>) -> Result<Kept> {
    // Without the variables, which would hide what the person's own contexts are.
    let cli = || {
        let mut command: Command = plan.cli();
        command
            .env_remove("KANADE_URL")
            .env_remove("KANADE_TOKEN_FILE");
        command
    };
    let contexts = run_captured(cli().args(["context", "list", "-o", "json"]))?;
    let url = plan.url();
    if context_url(&contexts, CONTEXT).is_some_and(|other| other != url) {
        return Ok(Kept::Other);
    }
    let mut set = cli();
    set.args(["context", "set", CONTEXT, "--url", &url, "--token-file"])
        .arg(plan.token_file());
    run_captured(&mut set)?;
    Ok(Kept::Written)
}

/// The address in the context `name`, out of the CLI's list.
fn context_url(contexts: &str, name: &str) -> Option<String> {
    let contexts: Value = serde_json::from_str(contexts).ok()?;
    let context = contexts
        .as_array()?
        .iter()
        .find(|context| context.get("name").and_then(Value::as_str) == Some(name))?;
    context
        .get("url")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

fn stay(stack: &mut Stack, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        stack.must_run()?;
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_of_this_machine_is_picked_by_host_name_once_it_is_online() {
        let agents = r#"[{"pc_id":"pc-1","host_name":"Other","presence":"online"},
            {"pc_id":"pc-2","host_name":"Dev-Box","presence":"online"},
            {"pc_id":"pc-3","host_name":"gone","presence":"offline"}]"#;
        assert_eq!(online_agent(agents, "dev-box").as_deref(), Some("pc-2"));
        assert_eq!(online_agent(agents, "gone"), None);
        let page = format!(r#"{{"items":{agents}}}"#);
        assert_eq!(online_agent(&page, "dev-box").as_deref(), Some("pc-2"));
    }

    #[test]
    fn a_context_of_another_fleet_is_seen_by_its_address() {
        let contexts = r#"[{"name":"local","url":"http://elsewhere:1"}]"#;
        assert_eq!(
            context_url(contexts, "local").as_deref(),
            Some("http://elsewhere:1")
        );
        assert_eq!(context_url("[]", "local"), None);
    }

    #[test]
    fn starting_over_deletes_the_fleets_data_only() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("backend/db")).unwrap();
        fs::write(folder.path().join("mine.txt"), "keep").unwrap();
        remove_data(folder.path()).unwrap();
        assert!(!folder.path().join("backend").exists());
        assert!(folder.path().join("mine.txt").exists());
    }
}

//! One real agent: how soon its word is on the operator's terminal, and what it costs idle.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use kanade_testkit::agent::Agent;
use kanade_testkit::process::program;
use tokio::process::Command;

use super::scene::Options;
use super::stack::{self, Stack};
use super::taken::Taken;

/// Own time of the script.
const SCRIPT: Duration = Duration::from_millis(100);
/// Round trips of one run.
const TRIPS: usize = 20;
/// What an agent does in its first seconds, such as reading the hardware, is not idleness.
const SETTLED: Duration = Duration::from_secs(15);
const MIB: f64 = 1024.0 * 1024.0;

pub(super) async fn measure(names: &BTreeSet<&str>, options: &Options, taken: &mut Taken) {
    if names.contains("agent_binary_mib") {
        let size = std::fs::metadata(program("kanade-agent"))
            .expect("the agent is built")
            .len();
        #[expect(clippy::cast_precision_loss, reason = "some millions")]
        taken.add("agent_binary_mib", size as f64 / MIB);
    }
    if names.contains("run_round_trip_overhead_ms") {
        let (mut stack, agent) = up().await;
        for _ in 0..=options.runs {
            let mut trips = Vec::new();
            for _ in 0..TRIPS {
                trips.push(trip_ms(&stack).await - SCRIPT.as_secs_f64() * 1000.0);
            }
            trips.sort_by(f64::total_cmp);
            taken.add("run_round_trip_overhead_ms", trips[TRIPS / 2]);
        }
        drop(agent);
        stack.backend.stop().await;
    }
}

/// Watches an idle agent, in as many parts as there are runs.
pub(super) async fn idle(options: &Options, taken: &mut Taken) {
    let (mut stack, agent) = up().await;
    tokio::time::sleep(SETTLED).await;
    let parts = u32::try_from(options.runs).unwrap_or(1).max(1);
    let part = options.idle / parts;
    for _ in 0..parts {
        let (begun, before) = (Instant::now(), stack::cpu_s(agent.id()));
        tokio::time::sleep(part).await;
        let used = stack::cpu_s(agent.id()) - before;
        let percent = used / begun.elapsed().as_secs_f64() * 100.0;
        taken.add("agent_idle_cpu_percent", percent);
        taken.add("agent_rss_mib", stack::rss_bytes(agent.id()) / MIB);
    }
    drop(agent);
    stack.backend.stop().await;
}

async fn up() -> (Stack, Agent) {
    let stack = Stack::start().await;
    let agent = Agent::start("pc-1", stack.folder(), &stack.backend.join_file());
    stack::until("the agent is live", Duration::from_secs(30), async || {
        let agents = stack.backend.agents().await;
        agents
            .iter()
            .any(|agent| agent.state == Some(kanade_shared::wire::heartbeat::AgentState::Live))
    })
    .await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    (stack, agent)
}

/// From the start of `kanade run` to its end, with the script's output on its terminal.
async fn trip_ms(stack: &Stack) -> f64 {
    let mut command = Command::new(program("kanade"));
    command
        .args(["run", "-t", "pc:pc-1", "--", "sleep 0.1; echo done"])
        .env("KANADE_URL", stack.backend.url())
        .env("KANADE_TOKEN_FILE", stack.backend.token_file())
        .env_remove("KANADE_TOKEN")
        .env_remove("KANADE_CONTEXT")
        .stdin(Stdio::null());
    let begun = Instant::now();
    let output = command.output().await.expect("the CLI can be started");
    let took = begun.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("done"),
        "{output:?}"
    );
    took.as_secs_f64() * 1000.0
}

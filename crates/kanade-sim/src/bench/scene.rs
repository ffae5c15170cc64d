//! What is set up, and what is measured in it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::simulated::Simulated;
use super::stack::{self, Stack};
use super::taken::Taken;
use super::{exec, loader};

/// Ten thousand agents on two busy cores may take this long to come up.
const UP_WITHIN: Duration = Duration::from_secs(180);
/// The broker's memory is read so long after all agents are in sync.
const CALM: Duration = Duration::from_secs(60);

/// How to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Runs of each name, at least.
    pub runs: usize,
    /// How long an idle agent is watched.
    pub idle: Duration,
    /// Results that are stored for the large scene.
    pub results: u64,
}

/// A set-up that one or more names share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scene {
    /// A broker and a backend, empty.
    Start,
    /// One real agent.
    OneAgent,
    /// 2,000 simulated agents.
    Fleet2000,
    /// A million results of 10,000 PCs.
    Million,
    /// 10,000 simulated agents.
    Fleet10000,
    /// One real agent for a long time.
    IdleAgent,
}

impl Scene {
    /// Sets it up and measures these names in it.
    ///
    /// # Panics
    /// When it can't be set up, or does not do what it should.
    pub async fn measure(self, names: &BTreeSet<&str>, options: &Options, taken: &mut Taken) {
        match self {
            Self::Start => super::start::measure(names, options, taken).await,
            Self::OneAgent => super::one_agent::measure(names, options, taken).await,
            Self::IdleAgent => super::one_agent::idle(options, taken).await,
            Self::Million => loader::measure(names, options, taken).await,
            Self::Fleet2000 => {
                let (stack, fleet) = up(2_000).await;
                for _ in 0..=options.runs {
                    let took = exec::seconds(&stack.backend, exec::all(), 2_000).await;
                    taken.add("exec_all_2000_s", took);
                }
                fleet.stop().await;
            }
            Self::Fleet10000 => fleet_10000(names, options, taken).await,
        }
    }
}

async fn up(agents: u64) -> (Stack, Simulated) {
    let stack = Stack::start().await;
    let fleet = join(&stack, agents).await;
    (stack, fleet)
}

/// Starts a simulated fleet and waits until all of it is in sync and the backend knows.
pub(super) async fn join(stack: &Stack, agents: u64) -> Simulated {
    let mut fleet = Simulated::start(agents, &stack.backend.join_file(), &[]);
    let took = fleet.all_live(UP_WITHIN).await;
    stack::until("the backend has all agents online", UP_WITHIN, async || {
        let system: kanade_shared::api::system::SystemView = stack.backend.get("system").await;
        system.agents_online >= agents
    })
    .await;
    tracing::info!(agents, ?took, "the fleet is up");
    // What each agent reads once more 5 s after its connect, and its hardware, belong to the start.
    tokio::time::sleep(Duration::from_secs(8)).await;
    fleet
}

async fn fleet_10000(names: &BTreeSet<&str>, options: &Options, taken: &mut Taken) {
    const AGENTS: u64 = 10_000;
    let mut stack = Stack::start().await;
    let broker = stack.backend.broker_pid();
    let (empty, before) = (stack::rss_bytes(broker), consumers(&stack).await);
    let mut fleet = join(&stack, AGENTS).await;
    if names.contains("consumers_per_agent") {
        let more = consumers(&stack).await - before;
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        taken.add("consumers_per_agent", more as f64 / AGENTS as f64);
    }
    if names.contains("broker_kib_per_agent") {
        tokio::time::sleep(CALM).await;
        for _ in 0..options.runs {
            let grown = stack::rss_bytes(broker) - empty;
            taken.add("broker_kib_per_agent", grown / 1024.0 / 10_000.0);
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
    if names.contains("exec_all_10000_s") {
        for _ in 0..options.runs {
            let took = exec::seconds(&stack.backend, exec::all(), AGENTS).await;
            taken.add("exec_all_10000_s", took);
        }
    }
    if names.contains("exec_group_3000_s") {
        exec::make_group(&stack.backend, "third", 3_000).await;
        for _ in 0..options.runs {
            let took = exec::seconds(&stack.backend, exec::group("third"), 3_000).await;
            taken.add("exec_group_3000_s", took);
        }
    }
    if names.contains("exec_all_10000_50_live_s") {
        loader::enrol_one(&stack.backend, "gone-1").await;
        for _ in 0..50 {
            exec::seconds(&stack.backend, exec::all(), AGENTS).await;
        }
        for _ in 0..options.runs {
            let took = exec::seconds(&stack.backend, exec::all(), AGENTS).await;
            taken.add("exec_all_10000_50_live_s", took);
        }
    }
    if names.contains("backend_rss_mib") {
        let pid = stack.backend.pid();
        for _ in 0..options.runs {
            taken.add("backend_rss_mib", stack::rss_bytes(pid) / 1024.0 / 1024.0);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
    if names.contains("reconnect_10000_s") {
        for _ in 0..options.runs {
            stack.backend.kill9_broker();
            let begun = Instant::now();
            fleet.any_lost(UP_WITHIN).await;
            fleet.all_live(UP_WITHIN).await;
            taken.add("reconnect_10000_s", begun.elapsed().as_secs_f64());
            stack::until("the backend has all online again", UP_WITHIN, async || {
                let system: kanade_shared::api::system::SystemView =
                    stack.backend.get("system").await;
                system.agents_online >= AGENTS
            })
            .await;
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
    }
    let end = fleet.now();
    tracing::info!(
        end.connected,
        end.losses,
        end.cpu_ms,
        end.rss_bytes,
        "the fleet at the end"
    );
    fleet.stop().await;
    stack.backend.stop().await;
}

/// JetStream consumers on all streams of the fleet.
async fn consumers(stack: &Stack) -> u64 {
    let broker = stack.backend.broker().await;
    let answer = broker.request("$JS.API.INFO", "".into()).await;
    let answer = answer.expect("the broker tells of its account");
    let account: serde_json::Value =
        serde_json::from_slice(&answer.payload).expect("the broker answers in JSON");
    account["consumers"]
        .as_u64()
        .expect("the account counts its consumers")
}

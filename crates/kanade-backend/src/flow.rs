//! What the loops between broker and database share, and how they tell listeners.
//!
//! A loop commits a transaction and then calls [`Flow::tell`] with what became different. Views
//! are made only for topics that somebody listens to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_nats::Client;
use async_nats::jetstream;
use chrono::{DateTime, SecondsFormat, Utc};
use kanade_shared::api::events::LiveEvent;
use kanade_shared::api::execs::{TargetState, TargetView};
use kanade_shared::api::results::{HEAD_CHARS, OutputView, ResultView};
use kanade_shared::id::{ExecId, PcId};
use kanade_shared::wire::result::{Output, Reason, RunResult};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::changes::{Changes, Topic};
use crate::counters::Counters;
use crate::fleet::{ExecRoom, Fleet};
use crate::projector::{self, Projection, pressure};
use crate::publisher::{self, Dirty};
use crate::services::{self, Tails};
use crate::store::Store;
use crate::store::intake::TargetRow;
use crate::tasks::{Nudge, Tasks};
use crate::{presence, sweep};

/// Broker, database and listeners; clones share them.
#[derive(Clone)]
pub struct Flow {
    /// The database.
    pub store: Store,
    /// The rules and views above it.
    pub fleet: Fleet,
    /// The broker.
    pub client: Client,
    /// Its JetStream, with room for many acknowledgements in flight.
    pub js: jetstream::Context,
    /// The listeners.
    pub changes: Changes,
    /// Wakes the publisher.
    pub publisher: Nudge,
    /// Scopes and PCs that the publisher must look at.
    pub dirty: Dirty,
    /// Numbers for people.
    pub counters: Arc<Counters>,
    /// Room in the stream of commands.
    pub room: ExecRoom,
    /// When database and broker agreed before this process began; absent in a new database.
    pub settled_before: Option<DateTime<Utc>>,
    recovered: Arc<watch::Sender<bool>>,
}

/// Acknowledgements that may be outstanding.
const ACKS_IN_FLIGHT: usize = 4096;

impl Flow {
    /// Over these; `publisher` and `room` are those that `fleet` has.
    ///
    /// # Errors
    /// [`crate::store::StoreError`] when the database does not answer.
    pub async fn new(
        store: Store,
        fleet: Fleet,
        client: Client,
        changes: Changes,
        publisher: Nudge,
        room: ExecRoom,
    ) -> Result<Self, crate::store::StoreError> {
        let js = jetstream::ContextBuilder::new()
            .max_ack_inflight(ACKS_IN_FLIGHT)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let settled_before = store.settled_at().await?;
        Ok(Self {
            store,
            fleet,
            client,
            js,
            changes,
            publisher,
            dirty: Dirty::default(),
            counters: Arc::new(Counters::default()),
            room,
            settled_before,
            recovered: Arc::new(watch::Sender::new(false)),
        })
    }

    /// Waits until what the database lacks was taken over from the broker: a result of an exec
    /// that is still to be adopted must not be taken for a forged one.
    pub async fn recovered(&self) {
        // The sender lives as long as this flow, so the wait ends only when it is so.
        let _ = self.recovered.subscribe().wait_for(|done| *done).await;
    }

    /// Notes that everything was taken over.
    pub fn note_recovered(&self) {
        self.recovered.send_replace(true);
        self.room.note_recovered();
    }

    /// When database and broker last agreed before this process; the beginning of time for a new
    /// database.
    #[must_use]
    pub fn agreed_until(&self) -> DateTime<Utc> {
        self.settled_before.unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Tells listeners what the committed transaction `change` made different.
    pub async fn tell(&self, change: u64, live: Live) {
        let mut events = Vec::new();
        let mut wanted = BTreeMap::new();
        let mut wants = |exec_id: ExecId| {
            *wanted
                .entry(exec_id)
                .or_insert_with(|| self.changes.wants(&Topic::Exec(exec_id)))
        };
        for result in &live.results {
            if wants(result.exec_id) {
                let result = Box::new(result_view(result, live.stored_at.unwrap_or_default()));
                let topic = Topic::Exec(result.exec_id);
                events.push((topic, LiveEvent::Result { result }));
            }
        }
        for target in &live.targets {
            if wants(target.exec_id) {
                let event = LiveEvent::Target {
                    exec_id: target.exec_id,
                    target: Box::new(target_view(target)),
                };
                events.push((Topic::Exec(target.exec_id), event));
            }
        }
        let list = self.changes.wants(&Topic::Execs);
        for exec_id in live.execs {
            let one = wants(exec_id);
            if !list && !one {
                continue;
            }
            // The view is of a later change when there was one meanwhile; it is the newer truth.
            let Ok(exec) = self.fleet.exec_fetch(exec_id).await else {
                continue;
            };
            if one {
                let exec = Box::new(exec.clone());
                events.push((Topic::Exec(exec_id), LiveEvent::Exec { exec }));
            }
            if list {
                let exec = Box::new(exec);
                events.push((Topic::Execs, LiveEvent::Exec { exec }));
            }
        }
        if !live.agents.is_empty() && self.changes.wants(&Topic::Agents) {
            events.extend(self.agent_events(&live.agents).await);
        }
        self.changes.publish(change, events);
    }

    async fn agent_events(&self, agents: &BTreeSet<PcId>) -> Vec<(Topic, LiveEvent)> {
        if agents.len() > AGENTS_TOLD {
            return vec![(Topic::Agents, LiveEvent::Reset)];
        }
        let mut events = Vec::with_capacity(agents.len());
        for pc_id in agents {
            if let Ok(mut agent) = self.fleet.agent_fetch(pc_id).await {
                agent.hardware = None;
                let agent = Box::new(agent);
                events.push((Topic::Agents, LiveEvent::Agent { agent }));
            }
        }
        events
    }
}

/// Agents that are told one by one at a change; of more, listeners read the list again.
const AGENTS_TOLD: usize = 500;

/// Starts every loop between broker and database. `system` is a client of the broker's system
/// account, where there is one. They stop with `tasks`.
pub fn spawn(tasks: &Tasks, flow: &Flow, tails: &Tails, system: Option<Client>) {
    for projection in Projection::ALL {
        let flow = flow.clone();
        tasks.spawn(projection.task(), move |stop| {
            projector::run(flow.clone(), projection, stop)
        });
    }
    let one = flow.clone();
    tasks.spawn("results pressure", move |stop| {
        pressure::run(one.clone(), stop)
    });
    let one = flow.clone();
    tasks.spawn("presence", move |stop| {
        presence::run(one.clone(), system.clone(), stop)
    });
    let one = flow.clone();
    tasks.spawn("time service", move |stop| {
        services::time(one.clone(), stop)
    });
    let (one, tails) = (flow.clone(), tails.clone());
    tasks.spawn("live output", move |stop| {
        services::tails(one.clone(), tails.clone(), stop)
    });
    let one = flow.clone();
    tasks.spawn("sweep", move |stop| sweep::run(one.clone(), stop));
    let one = flow.clone();
    tasks.spawn("publisher", move |stop| publisher::run(one.clone(), stop));
}

/// What a transaction made different.
#[derive(Debug, Default)]
pub struct Live {
    /// PCs whose view differs.
    pub agents: BTreeSet<PcId>,
    /// Execs whose counters or end differ.
    pub execs: Vec<ExecId>,
    /// Targets as they are now.
    pub targets: Vec<TargetRow>,
    /// Results that were stored.
    pub results: Vec<RunResult>,
    /// When they were.
    pub stored_at: Option<DateTime<Utc>>,
}

/// A result as the API shows it.
#[must_use]
pub fn result_view(result: &RunResult, stored_at: DateTime<Utc>) -> ResultView {
    ResultView {
        request_id: result.request_id,
        exec_id: result.exec_id,
        attempt: result.attempt,
        pc_id: result.pc_id.clone(),
        job_id: result.job_id.clone(),
        outcome: result.outcome,
        reason: result.reason.clone(),
        exit_code: result.exit_code,
        tries: result.tries,
        started_at: result.started_at,
        ended_at: result.ended_at,
        stored_at,
        stdout: output_view(&result.stdout),
        stderr: output_view(&result.stderr),
    }
}

/// A target as the API shows it, with a reason also while it waits.
fn target_view(target: &TargetRow) -> TargetView {
    let mut view = target.view();
    let since = |at: Option<DateTime<Utc>>| {
        at.map_or_else(String::new, |at| {
            format!(" since {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
        })
    };
    let running = || format!("running{}", since(target.started_at));
    view.why = match target.state {
        TargetState::Ended | TargetState::Pending => view.why,
        TargetState::Running if target.stopping => Some(Reason::new(
            "run.stopping",
            format!("{}, told to stop", running()),
        )),
        TargetState::Running => Some(Reason::new("run.running", running())),
        TargetState::Admitted => {
            let since = since(target.admitted_at);
            let text = format!("held by the PC{since}, start not reported");
            Some(Reason::new("target.admitted", text))
        }
    };
    view
}

fn output_view(output: &Output) -> OutputView {
    let inside = output.stored_as.is_none();
    let head: String = output.text.chars().take(HEAD_CHARS).collect();
    OutputView {
        head,
        stored_bytes: if inside {
            output.text.len() as u64
        } else {
            output.total_bytes.saturating_sub(output.truncated_bytes)
        },
        total_bytes: output.total_bytes,
        truncated_bytes: output.truncated_bytes,
        sha256: inside.then(|| hex::encode(Sha256::digest(output.text.as_bytes()))),
    }
}

//! A broker, a database and the loops between them, without API and without agents.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream;
use chrono::{DateTime, Utc};
use kanade_backend::changes::Changes;
use kanade_backend::fleet::{ExecRoom, Fleet, Operator};
use kanade_backend::flow::{self, Flow};
use kanade_backend::publisher::kept::{self, Kept};
use kanade_backend::services::Tails;
use kanade_backend::store::{Place, PostgresPlace, Store};
use kanade_backend::tasks::{Nudge, Tasks};
use kanade_shared::api::execs::{ExecRequest, ExecView, ExecWhat, Targets};
use kanade_shared::bootstrap::ensure_jetstream_resources;
use kanade_shared::id::{Attempt, ExecId, JournalId, PcId, RequestId};
use kanade_shared::manifest::JobRun;
use kanade_shared::subject::{self, EXEC_STREAM, Scope};
use kanade_shared::wire::command::{Document, Reach, Rev};
use kanade_shared::wire::desired::AgentDesired;
use kanade_shared::wire::heartbeat::{AgentState, Heartbeat, Held};
use kanade_shared::wire::result::{Outcome, Output, RunResult};
use kanade_testkit::database::Engine;
use kanade_testkit::nats::Nats;
use kanade_testkit::postgres::Postgres;
use kanade_testkit::wait;
use tempfile::TempDir;

/// Broker, database, and the loops while they run.
pub(super) struct World {
    pub(super) nats: Nats,
    pub(super) folder: TempDir,
    postgres: Option<Postgres>,
    pub(super) flow: Flow,
    pub(super) tasks: Tasks,
    pub(super) tails: Tails,
}

impl World {
    /// Everything runs, on SQLite.
    pub(super) async fn start() -> Self {
        Self::start_on(Engine::Sqlite).await
    }

    /// Everything runs.
    pub(super) async fn start_on(engine: Engine) -> Self {
        let world = Self::still_on(engine).await;
        world.spawn();
        world
    }

    /// Nothing runs yet.
    pub(super) async fn still_on(engine: Engine) -> Self {
        let nats = Nats::start().await;
        ensure_jetstream_resources(&nats.jetstream().await)
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Postgres::start().await),
        };
        let flow = open_at(nats.client().await, &place(&folder, postgres.as_ref())).await;
        Self {
            nats,
            folder,
            postgres,
            flow,
            tasks: Tasks::new(),
            tails: Tails::default(),
        }
    }

    pub(super) fn spawn(&self) {
        flow::spawn(&self.tasks, &self.flow, &self.tails, None);
    }

    /// Stops the loops and closes the database, as at the end of the process.
    pub(super) async fn stop(&self) {
        self.tasks.stop_all().await;
        self.flow.store.close().await;
    }

    /// A new process on the same broker; `change` may do something to the database's folder first.
    pub(super) async fn reopen(self, change: impl FnOnce(&TempDir)) -> Self {
        self.stop().await;
        let Self {
            nats,
            folder,
            postgres,
            flow,
            tasks,
            tails,
        } = self;
        drop((flow, tasks, tails));
        change(&folder);
        ensure_jetstream_resources(&nats.jetstream().await)
            .await
            .unwrap();
        let flow = open_at(nats.client().await, &place(&folder, postgres.as_ref())).await;
        let world = Self {
            nats,
            folder,
            postgres,
            flow,
            tasks: Tasks::new(),
            tails: Tails::default(),
        };
        world.spawn();
        world
    }

    pub(super) async fn js(&self) -> jetstream::Context {
        self.nats.jetstream().await
    }

    /// Enrols PCs by their first heartbeats, and waits for their desired documents.
    pub(super) async fn enrol(&self, names: &[&str]) -> Vec<PcId> {
        let client = self.nats.client().await;
        let pcs: Vec<PcId> = names
            .iter()
            .map(|name| PcId::parse(name).unwrap())
            .collect();
        for pc in &pcs {
            beat(&client, &heartbeat(pc, &[])).await;
        }
        client.flush().await.unwrap();
        for pc in &pcs {
            self.desired(pc).await;
        }
        pcs
    }

    /// The desired document of a PC, once it is there.
    pub(super) async fn desired(&self, pc: &PcId) -> AgentDesired {
        let subject = subject::desired(pc);
        wait::some("its desired document", wait::LONG, async || {
            let stream = subject::DESIRED_STREAM;
            let kept = kept::last(&self.flow.js, stream, &subject).await.ok()??;
            serde_json::from_slice(&kept.payload).ok()
        })
        .await
    }

    /// What the broker has of a scope.
    pub(super) async fn kept(&self, scope: &Scope) -> Option<Kept> {
        let kept = kept::last(&self.flow.js, EXEC_STREAM, &scope.commands()).await;
        kept.ok().flatten()
    }

    /// The document of a scope, once it lists or stops this exec.
    pub(super) async fn document_of(&self, scope: &Scope, exec: ExecId) -> Document {
        wait::some("a document with the exec", wait::LONG, async || {
            let kept = self.kept(scope).await?;
            let document: Document = serde_json::from_slice(&kept.payload).ok()?;
            let listed = document.commands.iter().any(|one| one.exec_id == exec);
            let stopped = document.stops.iter().any(|one| one.exec_id == exec);
            (listed || stopped).then_some(document)
        })
        .await
    }

    /// Issues a script to all PCs, or to these.
    pub(super) async fn exec(&self, pcs: Option<&[PcId]>, reach: Reach) -> ExecView {
        let request = request(pcs, reach, 3600);
        let issued = self
            .flow
            .fleet
            .exec_issue(&request, None, &Operator::local())
            .await;
        issued.unwrap().0
    }

    /// The exec as it is now.
    pub(super) async fn view(&self, exec: ExecId) -> ExecView {
        self.flow.fleet.exec_fetch(exec).await.unwrap()
    }

    /// Waits until the exec is as `holds` says.
    pub(super) async fn until_exec(
        &self,
        what: &str,
        exec: ExecId,
        holds: impl Fn(&ExecView) -> bool,
    ) -> ExecView {
        wait::some(what, Duration::from_secs(60), async || {
            let view = self.flow.fleet.exec_fetch(exec).await.ok()?;
            holds(&view).then_some(view)
        })
        .await
    }

    /// Dead letters, newest first.
    pub(super) async fn dead_letters(&self) -> Vec<String> {
        let page = self
            .flow
            .fleet
            .dead_letters_list(&Default::default())
            .await
            .unwrap();
        page.items.into_iter().map(|letter| letter.reason).collect()
    }
}

fn place(folder: &TempDir, postgres: Option<&Postgres>) -> Place {
    let Some(postgres) = postgres else {
        return Place::Sqlite(folder.path().join("kanade.db"));
    };
    let place = PostgresPlace::parse(&postgres.url(), None, folder.path());
    Place::Postgres(Box::new(place.unwrap()))
}

/// The loops' parts over this connection, with a SQLite in this folder.
pub(super) async fn open(client: async_nats::Client, folder: &TempDir) -> Flow {
    open_at(client, &place(folder, None)).await
}

async fn open_at(client: async_nats::Client, place: &Place) -> Flow {
    let store = Store::open_at(place).await.unwrap();
    let (publisher, room) = (Nudge::new(), ExecRoom::new());
    let changes = Changes::new(store.last_change().await.unwrap());
    let (hub, nudge) = (changes.clone(), publisher.clone());
    let fleet = Fleet::new(store.clone(), hub, nudge, None, room.clone());
    Flow::new(store, fleet, client, changes, publisher, room)
        .await
        .unwrap()
}

/// A script for all PCs, or for these.
pub(super) fn request(pcs: Option<&[PcId]>, reach: Reach, deadline_s: u32) -> ExecRequest {
    let run: JobRun =
        serde_json::from_value(serde_json::json!({ "shell": "sh", "script": "true" })).unwrap();
    ExecRequest {
        what: ExecWhat::Script(run),
        targets: Targets {
            all: pcs.is_none(),
            pcs: pcs.unwrap_or_default().to_vec(),
            ..Targets::default()
        },
        deadline_s: Some(deadline_s),
        reach: Some(reach),
        jitter_s: None,
        reason: None,
        preview: None,
    }
}

/// A heartbeat of a PC that holds these documents.
pub(super) fn heartbeat(pc: &PcId, held: &[(Scope, Rev)]) -> Heartbeat {
    let held = held.iter().map(|(scope, rev)| Held {
        scope: scope.clone(),
        rev: *rev,
        twin: false,
    });
    Heartbeat {
        pc_id: pc.clone(),
        at: Utc::now(),
        agent_version: "0.1.0".into(),
        capabilities: vec![],
        state: AgentState::Live,
        held: held.collect(),
        journal_id: JournalId::new([7; 16]),
        journal_counter: 3,
        outbox_results: 0,
        outbox_bytes: 0,
        blocked: None,
        clock_skew_ms: None,
        running: 0,
        host_name: None,
        os_family: None,
        agent_rss_bytes: None,
        booted_at: None,
    }
}

pub(super) async fn beat(client: &async_nats::Client, heartbeat: &Heartbeat) {
    let json = serde_json::to_vec(heartbeat).unwrap();
    let subject = subject::heartbeat(&heartbeat.pc_id);
    client.publish(subject, json.into()).await.unwrap();
    client.flush().await.unwrap();
}

/// The result of a first attempt.
pub(super) fn result(exec: ExecId, pc: &PcId, outcome: Outcome, at: DateTime<Utc>) -> RunResult {
    RunResult {
        request_id: RequestId::derive(exec, pc, Attempt::FIRST),
        exec_id: exec,
        attempt: Attempt::FIRST,
        pc_id: pc.clone(),
        scope: Scope::All,
        job_id: None,
        job_version: None,
        outcome,
        reason: None,
        exit_code: Some(0),
        tries: 1,
        started_at: Some(at),
        ended_at: at,
        stdout: Output::whole("hello\n"),
        stderr: Output::default(),
    }
}

/// Sends results as agents do, and waits until the broker has them all.
pub(super) async fn send(js: &jetstream::Context, results: &[RunResult]) {
    for results in results.chunks(1000) {
        let mut acks = Vec::new();
        for result in results {
            let subject = subject::result(&result.pc_id, result.request_id);
            let json = serde_json::to_vec(result).unwrap();
            acks.push(js.publish(subject, json.into()).await.unwrap());
        }
        for ack in acks {
            ack.await.unwrap();
        }
    }
}

/// PCs by number.
pub(super) fn pcs(count: usize) -> Vec<PcId> {
    (0..count)
        .map(|n| PcId::parse(&format!("pc-{n:05}")).unwrap())
        .collect()
}

/// Enrols many PCs at once, straight into the database.
pub(super) async fn enrol_many(flow: &Flow, pcs: &[PcId]) {
    let mut tx = flow.store.begin().await.unwrap();
    tx.pcs_enrol(pcs).await.unwrap();
    tx.commit().await.unwrap();
}

/// How often each outcome is counted.
pub(super) fn ended(view: &ExecView) -> BTreeMap<Outcome, u64> {
    view.counts.ended.clone()
}

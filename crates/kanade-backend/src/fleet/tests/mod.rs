//! The rules on real databases of their own.

mod counters;
mod issue;
mod lists;
mod queue;
mod stops;

use kanade_shared::api::execs::{ExecRequest, ExecView, ExecWhat, Targets};
use kanade_shared::id::PcId;
use kanade_shared::manifest::JobRun;

use super::{ExecRoom, Fleet, Operator};
use crate::changes::Changes;
use crate::store::Store;
use crate::store::tests::database::{Database, Engine};
use crate::tasks::Nudge;

pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) store: Store,
    pub(super) room: ExecRoom,
    pub(super) by: Operator,
    _database: Database,
}

pub(super) fn pc(n: usize) -> PcId {
    PcId::parse(&format!("pc-{n:05}")).unwrap()
}

pub(super) fn pcs(n: usize) -> Vec<PcId> {
    (0..n).map(pc).collect()
}

impl World {
    /// A fleet of this many PCs, all of them online, on SQLite.
    pub(super) async fn of(n: usize) -> Self {
        Self::on(Engine::Sqlite, n).await
    }

    /// A fleet of this many PCs, all of them online.
    pub(super) async fn on(engine: Engine, n: usize) -> Self {
        let database = Database::new(engine).await;
        let store = database.open().await;
        let room = ExecRoom::new();
        let fleet = Fleet::new(
            store.clone(),
            Changes::new(0),
            Nudge::new(),
            None,
            room.clone(),
        );
        let world = Self {
            fleet,
            store,
            room,
            by: Operator::local(),
            _database: database,
        };
        world.enrol(&pcs(n)).await;
        world
    }

    pub(super) async fn enrol(&self, pcs: &[PcId]) {
        let mut tx = self.store.begin().await.unwrap();
        tx.pcs_enrol(pcs).await.unwrap();
        tx.pcs_presence(pcs, true).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// These PCs are offline from now on.
    pub(super) async fn leave(&self, pcs: &[PcId]) {
        let mut tx = self.store.begin().await.unwrap();
        tx.pcs_presence(pcs, false).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(super) async fn issue(&self, targets: Targets) -> ExecView {
        self.fleet
            .exec_issue(&request(targets), None, &self.by)
            .await
            .unwrap()
            .0
    }
}

pub(super) fn script(text: &str) -> JobRun {
    serde_json::from_value(serde_json::json!({ "shell": "sh", "script": text })).unwrap()
}

pub(super) fn request(targets: Targets) -> ExecRequest {
    ExecRequest {
        what: ExecWhat::Script(script("uptime")),
        targets,
        deadline_s: None,
        reach: None,
        jitter_s: None,
        reason: None,
        preview: None,
    }
}

pub(super) fn everybody() -> Targets {
    Targets {
        all: true,
        ..Targets::default()
    }
}

pub(super) fn only(pcs: &[PcId]) -> Targets {
    Targets {
        pcs: pcs.to_vec(),
        ..Targets::default()
    }
}

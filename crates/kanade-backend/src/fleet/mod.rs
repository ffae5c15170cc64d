//! The rules of the fleet: what operators may ask for, and what it means.
//!
//! A call reads, decides and writes in one transaction, then tells the publisher (a nudge that
//! carries nothing) and the listeners (views of what changed). The API is above, the store
//! below; nothing here knows HTTP or SQL, and nothing here talks to agents.
//!
//! **Invariant:** a change and its audit row are in one transaction.
//! **Invariant:** an exec is stored with all its targets before anything of it is published.

mod error;
mod operator;
mod outputs;
mod room;

use kanade_shared::api::Page;
use kanade_shared::api::agents::{AgentQuery, AgentView};
use kanade_shared::api::catalogue::{Applied, GroupView, GroupWrite, JobView, NameQuery};
use kanade_shared::api::execs::{
    ExecPreview, ExecQuery, ExecRequest, ExecView, RetryRequest, StopRequest, StopView,
    TargetQuery, TargetView,
};
use kanade_shared::api::results::{OutputPage, OutputQuery, ResultQuery, ResultView};
use kanade_shared::api::system::{AuditRow, DeadLetterView, GapView, SystemQuery};
use kanade_shared::id::{ExecId, GroupId, JobId, PcId, RequestId};

use crate::changes::Changes;
use crate::store::Store;
use crate::tasks::Nudge;

pub use error::{FleetError, FleetStatus};
pub use operator::Operator;
pub use outputs::Outputs;
pub use room::ExecRoom;

/// The rules, over one store; clones share it.
#[derive(Clone)]
pub struct Fleet {
    store: Store,
    changes: Changes,
    publisher: Nudge,
    outputs: Option<Outputs>,
    room: ExecRoom,
}

/// What a rule answers.
pub type FleetResult<T> = Result<T, FleetError>;

impl Fleet {
    /// The rules over this store; `publisher` is nudged after every change that agents must hear
    /// of, and `outputs` is where large outputs are.
    #[must_use]
    pub fn new(
        store: Store,
        changes: Changes,
        publisher: Nudge,
        outputs: Option<Outputs>,
        room: ExecRoom,
    ) -> Self {
        Self {
            store,
            changes,
            publisher,
            outputs,
            room,
        }
    }
}

impl Fleet {
    /// Agents, one page.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn agents_list(&self, _query: &AgentQuery) -> FleetResult<Page<AgentView>> {
        self.soon().await
    }

    /// One agent with its hardware.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn agent_fetch(&self, _pc_id: &PcId) -> FleetResult<AgentView> {
        self.soon().await
    }

    /// Execs, one page, newest first.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn execs_list(&self, _query: &ExecQuery) -> FleetResult<Page<ExecView>> {
        self.soon().await
    }

    /// One exec.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn exec_fetch(&self, _exec_id: ExecId) -> FleetResult<ExecView> {
        self.soon().await
    }

    /// The exec whose id begins with these hex digits, at least four.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn exec_resolve(&self, _prefix: &str) -> FleetResult<ExecId> {
        self.soon().await
    }

    /// Whom an exec would hit, with a token that holds it to exactly that.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn exec_preview(
        &self,
        _request: &ExecRequest,
        _by: &Operator,
    ) -> FleetResult<ExecPreview> {
        self.soon().await
    }

    /// Stores an exec with its targets; the flag says that the key's request had already done so.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn exec_issue(
        &self,
        _request: &ExecRequest,
        _idempotency_key: Option<&str>,
        _by: &Operator,
    ) -> FleetResult<(ExecView, bool)> {
        self.soon().await
    }

    /// Withdraws or kills an exec.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn exec_stop(
        &self,
        _exec_id: ExecId,
        _request: &StopRequest,
        _by: &Operator,
    ) -> FleetResult<StopView> {
        self.soon().await
    }

    /// Tries an exec again on PCs that have ended.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn exec_retry(
        &self,
        _exec_id: ExecId,
        _request: &RetryRequest,
        _by: &Operator,
    ) -> FleetResult<ExecView> {
        self.soon().await
    }

    /// Targets of an exec, one page, by PC.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn targets_list(
        &self,
        _exec_id: ExecId,
        _query: &TargetQuery,
    ) -> FleetResult<Page<TargetView>> {
        self.soon().await
    }

    /// Results, one page, newest first.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn results_list(&self, _query: &ResultQuery) -> FleetResult<Page<ResultView>> {
        self.soon().await
    }

    /// One result.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn result_fetch(&self, _request_id: RequestId) -> FleetResult<ResultView> {
        self.soon().await
    }

    /// A piece of a run's output.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn result_output(
        &self,
        _request_id: RequestId,
        _query: &OutputQuery,
    ) -> FleetResult<OutputPage> {
        self.soon().await
    }

    /// Jobs, one page, by name.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn jobs_list(&self, _query: &NameQuery) -> FleetResult<Page<JobView>> {
        self.soon().await
    }

    /// One job with its YAML.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn job_fetch(&self, _job_id: &JobId) -> FleetResult<JobView> {
        self.soon().await
    }

    /// Makes a job what the YAML says.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn job_apply(
        &self,
        _job_id: &JobId,
        _yaml: &str,
        _if_match: Option<u64>,
        _dry_run: bool,
        _by: &Operator,
    ) -> FleetResult<Applied> {
        self.soon().await
    }

    /// Removes a job from the catalogue.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn job_delete(
        &self,
        _job_id: &JobId,
        _if_match: Option<u64>,
        _by: &Operator,
    ) -> FleetResult<()> {
        self.soon().await
    }

    /// Groups, one page, by name.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn groups_list(&self, _query: &NameQuery) -> FleetResult<Page<GroupView>> {
        self.soon().await
    }

    /// One group with its members.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn group_fetch(&self, _group_id: &GroupId) -> FleetResult<GroupView> {
        self.soon().await
    }

    /// Makes a group what is written.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn group_apply(
        &self,
        _group_id: &GroupId,
        _write: &GroupWrite,
        _if_match: Option<u64>,
        _dry_run: bool,
        _by: &Operator,
    ) -> FleetResult<Applied> {
        self.soon().await
    }

    /// Removes a group.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn group_delete(
        &self,
        _group_id: &GroupId,
        _if_match: Option<u64>,
        _by: &Operator,
    ) -> FleetResult<()> {
        self.soon().await
    }

    /// Audit rows, one page, newest first.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn audit_list(&self, _query: &SystemQuery) -> FleetResult<Page<AuditRow>> {
        self.soon().await
    }

    /// Messages that could not be read, one page, newest first.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn dead_letters_list(
        &self,
        _query: &SystemQuery,
    ) -> FleetResult<Page<DeadLetterView>> {
        self.soon().await
    }

    /// Stretches of streams that were lost, one page, newest first.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn gaps_list(&self, _query: &SystemQuery) -> FleetResult<Page<GapView>> {
        self.soon().await
    }

    /// PCs, PCs that are online, execs that have not ended.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn system_counts(&self) -> FleetResult<(u64, u64, u64)> {
        self.soon().await
    }

    /// The encrypted bytes of a script.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn body_fetch(&self, _sha256: &str) -> FleetResult<Vec<u8>> {
        self.soon().await
    }

    async fn soon<T>(&self) -> FleetResult<T> {
        self.store.last_change().await?;
        Err(FleetError::NoTargets)
    }
}

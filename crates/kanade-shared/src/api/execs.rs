//! Execs: `POST /api/v1/execs`, `GET /api/v1/execs`, one of them, its targets, and its stops.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::id::{Attempt, ExecId, GroupId, JobId, PcId, RequestId};
use crate::manifest::JobRun;
use crate::wire::command::{Reach, StopAction};
use crate::wire::result::{Outcome, Reason};

/// `POST /api/v1/execs`; an `Idempotency-Key` header makes it safe to send again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// What to run.
    pub what: ExecWhat,
    /// Who runs it.
    pub targets: Targets,
    /// Latest start, in seconds from now; an hour unless said, at most 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u32>,
    /// Fixed (the default): the PCs of now. Open: also those that enrol before the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// Spreads the starts over this many seconds; the job's own unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_s: Option<u32>,
    /// For the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Answer of a dry run: hits exactly the PCs it listed, or answers 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
}

/// What an exec runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ExecWhat {
    /// A job of the catalogue, as it is now.
    Job(JobId),
    /// A script of its own.
    Script(JobRun),
}

/// Which PCs: the union of what is named, minus what is excluded. Naming nobody is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Targets {
    /// Every PC.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Members of these groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupId>,
    /// These PCs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pcs: Vec<PcId>,
    /// But not members of these groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_groups: Vec<GroupId>,
    /// But not these PCs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_pcs: Vec<PcId>,
}

/// Answer to `POST /api/v1/execs?dry_run=true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecPreview {
    /// Give it as `preview` to hit exactly these PCs; good for 15 minutes.
    pub token: String,
    /// How many PCs.
    pub count: u64,
    /// How many of them are offline now.
    pub offline: u64,
    /// The first 100 of them, sorted.
    pub sample: Vec<PcId>,
    /// Latest start that a POST now would give.
    pub deadline: DateTime<Utc>,
}

/// One exec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecView {
    /// Its id.
    pub exec_id: ExecId,
    /// The job, absent for an ad-hoc script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The job's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_version: Option<String>,
    /// The script's first line that says something, cut at 80 characters.
    pub title: String,
    /// Running, done or stopped.
    pub state: ExecState,
    /// Fixed or open.
    pub reach: Reach,
    /// Whom the operator named.
    pub targets: Targets,
    /// Who issued it.
    pub issued_by: String,
    /// When.
    pub issued_at: DateTime<Utc>,
    /// Latest start.
    pub deadline: DateTime<Utc>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Withdrawn or killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopAction>,
    /// When its last target ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// Taken over from the broker by a database that did not know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// Its targets by state.
    pub counts: Counts,
}

/// How far an exec is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExecState {
    /// Some target has not ended, or more may join.
    Running,
    /// Every target has ended, and none may join.
    Ended,
}

impl ExecState {
    /// The word on the wire and for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}

/// Targets of an exec by state; of each PC its newest attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// All PCs.
    pub targets: u64,
    /// Not heard of yet.
    pub pending: u64,
    /// The PC has the command and has not started.
    pub admitted: u64,
    /// Runs now.
    pub running: u64,
    /// Ended, by outcome; outcomes that no target has are left out.
    pub ended: BTreeMap<Outcome, u64>,
}

impl Counts {
    /// Targets that ended with this outcome.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.ended.get(&outcome).copied().unwrap_or(0)
    }

    /// Targets that have not ended.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.pending + self.admitted + self.running
    }
}

/// One PC of an exec: its newest attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TargetView {
    /// The PC.
    pub pc_id: PcId,
    /// Which attempt.
    pub attempt: Attempt,
    /// The run, which names its result and its output.
    pub request_id: RequestId,
    /// How far it is.
    pub state: TargetState,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The backend's word, which the agent's own result replaces.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provisional: bool,
    /// Why it is as it is, with a time: never 'no answer'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
    /// The program's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Start of its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// An operator stopped it, and the PC has not confirmed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopping: bool,
}

/// How far a target is; only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Not heard of yet.
    Pending,
    /// The PC holds the document that lists it.
    Admitted,
    /// It runs.
    Running,
    /// It has an outcome.
    Ended,
}

impl TargetState {
    /// The word on the wire and for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Admitted => "admitted",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}

/// `POST /api/v1/execs/{id}/stop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Withdraw or kill.
    pub action: StopAction,
    /// For the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer to a stop: what it meets, at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StopView {
    /// The exec as it is now.
    pub exec: ExecView,
    /// PCs that had not started and never will.
    pub never_start: u64,
    /// PCs that run it and are told to end it.
    pub to_kill: u64,
    /// PCs that had ended.
    pub already_ended: u64,
    /// PCs among the first two that are offline, and learn of it before they run anything.
    pub offline: u64,
}

/// `POST /api/v1/execs/{id}/retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// Only PCs that ended with one of these; empty: with anything but `ok`.
    #[serde(default)]
    pub outcomes: Vec<Outcome>,
    /// Latest start, in seconds from now; an hour unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u32>,
    /// For the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Filters and order of the list of execs; newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub struct ExecQuery {
    /// Most rows to give, 1 to 500; 100 unless said.
    pub limit: Option<u32>,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Only those that are `running` or `ended`.
    pub state: Option<ExecState>,
    /// Only those of this job.
    pub job_id: Option<JobId>,
    /// Only ids that begin with these hex digits.
    pub prefix: Option<String>,
    /// `-issued_at` (default) or `issued_at`.
    pub sort: Option<String>,
}

/// Filters of the list of an exec's targets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub struct TargetQuery {
    /// Most rows to give, 1 to 500; 100 unless said.
    pub limit: Option<u32>,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Only those in this state.
    pub state: Option<TargetState>,
    /// Only those that ended so.
    pub outcome: Option<Outcome>,
}

//! The backend itself: `GET /api/v1/system`, its findings, dead letters and gaps.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// `GET /api/v1/system`: what `kanade doctor` and the dashboard's system page show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SystemView {
    /// Version of the backend.
    pub version: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Everything that was looked at, worst first.
    pub findings: Vec<Finding>,
    /// How far the projector is with each stream.
    pub streams: Vec<StreamView>,
    /// Background tasks and how often each had to be started again.
    pub tasks: Vec<TaskView>,
    /// PCs in the fleet.
    pub agents: u64,
    /// PCs that are online.
    pub agents_online: u64,
    /// Execs that have not ended.
    pub execs_running: u64,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Finding {
    /// Is it as it should be?
    pub level: Level,
    /// For programs, such as `broker.drift`.
    pub code: String,
    /// One sentence.
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Warn,
    /// It does not work.
    Error,
}

/// How far the projector is with one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamView {
    /// Its name.
    pub stream: String,
    /// Sequence that was stored last.
    pub position: u64,
    /// Messages that wait to be stored.
    pub lag: u64,
    /// Messages that were stored since the start.
    pub stored: u64,
    /// Messages that could not be read and are kept aside.
    pub dead_letters: u64,
    /// Stretches that were evicted before they were read.
    pub gaps: u64,
    /// Times that it was read again from its beginning, since it was recreated or rewound.
    pub rewinds: u64,
}

/// A background task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskView {
    /// Its name.
    pub task: String,
    /// How often it had to be started again.
    pub restarts: u64,
    /// What ended it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A message that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetterView {
    /// Its number here.
    pub dead_letter_id: i64,
    /// Where it came from; a core subject's is empty.
    pub stream: String,
    /// Its sequence there.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// Why it could not be read.
    pub reason: String,
    /// Its first 1,024 bytes, as text.
    pub payload_head: String,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// When it was put aside.
    pub at: DateTime<Utc>,
}

/// A stretch of a stream that was evicted before it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GapView {
    /// The stream.
    pub stream: String,
    /// First sequence that is missing.
    pub first: u64,
    /// Last sequence that is missing.
    pub last: u64,
    /// When it was noticed.
    pub at: DateTime<Utc>,
}

/// Page of dead letters, gaps or audit rows; newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub struct SystemQuery {
    /// Most rows to give, 1 to 500; 100 unless said.
    pub limit: Option<u32>,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// One row of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRow {
    /// Its id, which sorts by time.
    pub audit_id: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Account id of who did it.
    pub actor: String,
    /// What was done, such as `exec.issue`.
    pub action: String,
    /// To what.
    pub object: String,
    /// With what.
    pub detail: serde_json::Value,
}

//! What one PC still has to do: `GET /api/v1/agents/{pc_id}/queue`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::api::execs::TargetView;
use crate::id::{ExecId, JobId};

/// Most entries of a queue that are given.
pub const QUEUE_MAX: u32 = 500;

/// One exec that waits for a PC, or runs on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueuedView {
    /// The exec.
    pub exec_id: ExecId,
    /// The job, absent for an ad-hoc script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The script's first line that says something, cut at 80 characters.
    pub title: String,
    /// Who issued it.
    pub issued_by: String,
    /// When this attempt was issued.
    pub issued_at: DateTime<Utc>,
    /// Latest start of this attempt.
    pub deadline: DateTime<Utc>,
    /// How far the PC is with it, and why.
    pub target: TargetView,
}

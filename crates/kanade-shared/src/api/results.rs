//! Results: `GET /api/v1/results`, one of them, and its output in pages.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{Attempt, ExecId, JobId, PcId, RequestId};
use crate::wire::result::{Outcome, Reason};

/// Characters of output that a row of a list carries.
pub const HEAD_CHARS: usize = 400;
/// Bytes of output that one page gives at most.
pub const OUTPUT_PAGE_MAX_BYTES: u64 = 256 * 1024;

/// One result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultView {
    /// The run.
    pub request_id: RequestId,
    /// The exec.
    pub exec_id: ExecId,
    /// Which try of the exec.
    pub attempt: Attempt,
    /// The PC.
    pub pc_id: PcId,
    /// The job, absent for an ad-hoc script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The program's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Tries that were started.
    pub tries: u32,
    /// Start of the first try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// When the backend stored it.
    pub stored_at: DateTime<Utc>,
    /// Standard output.
    pub stdout: OutputView,
    /// Standard error.
    pub stderr: OutputView,
}

/// One stream of output, without its text beyond the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutputView {
    /// Its first 400 characters.
    pub head: String,
    /// Text that can be read, in bytes.
    pub stored_bytes: u64,
    /// All that the program wrote, in bytes.
    pub total_bytes: u64,
    /// What was cut from the middle, in bytes.
    #[serde(default)]
    pub truncated_bytes: u64,
    /// SHA-256 of the text that can be read, hex; equal outputs have equal hashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// `GET /api/v1/results/{request_id}/output`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutputPage {
    /// Text from `offset` on.
    pub text: String,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<u64>,
    /// Text that can be read in all, in bytes.
    pub stored_bytes: u64,
}

/// Which stream and where from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub struct OutputQuery {
    /// `stdout` (default) or `stderr`.
    pub stream: Option<Stream>,
    /// Where to begin, in bytes.
    pub offset: u64,
    /// Most bytes to give, up to 256 KiB.
    pub limit: Option<u64>,
}

/// A stream of output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word on the wire and for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Filters of the list of results; newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub struct ResultQuery {
    /// Most rows to give, 1 to 500; 100 unless said.
    pub limit: Option<u32>,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Only those of this exec.
    pub exec_id: Option<ExecId>,
    /// Only those of this PC.
    pub pc_id: Option<PcId>,
    /// Only those of this job.
    pub job_id: Option<JobId>,
    /// Only those that ended so.
    pub outcome: Option<Outcome>,
    /// `-stored_at` (default) or `stored_at`.
    pub sort: Option<String>,
}

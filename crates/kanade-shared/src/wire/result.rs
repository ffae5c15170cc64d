//! Results: how one run on one PC ended.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{Attempt, ExecId, JobId, PcId, RequestId};
use crate::subject::Scope;

/// How a target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The script ended with exit code 0.
    Ok,
    /// The script ended otherwise, or could not be started.
    Failed,
    /// Stopped at its time limit.
    TimedOut,
    /// Stopped by an operator while it ran.
    Killed,
    /// Not run, for the reason given.
    Skipped,
    /// The agent died while it ran; whether it did its work is not known.
    Interrupted,
    /// Its deadline passed before it could start.
    Expired,
    /// The exec was withdrawn before it started.
    Withdrawn,
    /// The job was revoked before it started.
    Revoked,
    /// A newer exec of the job took its place.
    Superseded,
    /// What became of it can't be known any more.
    Lost,
    /// From a newer agent.
    #[serde(other)]
    Unknown,
}

impl Outcome {
    /// Every outcome that this version writes, in the order people are shown.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::Failed,
        Self::TimedOut,
        Self::Killed,
        Self::Skipped,
        Self::Interrupted,
        Self::Expired,
        Self::Withdrawn,
        Self::Revoked,
        Self::Superseded,
        Self::Lost,
    ];

    /// The word on the wire and for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Killed => "killed",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Revoked => "revoked",
            Self::Superseded => "superseded",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }

    /// The outcome with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }

    /// Whether an operator may want to try again: everything but `ok`.
    #[must_use]
    pub fn retriable(self) -> bool {
        self != Self::Ok
    }
}

/// Why a command was not run, or why a run could not be started or went on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reason {
    /// For programs, such as `script.fetch` or `shell.missing`.
    pub code: String,
    /// One sentence for people.
    pub text: String,
}

impl Reason {
    /// A reason of this code and sentence.
    #[must_use]
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            text: text.into(),
        }
    }
}

/// Result of one run on one PC; subject `results.<pc_id>.<request_id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// Which run; a function of exec, PC and attempt.
    pub request_id: RequestId,
    /// The exec.
    pub exec_id: ExecId,
    /// Which try of the exec.
    pub attempt: Attempt,
    /// The PC that reports; must be the one in the subject.
    pub pc_id: PcId,
    /// The document that the command came in.
    pub scope: Scope,
    /// The job, absent for an ad-hoc script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The job's version that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_version: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for every outcome but `ok` and a plain `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The program's own; absent when it never ran or was ended by a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Tries that were started.
    #[serde(default)]
    pub tries: u32,
    /// Start of the first try, by the fleet's clock; absent when nothing ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, by the fleet's clock.
    pub ended_at: DateTime<Utc>,
    /// What it wrote to standard output.
    #[serde(default)]
    pub stdout: Output,
    /// What it wrote to standard error.
    #[serde(default)]
    pub stderr: Output,
}

/// One stream of output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The text, when it rides inside; empty when it is in the object store.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// All that the program wrote, in bytes.
    #[serde(default)]
    pub total_bytes: u64,
    /// What was cut from the middle, in bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated_bytes: u64,
    /// Where the text is in `result_output`, when it was too large to ride inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_as: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Output {
    /// A stream that was kept whole.
    #[must_use]
    pub fn whole(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            total_bytes: text.len() as u64,
            text,
            ..Self::default()
        }
    }
}

/// A run has outlived a second; subject `events.<pc_id>.started`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Which run.
    pub request_id: RequestId,
    /// The exec.
    pub exec_id: ExecId,
    /// Which try of the exec.
    pub attempt: Attempt,
    /// The PC that reports; must be the one in the subject.
    pub pc_id: PcId,
    /// Start of the first try, by the fleet's clock.
    pub started_at: DateTime<Utc>,
}

//! Requests: from an agent to the backend (`svc.*.P`), and to one agent (`agent.P.*`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{Attempt, ExecId, JournalId, RequestId};

/// `svc.time.P`: asks for the fleet's time and for what the backend heard of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRequest {
    /// Comes back in the answer, so that an old one cannot be played again.
    pub nonce: String,
    /// Birth mark of the agent's journal, by which two agents with one id are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_id: Option<JournalId>,
    /// Runs of which a young journal wants to know whether the backend heard anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<RequestId>,
}

/// Answer to [`TimeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeReply {
    /// The request's.
    pub nonce: String,
    /// The fleet's time.
    pub now: DateTime<Utc>,
    /// Birth mark of the journal that the backend last heard of; absent: never heard of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_id: Option<JournalId>,
    /// Its highest counter that was heard.
    #[serde(default)]
    pub journal_counter: u64,
    /// For each run that was asked for, what the backend heard of it.
    #[serde(default)]
    pub heard: Vec<Heard>,
    /// Why this agent may not act under the id: another one holds it. It runs nothing and asks
    /// again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What the backend heard of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The run.
    pub request_id: RequestId,
    /// The furthest that it heard.
    pub state: HeardState,
}

/// How far the backend heard a run to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeardState {
    /// Nothing at all: it may run.
    Nothing,
    /// It was admitted or started by the journal that is gone: it must not run again.
    Begun,
    /// It has a result.
    Ended,
    /// The backend does not know the run, and can promise nothing.
    #[serde(other)]
    Unknown,
}

/// `agent.P.tail`: asks for the output of a run so far, and for more as `tail.P.R`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailRequest {
    /// The run, which must be one of this PC's.
    pub request_id: RequestId,
    /// How long to go on sending, in seconds, at most 60; asked again while somebody watches.
    #[serde(default)]
    pub follow_s: u32,
}

/// A piece of live output: the answer to [`TailRequest`] and what follows on `tail.P.R`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailChunk {
    /// The run.
    pub request_id: RequestId,
    /// Whether this PC has it.
    pub found: bool,
    /// Whether it still runs.
    pub running: bool,
    /// Where `stdout` begins in all that was written, in bytes.
    #[serde(default)]
    pub stdout_offset: u64,
    /// Text from there on.
    #[serde(default)]
    pub stdout: String,
    /// Where `stderr` begins in all that was written, in bytes.
    #[serde(default)]
    pub stderr_offset: u64,
    /// Text from there on.
    #[serde(default)]
    pub stderr: String,
}

/// `agent.P.results`: the backend lacks these results; the agent sends again those it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultsRequest {
    /// Runs without a result.
    pub runs: Vec<RunKey>,
}

/// Names one run for the PC that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunKey {
    /// The exec.
    pub exec_id: ExecId,
    /// Which try.
    pub attempt: Attempt,
}

/// `agent.P.logs`: asks for a page of the agent's own log, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsRequest {
    /// Where the page ends, in bytes of the file: `start` of the page before; absent: its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Largest page, in bytes, at most 128 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u32>,
}

/// Answer to [`LogsRequest`]: whole lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsPage {
    /// Whether the agent writes a log file.
    pub found: bool,
    /// The lines.
    #[serde(default)]
    pub text: String,
    /// Where they begin in the file, in bytes; 0: there is nothing before.
    #[serde(default)]
    pub start: u64,
    /// Where they end.
    #[serde(default)]
    pub end: u64,
}

/// Answer to every other request: taken, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Whether the agent will do it.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

//! Live changes: `GET /api/v1/events?topics=…`, as server-sent events.
//!
//! An event's `id` is the change number of the transaction that made it; with `Last-Event-ID` a
//! listener gets what it missed, or [`LiveEvent::Reset`] when that is too long ago. Its `event`
//! field is the topic, its data one [`LiveEvent`].

use serde::{Deserialize, Serialize};

use crate::api::agents::AgentView;
use crate::api::execs::{ExecView, TargetView};
use crate::api::results::ResultView;
use crate::id::ExecId;
use crate::wire::agent::TailChunk;

/// What a listener may ask for: `agents`, `execs`, `exec:<id>` (the exec, its targets and its
/// results), `tail:<request_id>`.
pub const TOPICS: [&str; 4] = ["agents", "execs", "exec", "tail"];

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LiveEvent {
    /// The listener is too far behind, or new: read everything again.
    Reset,
    /// A PC is different now.
    Agent {
        /// As it is now.
        agent: Box<AgentView>,
    },
    /// An exec is different now.
    Exec {
        /// As it is now.
        exec: Box<ExecView>,
    },
    /// A target is different now.
    Target {
        /// Its exec.
        exec_id: ExecId,
        /// As it is now.
        target: Box<TargetView>,
    },
    /// A result was stored.
    Result {
        /// The result.
        result: Box<ResultView>,
    },
    /// A piece of live output.
    Tail {
        /// The piece.
        chunk: TailChunk,
    },
    /// From a newer backend.
    #[serde(other)]
    Unknown,
}

//! What the shell is told to do.

use kanade_shared::id::RequestId;
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::{Command, Rev};
use kanade_shared::wire::desired::{AgentDesired, Brake};
use kanade_shared::wire::result::{RunResult, Started};

use crate::journal::{Entry, Meta};

/// One thing to do. The shell performs effects strictly in order, and each that writes is on disk
/// before the next begins. When a write fails, it hands that effect and all that follow to
/// [`crate::Core::handle_disk_failed`].
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write what is known of the journal as a whole.
    WriteMeta(Meta),
    /// Write one entry, in place of what was there.
    WriteEntry(Box<Entry>),
    /// Remove one entry, and the copy of its result.
    RemoveEntry(RequestId),
    /// Remember the document that is held: its scope, rev and hash.
    WriteHeld {
        /// Whose document.
        scope: Scope,
        /// Its rev.
        rev: Rev,
        /// SHA-256 of its bytes, hex.
        hash: String,
    },
    /// Remember the desired document.
    WriteDesired(Box<AgentDesired>),
    /// Remember the brake.
    WriteBrake(Box<Brake>),
    /// Put a result into the outbox. For a run, the shell adds the output it captured.
    StoreResult(Box<RunResult>),
    /// A result may be sent: its entry says that it ended.
    Send(RequestId),
    /// Put a result that was sent back into the outbox, if there is still a copy.
    SendAgain(RequestId),
    /// Kill what a crashed agent left of this run, by its mark.
    KillLeftovers {
        /// The run.
        request_id: RequestId,
        /// How its processes are found.
        mark: Option<serde_json::Value>,
    },
    /// Get the script and answer with `handle_script`.
    FetchScript(RequestId, Box<Command>),
    /// The entry says 'started': answer with `handle_prepared`.
    Prepare(RequestId),
    /// Start the processes, held back, and answer with `handle_spawned`.
    Spawn(RequestId, Box<Command>),
    /// The mark is in the journal: let the script begin.
    Release(RequestId),
    /// Stop the run: politely, then for good; it answers with `handle_ended`.
    Kill(RequestId),
    /// Forget what was captured of a try, since another follows or none is wanted.
    DropOutput(RequestId),
    /// Ask broker and backend what they know of this run; answer with `handle_asked`.
    Ask(RequestId),
    /// Tell that a run has outlived a second.
    SendStarted(Started),
    /// Send a heartbeat soon.
    Beat,
    /// Read all documents again.
    ReadAll,
}

impl Effect {
    /// Whether it writes to disk, and so may fail.
    #[must_use]
    pub fn writes(&self) -> bool {
        matches!(
            self,
            Self::WriteMeta(_)
                | Self::WriteEntry(_)
                | Self::RemoveEntry(_)
                | Self::WriteHeld { .. }
                | Self::WriteDesired(_)
                | Self::WriteBrake(_)
                | Self::StoreResult(_)
                | Self::SendAgain(_)
        )
    }
}

//! The rules of the fleet: what operators may ask for, and what it means.
//!
//! A call reads, decides and writes in one transaction, then tells the publisher (a nudge that
//! carries nothing) and the listeners (views of what changed). The API is above, the store
//! below; nothing here knows HTTP or SQL, and nothing here talks to agents.
//!
//! **Invariant:** a change and its audit row are in one transaction.
//! **Invariant:** an exec is stored with all its targets before anything of it is published.

mod agents;
mod error;
mod execs;
mod groups;
mod jobs;
mod operator;
mod outputs;
mod page;
mod queue;
mod requests;
mod results;
mod room;
pub mod rules;
mod scripts;
mod sessions;
mod stops;
mod system;
mod targets;
mod why;

use crate::changes::Changes;
use crate::store::Store;
use crate::tasks::Nudge;

pub use error::{FleetError, FleetStatus};
pub use operator::Operator;
pub use outputs::{OUTPUT_MAX_BYTES, Outputs};
pub use room::ExecRoom;
pub(crate) use sessions::LONGEST as SESSION_LONGEST;
pub use sessions::{Session, SessionError, SessionKey, SessionToken};
pub use targets::members_now;

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

#[cfg(test)]
mod tests;

//! What an agent decides, without doing it.
//!
//! [`Core`] is told everything that happens (`handle_…`), with the time, and answers with
//! [`Effect`]s, which the shell performs strictly in order. Rules that need no memory are plain
//! functions in [`decide`].
//!
//! **Invariant:** no clock, file, socket or `async` here; time comes in as [`Mono`].
//! **Invariant:** what is in the journal never runs again, whatever else is true.
//! **Invariant:** only a stop withdraws; silence, an absent document or an older one never do.

pub mod backoff;
pub mod clock;
mod core;
pub mod decide;
pub mod effect;
pub mod journal;

pub use crate::clock::Mono;
pub use crate::core::{Boot, Core, Heard, LinkState, Read, RunEnd, Status};
pub use crate::effect::Effect;

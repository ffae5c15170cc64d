//! A small fleet in memory: the agent's real core and the publisher's real rules, on a broker, a
//! database and disks that can fail at every step.

pub(crate) mod backend;
mod end;
mod operators;
pub(crate) mod pc;
pub(crate) mod schedule;
pub(crate) mod world;

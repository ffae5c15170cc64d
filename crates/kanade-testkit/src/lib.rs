//! Starts a real broker, a backend and agents for tests.
//!
//! [`nats`] is a broker alone; [`fleet`] is all of it, with processes that can be killed at any
//! moment and a count of what scripts really did.

pub mod agent;
pub mod backend;
pub mod fleet;
pub mod nats;
pub mod ports;
pub mod process;
pub mod wait;

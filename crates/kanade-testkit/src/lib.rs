//! Starts a real broker, a backend and agents for tests.

pub mod nats;
pub mod ports;
pub mod wait;

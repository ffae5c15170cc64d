//! Starts a real broker, a backend and agents for tests.
//!
//! [`nats`] is a broker alone, [`postgres`] a database; [`fleet`] is all of it, with processes that can be killed at any
//! moment and a count of what scripts really did; `disk` and `clock` are disks that fill and clocks
//! that are wrong.

pub mod agent;
pub mod backend;
#[cfg(target_os = "linux")]
pub mod clock;
pub mod database;
#[cfg(target_os = "linux")]
pub mod disk;
pub mod fleet;
pub mod nats;
pub mod ports;
#[cfg(unix)]
pub mod postgres;
pub mod process;
pub mod wait;

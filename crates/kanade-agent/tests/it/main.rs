//! End-to-end tests of the agent's parts, with real processes.

#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

#[cfg(unix)]
mod exec;
#[cfg(unix)]
mod exec_end;
#[cfg(unix)]
mod runs;

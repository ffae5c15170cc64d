//! End-to-end tests of the agent's parts, with real processes.

#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

#[cfg(unix)]
mod broker;
#[cfg(unix)]
mod commands;
#[cfg(unix)]
mod crashes;
#[cfg(unix)]
mod exec;
#[cfg(unix)]
mod exec_end;
#[cfg(windows)]
mod exec_windows;
#[cfg(unix)]
mod outbox;
mod runs;

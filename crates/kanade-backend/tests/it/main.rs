//! End-to-end tests of the backend's parts, a file per resource.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod agent;
mod api;
mod dashboard;
mod flow;
mod outputs;
mod program;
mod running;
mod session;

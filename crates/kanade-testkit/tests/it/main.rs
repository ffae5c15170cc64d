//! End-to-end tests: real brokers, real processes, one module per resource or fault.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bootstrap;
mod bootstrap_refusals;
mod broker;
mod garbage;
mod loss_of_agent;
mod loss_of_backend;
mod loss_of_data;
mod runs;

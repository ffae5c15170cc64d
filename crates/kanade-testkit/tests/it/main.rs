//! End-to-end tests: real brokers, real processes, one module per resource or fault.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bootstrap;
mod bootstrap_refusals;
mod broker;
mod caps;
#[cfg(target_os = "linux")]
mod clocks;
#[cfg(target_os = "linux")]
mod full_disks;
mod garbage;
#[cfg(unix)]
mod hung_broker;
mod loss_of_agent;
mod loss_of_backend;
mod loss_of_data;
#[cfg(unix)]
mod loss_of_postgres;
mod runs;

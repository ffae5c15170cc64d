//! API, publisher, projector and embedded broker.

pub mod changes;
pub mod config;
pub mod metrics;
pub mod tasks;

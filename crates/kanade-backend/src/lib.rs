//! API, publisher, projector and embedded broker.

pub mod changes;
pub mod config;
pub mod fleet;
pub mod metrics;
pub mod store;
pub mod tasks;

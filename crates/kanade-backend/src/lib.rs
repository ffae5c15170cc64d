//! API, publisher, projector and embedded broker.

pub mod api;
pub mod changes;
pub mod config;
pub mod fleet;
pub mod health;
pub mod metrics;
pub mod store;
pub mod tasks;

//! API, publisher, projector and embedded broker.

pub mod api;
pub mod broker;
pub mod changes;
pub mod config;
pub mod counters;
pub mod fleet;
pub mod flow;
pub mod health;
pub mod metrics;
pub mod presence;
pub mod projector;
pub mod publisher;
pub mod services;
pub mod store;
pub mod sweep;
pub mod tasks;

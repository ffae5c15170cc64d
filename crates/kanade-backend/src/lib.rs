//! API, publisher, projector and embedded broker.

pub mod api;
pub mod app;
pub mod bootstrap;
pub mod broker;
pub mod changes;
pub mod cli;
pub mod config;
pub mod counters;
pub mod failure;
pub mod fleet;
pub mod flow;
pub mod health;
pub mod joins;
pub mod metrics;
pub mod presence;
pub mod projector;
pub mod publisher;
pub mod secrets;
pub mod services;
pub mod signals;
pub mod store;
pub mod sweep;
pub mod tasks;

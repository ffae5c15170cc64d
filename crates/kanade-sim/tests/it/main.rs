//! Simulated agents on a real backend and a real broker.

mod agents;
mod behaviour;
mod program;
mod sim;

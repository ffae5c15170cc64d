//! The benches: each promise measured on real programs, in temporary folders on free ports.
//!
//! A [`Scene`] is what has to be set up (a backend, a fleet, a million results); it measures one
//! or more named values, several times each. [`catalogue`] has the names with their promises;
//! [`report`] prints them. The programs are those beside this one, built in release.
//!
//! **Invariant:** nothing outlives its scene: processes are killed, folders removed.
//!
//! What can't be set up panics, as in a test: there is no figure then.

pub mod catalogue;
pub mod curve;
mod exec;
mod http;
mod loader;
mod one_agent;
mod pages;
pub mod plot;
pub mod report;
mod scene;
mod simulated;
mod stack;
mod start;
mod taken;

pub use scene::{Options, Scene};
pub use taken::Taken;

//! The endpoint service.

pub mod exec;
pub mod platform;

//! The language that every part of kanade speaks.
//!
//! Ids, subjects, payloads, command documents, manifests, the REST payloads, and the catalogue of
//! what the broker must have. Everything here is pure; what talks to a broker is behind the
//! feature `broker`.
//!
//! **Invariant:** no crate of ours below this one, no clock, no file.

pub mod api;
pub mod body;
pub mod bootstrap;
pub mod document;
pub mod id;
pub mod manifest;
pub mod signing;
pub mod subject;
pub mod wire;

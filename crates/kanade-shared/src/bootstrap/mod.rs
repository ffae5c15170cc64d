//! What kanade needs to have on a broker, and how it gets there.
//!
//! [`catalogue`] is the one list of streams, buckets and object stores, as data;
//! [`plan`] compares it with what a broker has and says what would be done, without doing
//! it; `apply` (feature `broker`) observes, acts and reports. A backend calls
//! `ensure_jetstream_resources` at its start; operators see the same by `bootstrap plan`.
//!
//! **Invariant:** nothing is ever deleted, and nothing is made smaller than what it holds,
//! without being told to.
//! **Invariant:** a resource that exists and serves never stops a start, however far it
//! drifted; one that neither exists nor can be made always does.

#[cfg(feature = "broker")]
mod apply;
pub mod catalogue;
#[cfg(feature = "broker")]
mod connect;
#[cfg(feature = "broker")]
mod error;
#[cfg(feature = "broker")]
mod observe;
pub mod plan;
#[cfg(feature = "broker")]
mod probe;

#[cfg(feature = "broker")]
pub use apply::{
    Outcome, Report, ensure_jetstream_resources, ensure_resources, plan_resources, replicas_for,
};
pub use catalogue::{Kind, Loss, Options, Resource, Settings, catalogue};
#[cfg(feature = "broker")]
pub use connect::{Credentials, Retry, connect};
#[cfg(feature = "broker")]
pub use error::{BootstrapError, Failed};
#[cfg(feature = "broker")]
pub use observe::observe;
pub use plan::{Observed, Plan, plan};

//! The endpoint service.
//!
//! `kanade-agent-core` decides; everything here acts. [`agent`] is the loop: it hands each thing
//! that happens to the core and performs the effects that come back, strictly in order. Around it:
//! [`link`] is the broker, [`outbox`] what must reach it, `runs` and [`exec`] the processes, [`data`]
//! what is remembered, [`platform`] the only place with calls to the operating system.
//!
//! What has no file and no process is also what a simulated agent is made of.
//!
//! **Invariant:** no rule about commands outside the core.
//! **Invariant:** no JetStream consumer, ever.

pub mod agent;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data;
pub mod exec;
pub mod heartbeat;
pub mod https;
pub mod link;
pub mod outbox;
pub mod platform;
pub mod requests;

mod inventory;
mod logs;
mod random;
mod runs;
mod scripts;
mod telemetry;

/// Does something that blocks, away from the agent's only thread.
pub(crate) async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(act).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down: whoever waits is dropped, too.
        Err(_) => std::future::pending().await,
    }
}

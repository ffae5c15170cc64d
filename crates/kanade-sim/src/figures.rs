//! What the fleet does, in numbers: counted by the shards, read once a second.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::Serialize;

/// Counters that all shards share.
#[derive(Debug, Default)]
pub struct Figures {
    /// Agents with a connection.
    pub connected: AtomicI64,
    /// Agents that act on what they hear.
    pub live: AtomicI64,
    /// Agents that are away on purpose.
    pub away: AtomicI64,
    /// Connections that were made.
    pub connects: AtomicU64,
    /// Connections that were lost without purpose.
    pub losses: AtomicU64,
    /// Agents that crashed and started again on purpose.
    pub restarts: AtomicU64,
    /// Runs in progress.
    pub running: AtomicI64,
    /// Runs that were started.
    pub runs: AtomicU64,
    /// Results in outboxes.
    pub waiting: AtomicI64,
    /// Results that the broker has acknowledged.
    pub acknowledged: AtomicU64,
    /// Tries to send a result that were not acknowledged.
    pub unacknowledged: AtomicU64,
    /// Heartbeats.
    pub heartbeats: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// Agents with a connection.
    pub connected: i64,
    /// Agents that act on what they hear.
    pub live: i64,
    /// Agents that are away on purpose.
    pub away: i64,
    /// Connections that were made.
    pub connects: u64,
    /// Connections that were lost without purpose.
    pub losses: u64,
    /// Agents that crashed and started again on purpose.
    pub restarts: u64,
    /// Runs in progress.
    pub running: i64,
    /// Runs that were started.
    pub runs: u64,
    /// Results in outboxes.
    pub waiting: i64,
    /// Results that the broker has acknowledged.
    pub acknowledged: u64,
    /// Tries to send a result that were not acknowledged.
    pub unacknowledged: u64,
    /// Heartbeats.
    pub heartbeats: u64,
}

impl Figures {
    /// All counters now.
    #[must_use]
    pub fn read(&self) -> Reading {
        let signed = |counter: &AtomicI64| counter.load(Ordering::Relaxed);
        let unsigned = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Reading {
            connected: signed(&self.connected),
            live: signed(&self.live),
            away: signed(&self.away),
            connects: unsigned(&self.connects),
            losses: unsigned(&self.losses),
            restarts: unsigned(&self.restarts),
            running: signed(&self.running),
            runs: unsigned(&self.runs),
            waiting: signed(&self.waiting),
            acknowledged: unsigned(&self.acknowledged),
            unacknowledged: unsigned(&self.unacknowledged),
            heartbeats: unsigned(&self.heartbeats),
        }
    }
}

/// One more.
pub(crate) fn more(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// So many more, or fewer.
pub(crate) fn change(counter: &AtomicI64, by: i64) {
    if by != 0 {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

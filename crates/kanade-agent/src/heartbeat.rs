//! What a heartbeat says, and when the next one is due: pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kanade_agent_core::{LinkState, Status};
use kanade_shared::id::PcId;
use kanade_shared::wire::heartbeat::{AgentState, Heartbeat, capability};
use tokio::time::Instant;

use crate::outbox::Level;

/// Changes within this time share one heartbeat.
const COALESCE: Duration = Duration::from_millis(100);

/// When the next heartbeat is due.
#[derive(Debug)]
pub struct Pulse {
    at: Instant,
    every: Duration,
}

impl Pulse {
    /// The first one is due at once.
    pub fn new(now: Instant) -> Self {
        Self {
            at: now,
            every: Duration::from_secs(30),
        }
    }

    /// Something changed: soon.
    pub fn hurry(&mut self, now: Instant) {
        self.at = self.at.min(now + COALESCE);
    }

    /// One was sent; the next follows after so many seconds, 5 to 3600.
    pub fn sent(&mut self, now: Instant, interval_s: u32) {
        self.every = Duration::from_secs(u64::from(interval_s.clamp(5, 3600)));
        self.at = now + self.every;
    }

    /// When the next one is due.
    pub fn at(&self) -> Instant {
        self.at
    }
}

/// What does not come from the core.
#[derive(Debug)]
pub struct Facts {
    /// The PC.
    pub pc_id: PcId,
    /// Its own clock.
    pub wall: DateTime<Utc>,
    /// Since the system's start.
    pub since_boot: Option<Duration>,
    /// Its clock minus the fleet's, in milliseconds.
    pub skew_ms: Option<i64>,
    /// How full the outbox is.
    pub level: Level,
    /// Real host name.
    pub host_name: Option<String>,
    /// `linux`, `windows` or `macos`.
    pub os_family: &'static str,
    /// Resident memory of the agent, in bytes.
    pub rss_bytes: Option<u64>,
}

/// The heartbeat of an agent in this state.
pub fn heartbeat(status: Status, facts: Facts) -> Heartbeat {
    Heartbeat {
        pc_id: facts.pc_id,
        at: facts.wall,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: capability::ALL.map(str::to_owned).to_vec(),
        state: match status.link {
            LinkState::Connecting => AgentState::Connecting,
            LinkState::Syncing => AgentState::Syncing,
            LinkState::Live => AgentState::Live,
        },
        held: status.held,
        journal_id: status.meta.journal_id,
        journal_counter: status.meta.counter,
        outbox_results: facts.level.results,
        outbox_bytes: facts.level.bytes,
        blocked: status.blocked,
        clock_skew_ms: facts.skew_ms,
        running: status.running,
        host_name: facts.host_name,
        os_family: Some(facts.os_family.to_owned()),
        agent_rss_bytes: facts.rss_bytes,
        booted_at: facts
            .since_boot
            .and_then(|since| chrono::Duration::from_std(since).ok())
            .and_then(|since| facts.wall.checked_sub_signed(since)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_share_a_heartbeat_and_the_regular_one_follows_a_full_interval_later() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.at(), start);
        pulse.sent(start, 30);
        assert_eq!(pulse.at(), start + Duration::from_secs(30));
        pulse.hurry(start);
        pulse.hurry(start + Duration::from_millis(90));
        assert_eq!(pulse.at(), start + COALESCE);
        pulse.sent(start, 0);
        assert_eq!(
            pulse.at(),
            start + Duration::from_secs(5),
            "never a busy loop"
        );
    }
}

//! Numbers that the loops between broker and database keep of themselves.
//!
//! Plain atomics, so that counting costs nothing and `/metrics`, `/readyz` and the system page read
//! them without asking a loop. They begin at zero with the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use kanade_shared::api::system::StreamView;

use crate::presence::collision::Collisions;

/// One number.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// Adds to a counter.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets a level.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Passes that fail one after another before it is a finding.
const FAILED_PASSES: u32 = 3;

/// Whether the passes of the publisher fail, since when, and why.
#[derive(Debug, Default)]
pub struct Passes(Mutex<Option<FailedPass>>);

#[derive(Debug)]
struct FailedPass {
    since: DateTime<Utc>,
    times: u32,
    why: String,
}

impl Passes {
    /// Notes how a pass ended: with nothing, or with why it failed.
    pub fn note(&self, failed: Option<String>, now: DateTime<Utc>) {
        // Every statement leaves it whole.
        let mut is = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *is = failed.map(|why| FailedPass {
            since: is.as_ref().map_or(now, |is| is.since),
            times: is.as_ref().map_or(0, |is| is.times).saturating_add(1),
            why,
        });
    }

    /// Since when and why, once it failed some times without a break.
    #[must_use]
    pub fn failing(&self) -> Option<String> {
        let is = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is = is.as_ref().filter(|is| is.times >= FAILED_PASSES)?;
        let since = is.since.to_rfc3339_opts(SecondsFormat::Secs, true);
        Some(format!("since {since}: {}", is.why))
    }
}

/// How the projection of one stream goes.
#[derive(Debug, Default)]
pub struct StreamCounters {
    /// Sequence that was stored last.
    pub position: Number,
    /// Messages that wait in the stream.
    pub lag: Number,
    /// Messages stored since the start.
    pub stored: Number,
    /// Messages put aside since the start.
    pub dead_letters: Number,
    /// Stretches that were evicted before they were read.
    pub gaps: Number,
    /// Times that the stream was read again from its beginning.
    pub rewinds: Number,
    /// 1 while everything that was there at the start has been stored.
    pub caught_up: Number,
}

/// All numbers of the flows.
#[derive(Debug, Default)]
pub struct Counters {
    /// RESULTS.
    pub results: StreamCounters,
    /// EVENTS.
    pub events: StreamCounters,
    /// INVENTORY.
    pub inventory: StreamCounters,
    /// AUDIT.
    pub audit: StreamCounters,
    /// Heartbeats taken in.
    pub heartbeats: Number,
    /// Messages on core subjects that could not be read.
    pub core_dead_letters: Number,
    /// PCs that enrolled since the start.
    pub enrolled: Number,
    /// Command documents published.
    pub documents: Number,
    /// Publishes that lost against another writer and were started over.
    pub conflicts: Number,
    /// Bodies published.
    pub bodies: Number,
    /// Desired documents published.
    pub desired: Number,
    /// Audit rows copied to the broker.
    pub audit_copied: Number,
    /// Commands, PCs and definitions taken over from the broker.
    pub recovered: Number,
    /// Full passes of the publisher; 0 means that it has not served yet.
    pub passes: Number,
    /// Command documents that would be over their largest size, at the last pass.
    pub oversized: Number,
    /// How the publisher's passes end.
    pub publishing: Passes,
    /// How the copying of definitions and audit rows ends.
    pub copying: Passes,
    /// Ids that more than one agent uses.
    pub collisions: Collisions,
}

impl Counters {
    /// The streams with their names.
    #[must_use]
    pub fn streams(&self) -> [(&'static str, &StreamCounters); 4] {
        [
            ("RESULTS", &self.results),
            ("EVENTS", &self.events),
            ("INVENTORY", &self.inventory),
            ("AUDIT", &self.audit),
        ]
    }

    /// The streams as the API shows them.
    #[must_use]
    pub fn views(&self) -> Vec<StreamView> {
        self.streams()
            .into_iter()
            .map(|(name, stream)| StreamView {
                stream: name.to_owned(),
                position: stream.position.get(),
                lag: stream.lag.get(),
                stored: stream.stored.get(),
                dead_letters: stream.dead_letters.get(),
                gaps: stream.gaps.get(),
                rewinds: stream.rewinds.get(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_that_keeps_failing_is_a_finding_until_one_goes_well() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let passes = Passes::default();
        for seconds in 0..2 {
            passes.note(Some("no room".into()), at(seconds));
        }
        assert!(passes.failing().is_none(), "a broker that restarts is none");
        passes.note(Some("no room".into()), at(2));
        let text = passes.failing().unwrap();
        assert!(text.contains("2027-01-15T08:00:00Z: no room"), "{text}");
        passes.note(None, at(3));
        assert!(passes.failing().is_none());
    }
}

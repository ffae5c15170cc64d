//! Whether another exec may be issued: the stream of commands has room for it, and the database
//! knows what the broker knows.
//!
//! The publisher notes the stream's size and cap; at three quarters of it new execs are refused
//! with a reason, since the broker would otherwise drop the oldest documents by itself. What was let
//! in and is not published yet counts, too, so that many at once don't slip past the cap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{FleetError, FleetResult};

/// Size and cap of the stream `EXEC`, as last seen; clones share it.
#[derive(Debug, Clone, Default)]
pub struct ExecRoom(Arc<Sizes>);

#[derive(Debug, Default)]
struct Sizes {
    used_bytes: AtomicU64,
    cap_bytes: AtomicU64,
    /// Let in since the last pass of the publisher began.
    waiting_bytes: AtomicU64,
    /// Let in before it began, and not seen in the broker yet.
    publishing_bytes: AtomicU64,
    recovering: AtomicBool,
}

impl ExecRoom {
    /// Nothing is known yet, so nothing is refused.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`ExecRoom::new`], but nothing is let in before [`ExecRoom::note_recovered`]: a database
    /// that is older than its broker must not issue what it would issue otherwise then.
    #[must_use]
    pub fn recovering() -> Self {
        let room = Self::default();
        room.0.recovering.store(true, Ordering::Release);
        room
    }

    /// Notes that everything was taken over from the broker.
    pub fn note_recovered(&self) {
        self.0.recovering.store(false, Ordering::Release);
    }

    /// Lets an exec in, or not.
    ///
    /// # Errors
    /// [`FleetError::Recovering`] and [`FleetError::ExecFull`].
    pub fn admit(&self) -> FleetResult<()> {
        if self.0.recovering.load(Ordering::Acquire) {
            return Err(FleetError::Recovering);
        }
        match self.full() {
            Some((used_bytes, cap_bytes)) => Err(FleetError::ExecFull {
                used_bytes,
                cap_bytes,
            }),
            None => Ok(()),
        }
    }

    /// Keeps room for an exec that will take about so many bytes; an eighth of the cap stays free,
    /// for stops and for what is sent again. To be called while its transaction is open: only one
    /// is at a time, so that each sees those before it.
    ///
    /// # Errors
    /// [`FleetError::ExecFull`].
    pub fn reserve(&self, bytes: u64) -> FleetResult<()> {
        let (used_bytes, cap_bytes) = self.sizes();
        if cap_bytes > 0 && used_bytes.saturating_add(bytes) > cap_bytes / 8 * 7 {
            return Err(FleetError::ExecFull {
                used_bytes,
                cap_bytes,
            });
        }
        self.0.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// A pass of the publisher begins: it publishes all that was let in until now.
    pub fn note_pass(&self) {
        let waiting = self.0.waiting_bytes.swap(0, Ordering::Relaxed);
        self.0
            .publishing_bytes
            .fetch_add(waiting, Ordering::Relaxed);
    }

    /// Notes what the broker says after a pass; a cap of 0 is none.
    pub fn note(&self, used_bytes: u64, cap_bytes: u64) {
        self.0.used_bytes.store(used_bytes, Ordering::Relaxed);
        self.0.cap_bytes.store(cap_bytes, Ordering::Relaxed);
        self.0.publishing_bytes.store(0, Ordering::Relaxed);
    }

    /// Used bytes and cap, when the stream is at three quarters of its cap or more.
    #[must_use]
    pub fn full(&self) -> Option<(u64, u64)> {
        let (used, cap) = self.sizes();
        (cap > 0 && used >= cap / 4 * 3).then_some((used, cap))
    }

    /// Used bytes, with what is on its way, and cap.
    fn sizes(&self) -> (u64, u64) {
        let used = [
            &self.0.used_bytes,
            &self.0.publishing_bytes,
            &self.0.waiting_bytes,
        ];
        let used = used.iter().map(|bytes| bytes.load(Ordering::Relaxed));
        (used.sum(), self.0.cap_bytes.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_quarters_are_full_and_nothing_known_is_not() {
        let room = ExecRoom::new();
        assert_eq!(room.full(), None);
        room.note(74, 100);
        assert_eq!(room.full(), None);
        room.note(75, 100);
        assert_eq!(room.full(), Some((75, 100)));
        assert!(matches!(room.admit(), Err(FleetError::ExecFull { .. })));
    }

    #[test]
    fn what_was_let_in_counts_until_the_broker_has_it() {
        let room = ExecRoom::new();
        room.note(0, 100);
        room.reserve(40).unwrap();
        room.note_pass();
        room.reserve(35).unwrap();
        assert_eq!(room.full(), Some((75, 100)));
        room.note(38, 100);
        assert_eq!(room.full(), None, "the pass published the first");
        assert!(room.reserve(20).is_err(), "one that would not fit");
        room.note_pass();
        room.note(74, 100);
        assert_eq!(room.full(), None);
    }

    #[test]
    fn nothing_is_issued_before_the_broker_was_heard() {
        let room = ExecRoom::recovering();
        assert!(matches!(room.admit(), Err(FleetError::Recovering)));
        room.note_recovered();
        assert!(room.admit().is_ok());
    }
}

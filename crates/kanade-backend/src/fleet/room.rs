//! Whether another exec may be issued: the stream of commands has room for it, and the database
//! knows what the broker knows.
//!
//! The publisher notes the stream's size and cap; at three quarters of it new execs are refused
//! with a reason, since the broker would otherwise drop the oldest documents by itself.

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

    /// Lets an exec in.
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

    /// Notes what the broker says; a cap of 0 is none.
    pub fn note(&self, used_bytes: u64, cap_bytes: u64) {
        self.0.used_bytes.store(used_bytes, Ordering::Relaxed);
        self.0.cap_bytes.store(cap_bytes, Ordering::Relaxed);
    }

    /// Used bytes and cap, when the stream is at three quarters of its cap or more.
    #[must_use]
    pub fn full(&self) -> Option<(u64, u64)> {
        let used = self.0.used_bytes.load(Ordering::Relaxed);
        let cap = self.0.cap_bytes.load(Ordering::Relaxed);
        (cap > 0 && used >= cap / 4 * 3).then_some((used, cap))
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
    fn nothing_is_issued_before_the_broker_was_heard() {
        let room = ExecRoom::recovering();
        assert!(matches!(room.admit(), Err(FleetError::Recovering)));
        room.note_recovered();
        assert!(room.admit().is_ok());
    }
}

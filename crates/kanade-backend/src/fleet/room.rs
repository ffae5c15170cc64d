//! Whether the stream of commands has room for another exec.
//!
//! The publisher notes the stream's size and cap; at three quarters of it new execs are refused
//! with a reason, since the broker would otherwise drop the oldest documents by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Size and cap of the stream `EXEC`, as last seen; clones share it.
#[derive(Debug, Clone, Default)]
pub struct ExecRoom(Arc<Sizes>);

#[derive(Debug, Default)]
struct Sizes {
    used_bytes: AtomicU64,
    cap_bytes: AtomicU64,
}

impl ExecRoom {
    /// Nothing is known yet, so nothing is refused.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
    }
}

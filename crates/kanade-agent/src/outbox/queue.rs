//! Which result is tried next, and when: pure.
//!
//! Every result has its own back-off, so one that can't be sent holds up no other. Those that were
//! tried least come first, then in the order of their ids.

use std::collections::BTreeMap;
use std::time::Duration;

use kanade_agent_core::backoff::delay_ms;
use kanade_shared::id::RequestId;
use tokio::time::Instant;

use super::files::Stored;
use super::{IN_FLIGHT_BYTES, IN_FLIGHT_MAX};

const FIRST_WAIT_MS: u64 = 1_000;
const LONGEST_WAIT_MS: u64 = 300_000;
/// Results with large streams that are sent at the same time, so that a slow backend leaves room
/// for the others.
const UPLOADS_MAX: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Item {
    stored: Stored,
    released: bool,
    in_flight: bool,
    failures: u32,
    due: Option<Instant>,
}

/// All results that were not acknowledged.
#[derive(Debug, Default)]
pub struct Queue {
    items: BTreeMap<RequestId, Item>,
}

impl Queue {
    /// Takes a result in; one that is there already stays as it is.
    pub fn insert(&mut self, stored: Stored) {
        let item = Item {
            stored,
            released: false,
            in_flight: false,
            failures: 0,
            due: None,
        };
        self.items.entry(stored.request_id).or_insert(item);
    }

    /// Lets a result be sent.
    pub fn release(&mut self, request_id: RequestId) {
        if let Some(item) = self.items.get_mut(&request_id) {
            item.released = true;
            item.due = None;
        }
    }

    /// Everything may be tried at once: there is a new link, and nothing is on its way.
    pub fn reset(&mut self) {
        for item in self.items.values_mut() {
            item.in_flight = false;
            item.failures = 0;
            item.due = None;
        }
    }

    /// The next result to send, which counts as on its way from now on.
    pub fn take_next(&mut self, now: Instant) -> Option<Stored> {
        let on_way = || self.items.values().filter(|item| item.in_flight);
        let bytes: u64 = on_way().map(|item| item.stored.message_bytes).sum();
        let uploads_full = on_way().filter(|item| item.stored.uploads).count() >= UPLOADS_MAX;
        if on_way().count() >= IN_FLIGHT_MAX {
            return None;
        }
        let fits = |item: &&mut Item| {
            item.released
                && !item.in_flight
                && item.due.is_none_or(|due| due <= now)
                && !(item.stored.uploads && uploads_full)
                && (bytes == 0 || bytes + item.stored.message_bytes <= IN_FLIGHT_BYTES)
        };
        let next = self
            .items
            .values_mut()
            .filter(fits)
            .min_by_key(|item| item.failures)?;
        next.in_flight = true;
        Some(next.stored)
    }

    /// A result was acknowledged.
    pub fn remove(&mut self, request_id: RequestId) {
        self.items.remove(&request_id);
    }

    /// A result was not acknowledged; how often so far, in a row.
    pub fn failed(&mut self, request_id: RequestId, now: Instant, random: u8) -> u32 {
        let Some(item) = self.items.get_mut(&request_id) else {
            return 0;
        };
        item.in_flight = false;
        item.failures += 1;
        let wait = delay_ms(item.failures, FIRST_WAIT_MS, LONGEST_WAIT_MS, random);
        item.due = Some(now + Duration::from_millis(wait));
        item.failures
    }

    /// When the next one that failed may be tried again.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let waiting = self
            .items
            .values()
            .filter(|item| item.released && !item.in_flight);
        waiting
            .filter_map(|item| item.due)
            .filter(|due| *due > now)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(n: u8, message_bytes: u64, uploads: bool) -> Stored {
        let request_id = RequestId::from_uuid(uuid::Uuid::from_bytes([n; 16]));
        Stored {
            request_id,
            disk_bytes: message_bytes,
            message_bytes,
            uploads,
        }
    }

    fn queue(items: &[Stored]) -> Queue {
        let mut queue = Queue::default();
        for item in items {
            queue.insert(*item);
            queue.release(item.request_id);
        }
        queue
    }

    fn drain(queue: &mut Queue, now: Instant) -> usize {
        std::iter::from_fn(|| queue.take_next(now)).count()
    }

    #[test]
    fn nothing_goes_before_it_is_released() {
        let mut queue = Queue::default();
        queue.insert(stored(1, 1, false));
        assert_eq!(queue.take_next(Instant::now()), None);
        queue.release(stored(1, 1, false).request_id);
        assert!(queue.take_next(Instant::now()).is_some());
        assert_eq!(queue.take_next(Instant::now()), None, "it is on its way");
    }

    #[test]
    fn number_size_and_uploads_in_flight_are_bounded() {
        let now = Instant::now();
        let many: Vec<Stored> = (0..100).map(|n| stored(n, 10, false)).collect();
        assert_eq!(drain(&mut queue(&many), now), IN_FLIGHT_MAX);
        let large: Vec<Stored> = (0..10)
            .map(|n| stored(n, IN_FLIGHT_BYTES / 4, false))
            .collect();
        assert_eq!(drain(&mut queue(&large), now), 4);
        let huge: Vec<Stored> = (0..3)
            .map(|n| stored(n, IN_FLIGHT_BYTES * 2, false))
            .collect();
        assert_eq!(drain(&mut queue(&huge), now), 1);
        let uploads: Vec<Stored> = (0..10).map(|n| stored(n, 10, n < 8)).collect();
        assert_eq!(drain(&mut queue(&uploads), now), UPLOADS_MAX + 2);
    }

    #[test]
    fn one_that_fails_waits_on_its_own_and_a_new_link_ends_the_wait() {
        let now = Instant::now();
        let (bad, good) = (stored(1, 1, false), stored(2, 1, false));
        let mut queue = queue(&[bad, good]);
        assert_eq!(queue.take_next(now), Some(bad));
        assert_eq!(queue.failed(bad.request_id, now, 0), 1);
        assert_eq!(queue.take_next(now), Some(good));
        assert_eq!(queue.next_due(now), Some(now + Duration::from_secs(1)));
        assert_eq!(queue.take_next(now + Duration::from_secs(1)), Some(bad));
        assert_eq!(queue.failed(bad.request_id, now, 0), 2);
        assert_eq!(queue.next_due(now), Some(now + Duration::from_secs(2)));
        queue.reset();
        assert_eq!(queue.take_next(now), Some(bad));
    }
}

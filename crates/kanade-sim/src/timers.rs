//! One list of timers for many agents.
//!
//! Times are milliseconds of the monotonic clock. What is due at the same time comes in the order
//! in which it was put in.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What is due, earliest first.
#[derive(Debug)]
pub struct Timers<T> {
    heap: BinaryHeap<Timer<T>>,
    count: u64,
}

#[derive(Debug)]
struct Timer<T> {
    at: u64,
    number: u64,
    what: T,
}

impl<T> Timer<T> {
    fn order(&self) -> (u64, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Timer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl<T> Eq for Timer<T> {}

impl<T> PartialOrd for Timer<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Timer<T> {
    /// The earliest is the greatest, since the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.order().cmp(&self.order())
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            count: 0,
        }
    }
}

impl<T> Timers<T> {
    /// Puts something in.
    pub fn add(&mut self, at: u64, what: T) {
        let number = self.count;
        self.count += 1;
        self.heap.push(Timer { at, number, what });
    }

    /// When the next one is due.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.heap.peek().map(|timer| timer.at)
    }

    /// Takes one that is due.
    pub fn take_due(&mut self, now: u64) -> Option<T> {
        self.next().filter(|at| *at <= now)?;
        self.heap.pop().map(|timer| timer.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_by_time_and_then_by_arrival() {
        let mut timers = Timers::default();
        for (at, what) in [(5, "c"), (3, "a"), (5, "d"), (4, "b"), (9, "e")] {
            timers.add(at, what);
        }
        let due: Vec<_> = std::iter::from_fn(|| timers.take_due(5)).collect();
        assert_eq!(due, ["a", "b", "c", "d"]);
        assert_eq!(timers.next(), Some(9));
    }
}

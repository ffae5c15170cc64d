//! The fleet's time on a PC whose own clock may be wrong.
//!
//! The shell gives a monotonic time that also counts while the PC sleeps. The backend's answer to
//! `svc.time` anchors the fleet's time to it, once in each boot of the system and again at each
//! reconnect, so a wall clock that is wrong or jumps changes nothing.

use chrono::{DateTime, Utc};

/// Milliseconds since some start of this boot of the system; never goes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono(pub u64);

impl Mono {
    /// This time and so many milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// Anchors the fleet's time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Fleet time minus monotonic time, in milliseconds.
    offset_ms: Option<i64>,
    /// The PC's wall clock minus monotonic time when the agent started: a guess for times that are
    /// only shown.
    guess_ms: i64,
}

impl Clock {
    /// A clock that was not synchronised in this boot.
    #[must_use]
    pub fn new(wall: DateTime<Utc>, now: Mono) -> Self {
        Self {
            offset_ms: None,
            guess_ms: wall.timestamp_millis() - signed(now.0),
        }
    }

    /// Takes the fleet's time, which was asked for and answered at these times: half the round
    /// trip is taken off.
    pub fn synchronise(&mut self, fleet: DateTime<Utc>, asked: Mono, answered: Mono) {
        let half = answered.0.saturating_sub(asked.0) / 2;
        self.offset_ms = Some(fleet.timestamp_millis() - signed(asked.0.saturating_add(half)));
    }

    /// The fleet's time; `None` until it was synchronised.
    #[must_use]
    pub fn fleet(&self, now: Mono) -> Option<DateTime<Utc>> {
        self.offset_ms.map(|offset| at(offset, now))
    }

    /// The fleet's time, or the best guess at it.
    #[must_use]
    pub fn shown(&self, now: Mono) -> DateTime<Utc> {
        at(self.offset_ms.unwrap_or(self.guess_ms), now)
    }

    /// When the monotonic clock will show this fleet time; the past is now.
    #[must_use]
    pub fn mono_of(&self, fleet: DateTime<Utc>) -> Option<Mono> {
        let offset = self.offset_ms?;
        let ms = fleet.timestamp_millis().saturating_sub(offset);
        Some(Mono(u64::try_from(ms).unwrap_or(0)))
    }

    /// The PC's wall clock minus the fleet's time, in milliseconds.
    #[must_use]
    pub fn skew_ms(&self, wall: DateTime<Utc>, now: Mono) -> Option<i64> {
        self.fleet(now)
            .map(|fleet| wall.timestamp_millis() - fleet.timestamp_millis())
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 2)
}

fn at(offset_ms: i64, now: Mono) -> DateTime<Utc> {
    let ms = offset_ms.saturating_add(signed(now.0));
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_a_day_wrong_does_not_matter_after_synchronising() {
        let truth = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let wall = truth - chrono::Duration::days(1);
        let mut clock = Clock::new(wall, Mono(5_000));
        assert_eq!(clock.fleet(Mono(5_000)), None);
        clock.synchronise(truth, Mono(5_000), Mono(5_200));
        assert_eq!(clock.fleet(Mono(5_100)), Some(truth));
        assert_eq!(clock.mono_of(truth), Some(Mono(5_100)));
        assert_eq!(clock.skew_ms(wall, Mono(5_100)), Some(-86_400_000));
    }
}

//! Times, sizes, counts and states, as people read them; pure.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, FixedOffset, Local, Offset as _, Utc};
use kanade_shared::api::execs::{Counts, ExecState, ExecView, TargetView};
use kanade_shared::wire::command::StopAction;
use kanade_shared::wire::result::Outcome;

use super::paint::Tone;

/// The moment and the place in which times are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct When {
    /// Now.
    pub now: DateTime<Utc>,
    /// The reader's distance from UTC.
    pub offset: FixedOffset,
}

impl When {
    /// Here and now.
    pub(crate) fn here() -> Self {
        let local = Local::now();
        Self {
            now: local.to_utc(),
            offset: local.offset().fix(),
        }
    }

    /// A time of day, with the date when it is not today's.
    pub(crate) fn clock(&self, at: DateTime<Utc>) -> String {
        let (at, now) = (
            at.with_timezone(&self.offset),
            self.now.with_timezone(&self.offset),
        );
        let form = match (at.date_naive() == now.date_naive(), at.year() == now.year()) {
            (true, _) => "%H:%M",
            (false, true) => "%-d %b %H:%M",
            (false, false) => "%-d %b %Y %H:%M",
        };
        at.format(form).to_string()
    }

    /// How long ago, in one unit: `45s`, `3m`, `2h`, `5d`.
    pub(crate) fn age(&self, at: DateTime<Utc>) -> String {
        let seconds = (self.now - at).num_seconds().max(0);
        match seconds {
            ..60 => format!("{seconds}s"),
            60..3600 => format!("{}m", seconds / 60),
            3600..86_400 => format!("{}h", seconds / 3600),
            _ => format!("{}d", seconds / 86_400),
        }
    }
}

/// Time that something took: `0.02 s`, `1.1 s`, `2 m 05 s`, `1 h 02 m`.
pub(crate) fn took(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.as_millis() < 100 => format!("{:.2} s", time.as_secs_f64()),
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A number with commas at its thousands.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 PC`, `1,204 PCs`.
pub(crate) fn count(many: u64, one: &str) -> String {
    let s = if many == 1 { "" } else { "s" };
    format!("{} {one}{s}", number(many))
}

/// The known word that is nearest to one that is not known, when one is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(word, other), other))
        .filter(|(distance, other)| *distance <= 1 + other.len() / 4)
        .min()
        .map(|(_, other)| other)
}

/// An outcome as people say it.
pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::TimedOut => "timed out",
        Outcome::Ok
        | Outcome::Failed
        | Outcome::Killed
        | Outcome::Skipped
        | Outcome::Interrupted
        | Outcome::Expired
        | Outcome::Withdrawn
        | Outcome::Revoked
        | Outcome::Superseded
        | Outcome::Lost
        | Outcome::Unknown => outcome.as_str(),
    }
}

/// How an outcome is to be seen.
pub(crate) fn outcome_tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Ok => Tone::Good,
        Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted | Outcome::Lost => Tone::Bad,
        Outcome::Killed
        | Outcome::Skipped
        | Outcome::Expired
        | Outcome::Withdrawn
        | Outcome::Revoked
        | Outcome::Superseded
        | Outcome::Unknown => Tone::Warn,
    }
}

/// How one PC did or does, in a few words: `exit 1`, `timed out`, `running`.
pub(crate) fn state(target: &TargetView) -> String {
    let word = match (target.outcome, target.exit_code) {
        (Some(Outcome::Failed), Some(code)) => format!("exit {code}"),
        (Some(ended), _) => outcome(ended).to_owned(),
        (None, _) => target.state.as_str().to_owned(),
    };
    let unsure = if target.provisional && target.outcome.is_some() {
        " (not confirmed)"
    } else {
        ""
    };
    let stopping = if target.stopping { ", stopping" } else { "" };
    format!("{word}{unsure}{stopping}")
}

/// An exec's targets by what became of them: `35 ok`, `1 failed`, `2 waiting`.
pub(crate) fn tally(counts: &Counts) -> Vec<(Tone, String)> {
    let mut parts: Vec<(Tone, String)> = Outcome::ALL
        .into_iter()
        .chain([Outcome::Unknown])
        .filter(|ended| counts.of(*ended) > 0)
        .map(|ended| {
            let many = number(counts.of(ended));
            (outcome_tone(ended), format!("{many} {}", outcome(ended)))
        })
        .collect();
    if counts.running > 0 {
        parts.push((Tone::Plain, format!("{} running", number(counts.running))));
    }
    let waiting = counts.pending + counts.admitted;
    if waiting > 0 {
        parts.push((Tone::Warn, format!("{} waiting", number(waiting))));
    }
    if parts.is_empty() {
        parts.push((Tone::Dim, "no PCs".to_owned()));
    }
    parts
}

/// How far an exec is, in one word.
pub(crate) fn exec_state(exec: &ExecView) -> &'static str {
    match (exec.state, exec.stop) {
        (ExecState::Running, Some(_)) => "stopping",
        (ExecState::Running, None) => "running",
        (ExecState::Ended, Some(StopAction::Withdraw)) => "withdrawn",
        (ExecState::Ended, Some(StopAction::Kill)) => "killed",
        (ExecState::Ended, None) => "ended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_as_short_as_they_can_be() {
        let when = When {
            now: at("2026-11-23T23:30:00Z"),
            offset: FixedOffset::east_opt(3600).unwrap(),
        };
        assert_eq!(when.clock(at("2026-11-23T23:05:00Z")), "00:05");
        assert_eq!(when.clock(at("2026-11-23T22:05:00Z")), "23 Nov 23:05");
        assert_eq!(when.clock(at("2025-11-23T22:05:00Z")), "23 Nov 2025 23:05");
        let ages = [
            "2026-11-23T23:29:15Z",
            "2026-11-23T22:31:00Z",
            "2026-11-20T22:31:00Z",
        ];
        assert_eq!(ages.map(|age| when.age(at(age))), ["45s", "59m", "3d"]);
        assert_eq!(when.age(at("2026-11-24T00:00:00Z")), "0s");
        let times = [20, 1_140, 61_000, 3_725_000].map(|ms| took(Duration::from_millis(ms)));
        assert_eq!(times, ["0.02 s", "1.1 s", "1 m 01 s", "1 h 02 m"]);
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(count(1, "PC"), "1 PC");
        assert_eq!(count(1_234_567, "PC"), "1,234,567 PCs");
    }

    #[test]
    fn a_word_that_is_nearly_right_is_understood() {
        let shells = ["sh", "bash", "pwsh", "powershell", "cmd"];
        assert_eq!(nearest("powershel", shells), Some("powershell"));
        assert_eq!(nearest("timout", ["timeout", "tries"]), Some("timeout"));
        assert_eq!(nearest("lba", ["lab", "office"]), Some("lab"));
        assert_eq!(nearest("ruby", shells), None);
    }

    #[test]
    fn a_tally_names_what_there_is() {
        let counts = Counts {
            targets: 1_041,
            pending: 1,
            admitted: 1,
            running: 2,
            ended: BTreeMap::from([(Outcome::Ok, 1_035), (Outcome::TimedOut, 2)]),
        };
        let words: Vec<String> = tally(&counts).into_iter().map(|(_, word)| word).collect();
        assert_eq!(
            words.join(" · "),
            "1,035 ok · 2 timed out · 2 running · 2 waiting"
        );
    }
}

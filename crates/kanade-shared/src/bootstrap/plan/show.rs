//! How plans and their values read.

use std::fmt;
use std::time::Duration;

use super::{Action, Plan, Step};
use crate::bootstrap::catalogue::Republish;

const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// Bytes as people read them, `no limit` for none.
pub fn human_bytes(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else {
        return "no limit".into();
    };
    let Some((unit, word)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} B");
    };
    if bytes.is_multiple_of(unit) {
        return format!("{} {word}", bytes / unit);
    }
    format!("{:.1} {word}", bytes as f64 / unit as f64)
}

pub(super) fn human_age(age: Option<Duration>) -> String {
    let Some(age) = age else {
        return "no limit".into();
    };
    let seconds = age.as_secs();
    match [(86_400, "d"), (3_600, "h"), (60, "min")]
        .into_iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit))
    {
        Some((unit, word)) => format!("{} {word}", seconds / unit),
        None => format!("{} s", age.as_secs_f64()),
    }
}

pub(super) fn human_limit(limit: Option<u64>) -> String {
    limit.map_or_else(|| "no limit".into(), |limit| limit.to_string())
}

pub(super) fn human_republish(republish: Option<&Republish>) -> String {
    republish.map_or_else(
        || "none".into(),
        |republish| format!("{} to {}", republish.from, republish.to),
    )
}

/// The word for a unit variant: its name in lower case.
pub(super) fn word(value: &impl fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (same, other): (Vec<&Step>, Vec<&Step>) = self
            .steps
            .iter()
            .partition(|step| step.action == Action::Keep && step.drift.is_empty());
        for step in other {
            step.fmt(f)?;
        }
        if !same.is_empty() {
            writeln!(f, "= {} as wanted", same.len())?;
        }
        let needed = self.storage.needed_bytes();
        if needed > 0 {
            let needed = human_bytes(Some(needed));
            match self.storage.free_bytes {
                Some(free) => {
                    writeln!(f, "reserves {needed} of {} free", human_bytes(Some(free)))?;
                }
                None => writeln!(f, "reserves {needed}")?,
            }
        }
        if self.storage.too_small() {
            writeln!(
                f,
                "! does not fit; `broker.cap_scale` makes every cap smaller"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = (self.kind.word(), &self.name);
        match &self.action {
            Action::Create => writeln!(f, "+ {kind} {name}")?,
            Action::Update => writeln!(f, "~ {kind} {name}")?,
            Action::Keep => writeln!(f, "= {kind} {name}")?,
            Action::Refuse { reason } => writeln!(f, "! {kind} {name}: {reason}")?,
        }
        for change in &self.changes {
            writeln!(f, "    {}: {} → {}", change.field, change.old, change.new)?;
        }
        for drift in &self.drift {
            let (field, is, wanted) = (&drift.field, &drift.is, &drift.wanted);
            writeln!(
                f,
                "  ! {field}: stays {is}, wanted {wanted}: {}",
                drift.reason
            )?;
        }
        Ok(())
    }
}

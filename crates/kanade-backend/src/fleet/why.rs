//! Why a target is as it is: always a cause and a time, never 'no answer'.
//!
//! **Invariant:** no clock and no I/O here.

use chrono::{DateTime, Utc};
use kanade_shared::api::execs::TargetState;
use kanade_shared::wire::result::Reason;

use crate::store::targets::TargetFacts;

/// The reason to show; what was stored for a target that has ended wins.
pub(super) fn why(facts: &TargetFacts, now: DateTime<Utc>) -> Option<Reason> {
    let target = &facts.target;
    match target.state {
        TargetState::Ended => target.reason.clone(),
        TargetState::Running => Some(running(facts)),
        TargetState::Admitted => Some(admitted(facts, now)),
        TargetState::Pending => Some(pending(facts, now)),
    }
}

fn running(facts: &TargetFacts) -> Reason {
    let since = clause("running since", facts.target.started_at);
    let stopping = if facts.target.stopping {
        ", told to stop"
    } else {
        ""
    };
    let code = if facts.target.stopping {
        "run.stopping"
    } else {
        "run.running"
    };
    Reason::new(code, format!("{since}{stopping}{}", offline(facts)))
}

fn admitted(facts: &TargetFacts, now: DateTime<Utc>) -> Reason {
    let since = clause("held by the PC since", facts.target.admitted_at);
    let state = if facts.target.stopping {
        "told not to start"
    } else {
        "start not reported"
    };
    let text = format!("{since}, {state}{}{}", offline(facts), expires(facts, now));
    Reason::new("target.admitted", text)
}

fn pending(facts: &TargetFacts, now: DateTime<Utc>) -> Reason {
    let expires = expires(facts, now);
    let listed = facts.target.listed_rev > 0 || facts.command_listed_rev > 0;
    match (&facts.presence, &facts.blocked) {
        (None, _) => Reason::new(
            "pc.unknown",
            format!("the PC is not enrolled any more{expires}"),
        ),
        (Some((false, since)), _) => Reason::new(
            "pc.offline",
            format!("offline since {}, queued{expires}", at(*since)),
        ),
        (Some((true, _)), Some(blocked)) => Reason::new(
            "pc.blocked",
            format!("the PC takes no commands: {blocked}{expires}"),
        ),
        (Some((true, _)), None) if listed => {
            let sent = clause("sent at", facts.issued_at);
            Reason::new(
                "target.sent",
                format!("{sent}, not yet admitted by the PC{expires}"),
            )
        }
        (Some((true, _)), None) => {
            let issued = clause("issued at", facts.issued_at);
            Reason::new(
                "target.unpublished",
                format!("{issued}, not yet sent{expires}"),
            )
        }
    }
}

fn offline(facts: &TargetFacts) -> String {
    match facts.presence {
        Some((false, since)) => format!(", PC offline since {}", at(since)),
        Some((true, _)) | None => String::new(),
    }
}

fn expires(facts: &TargetFacts, now: DateTime<Utc>) -> String {
    match facts.deadline {
        Some(deadline) if deadline <= now => format!(", expired {}", at(deadline)),
        Some(deadline) => format!(", expires {}", at(deadline)),
        None => String::new(),
    }
}

fn clause(words: &str, time: Option<DateTime<Utc>>) -> String {
    let time = time.map_or_else(|| "an unknown time".to_owned(), at);
    format!("{words} {time}")
}

fn at(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::intake::TargetRow;
    use kanade_shared::id::{Attempt, ExecId, PcId};

    fn time(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + minutes * 60, 0).unwrap()
    }

    fn facts() -> TargetFacts {
        let pc_id = PcId::parse("lab-19").unwrap();
        let exec_id = ExecId::new(time(0), [0; 10]);
        TargetFacts {
            target: TargetRow::pending(exec_id, pc_id, Attempt::FIRST, true),
            deadline: Some(time(60)),
            issued_at: Some(time(0)),
            command_listed_rev: 0,
            presence: Some((true, time(-100))),
            blocked: None,
        }
    }

    fn text(facts: &TargetFacts) -> String {
        why(facts, time(1)).unwrap().text
    }

    #[test]
    fn every_target_that_waits_says_why_and_until_when() {
        let mut facts = facts();
        assert_eq!(
            text(&facts),
            "issued at 2027-01-15 08:00:00 UTC, not yet sent, expires 2027-01-15 09:00:00 UTC"
        );
        facts.command_listed_rev = 7;
        assert_eq!(
            text(&facts),
            "sent at 2027-01-15 08:00:00 UTC, not yet admitted by the PC, \
             expires 2027-01-15 09:00:00 UTC"
        );
        facts.blocked = Some("the outbox is full".into());
        assert!(text(&facts).starts_with("the PC takes no commands: the outbox is full, expires"));
        facts.presence = Some((false, time(-8)));
        assert_eq!(
            text(&facts),
            "offline since 2027-01-15 07:52:00 UTC, queued, expires 2027-01-15 09:00:00 UTC"
        );
    }

    #[test]
    fn what_is_held_and_stopped_says_that_the_pc_was_told() {
        let mut facts = facts();
        facts.target.state = TargetState::Admitted;
        facts.target.admitted_at = Some(time(1));
        assert!(
            text(&facts)
                .starts_with("held by the PC since 2027-01-15 08:01:00 UTC, start not reported")
        );
        facts.target.stopping = true;
        assert!(text(&facts).contains(", told not to start, expires"));
    }

    #[test]
    fn what_runs_says_since_when_and_whether_it_was_told_to_stop() {
        let mut facts = facts();
        facts.target.state = TargetState::Running;
        facts.target.started_at = Some(time(1));
        assert_eq!(text(&facts), "running since 2027-01-15 08:01:00 UTC");
        facts.target.stopping = true;
        facts.presence = Some((false, time(2)));
        assert_eq!(
            text(&facts),
            "running since 2027-01-15 08:01:00 UTC, told to stop, \
             PC offline since 2027-01-15 08:02:00 UTC"
        );
    }
}

//! Waiting, told in changes.

use kanade_shared::api::execs::Counts;

use super::super::fixtures::{counts, exec, offline, result, target};
use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-23T13:40:00Z".parse().unwrap()
}

fn ended_event(target: &TargetView) -> [LiveEvent; 2] {
    let exec_id = exec(ExecState::Running, Counts::default()).exec_id;
    [
        LiveEvent::Result {
            result: Box::new(result(target)),
        },
        LiveEvent::Target {
            exec_id,
            target: Box::new(target.clone()),
        },
    ]
}

fn names(fresh: &[(TargetView, ResultView)]) -> Vec<&str> {
    fresh
        .iter()
        .map(|(target, _)| target.pc_id.as_str())
        .collect()
}

#[test]
fn each_result_is_shown_once_whatever_says_it_first() {
    let ok = target("a", 1, Some(Outcome::Ok));
    let mut follow = Follow::new(exec(ExecState::Running, counts(2, &[])), Shows::All);
    for event in ended_event(&ok) {
        follow.take(event);
    }
    assert_eq!(names(&follow.fresh()), ["a"]);
    let running = exec(ExecState::Running, counts(1, &[(Outcome::Ok, 1)]));
    follow.take_lists(
        running,
        vec![ok.clone(), target("b", 1, None)],
        vec![result(&ok)],
    );
    for event in ended_event(&ok) {
        follow.take(event);
    }
    assert!(follow.fresh().is_empty());
    assert_eq!(follow.unshown().count(), 1);
}

#[test]
fn a_late_word_of_an_earlier_state_changes_nothing() {
    let ok = target("a", 1, Some(Outcome::Ok));
    let ended = exec(ExecState::Ended, counts(0, &[(Outcome::Ok, 1)]));
    let mut follow = Follow::new(ended.clone(), Shows::All);
    follow.take_lists(ended, vec![ok], Vec::new());
    let exec_id = follow.exec().exec_id;
    follow.take(LiveEvent::Target {
        exec_id,
        target: Box::new(target("a", 1, None)),
    });
    assert_eq!(follow.left().count(), 0);
    // A retry is a new attempt, and counts.
    follow.take(LiveEvent::Target {
        exec_id,
        target: Box::new(target("a", 5, None)),
    });
    assert_eq!(follow.left().count(), 1);
}

#[test]
fn waiting_ends_when_only_pcs_that_are_off_are_left() {
    let ok = target("a", 1, Some(Outcome::Ok));
    let mut follow = Follow::new(exec(ExecState::Running, counts(2, &[])), Shows::All);
    let running = || exec(ExecState::Running, counts(2, &[]));
    follow.take_lists(
        running(),
        vec![target("a", 1, None), offline("b")],
        Vec::new(),
    );
    assert_eq!(follow.verdict(Offline::Leave, now()), None);
    for event in ended_event(&ok) {
        follow.take(event);
    }
    // The target is ahead of the exec's counts: not the same moment, so no verdict.
    assert_eq!(follow.verdict(Offline::Leave, now()), None);
    let exec = Box::new(exec(ExecState::Running, counts(1, &[(Outcome::Ok, 1)])));
    follow.take(LiveEvent::Exec { exec });
    assert_eq!(
        follow.verdict(Offline::Leave, now()),
        Some(Verdict::OnlyOffline)
    );
    assert_eq!(follow.verdict(Offline::Wait, now()), None);
    assert_eq!(follow.exit(), Exit::Waiting);
}

#[test]
fn an_open_exec_is_not_waited_for_when_all_have_ended() {
    let open = |counts| ExecView {
        reach: Reach::Open,
        ..exec(ExecState::Running, counts)
    };
    let mut follow = Follow::new(open(counts(0, &[])), Shows::All);
    let counted = open(counts(0, &[(Outcome::Ok, 1)]));
    let ok = target("a", 1, Some(Outcome::Ok));
    follow.take_lists(counted, vec![ok.clone()], vec![result(&ok)]);
    assert_eq!(follow.verdict(Offline::Leave, now()), Some(Verdict::Open));
    assert_eq!(follow.exit(), Exit::Ok);
}

#[test]
fn a_failure_outweighs_one_that_waits() {
    let exit = |counts| Follow::new(exec(ExecState::Running, counts), Shows::All).exit();
    assert_eq!(exit(counts(1, &[(Outcome::Ok, 3)])), Exit::Waiting);
    assert_eq!(exit(counts(1, &[(Outcome::Expired, 3)])), Exit::Failed);
    assert_eq!(exit(counts(0, &[(Outcome::Ok, 3)])), Exit::Ok);
    assert_eq!(
        exit(counts(0, &[(Outcome::Ok, 3), (Outcome::TimedOut, 1)])),
        Exit::Failed
    );
}

#[test]
fn a_retry_shows_only_the_newest_attempt() {
    let (old, new) = (
        target("a", 1, Some(Outcome::Ok)),
        target("b", 9, Some(Outcome::Ok)),
    );
    let ended = exec(ExecState::Ended, counts(0, &[(Outcome::Ok, 2)]));
    let mut follow = Follow::new(ended.clone(), Shows::NewestAttempt);
    let results = vec![result(&old), result(&new), result(&target("b", 1, None))];
    follow.take_lists(ended, vec![old, new], results);
    assert_eq!(names(&follow.fresh()), ["b"]);
    assert!(!follow.lacks_results());
}

#[test]
fn a_made_up_end_needs_no_result() {
    let mut expired = target("a", 1, Some(Outcome::Expired));
    expired.provisional = true;
    let ended = exec(ExecState::Ended, counts(0, &[(Outcome::Expired, 1)]));
    let mut follow = Follow::new(ended.clone(), Shows::All);
    follow.take_lists(ended, vec![expired], Vec::new());
    assert!(!follow.lacks_results());
    assert_eq!(follow.unshown().count(), 1);
    assert_eq!(follow.verdict(Offline::Wait, now()), Some(Verdict::Ended));
}

#[test]
fn a_pc_that_holds_a_command_and_goes_off_is_not_waited_for_but_a_restart_is() {
    let verdict = |state, gone_s| {
        let target = TargetView {
            state,
            ..target("a", 1, None)
        };
        let running = exec(ExecState::Running, counts(1, &[]));
        let mut follow = Follow::new(running.clone(), Shows::All);
        follow.take_lists(running, vec![target.clone()], Vec::new());
        assert_eq!(follow.verdict(Offline::Leave, now()), None);
        follow.take_offline([(target.pc_id, now() - TimeDelta::seconds(gone_s))]);
        follow.verdict(Offline::Leave, now())
    };
    assert_eq!(
        verdict(TargetState::Admitted, 1),
        Some(Verdict::OnlyOffline)
    );
    assert_eq!(verdict(TargetState::Running, 60), None);
    assert_eq!(
        verdict(TargetState::Running, 200),
        Some(Verdict::OnlyOffline)
    );
}

#[test]
fn events_in_any_order_and_twice_lead_to_the_same_end() {
    let ended = target("a", 1, Some(Outcome::Ok));
    let mut expired = target("a", 1, Some(Outcome::Expired));
    expired.provisional = true;
    let running = TargetView {
        state: TargetState::Running,
        ..target("a", 1, None)
    };
    let exec_id = exec(ExecState::Running, Counts::default()).exec_id;
    let of = |target: &TargetView| LiveEvent::Target {
        exec_id,
        target: Box::new(target.clone()),
    };
    let events = [
        LiveEvent::Result {
            result: Box::new(result(&ended)),
        },
        of(&ended),
        of(&expired),
        of(&running),
        of(&target("a", 1, None)),
    ];
    for order in 0..events.len().pow(5) {
        let places = (0..5).map(|place| order / events.len().pow(place) % events.len());
        // Only the orders that have each event.
        if places.collect::<BTreeSet<usize>>().len() < events.len() {
            continue;
        }
        let mut follow = Follow::new(exec(ExecState::Running, counts(1, &[])), Shows::All);
        let mut shown = Vec::new();
        let twice = (0..10).map(|place| order / events.len().pow(place % 5) % events.len());
        for place in twice {
            follow.take(events[place].clone());
            shown.extend(follow.fresh());
        }
        assert_eq!(names(&shown), ["a"], "order {order}");
        assert_eq!(
            follow.targets().collect::<Vec<_>>(),
            [&ended],
            "order {order}"
        );
    }
}

//! Payloads of the wire: round trips, and peers that know less or more.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use kanade_shared::id::RequestId;
use kanade_shared::wire::agent::{HeardState, TimeReply};
use kanade_shared::wire::command::{
    Document, Reach, Run, RunAs, Shell, Staleness, StopAction, output_cap,
};
use kanade_shared::wire::desired::{AgentDesired, Brake, Settings};
use kanade_shared::wire::heartbeat::{AgentState, Heartbeat};
use kanade_shared::wire::result::{Outcome, RunResult};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{cases, golden, samples, strategies};

pub(crate) fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let bytes = serde_json::to_vec(value).unwrap();
    let read: T = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(&read, value);
}

fn reads<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_document_reads_back_as_it_was_written(document in strategies::document()) {
        round_trip(&document);
    }

    #[test]
    fn a_result_reads_back_as_it_was_written(result in strategies::run_result()) {
        round_trip(&result);
    }

    #[test]
    fn a_heartbeat_reads_back_as_it_was_written(heartbeat in strategies::heartbeat()) {
        round_trip(&heartbeat);
    }

    #[test]
    fn a_command_is_over_after_its_deadline_whatever_its_numbers(
        command in strategies::command(),
    ) {
        prop_assert!(command.over_at() > command.deadline);
        prop_assert!(command.run.longest_s() >= u64::from(command.run.timeout_s));
        let mut document = samples::document();
        document.stops[0].until = command.over_at();
        round_trip(&document);
    }
}

#[test]
fn the_longest_run_is_every_try_and_every_wait() {
    let run = |timeout_s, tries, backoff_s| Run {
        timeout_s,
        tries,
        backoff_s,
        ..samples::document().commands.remove(0).run
    };
    assert_eq!(run(60, 1, 30).longest_s(), 60);
    assert_eq!(run(60, 4, 30).longest_s(), 4 * 60 + 30 + 60 + 120);
    assert_eq!(run(1, 11, 3600).longest_s(), 11 + 10 * 3600);
    assert_eq!(run(1, 20, 1).longest_s(), 20 + 4095 + 7 * 3600);
    assert_eq!(
        run(0, 0, 9).longest_s(),
        1,
        "a run has a try, and a try a second"
    );
}

#[test]
fn a_word_from_a_newer_peer_is_told_apart() {
    assert_eq!(reads(json!("paused")), Some(Outcome::Unknown));
    assert_eq!(reads(json!("dreaming")), Some(AgentState::Unknown));
    assert_eq!(reads(json!("half")), Some(HeardState::Unknown));
    let mut result = serde_json::to_value(samples::run_result_full()).unwrap();
    result["outcome"] = json!("paused");
    let read: RunResult = reads(result).unwrap();
    let known = samples::run_result_full();
    assert_eq!(
        read,
        RunResult {
            outcome: Outcome::Unknown,
            ..known
        }
    );
}

#[test]
fn a_word_that_would_change_what_runs_is_refused() {
    assert_eq!(reads::<Shell>(json!("fish")), None);
    assert_eq!(reads::<RunAs>(json!("root")), None);
    assert_eq!(reads::<Reach>(json!("some")), None);
    assert_eq!(reads::<StopAction>(json!("pause")), None);
    assert_eq!(reads::<Staleness>(json!({"mode": "lenient"})), None);
    let mut document = serde_json::to_value(samples::document()).unwrap();
    document["commands"][0]["run"]["shell"] = json!("fish");
    assert_eq!(reads::<Document>(document), None);
}

#[test]
fn every_word_is_the_one_that_peers_know() {
    fn words<T: Serialize + DeserializeOwned + PartialEq + Debug>(pairs: &[(T, &str)]) {
        for (value, word) in pairs {
            assert_eq!(serde_json::to_value(value).unwrap(), json!(word));
            assert_eq!(&reads::<T>(json!(word)).unwrap(), value);
        }
    }
    words(&[
        (Outcome::Ok, "ok"),
        (Outcome::Failed, "failed"),
        (Outcome::TimedOut, "timed_out"),
        (Outcome::Killed, "killed"),
        (Outcome::Skipped, "skipped"),
        (Outcome::Interrupted, "interrupted"),
        (Outcome::Expired, "expired"),
        (Outcome::Withdrawn, "withdrawn"),
        (Outcome::Revoked, "revoked"),
        (Outcome::Superseded, "superseded"),
        (Outcome::Lost, "lost"),
    ]);
    for outcome in Outcome::ALL {
        words(&[(outcome, outcome.as_str())]);
        assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
    }
    words(&Shell::ALL.map(|shell| (shell, shell.as_str())));
    words(&[(AgentState::Syncing, "syncing"), (AgentState::Live, "live")]);
}

#[test]
fn what_an_older_peer_leaves_out_has_a_default() {
    let command = &samples::document().commands[0];
    let bare = json!({
        "v": 1, "scope": "all", "rev": 1_800_000_000_456_u64,
        "issued_at": "2027-01-15T08:00:00.456Z",
        "commands": [{
            "exec_id": command.exec_id, "attempt": 1, "reach": "fixed",
            "issued_at": "2027-01-15T08:00:00Z", "deadline": "2027-01-15T09:00:00Z",
            "run": {"shell": "sh", "script": {"from": "inline", "text": "true"}, "timeout_s": 600},
        }],
    });
    let read: Document = reads(bare).unwrap();
    assert_eq!(&read.commands[0], command);
    assert_eq!(command.run.output_cap_bytes, output_cap());
    assert_eq!(read.stops, []);

    let sample = samples::heartbeat_minimal();
    let bare = json!({
        "pc_id": sample.pc_id, "at": sample.at, "agent_version": "0.1.0", "state": "connecting",
        "journal_id": sample.journal_id, "journal_counter": 0,
    });
    assert_eq!(reads(bare), Some(sample));

    let sample = samples::run_result_minimal();
    let bare = json!({
        "request_id": sample.request_id, "exec_id": sample.exec_id, "attempt": 1,
        "pc_id": sample.pc_id, "scope": "all", "outcome": "expired", "ended_at": sample.ended_at,
    });
    assert_eq!(reads(bare), Some(sample));

    let desired: AgentDesired = reads(json!({
        "v": 1, "pc_id": "a", "rev": 1, "issued_at": samples::at(0), "enrolled_at": samples::at(0),
    }))
    .unwrap();
    assert_eq!(desired.settings, Settings::default());
    assert_eq!(reads(json!({"v": 0, "rev": 0})), Some(Brake::default()));
}

#[test]
fn a_payload_without_what_it_must_say_is_refused() {
    fn required<T: DeserializeOwned>(name: &str, fields: &[&str]) {
        let (_, golden) = golden::ALL.iter().find(|(found, _)| found == name).unwrap();
        let mut left_out = vec![];
        for field in golden.as_object().unwrap().keys() {
            let mut cut = golden.clone();
            cut.as_object_mut().unwrap().remove(field);
            if reads::<T>(cut).is_none() {
                left_out.push(field.clone());
            }
        }
        assert_eq!(left_out, fields, "{name}");
    }
    required::<Document>("document", &["commands", "issued_at", "rev", "scope", "v"]);
    required::<RunResult>(
        "run_result_full",
        &[
            "attempt",
            "ended_at",
            "exec_id",
            "outcome",
            "pc_id",
            "request_id",
            "scope",
        ],
    );
    required::<Heartbeat>(
        "heartbeat_full",
        &[
            "agent_version",
            "at",
            "journal_counter",
            "journal_id",
            "pc_id",
            "state",
        ],
    );
    required::<AgentDesired>(
        "agent_desired",
        &["enrolled_at", "issued_at", "pc_id", "rev", "v"],
    );
    required::<Brake>("brake", &["rev", "v"]);
    required::<TimeReply>("time_reply", &["nonce", "now"]);
}

#[test]
fn a_name_that_is_no_token_is_refused_inside_a_payload() {
    for name in ["", "a.b", "*", ">", "A", "a b", "日本"] {
        let mut heartbeat = serde_json::to_value(samples::heartbeat_full()).unwrap();
        heartbeat["pc_id"] = json!(name);
        assert_eq!(reads::<Heartbeat>(heartbeat), None, "{name:?}");
        let mut document = serde_json::to_value(samples::document()).unwrap();
        document["scope"] = json!(format!("pc.{name}"));
        assert_eq!(reads::<Document>(document), None, "{name:?}");
    }
}

#[test]
fn a_time_of_another_zone_is_the_same_moment() {
    let read: DateTime<Utc> = reads(json!("2027-01-15T17:00:00+09:00")).unwrap();
    assert_eq!(read, samples::at(0));
    let mut started = serde_json::to_value(samples::started()).unwrap();
    started["started_at"] = json!("2027-01-15T17:00:01+09:00");
    assert_eq!(reads(started), Some(samples::started()));
    let run = samples::started().request_id;
    assert_eq!(
        RequestId::parse(&run.uuid().hyphenated().to_string()),
        Ok(run)
    );
}

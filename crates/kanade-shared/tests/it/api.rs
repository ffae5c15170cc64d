//! Payloads of the REST API: requests are taken at their word, answers may grow.

use std::fmt::Debug;

use kanade_shared::api::agents::AgentQuery;
use kanade_shared::api::catalogue::GroupWrite;
use kanade_shared::api::events::LiveEvent;
use kanade_shared::api::execs::{
    Counts, ExecQuery, ExecRequest, ExecState, ExecView, ExecWhat, RetryRequest, StopRequest,
    TargetQuery, TargetState, TargetView, Targets,
};
use kanade_shared::api::results::{OutputQuery, OutputView, ResultQuery, ResultView, Stream};
use kanade_shared::api::system::SystemQuery;
use kanade_shared::api::{Count, Page, Problem};
use kanade_shared::id::{Attempt, RequestId};
use kanade_shared::wire::command::{Reach, StopAction};
use kanade_shared::wire::result::{Outcome, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::samples;

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Reads `request`, and refuses it with a key more.
fn check_request<T: Serialize + DeserializeOwned + PartialEq + Debug>(mut request: Value) -> T {
    let value: T = read(request.clone()).unwrap();
    request["frobnicate"] = json!(1);
    let error = read::<T>(request).unwrap_err();
    assert!(error.contains("unknown field `frobnicate`"), "{error}");
    assert_eq!(
        read::<T>(serde_json::to_value(&value).unwrap()).as_ref(),
        Ok(&value)
    );
    value
}

/// Writes `answer` as `json`, and reads it back with a field from a newer backend.
fn check_answer<T: Serialize + DeserializeOwned + PartialEq + Debug>(answer: &T, json: &Value) {
    let mut written = serde_json::to_value(answer).unwrap();
    assert_eq!(&written, json);
    written["from_the_future"] = json!({"deep": [null]});
    assert_eq!(read::<T>(written).as_ref(), Ok(answer));
}

#[test]
fn a_request_with_a_misspelt_key_is_refused() {
    let run = json!({"shell": "sh", "script": "true"});
    let exec: ExecRequest = check_request(json!({
        "what": {"script": run}, "targets": {"groups": ["lab"], "not_pcs": ["lab-1"]},
    }));
    assert!(matches!(exec.what, ExecWhat::Script(_)));
    assert_eq!(
        (exec.deadline_s, exec.reach, exec.jitter_s),
        (None, None, None)
    );
    let exec: ExecRequest = check_request(json!({
        "what": {"job": "disk-report"}, "targets": {"all": true}, "deadline_s": 60,
        "reach": "open", "jitter_s": 5, "reason": "why not", "preview": "t",
    }));
    assert!(exec.targets.all && exec.reach == Some(Reach::Open));
    check_request::<Targets>(json!({}));
    check_request::<StopRequest>(json!({"action": "kill"}));
    check_request::<RetryRequest>(json!({"outcomes": ["failed", "timed_out"]}));
    check_request::<GroupWrite>(json!({"members": ["lab-1"]}));
    check_request::<ExecQuery>(json!({"state": "running"}));
    check_request::<TargetQuery>(json!({"outcome": "ok"}));
    check_request::<AgentQuery>(json!({"presence": "online"}));
    check_request::<ResultQuery>(json!({"limit": 5}));
    check_request::<OutputQuery>(json!({"stream": "stderr"}));
    check_request::<SystemQuery>(json!({}));
}

#[test]
fn an_exec_runs_one_thing_that_is_written_without_mistakes() {
    let what = |what: Value| read::<ExecWhat>(what);
    assert!(what(json!({"job": "a", "script": {}})).is_err());
    assert!(what(json!({})).is_err());
    assert!(what(json!({"job": "No Name"})).is_err());
    let error = what(json!({"script": {"shell": "sh", "script": "x", "timeot": "1m"}}));
    assert!(error.unwrap_err().contains("unknown field `timeot`"));
    assert!(read::<Targets>(json!({"pcs": ["*"]})).is_err());
}

fn exec_view() -> ExecView {
    ExecView {
        exec_id: samples::exec(1),
        job_id: None,
        job_version: None,
        title: "true".into(),
        state: ExecState::Running,
        reach: Reach::Fixed,
        targets: Targets {
            all: true,
            ..Targets::default()
        },
        issued_by: "admin".into(),
        issued_at: samples::at(0),
        deadline: samples::at(3_600_000),
        reason: None,
        stop: Some(StopAction::Withdraw),
        ended_at: None,
        adopted: false,
        counts: Counts {
            targets: 5,
            pending: 1,
            admitted: 1,
            running: 1,
            ended: [(Outcome::Ok, 1), (Outcome::TimedOut, 1)].into(),
        },
    }
}

#[test]
fn an_answer_may_grow() {
    let exec = exec_view();
    check_answer(
        &exec,
        &json!({
            "exec_id": exec.exec_id, "title": "true", "state": "running", "reach": "fixed",
            "targets": {"all": true}, "issued_by": "admin", "issued_at": "2027-01-15T08:00:00Z",
            "deadline": "2027-01-15T09:00:00Z", "stop": "withdraw",
            "counts": {
                "targets": 5, "pending": 1, "admitted": 1, "running": 1,
                "ended": {"ok": 1, "timed_out": 1},
            },
        }),
    );
    assert_eq!(
        (exec.counts.of(Outcome::Ok), exec.counts.of(Outcome::Lost)),
        (1, 0)
    );
    assert_eq!(exec.counts.waiting(), 3);
    let count = Count {
        at_least: 1000,
        exact: false,
    };
    check_answer(
        &Page {
            items: vec![1],
            next: Some("k".into()),
            count,
        },
        &json!({"items": [1], "next": "k", "count": {"at_least": 1000, "exact": false}}),
    );
    assert_eq!(count.to_string(), "1000+");
}

#[test]
fn a_problem_reads_with_no_more_than_a_status_a_code_and_a_sentence() {
    let problem = Problem::new(404, "exec.unknown", "exec `abc` does not exist");
    check_answer(
        &problem,
        &json!({
            "type": "about:blank", "status": 404, "code": "exec.unknown",
            "title": "exec `abc` does not exist",
        }),
    );
    let bare = json!({"status": 404, "code": "exec.unknown", "title": problem.title});
    assert_eq!(read(bare), Ok(problem));
}

#[test]
fn a_live_event_names_its_kind_and_one_from_a_newer_backend_is_skipped() {
    let target = TargetView {
        pc_id: samples::pc(),
        attempt: Attempt::FIRST,
        request_id: RequestId::derive(samples::exec(1), &samples::pc(), Attempt::FIRST),
        state: TargetState::Pending,
        outcome: None,
        provisional: false,
        why: Some(Reason::new("target.offline", "offline since 08:00")),
        exit_code: None,
        started_at: None,
        ended_at: None,
        stopping: false,
    };
    let result = ResultView {
        request_id: target.request_id,
        exec_id: samples::exec(1),
        attempt: Attempt::FIRST,
        pc_id: samples::pc(),
        job_id: None,
        outcome: Outcome::Ok,
        reason: None,
        exit_code: Some(0),
        tries: 1,
        started_at: None,
        ended_at: samples::at(0),
        stored_at: samples::at(1),
        stdout: OutputView::default(),
        stderr: OutputView::default(),
    };
    let exec = Box::new(exec_view());
    let events = [
        ("reset", LiveEvent::Reset),
        ("exec", LiveEvent::Exec { exec }),
        (
            "target",
            LiveEvent::Target {
                exec_id: samples::exec(1),
                target: Box::new(target),
            },
        ),
        (
            "result",
            LiveEvent::Result {
                result: Box::new(result),
            },
        ),
        (
            "tail",
            LiveEvent::Tail {
                chunk: samples::tail_chunk(),
            },
        ),
    ];
    for (kind, event) in events {
        let mut written = serde_json::to_value(&event).unwrap();
        assert_eq!(written["kind"], kind);
        written["from_the_future"] = json!(1);
        assert_eq!(read(written), Ok(event));
    }
    assert_eq!(
        read(json!({"kind": "moon_phase", "moon": {"full": true}})),
        Ok(LiveEvent::Unknown)
    );
}

#[test]
fn words_for_people_are_the_words_on_the_wire() {
    fn check<T: Serialize>(value: T, word: &str) {
        assert_eq!(serde_json::to_value(value).unwrap(), json!(word));
    }
    check(ExecState::Ended, ExecState::Ended.as_str());
    check(Stream::Stderr, Stream::Stderr.as_str());
    let states = [
        TargetState::Pending,
        TargetState::Admitted,
        TargetState::Running,
        TargetState::Ended,
    ];
    assert!(states.is_sorted(), "a target's state only grows");
    for state in states {
        check(state, state.as_str());
    }
}

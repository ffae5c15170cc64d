//! Arbitrary values of the wire: everything that a type can hold and a peer may send.

use chrono::{DateTime, TimeDelta, Utc};
use kanade_shared::id::{Attempt, ExecId, JobId, JournalId, PcId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::{
    BodyRef, Command, DOCUMENT_VERSION, Document, Reach, Rev, Run, RunAs, ScriptSource, Shell,
    Staleness, Stop, StopAction,
};
use kanade_shared::wire::heartbeat::{AgentState, Heartbeat, Held};
use kanade_shared::wire::result::{Outcome, Output, Reason, RunResult};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use uuid::Uuid;

/// From 1970 to the year 9999, the last that RFC 3339 has, to the nanosecond.
fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (0i64..253_402_300_800, 0u32..1_000_000_000)
        .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    "(?s).{0,12}"
}

fn pc() -> impl Strategy<Value = PcId> {
    "[a-z0-9_-]{1,64}".prop_map(|name| PcId::parse(&name).unwrap())
}

fn job() -> impl Strategy<Value = JobId> {
    "[a-z0-9_-]{1,64}".prop_map(|name| JobId::parse(&name).unwrap())
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn exec() -> impl Strategy<Value = ExecId> {
    uuid().prop_map(ExecId::from_uuid)
}

fn attempt() -> impl Strategy<Value = Attempt> {
    any::<u64>().prop_map(Attempt)
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::All), pc().prop_map(Scope::Pc)]
}

fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![Just(Reach::Fixed), Just(Reach::Open)]
}

pub(crate) fn action() -> impl Strategy<Value = StopAction> {
    prop_oneof![Just(StopAction::Withdraw), Just(StopAction::Kill)]
}

fn run_as() -> impl Strategy<Value = RunAs> {
    prop_oneof![
        Just(RunAs::System),
        Just(RunAs::User),
        Just(RunAs::SystemGui)
    ]
}

fn staleness() -> impl Strategy<Value = Staleness> {
    prop_oneof![
        Just(Staleness::Cached),
        Just(Staleness::Unchecked),
        any::<u64>().prop_map(|max_age_s| Staleness::Strict { max_age_s }),
    ]
}

fn script() -> impl Strategy<Value = ScriptSource> {
    let body = || {
        (text(), text(), any::<u64>()).prop_map(|(sha256, key, size_bytes)| BodyRef {
            sha256,
            key,
            size_bytes,
        })
    };
    prop_oneof![
        text().prop_map(|text| ScriptSource::Inline { text }),
        body().prop_map(ScriptSource::Body),
        body().prop_map(ScriptSource::Https),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    let what = (
        proptest::sample::select(&Shell::ALL[..]),
        script(),
        run_as(),
    );
    let with = (
        vec(text(), 0..3),
        btree_map(text(), text(), 0..3),
        of(text()),
        of(text()),
    );
    (what, with, any::<(u32, u32, u32, u64)>()).prop_map(
        |((shell, script, run_as), (args, env, cwd, stdin), numbers)| Run {
            shell,
            script,
            args,
            env,
            cwd,
            stdin,
            timeout_s: numbers.0,
            tries: numbers.1,
            backoff_s: numbers.2,
            run_as,
            output_cap_bytes: numbers.3,
        },
    )
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let who = (exec(), attempt(), of(job()), of(text()), reach());
    let when = (time(), time(), any::<u32>(), any::<bool>(), staleness());
    (who, when, run()).prop_map(|(who, when, run)| Command {
        exec_id: who.0,
        attempt: who.1,
        job_id: who.2,
        job_version: who.3,
        reach: who.4,
        issued_at: when.0,
        deadline: when.1,
        jitter_s: when.2,
        supersede: when.3,
        staleness: when.4,
        run,
    })
}

fn stop() -> impl Strategy<Value = Stop> {
    let who = (exec(), attempt(), action(), reach());
    (who, (time(), time(), time())).prop_map(|(who, (issued_at, deadline, until))| Stop {
        exec_id: who.0,
        attempt: who.1,
        action: who.2,
        reach: who.3,
        issued_at,
        deadline,
        until,
    })
}

pub(crate) fn document() -> impl Strategy<Value = Document> {
    let listed = (vec(command(), 0..3), vec(stop(), 0..3));
    (scope(), any::<u64>(), time(), listed).prop_map(|(scope, rev, issued_at, listed)| Document {
        v: DOCUMENT_VERSION,
        scope,
        rev: Rev(rev),
        issued_at,
        commands: listed.0,
        stops: listed.1,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        proptest::sample::select(&Outcome::ALL[..]),
        Just(Outcome::Unknown)
    ]
}

fn output() -> impl Strategy<Value = Output> {
    (text(), any::<(u64, u64)>(), of(text())).prop_map(|(text, bytes, stored_as)| Output {
        text,
        total_bytes: bytes.0,
        truncated_bytes: bytes.1,
        stored_as,
    })
}

pub(crate) fn run_result() -> impl Strategy<Value = RunResult> {
    let who = (uuid(), exec(), attempt(), pc(), scope());
    let what = (of(job()), of(text()), output(), output());
    let why = of((text(), text()).prop_map(|(code, text)| Reason { code, text }));
    let end = (
        outcome(),
        why,
        any::<(Option<i32>, u32)>(),
        of(time()),
        time(),
    );
    (who, what, end).prop_map(|(who, what, end)| RunResult {
        request_id: RequestId::from_uuid(who.0),
        exec_id: who.1,
        attempt: who.2,
        pc_id: who.3,
        scope: who.4,
        job_id: what.0,
        job_version: what.1,
        outcome: end.0,
        reason: end.1,
        exit_code: end.2.0,
        tries: end.2.1,
        started_at: end.3,
        ended_at: end.4,
        stdout: what.2,
        stderr: what.3,
    })
}

fn agent_state() -> impl Strategy<Value = AgentState> {
    prop_oneof![
        Just(AgentState::Connecting),
        Just(AgentState::Syncing),
        Just(AgentState::Live),
        Just(AgentState::Unknown),
    ]
}

pub(crate) fn heartbeat() -> impl Strategy<Value = Heartbeat> {
    let held = (scope(), any::<u64>(), any::<bool>()).prop_map(|(scope, rev, twin)| Held {
        scope,
        rev: Rev(rev),
        twin,
    });
    let who = (pc(), time(), text(), agent_state(), uuid());
    let has = (vec(text(), 0..4), vec(held, 0..4));
    let words = (of(text()), of(text()), of(text()), of(time()));
    let counts = any::<(u64, u64, u64, u32, Option<i64>, Option<u64>)>();
    (who, has, words, counts).prop_map(|(who, has, words, counts)| Heartbeat {
        pc_id: who.0,
        at: who.1,
        agent_version: who.2,
        capabilities: has.0,
        state: who.3,
        held: has.1,
        journal_id: JournalId::from_uuid(who.4),
        journal_counter: counts.0,
        outbox_results: counts.1,
        outbox_bytes: counts.2,
        blocked: words.0,
        clock_skew_ms: counts.4,
        running: counts.3,
        host_name: words.1,
        os_family: words.2,
        agent_rss_bytes: counts.5,
        booted_at: words.3,
    })
}

/// Instants around the samples' time, so that deadlines lie on both sides of them.
pub(crate) fn near(seconds: std::ops::Range<i64>) -> impl Strategy<Value = DateTime<Utc>> {
    seconds.prop_map(|seconds| crate::samples::at(0) + TimeDelta::seconds(seconds))
}

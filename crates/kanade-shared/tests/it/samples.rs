//! The typed values of the golden files: one of each payload, and of each kind within it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use kanade_shared::id::{Attempt, ExecId, GroupId, JobId, JournalId, PcId, RequestId};
use kanade_shared::manifest::{API_VERSION, Job, JobKind, JobRun};
use kanade_shared::subject::Scope;
use kanade_shared::wire::agent::{
    Ack, Heard, HeardState, ResultsRequest, RunKey, TailChunk, TailRequest, TimeReply, TimeRequest,
};
use kanade_shared::wire::command::{
    BodyRef, Command, Document, Reach, Rev, Run, RunAs, ScriptSource, Shell, Staleness, Stop,
    StopAction, output_cap,
};
use kanade_shared::wire::desired::{AgentDesired, Brake, Freeze, Settings};
use kanade_shared::wire::heartbeat::{AgentState, Heartbeat, Held, capability};
use kanade_shared::wire::inventory::{Disk, Hardware, Network};
use kanade_shared::wire::result::{Outcome, Output, Reason, RunResult, Started};

/// 2027-01-15T08:00:00Z and so many milliseconds.
pub(crate) fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_000 + millis).unwrap()
}

pub(crate) fn pc() -> PcId {
    PcId::parse("lab-31_a").unwrap()
}

fn job_id() -> JobId {
    JobId::parse("disk-report").unwrap()
}

pub(crate) fn exec(n: u8) -> ExecId {
    ExecId::new(at(i64::from(n)), [n; 10])
}

fn run_of(n: u8) -> RequestId {
    RequestId::derive(exec(n), &pc(), Attempt::FIRST)
}

fn journal() -> JournalId {
    JournalId::new([9; 16])
}

fn texts(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    texts.iter().map(owned).collect()
}

fn body_ref() -> BodyRef {
    BodyRef {
        sha256: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae".into(),
        key: "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".into(),
        size_bytes: 70_000,
    }
}

/// A command that says no more than it must.
pub(crate) fn command(n: u8, shell: Shell, script: ScriptSource) -> Command {
    Command {
        exec_id: exec(n),
        attempt: Attempt::FIRST,
        job_id: None,
        job_version: None,
        reach: Reach::Fixed,
        issued_at: at(0),
        deadline: at(3_600_000),
        jitter_s: 0,
        supersede: false,
        staleness: Staleness::Cached,
        run: Run {
            shell,
            script,
            args: vec![],
            env: BTreeMap::new(),
            cwd: None,
            stdin: None,
            timeout_s: 600,
            tries: 1,
            backoff_s: 0,
            run_as: RunAs::System,
            output_cap_bytes: output_cap(),
        },
    }
}

fn inline(text: &str) -> ScriptSource {
    ScriptSource::Inline { text: text.into() }
}

/// A command that says all that one can.
fn command_full() -> Command {
    let plain = command(2, Shell::Bash, inline("df -h \"$1\"\n"));
    Command {
        attempt: Attempt(1_800_000_000_123),
        job_id: Some(job_id()),
        job_version: Some("1.2.3".into()),
        reach: Reach::Open,
        jitter_s: 300,
        supersede: true,
        staleness: Staleness::Strict { max_age_s: 600 },
        run: Run {
            args: vec!["/".into(), "a b".into()],
            env: texts(&[("LANG", "C"), ("NAME", "日本語")]),
            cwd: Some("/var/tmp".into()),
            stdin: Some("yes\n".into()),
            tries: 3,
            backoff_s: 30,
            run_as: RunAs::User,
            output_cap_bytes: 65_536,
            ..plain.run
        },
        ..plain
    }
}

fn stop(n: u8, action: StopAction, reach: Reach) -> Stop {
    Stop {
        exec_id: exec(n),
        attempt: Attempt::FIRST,
        action,
        reach,
        issued_at: at(0),
        deadline: at(3_600_000),
        until: at(4_200_000),
    }
}

pub(crate) fn document() -> Document {
    let mut unchecked = command(4, Shell::Powershell, ScriptSource::Https(body_ref()));
    unchecked.staleness = Staleness::Unchecked;
    unchecked.run.run_as = RunAs::SystemGui;
    Document {
        v: 1,
        scope: Scope::All,
        rev: Rev(1_800_000_000_456),
        issued_at: at(456),
        commands: vec![
            command(1, Shell::Sh, inline("true")),
            command_full(),
            command(3, Shell::Pwsh, ScriptSource::Body(body_ref())),
            unchecked,
            command(5, Shell::Cmd, inline("ver")),
        ],
        stops: vec![
            stop(6, StopAction::Withdraw, Reach::Fixed),
            stop(7, StopAction::Kill, Reach::Open),
        ],
    }
}

pub(crate) fn document_empty() -> Document {
    Document {
        scope: Scope::Pc(pc()),
        commands: vec![],
        stops: vec![],
        ..document()
    }
}

pub(crate) fn run_result_minimal() -> RunResult {
    RunResult {
        request_id: run_of(1),
        exec_id: exec(1),
        attempt: Attempt::FIRST,
        pc_id: pc(),
        scope: Scope::All,
        job_id: None,
        job_version: None,
        outcome: Outcome::Expired,
        reason: None,
        exit_code: None,
        tries: 0,
        started_at: None,
        ended_at: at(2000),
        stdout: Output::default(),
        stderr: Output::default(),
    }
}

pub(crate) fn run_result_full() -> RunResult {
    RunResult {
        scope: Scope::Pc(pc()),
        job_id: Some(job_id()),
        job_version: Some("1.2.3".into()),
        outcome: Outcome::TimedOut,
        reason: Some(Reason::new("run.timeout", "ran longer than 10m")),
        exit_code: Some(-1),
        tries: 2,
        started_at: Some(at(1000)),
        stdout: Output::whole("line 1\nライン 2\n"),
        stderr: Output {
            text: String::new(),
            total_bytes: 9_000_000,
            truncated_bytes: 1000,
            stored_as: Some(format!("{}/stderr", run_of(1))),
        },
        ..run_result_minimal()
    }
}

pub(crate) fn started() -> Started {
    Started {
        request_id: run_of(1),
        exec_id: exec(1),
        attempt: Attempt::FIRST,
        pc_id: pc(),
        started_at: at(1000),
    }
}

pub(crate) fn heartbeat_minimal() -> Heartbeat {
    Heartbeat {
        pc_id: pc(),
        at: at(0),
        agent_version: "0.1.0".into(),
        capabilities: vec![],
        state: AgentState::Connecting,
        held: vec![],
        journal_id: journal(),
        journal_counter: 0,
        outbox_results: 0,
        outbox_bytes: 0,
        blocked: None,
        clock_skew_ms: None,
        running: 0,
        host_name: None,
        os_family: None,
        agent_rss_bytes: None,
        booted_at: None,
    }
}

pub(crate) fn heartbeat_full() -> Heartbeat {
    let held = |scope, rev, twin| Held {
        scope,
        rev: Rev(rev),
        twin,
    };
    Heartbeat {
        capabilities: capability::ALL.map(str::to_owned).to_vec(),
        state: AgentState::Live,
        held: vec![
            held(Scope::All, 1_800_000_000_456, false),
            held(Scope::Pc(pc()), 1_800_000_000_123, true),
        ],
        journal_counter: 42,
        outbox_results: 2,
        outbox_bytes: 4096,
        blocked: Some("clock is not synchronised".into()),
        clock_skew_ms: Some(-1500),
        running: 3,
        host_name: Some("LAB-31_A".into()),
        os_family: Some("linux".into()),
        agent_rss_bytes: Some(8_388_608),
        booted_at: Some(at(-86_400_000)),
        ..heartbeat_minimal()
    }
}

pub(crate) fn agent_desired() -> AgentDesired {
    let group = |name| GroupId::parse(name).unwrap();
    AgentDesired {
        v: 1,
        pc_id: pc(),
        rev: Rev(1_800_000_000_789),
        issued_at: at(789),
        enrolled_at: at(-1),
        groups: vec![group("lab"), group("windows-11")],
        labels: texts(&[("room", "B 12"), ("site", "tokyo")]),
        settings: Settings {
            heartbeat_interval_s: 60,
            max_concurrent_runs: 4,
        },
    }
}

pub(crate) fn brake() -> Brake {
    Brake {
        v: 1,
        rev: Rev(1_800_000_000_999),
        freeze: Some(Freeze {
            reason: "year end".into(),
            until: Some(at(86_400_000)),
        }),
        revoked: vec![JobId::parse("wipe").unwrap()],
        pins: BTreeMap::from([(job_id(), "1.2.3".to_owned())]),
    }
}

pub(crate) fn brake_released() -> Brake {
    Brake {
        v: 1,
        rev: Rev(1_800_000_001_000),
        ..Brake::default()
    }
}

pub(crate) fn hardware() -> Hardware {
    Hardware {
        pc_id: pc(),
        collected_at: at(0),
        host_name: "LAB-31_A".into(),
        os_family: "linux".into(),
        os_name: Some("Debian GNU/Linux".into()),
        os_version: Some("12".into()),
        kernel: Some("6.1.0-18-amd64".into()),
        arch: "x86_64".into(),
        cpu_model: Some("Example CPU @ 3.00GHz".into()),
        cpu_count: 8,
        ram_bytes: 17_179_869_184,
        disks: vec![Disk {
            name: "/dev/sda1".into(),
            mounted_at: "/".into(),
            file_system: "ext4".into(),
            size_bytes: 512_000_000_000,
            free_bytes: 128_000_000_000,
        }],
        networks: vec![Network {
            name: "eth0".into(),
            mac: "02:00:00:00:00:01".into(),
            addresses: vec!["192.0.2.31/24".into(), "2001:db8::31/64".into()],
        }],
    }
}

pub(crate) fn time_request() -> TimeRequest {
    TimeRequest {
        nonce: "5f2d9c".into(),
        journal_id: Some(journal()),
        ask: vec![run_of(1)],
    }
}

pub(crate) fn time_reply() -> TimeReply {
    let heard = |n, state| Heard {
        request_id: run_of(n),
        state,
    };
    TimeReply {
        nonce: "5f2d9c".into(),
        now: at(5),
        journal_id: Some(journal()),
        journal_counter: 42,
        heard: vec![
            heard(1, HeardState::Nothing),
            heard(2, HeardState::Begun),
            heard(3, HeardState::Ended),
            heard(4, HeardState::Unknown),
        ],
        refused: None,
    }
}

pub(crate) fn tail_request() -> TailRequest {
    TailRequest {
        request_id: run_of(1),
        follow_s: 30,
    }
}

pub(crate) fn tail_chunk() -> TailChunk {
    TailChunk {
        request_id: run_of(1),
        found: true,
        running: true,
        stdout_offset: 1024,
        stdout: "50 %\r".into(),
        stderr_offset: 7,
        stderr: "warning\n".into(),
    }
}

pub(crate) fn results_request() -> ResultsRequest {
    ResultsRequest {
        runs: vec![RunKey {
            exec_id: exec(1),
            attempt: Attempt::FIRST,
        }],
    }
}

pub(crate) fn ack_taken() -> Ack {
    Ack {
        ok: true,
        reason: None,
    }
}

pub(crate) fn ack_refused() -> Ack {
    Ack {
        ok: false,
        reason: Some("at most once in 5 s".into()),
    }
}

pub(crate) fn job_minimal() -> Job {
    Job {
        api_version: API_VERSION.into(),
        kind: JobKind::Job,
        id: job_id(),
        version: "1".into(),
        description: None,
        run: JobRun {
            shell: Shell::Sh,
            script: "df -h".into(),
            args: vec![],
            env: BTreeMap::new(),
            cwd: None,
            stdin: None,
            timeout: 600,
            jitter: 0,
            tries: 1,
            backoff: 0,
            run_as: RunAs::System,
            output_cap_bytes: output_cap(),
        },
        supersede: false,
        staleness: Staleness::Cached,
    }
}

pub(crate) fn job_full() -> Job {
    Job {
        version: "1.2.3".into(),
        description: Some("How full the disks are".into()),
        run: JobRun {
            shell: Shell::Bash,
            script: "df -h \"$1\"\n".into(),
            args: vec!["/".into()],
            env: texts(&[("LANG", "C")]),
            cwd: Some("/var/tmp".into()),
            stdin: Some("yes\n".into()),
            timeout: 5400,
            jitter: 300,
            tries: 3,
            backoff: 90,
            run_as: RunAs::User,
            output_cap_bytes: 65_536,
        },
        supersede: true,
        staleness: Staleness::Strict { max_age_s: 600 },
        ..job_minimal()
    }
}

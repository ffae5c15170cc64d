//! A million results of ten thousand PCs, put into the broker's stream as agents would put them.
//!
//! The PCs are enrolled by a heartbeat and the execs issued by the API, so every result has its
//! target. Then the backend is stopped, the results are published, and a copy of the folder is
//! made: each run of the projection begins with that copy.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use chrono::Utc;
use kanade_shared::api::system::SystemView;
use kanade_shared::id::{Attempt, ExecId, JournalId, PcId, RequestId};
use kanade_shared::subject::{self, Scope};
use kanade_shared::wire::heartbeat::{AgentState, Heartbeat};
use kanade_shared::wire::result::{Outcome, Output, RunResult};
use kanade_testkit::backend::Backend;
use tokio::process::{Child, Command};

use super::scene::Options;
use super::stack::{self, Stack};
use super::taken::Taken;
use super::{exec, pages};

/// PCs of the large scene.
const PCS: u32 = 10_000;
/// Bytes of output of each result.
const OUTPUT_BYTES: usize = 400;
/// Publishes that wait for their acknowledgement.
const ON_THE_WAY: usize = 2_000;
/// Longer than any projection that keeps half of its promise.
const PROJECTED_WITHIN: Duration = Duration::from_secs(600);

pub(super) async fn measure(names: &BTreeSet<&str>, options: &Options, taken: &mut Taken) {
    let mut stack = Stack::start().await;
    let pcs: Vec<PcId> = (1..=PCS).map(|n| name(&format!("pc-{n:05}"))).collect();
    enrol(&stack.backend, &pcs).await;
    let execs = issue(&stack.backend, options.results.div_ceil(u64::from(PCS))).await;
    stack.backend.stop().await;
    load(&stack.backend, &execs, &pcs, options.results).await;
    let copy = stack.folder().join("copy");
    copy_folder(&stack.backend.data(), &copy).await;
    let runs = if names.contains("projection_sqlite_results_per_s") {
        options.runs
    } else {
        1
    };
    for run in 0..runs {
        if run > 0 {
            stack.kill9().await;
            copy_folder(&copy, &stack.backend.data()).await;
        }
        let rate = project(&mut stack.backend, &execs, options.results).await;
        taken.add("projection_sqlite_results_per_s", rate);
    }
    std::fs::remove_dir_all(&copy).ok();
    if names.contains("backend_ready_1m_results_ms") {
        for _ in 0..options.runs {
            stack.kill9().await;
            let begun = Instant::now();
            stack.backend.start_again().await;
            taken.add(
                "backend_ready_1m_results_ms",
                begun.elapsed().as_secs_f64() * 1000.0,
            );
        }
    }
    pages::measure(&stack.backend, names, options, &execs, &pcs, taken).await;
    stack.backend.stop().await;
}

/// Enrols one PC that is not there.
pub(super) async fn enrol_one(backend: &Backend, pc: &str) {
    let before = agents(backend).await;
    say_hello(backend, &[name(pc)]).await;
    stack::until("the PC is enrolled", Duration::from_secs(30), async || {
        agents(backend).await > before
    })
    .await;
}

async fn enrol(backend: &Backend, pcs: &[PcId]) {
    say_hello(backend, pcs).await;
    stack::until(
        "all PCs are enrolled",
        Duration::from_secs(120),
        async || agents(backend).await >= pcs.len() as u64,
    )
    .await;
}

async fn agents(backend: &Backend) -> u64 {
    backend.get::<SystemView>("system").await.agents
}

async fn say_hello(backend: &Backend, pcs: &[PcId]) {
    let broker = backend.broker().await;
    for pc_id in pcs {
        let beat = Heartbeat {
            pc_id: pc_id.clone(),
            at: Utc::now(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: Vec::new(),
            state: AgentState::Live,
            held: Vec::new(),
            journal_id: JournalId::new(uuid::Uuid::now_v7().into_bytes()),
            journal_counter: 0,
            outbox_results: 0,
            outbox_bytes: 0,
            blocked: None,
            clock_skew_ms: None,
            running: 0,
            host_name: Some(pc_id.to_string()),
            os_family: Some("linux".to_owned()),
            agent_rss_bytes: None,
            booted_at: None,
        };
        let payload = serde_json::to_vec(&beat).expect("a heartbeat has a JSON form");
        let sent = broker.publish(subject::heartbeat(pc_id), payload.into());
        sent.await.expect("the broker is there");
    }
    broker.flush().await.expect("the broker is there");
}

/// Issues execs to all PCs.
pub(super) async fn issue(backend: &Backend, number: u64) -> Vec<ExecId> {
    let mut execs = Vec::new();
    for _ in 0..number {
        let issued = backend.issue(&exec::request(exec::all())).await;
        let issued = issued.unwrap_or_else(|refused| panic!("the exec was refused: {refused:?}"));
        execs.push(issued.exec_id);
    }
    execs
}

/// Publishes results to the broker of a backend that is stopped.
async fn load(backend: &Backend, execs: &[ExecId], pcs: &[PcId], results: u64) {
    let mut server = start_broker(backend);
    let client = connect(backend).await;
    let begun = Instant::now();
    let jetstream = jetstream::new(client);
    let mut waiting = VecDeque::new();
    let each = execs
        .iter()
        .flat_map(|exec| pcs.iter().map(move |pc| (*exec, pc)));
    for (exec_id, pc_id) in each.take(usize::try_from(results).unwrap_or(usize::MAX)) {
        let (subject, payload) = result(exec_id, pc_id);
        let sent = jetstream.publish(subject, payload.into()).await;
        waiting.push_back(sent.expect("the broker is there"));
        if waiting.len() > ON_THE_WAY
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.await.expect("the broker stores results");
        }
    }
    for rest in waiting {
        rest.await.expect("the broker stores results");
    }
    tracing::info!(results, took = ?begun.elapsed(), "published");
    let pid = server.id().unwrap_or_default();
    kanade_testkit::process::signal(pid, rustix::process::Signal::TERM);
    server.wait().await.expect("the broker ends");
}

/// The result of one exec on one PC, as its agent publishes it.
pub(super) fn result(exec_id: ExecId, pc_id: &PcId) -> (String, Vec<u8>) {
    let attempt = Attempt(1);
    let request_id = RequestId::derive(exec_id, pc_id, attempt);
    let now = Utc::now();
    let line = format!("hello from {pc_id}, which has much to say about its disks\n");
    let text: String = line.chars().cycle().take(OUTPUT_BYTES).collect();
    let result = RunResult {
        request_id,
        exec_id,
        attempt,
        pc_id: pc_id.clone(),
        scope: Scope::All,
        job_id: None,
        job_version: None,
        outcome: Outcome::Ok,
        reason: None,
        exit_code: Some(0),
        tries: 1,
        started_at: Some(now),
        ended_at: now,
        stdout: Output::whole(text),
        stderr: Output::default(),
    };
    let payload = serde_json::to_vec(&result).expect("a result has a JSON form");
    (subject::result(pc_id, request_id), payload)
}

/// The broker alone, on the configuration that the backend wrote.
fn start_broker(backend: &Backend) -> Child {
    let config = backend.broker_data().join("nats-server.conf");
    Command::new(kanade_testkit::nats::binary())
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nats-server can be started")
}

/// A client of a broker that was just started.
async fn connect(backend: &Backend) -> async_nats::Client {
    let (host, port) = ("127.0.0.1", backend.broker_port());
    stack::until("the broker listens", Duration::from_secs(60), async || {
        tokio::net::TcpStream::connect((host, port)).await.is_ok()
    })
    .await;
    backend.broker().await
}

/// Starts a backend on a full stream; results per second from the first look that saw progress
/// to the last result. A listener has all execs and one of them.
async fn project(backend: &mut Backend, execs: &[ExecId], results: u64) -> f64 {
    backend.start_again().await;
    let listening = listen(backend, execs);
    let mut first = None;
    let end = Instant::now() + PROJECTED_WITHIN;
    let rate = loop {
        let now = Instant::now();
        let stored = position(backend).await;
        match first {
            None if stored > 0 => first = Some((now, stored)),
            Some((since, before)) if stored >= results => {
                #[expect(clippy::cast_precision_loss, reason = "some millions")]
                break (stored - before) as f64 / (Instant::now() - since).as_secs_f64();
            }
            None | Some(_) => {}
        }
        assert!(now < end, "{stored} of {results} results are stored");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    listening.abort();
    rate
}

fn listen(backend: &Backend, execs: &[ExecId]) -> tokio::task::JoinHandle<()> {
    let topics = match execs.first() {
        Some(exec) => format!("execs,exec:{exec}"),
        None => "execs".to_owned(),
    };
    let url = format!("{}/api/v1/events?topics={topics}", backend.url());
    let request = reqwest::Client::new().get(url).bearer_auth(backend.token());
    tokio::spawn(async move {
        if let Ok(mut answer) = request.send().await {
            while let Ok(Some(_)) = answer.chunk().await {}
        }
    })
}

async fn position(backend: &Backend) -> u64 {
    let system: SystemView = backend.get("system").await;
    let results = system.streams.iter().find(|view| view.stream == "RESULTS");
    results.map_or(0, |view| view.position)
}

async fn copy_folder(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).ok();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .await;
    assert!(
        copied.is_ok_and(|status| status.success()),
        "could not copy a folder"
    );
    let synced = Command::new("sync").status().await;
    assert!(synced.is_ok(), "could not wait for the disk");
}

fn name(text: &str) -> PcId {
    PcId::parse(text).expect("the bench's PCs have names that can be")
}

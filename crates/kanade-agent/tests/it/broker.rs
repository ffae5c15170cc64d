//! A fleet of one PC: a real broker, a real agent as a process, and the few things that a backend
//! would do, done by the test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use kanade_shared::bootstrap::ensure_jetstream_resources;
use kanade_shared::id::{Attempt, ExecId, JournalId, PcId, RequestId};
use kanade_shared::subject::{self, Scope};
use kanade_shared::wire::agent::{Heard, HeardState, TimeReply, TimeRequest};
use kanade_shared::wire::command::{
    Command, DOCUMENT_VERSION, Document, Reach, Rev, Run, RunAs, ScriptSource, Shell, Staleness,
    Stop, StopAction, output_cap,
};
use kanade_shared::wire::desired::{AgentDesired, DESIRED_VERSION, Settings};
use kanade_shared::wire::heartbeat::Heartbeat;
use kanade_shared::wire::result::RunResult;
use kanade_testkit::nats::Nats;
use kanade_testkit::wait;
use tempfile::TempDir;

/// Longest wait for anything; only a failing test comes near it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the test's backend has heard and says.
#[derive(Default)]
struct Backend {
    heartbeat: Option<Heartbeat>,
    journal: Option<(JournalId, u64)>,
    heard: BTreeMap<RequestId, HeardState>,
    /// Added to the fleet's time.
    ahead: chrono::Duration,
}

/// See the module.
pub(crate) struct Fleet {
    pub(crate) nats: Nats,
    pub(crate) client: async_nats::Client,
    pub(crate) js: Context,
    pub(crate) folder: TempDir,
    pub(crate) pc_id: PcId,
    backend: Arc<Mutex<Backend>>,
    agent: Option<Child>,
    rev: u64,
    execs: u8,
    api_url: String,
}

impl Fleet {
    /// Broker, backend and an agent that is live.
    pub(crate) async fn start() -> Self {
        let mut fleet = Self::without_agent().await;
        fleet.start_agent();
        fleet.wait_until_live().await;
        fleet
    }

    /// Broker and backend alone.
    pub(crate) async fn without_agent() -> Self {
        let nats = Nats::start().await;
        let client = nats.client().await;
        let js = jetstream::new(client.clone());
        ensure_jetstream_resources(&js).await.unwrap();
        let backend = Arc::new(Mutex::new(Backend::default()));
        serve(&client, &backend).await;
        let mut fleet = Self {
            nats,
            client,
            js,
            folder: tempfile::tempdir().unwrap(),
            pc_id: PcId::parse("pc-1").unwrap(),
            backend,
            agent: None,
            rev: 1_000,
            execs: 0,
            api_url: "http://127.0.0.1:9".to_owned(),
        };
        fleet
            .publish_desired(Utc::now() - chrono::Duration::days(1))
            .await;
        fleet
    }

    /// Where the agent finds the backend's door for blobs.
    pub(crate) fn with_api(mut self, url: &str) -> Self {
        self.api_url = url.to_owned();
        self
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn program(&self) -> Program {
        let join = self.path("join.json");
        let text = serde_json::json!({
            "url": self.nats.url(), "user": "test", "password": "test",
            "api_url": self.api_url, "api_token": "token",
        });
        fs::write(&join, text.to_string()).unwrap();
        let mut program = Program::new(env!("CARGO_BIN_EXE_kanade-agent"));
        program
            .arg("run")
            .arg("--data-dir")
            .arg(self.data())
            .arg("--join")
            .arg(join);
        program
            .args(["--id", self.pc_id.as_str()])
            .stdin(Stdio::null());
        program
    }

    pub(crate) fn start_agent(&mut self) {
        self.start_agent_with(&[]);
    }

    pub(crate) fn start_agent_with(&mut self, env: &[(&str, &str)]) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("agent.log"));
        self.backend.lock().unwrap().heartbeat = None;
        let child = self
            .program()
            .envs(env.iter().copied())
            .stderr(log.unwrap())
            .spawn();
        self.agent = Some(child.unwrap());
    }

    /// As a crash would; what it was running goes on.
    pub(crate) fn kill9(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// In order; the exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        let mut agent = self.agent.take().unwrap();
        kanade_testkit::process::signal(agent.id(), rustix::process::Signal::TERM);
        let status = wait::some("the agent has stopped", PATIENCE, async || {
            agent.try_wait().unwrap()
        });
        status.await.code()
    }

    /// The newest heartbeat since the agent was started.
    pub(crate) fn heartbeat(&self) -> Option<Heartbeat> {
        self.backend.lock().unwrap().heartbeat.clone()
    }

    pub(crate) async fn wait_for_heartbeat(&self, what: &str, holds: impl Fn(&Heartbeat) -> bool) {
        wait::until(what, PATIENCE, async || {
            self.heartbeat().is_some_and(|beat| holds(&beat))
        })
        .await;
    }

    pub(crate) async fn wait_until_live(&self) {
        use kanade_shared::wire::heartbeat::AgentState;
        self.wait_for_heartbeat("the agent is live", |beat| beat.state == AgentState::Live)
            .await;
    }

    /// What the backend says of a run.
    pub(crate) fn heard(&self, request_id: RequestId, state: HeardState) {
        self.backend.lock().unwrap().heard.insert(request_id, state);
    }

    /// Moves the fleet's time.
    pub(crate) fn set_ahead(&self, ahead: chrono::Duration) {
        self.backend.lock().unwrap().ahead = ahead;
    }

    pub(crate) async fn publish_desired(&mut self, enrolled_at: DateTime<Utc>) {
        let desired = AgentDesired {
            v: DESIRED_VERSION,
            pc_id: self.pc_id.clone(),
            rev: self.next_rev(),
            issued_at: Utc::now(),
            enrolled_at,
            groups: vec![],
            labels: BTreeMap::new(),
            settings: Settings {
                heartbeat_interval_s: 5,
                ..Settings::default()
            },
        };
        self.publish(
            subject::desired(&self.pc_id),
            serde_json::to_vec(&desired).unwrap(),
        )
        .await;
    }

    /// A command of a shell script for this PC, not published yet.
    pub(crate) fn command(&mut self, script: &str) -> Command {
        self.execs += 1;
        let now = Utc::now();
        Command {
            exec_id: ExecId::new(now, [self.execs; 10]),
            attempt: Attempt::FIRST,
            job_id: None,
            job_version: None,
            reach: Reach::Fixed,
            issued_at: now,
            deadline: now + chrono::Duration::hours(1),
            jitter_s: 0,
            supersede: false,
            staleness: Staleness::Cached,
            run: Run {
                shell: Shell::Sh,
                script: ScriptSource::Inline {
                    text: script.to_owned(),
                },
                args: vec![],
                env: BTreeMap::new(),
                cwd: None,
                stdin: None,
                timeout_s: 300,
                tries: 1,
                backoff_s: 0,
                run_as: RunAs::System,
                output_cap_bytes: output_cap(),
            },
        }
    }

    pub(crate) fn stop_of(command: &Command, action: StopAction) -> Stop {
        Stop {
            exec_id: command.exec_id,
            attempt: command.attempt,
            action,
            reach: command.reach,
            issued_at: command.issued_at,
            deadline: command.deadline,
            until: command.over_at(),
        }
    }

    /// Publishes the PC's own document; its rev.
    pub(crate) async fn publish_document(&mut self, commands: &[Command], stops: &[Stop]) -> Rev {
        let scope = Scope::Pc(self.pc_id.clone());
        let rev = self.next_rev();
        let document = Document {
            v: DOCUMENT_VERSION,
            scope: scope.clone(),
            rev,
            issued_at: Utc::now(),
            commands: commands.to_vec(),
            stops: stops.to_vec(),
        };
        self.publish(scope.commands(), serde_json::to_vec(&document).unwrap())
            .await;
        rev
    }

    pub(crate) async fn publish(&self, subject: String, payload: Vec<u8>) {
        self.js
            .publish(subject, payload.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }

    pub(crate) fn request_id(&self, command: &Command) -> RequestId {
        RequestId::derive(command.exec_id, &self.pc_id, command.attempt)
    }

    /// Every result that the stream has, in its order.
    pub(crate) async fn results(&self) -> Vec<RunResult> {
        let stream = self.js.get_stream("RESULTS").await.unwrap();
        let state = stream.cached_info().state.clone();
        let mut results = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            if let Ok(message) = stream.get_raw_message(sequence).await {
                results.push(serde_json::from_slice(&message.payload).unwrap());
            }
        }
        results
    }

    /// The first result of a command.
    pub(crate) async fn result_of(&self, command: &Command) -> RunResult {
        let id = self.request_id(command);
        wait::some("the result is stored", PATIENCE, async || {
            self.results()
                .await
                .into_iter()
                .find(|result| result.request_id == id)
        })
        .await
    }

    /// Waits until a script has written this file.
    pub(crate) async fn wait_for_file(&self, name: &str) {
        let path = self.path(name);
        wait::until("the script has come so far", PATIENCE, async || {
            path.exists()
        })
        .await;
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }

    fn next_rev(&mut self) -> Rev {
        self.rev += 1;
        Rev(self.rev)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().ok();
            agent.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- agent\n{}", self.log());
        }
    }
}

/// Hears heartbeats and tells the fleet's time.
async fn serve(client: &async_nats::Client, backend: &Arc<Mutex<Backend>>) {
    let mut heartbeats = client.subscribe("heartbeat.*").await.unwrap();
    let mut questions = client.subscribe("svc.time.*").await.unwrap();
    client.flush().await.unwrap();
    let (client, backend) = (client.clone(), Arc::clone(backend));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(message) = heartbeats.next() => {
                    let beat: Heartbeat = serde_json::from_slice(&message.payload).unwrap();
                    let mut backend = backend.lock().unwrap();
                    backend.journal = Some((beat.journal_id, beat.journal_counter));
                    backend.heartbeat = Some(beat);
                }
                Some(message) = questions.next() => {
                    let question: TimeRequest = serde_json::from_slice(&message.payload).unwrap();
                    let reply = time_reply(&backend.lock().unwrap(), question);
                    let payload = serde_json::to_vec(&reply).unwrap();
                    client.publish(message.reply.unwrap(), payload.into()).await.unwrap();
                }
                else => return,
            }
        }
    });
}

fn time_reply(backend: &Backend, question: TimeRequest) -> TimeReply {
    let state = |id| {
        backend
            .heard
            .get(id)
            .copied()
            .unwrap_or(HeardState::Nothing)
    };
    let heard = question.ask.iter().map(|id| Heard {
        request_id: *id,
        state: state(id),
    });
    TimeReply {
        nonce: question.nonce.clone(),
        now: Utc::now() + backend.ahead,
        journal_id: backend.journal.map(|(id, _)| id),
        journal_counter: backend.journal.map_or(0, |(_, counter)| counter),
        heard: heard.collect(),
        refused: None,
    }
}

/// A script that adds a line to a file.
pub(crate) fn append(line: &str, file: &Path) -> String {
    format!("echo {line} >> '{}'", file.display())
}

/// Whether a process has ended.
pub(crate) fn is_gone(pid: &str) -> bool {
    // A zombie has no command line any more.
    fs::read(Path::new("/proc").join(pid).join("cmdline"))
        .unwrap_or_default()
        .is_empty()
}

//! Runs in progress: what ties the core's decisions to the processes of `exec`.
//!
//! Each run is a task. It tells that its processes exist, waits to be released or stopped, and
//! tells its end; the captured output waits here until it is in the outbox or dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kanade_shared::id::{PcId, RequestId};
use kanade_shared::wire::command::Command;
use kanade_shared::wire::result::{Output, Reason, RunResult};
use tokio::sync::{mpsc, oneshot, watch};

use crate::exec::{Captured, HowEnded, RunEnd, RunSpec, Runner, StopKind, TailBuffer};
use crate::scripts::Scripts;

/// What a run tells.
#[derive(Debug)]
pub(crate) enum RunEvent {
    /// Its processes exist and are held back.
    Spawned {
        /// The run.
        request_id: RequestId,
        /// How they are found again.
        mark: serde_json::Value,
    },
    /// It is over, or never began.
    Ended {
        /// The run.
        request_id: RequestId,
        /// How, with its output.
        end: Box<RunEnd>,
    },
}

/// What a run wrote.
#[derive(Debug)]
pub(crate) struct Written {
    stdout: Captured,
    stderr: Captured,
}

#[derive(Debug)]
struct Live {
    release: Option<oneshot::Sender<()>>,
    stop: watch::Sender<Option<StopKind>>,
    tail: TailBuffer,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Runs {
    runner: Runner,
    scripts: Scripts,
    pc_id: PcId,
    events: mpsc::UnboundedSender<RunEvent>,
    live: HashMap<RequestId, Live>,
    written: HashMap<RequestId, Arc<Written>>,
}

impl Runs {
    pub(crate) fn new(
        runner: Runner,
        scripts: Scripts,
        pc_id: PcId,
        events: mpsc::UnboundedSender<RunEvent>,
    ) -> Self {
        Self {
            runner,
            scripts,
            pc_id,
            events,
            live: HashMap::new(),
            written: HashMap::new(),
        }
    }

    /// Makes the processes of a run, held back.
    pub(crate) fn spawn(&mut self, request_id: RequestId, command: Box<Command>) {
        let (release, released) = oneshot::channel();
        let (stop, stopped) = watch::channel(None);
        let tail = TailBuffer::new();
        self.live.insert(
            request_id,
            Live {
                release: Some(release),
                stop,
                tail: tail.clone(),
            },
        );
        let task = Task {
            request_id,
            pc_id: self.pc_id.clone(),
            runner: self.runner.clone(),
            scripts: self.scripts.clone(),
            events: self.events.clone(),
            tail,
        };
        tokio::spawn(task.run(command, released, stopped));
    }

    /// Lets the script of a run begin.
    pub(crate) fn release(&mut self, request_id: RequestId) {
        if let Some(release) = self
            .live
            .get_mut(&request_id)
            .and_then(|live| live.release.take())
        {
            // A run that is over already needs no release.
            let _ = release.send(());
        }
    }

    /// Stops a run; false when there is none.
    pub(crate) fn stop(&self, request_id: RequestId, kind: StopKind) -> bool {
        self.live
            .get(&request_id)
            .is_some_and(|live| live.stop.send(Some(kind)).is_ok())
    }

    /// The run is over: keeps what it wrote.
    pub(crate) fn ended(
        &mut self,
        request_id: RequestId,
        end: RunEnd,
    ) -> kanade_agent_core::RunEnd {
        self.live.remove(&request_id);
        let ended = kanade_agent_core::RunEnd {
            outcome: end.outcome(),
            reason: reason_of(&end),
            exit_code: end.exit_code(),
        };
        let written = Written {
            stdout: end.stdout,
            stderr: end.stderr,
        };
        self.written.insert(request_id, Arc::new(written));
        ended
    }

    /// What a run wrote, as far as it is still here.
    pub(crate) fn written(&self, request_id: RequestId) -> Option<Arc<Written>> {
        self.written.get(&request_id).cloned()
    }

    /// Forgets what a run wrote.
    pub(crate) fn drop_written(&mut self, request_id: RequestId) {
        self.written.remove(&request_id);
    }

    /// The live output of a run in progress.
    pub(crate) fn tail(&self, request_id: RequestId) -> Option<TailBuffer> {
        self.live.get(&request_id).map(|live| live.tail.clone())
    }

    /// Whether nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.live.is_empty()
    }
}

impl Written {
    /// Puts the output into its result. Decodes, so call it on the blocking pool.
    pub(crate) fn fill(&self, result: &mut RunResult) {
        result.stdout = output_of(&self.stdout);
        result.stderr = output_of(&self.stderr);
    }
}

fn output_of(captured: &Captured) -> Output {
    Output {
        text: captured.to_text(),
        total_bytes: captured.total_bytes,
        truncated_bytes: captured.truncated_bytes,
        stored_as: None,
    }
}

/// The end's own reason; processes that outlived a kill are worth a word in any case.
fn reason_of(end: &RunEnd) -> Option<Reason> {
    let reason = end.reason();
    match (end.survivors, reason) {
        (0, reason) => reason,
        (survivors, Some(reason)) => {
            let text = format!(
                "{}; {survivors} of its processes could not be killed",
                reason.text
            );
            Some(Reason::new(&reason.code, text))
        }
        (survivors, None) => {
            let text = format!("{survivors} of its processes could not be killed");
            Some(Reason::new("run.survivors", text))
        }
    }
}

/// One try of one run.
struct Task {
    request_id: RequestId,
    pc_id: PcId,
    runner: Runner,
    scripts: Scripts,
    events: mpsc::UnboundedSender<RunEvent>,
    tail: TailBuffer,
}

impl Task {
    async fn run(
        self,
        command: Box<Command>,
        released: oneshot::Receiver<()>,
        stopped: watch::Receiver<Option<StopKind>>,
    ) {
        let end = match self.scripts.open(&command).await {
            Ok(script) => self.try_run(*command, script, released, stopped).await,
            Err(reason) => not_started(reason),
        };
        self.tell(RunEvent::Ended {
            request_id: self.request_id,
            end: Box::new(end),
        });
    }

    async fn try_run(
        &self,
        command: Command,
        script: String,
        released: oneshot::Receiver<()>,
        stopped: watch::Receiver<Option<StopKind>>,
    ) -> RunEnd {
        let spec = self.spec(command, script);
        let mut stopped_early = stopped.clone();
        let on_spawn = |mark| async move {
            let mark = serde_json::to_value(&mark)?;
            self.tell(RunEvent::Spawned {
                request_id: self.request_id,
                mark,
            });
            tokio::select! {
                _ = released => {}
                () = stop_seen(&mut stopped_early) => {}
            }
            Ok::<(), serde_json::Error>(())
        };
        self.runner.run(spec, stopped, &self.tail, on_spawn).await
    }

    fn spec(&self, command: Command, script: String) -> RunSpec {
        let mut env = command.run.env;
        env.insert("KANADE_EXEC".to_owned(), command.exec_id.to_string());
        env.insert("KANADE_PC".to_owned(), self.pc_id.to_string());
        if let Some(job_id) = command.job_id {
            env.insert("KANADE_JOB".to_owned(), job_id.to_string());
        }
        RunSpec {
            request_id: self.request_id.to_string(),
            shell: command.run.shell,
            script,
            args: command.run.args,
            env,
            cwd: command.run.cwd,
            stdin: command.run.stdin,
            timeout: Duration::from_secs(u64::from(command.run.timeout_s.max(1))),
            output_cap_bytes: command.run.output_cap_bytes.min(OUTPUT_CAP_MAX_BYTES),
            run_as: command.run.run_as,
        }
    }

    fn tell(&self, event: RunEvent) {
        // The agent that listens outlives its runs.
        let _ = self.events.send(event);
    }
}

async fn stop_seen(stopped: &mut watch::Receiver<Option<StopKind>>) {
    // The other end is dropped only with the run's own record, which is as good as a stop.
    let _ = stopped.wait_for(Option::is_some).await;
}

/// Output kept per stream, whatever the job says: it is in memory until the run ends.
const OUTPUT_CAP_MAX_BYTES: u64 = 32 * 1024 * 1024;

fn not_started(reason: Reason) -> RunEnd {
    RunEnd {
        how: HowEnded::NotStarted { reason },
        began: false,
        stdout: Captured::default(),
        stderr: Captured::default(),
        duration: Duration::ZERO,
        pipe_held: false,
        survivors: 0,
    }
}

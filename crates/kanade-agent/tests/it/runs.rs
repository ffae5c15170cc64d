//! What the tests of runs share: a runner in a folder of its own, and the one call under test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kanade_agent::exec::{HowEnded, RunEnd, RunSpec, Runner, StopKind, TailBuffer};
use kanade_agent::platform::{self, Platform, ProcessMark};
use kanade_shared::wire::command::{RunAs, Shell};
use tempfile::TempDir;
use tokio::sync::watch;

/// Longest wait for anything; only a failing test comes near it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Limit of scripts that end by themselves.
pub(crate) const AMPLE: Duration = Duration::from_secs(120);

/// A runner and a folder for the scripts' side effects.
pub(crate) struct Pc {
    pub(crate) folder: TempDir,
    pub(crate) runner: Runner,
}

impl Pc {
    pub(crate) fn new() -> Self {
        Self::on(platform::current())
    }

    pub(crate) fn on(platform: Arc<dyn Platform>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runner = Runner::open(platform, &folder.path().join("runs")).unwrap();
        Self { folder, runner }
    }

    #[cfg(unix)]
    pub(crate) fn with_graces(mut self, stop: Duration, pipe: Duration) -> Self {
        self.runner = self.runner.with_graces(stop, pipe);
        self
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    #[cfg(unix)]
    pub(crate) fn left_in_runs(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("runs"))
            .unwrap()
            .count()
    }

    pub(crate) async fn run(&self, spec: RunSpec) -> RunEnd {
        let (_stop, stopped) = watch::channel(None);
        check(&self.runner, spec, stopped, &TailBuffer::new(), |_| Ok(())).await
    }
}

/// The call under test.
pub(crate) async fn check(
    runner: &Runner,
    spec: RunSpec,
    stop: watch::Receiver<Option<StopKind>>,
    tail: &TailBuffer,
    note: impl FnOnce(ProcessMark) -> Result<(), String>,
) -> RunEnd {
    let run = runner.run(spec, stop, tail, |mark| async move { note(mark) });
    tokio::time::timeout(PATIENCE, run)
        .await
        .expect("the run has to end")
}

pub(crate) fn sh(script: &str) -> RunSpec {
    RunSpec {
        request_id: uuid::Uuid::now_v7().to_string(),
        shell: Shell::Sh,
        script: script.to_owned(),
        args: Vec::new(),
        env: BTreeMap::new(),
        cwd: None,
        stdin: None,
        timeout: AMPLE,
        output_cap_bytes: 1024 * 1024,
        run_as: RunAs::System,
    }
}

pub(crate) fn exited(code: i32) -> HowEnded {
    HowEnded::Exited {
        code: Some(code),
        signal: None,
    }
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(unix)]
pub(crate) fn lines(path: &str) -> Vec<String> {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[cfg(unix)]
/// Whether the process whose id is in the file has gone (a zombie has).
pub(crate) fn is_gone(pid_file: &str) -> bool {
    let pid = lines(pid_file)
        .first()
        .cloned()
        .expect("the script has written its process id");
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit_once(')')
            .unwrap()
            .1
            .trim_start()
            .starts_with('Z'),
        Err(_) => true,
    }
}

//! A backend with its broker for a bench, and what can be read of their processes.

use std::path::Path;
use std::time::{Duration, Instant};

use kanade_testkit::backend::Backend;
use tempfile::TempDir;

/// Started with more requests a second than an operator needs.
const ARGUMENTS: [&str; 0] = [];

/// A backend in a folder of its own. The order of the fields is the order in which they end.
pub(super) struct Stack {
    pub(super) backend: Backend,
    folder: TempDir,
}

impl Stack {
    pub(super) async fn start() -> Self {
        let folder = folder();
        write_settings(folder.path());
        let settings = folder.path().join("backend.toml");
        let settings = settings.to_string_lossy();
        let mut arguments = vec!["--config", &settings];
        arguments.extend(ARGUMENTS);
        let backend = Backend::start_with(folder.path(), &arguments).await;
        Self { backend, folder }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills backend and broker as a power cut would.
    pub(super) async fn kill9(&mut self) {
        let broker = self.backend.broker_pid();
        self.backend.kill9();
        kill9(broker);
        until("the broker is gone", Duration::from_secs(20), async || {
            !Path::new(&format!("/proc/{broker}")).exists()
        })
        .await;
    }
}

/// A new folder that is removed at the end.
pub(super) fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("kanade-bench-").tempdir();
    folder.expect("the temporary folder can be written")
}

/// A bench asks more often than people do.
fn write_settings(folder: &Path) {
    let text = "[limits]\nrequests_per_second = 100000\n";
    std::fs::write(folder.join("backend.toml"), text).expect("the folder is new");
}

/// Kills one process.
pub(super) fn kill9(pid: u32) {
    kanade_testkit::process::signal(pid, rustix::process::Signal::KILL);
}

/// Waits for a state.
pub(super) async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + within;
    while !holds().await {
        assert!(Instant::now() < end, "waited {within:?} until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Resident memory of a process, in bytes.
pub(super) fn rss_bytes(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.expect("a running process tells its memory") * 1024.0
}

/// Processor time of a process, in seconds.
pub(super) fn cpu_s(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let field = |place: usize| fields.get(place).and_then(|text| text.parse::<f64>().ok());
    let ticks = field(11).zip(field(12)).map(|(user, system)| user + system);
    ticks.expect("a running process tells its processor time") / 100.0
}

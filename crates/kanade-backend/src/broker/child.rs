//! One life of the child nats-server: started, ready, ended.
//!
//! It is a process group of its own, so that a Ctrl-C on the terminal reaches the backend
//! alone, which stops the broker last.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_nats::ConnectOptions;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, Signal, System, UpdateKind};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::failure::{BrokerError, Cause, diagnose};
use super::log::Lines;
use super::watchdog;

/// How long a broker may take to read a large store.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long a broker may take to end when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_millis(20);

/// All that is needed to start it, as often as it takes.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) binary: PathBuf,
    pub(super) config_file: PathBuf,
    pub(super) pid_file: PathBuf,
    pub(super) store: PathBuf,
    /// `host:port`, as it is to listen.
    pub(super) address: String,
    pub(super) url: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) server_name: String,
}

/// A broker that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// Before the child, so that it is gone before the child's id may be somebody else's.
    watchdog: Option<Child>,
    child: Child,
    lines: Lines,
    reader: JoinHandle<()>,
}

/// How a start went.
enum Ready {
    Yes,
    Ended,
    Late,
}

impl Launch {
    /// Starts it and waits until it answers.
    pub(super) async fn start(&self) -> Result<Running, BrokerError> {
        let mut running = self.spawn()?;
        let ready = tokio::select! {
            () = self.ready() => Ready::Yes,
            _ = running.child.wait() => Ready::Ended,
            () = sleep(READY_LIMIT) => Ready::Late,
        };
        match ready {
            Ready::Yes => {}
            Ready::Ended => {
                running.drain().await;
                let lines = running.lines.last();
                let cause = diagnose(&lines, &self.address, &self.store);
                return Err(BrokerError::WontStart { cause, lines });
            }
            Ready::Late => {
                let lines = running.lines.last();
                running.stop().await;
                let cause = Cause::Silent {
                    seconds: READY_LIMIT.as_secs(),
                };
                return Err(BrokerError::WontStart { cause, lines });
            }
        }
        // It listens only after it has read its store, so every line about that is there.
        if let Some(line) = running.lines.damage() {
            let lines = running.lines.last();
            running.stop().await;
            let cause = diagnose(&[line], &self.address, &self.store);
            return Err(BrokerError::WontStart { cause, lines });
        }
        Ok(running)
    }

    fn spawn(&self) -> Result<Running, BrokerError> {
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(&self.config_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|source| BrokerError::Missing {
            binary: self.binary.clone(),
            source,
        })?;
        let lines = Lines::default();
        let reader = match child.stderr.take() {
            Some(stderr) => tokio::spawn(lines.clone().follow(stderr)),
            None => tokio::spawn(async {}),
        };
        let watchdog = child.id().and_then(watchdog::start);
        Ok(Running {
            watchdog,
            child,
            lines,
            reader,
        })
    }

    /// Waits until it answers.
    async fn ready(&self) {
        while !self.answers().await {
            sleep(BETWEEN).await;
        }
    }

    /// Whether *this* broker answers, and not another one on its port.
    async fn answers(&self) -> bool {
        let connected = ConnectOptions::new()
            .name("kanade-backend: is the broker ready")
            .user_and_password(self.user.clone(), self.password.clone())
            .connect(&self.url)
            .await;
        connected.is_ok_and(|client| client.server_info().server_name == self.server_name)
    }

    /// Stops a broker that a killed backend left behind. It is known by its configuration
    /// file, so that a process which got the same id later is left alone.
    pub(super) async fn stop_stale(&self) {
        let Some(pid) = read_pid(&self.pid_file) else {
            return;
        };
        if !self.is_ours(pid) {
            return;
        }
        warn!(
            pid,
            "a broker was left behind by a backend that was killed; stopping it"
        );
        for sign in [Signal::Term, Signal::Kill] {
            signal(pid, sign);
            let end = Instant::now() + STOP_LIMIT;
            while Instant::now() < end {
                if !self.is_ours(pid) {
                    return;
                }
                sleep(BETWEEN).await;
            }
        }
    }

    fn is_ours(&self, pid: u32) -> bool {
        let wanted = self.config_file.as_os_str();
        with_process(pid, |process| {
            process.cmd().iter().any(|word| word == wanted)
        })
        .unwrap_or(false)
    }
}

impl Running {
    /// The process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its log; stays the same until it ends.
    pub(super) fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// Waits until it ends, and says how, with its last words.
    pub(super) async fn ended(&mut self) -> String {
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        self.watchdog = None;
        self.drain().await;
        match self.lines.last().last() {
            Some(line) => format!("{status}; its last line: {line}"),
            None => status,
        }
    }

    /// Asks it to end, and makes it end when it doesn't.
    pub(super) async fn stop(mut self) {
        if let Some(pid) = self.child.id() {
            signal(pid, Signal::Term);
        }
        if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            warn!("the broker did not end in time and is killed");
            // It fails only for a process that is gone already.
            let _ = self.child.kill().await;
        }
        self.watchdog = None;
        self.drain().await;
        info!("the broker is stopped");
    }

    /// Waits for the rest of the log. A process that inherited its end would keep it open.
    async fn drain(&mut self) {
        if !self.reader.is_finished() {
            let _ = timeout(Duration::from_secs(1), &mut self.reader).await;
        }
    }
}

fn read_pid(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn signal(pid: u32, signal: Signal) {
    with_process(pid, |process| {
        // Where there are no signals, ending it is all there is.
        process.kill_with(signal).unwrap_or_else(|| process.kill())
    });
}

fn with_process<T>(pid: u32, look: impl FnOnce(&sysinfo::Process) -> T) -> Option<T> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    let what = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    system.process(pid).map(look)
}

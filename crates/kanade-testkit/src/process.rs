//! Programs of ours as processes of a test.
//!
//! **Invariant:** a process does not outlive the value that stands for it.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::wait;

/// Environment variable with the folder of the built programs.
pub const BIN_DIR: &str = "KANADE_BIN_DIR";

/// The built program of this name: in `KANADE_BIN_DIR`, else beside the test.
///
/// # Panics
/// When it isn't there: `cargo build --workspace` makes it.
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os(BIN_DIR).map_or_else(beside_the_test, PathBuf::from);
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "`{}` is not there; run `cargo build --workspace`",
        path.display()
    );
    path
}

/// `target/debug`, where the test itself is in `target/debug/deps`.
fn beside_the_test() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("a test is built into a folder");
    folder.to_path_buf()
}

/// A running program whose output goes into a file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output added to `log`, deaf to the test's own signals.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = |path: &Path| -> File {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.unwrap_or_else(|error| panic!("could not open `{}`: {error}", path.display()))
        };
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command
            .stdin(Stdio::null())
            .stdout(file(log))
            .stderr(file(log))
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        Self {
            child,
            log: log.to_path_buf(),
        }
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it at once, as a power cut would.
    pub fn kill9(mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Panics
    /// When it doesn't within 30 s.
    pub async fn stop(mut self) {
        #[cfg(unix)]
        signal(self.id(), rustix::process::Signal::TERM);
        #[cfg(not(unix))]
        self.child.kill().ok();
        wait::until(
            "the process has stopped",
            Duration::from_secs(30),
            async || !self.runs(),
        )
        .await;
    }

    /// The last lines of its output.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.runs() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), tail(&self.log));
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Sends a signal to a process, if it is there.
#[cfg(unix)]
pub fn signal(id: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(id)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        rustix::process::kill_process(pid, signal).ok();
    }
}

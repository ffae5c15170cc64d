//! A backend as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kanade_testkit::{nats, wait};
use reqwest::{Client, Method, RequestBuilder};

/// Longest start of a debug build on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The program with the verb `run`, before it is started.
pub(crate) fn backend(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kanade-backend"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env(nats::BINARY, nats::binary())
        .arg("run")
        .arg("--data-dir")
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Ends the process when a test fails half-way.
pub(crate) struct Running {
    child: Child,
    data: PathBuf,
    url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // In order, since a backend that is killed leaves its broker behind.
        #[cfg(unix)]
        {
            let pid = rustix::process::Pid::from_child(&self.child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            let until = std::time::Instant::now() + READY_WITHIN;
            while self.child.try_wait().is_ok_and(|ended| ended.is_none())
                && std::time::Instant::now() < until
            {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Running {
    pub(crate) async fn start(data: &Path, port: u16) -> Self {
        let mut command = backend(data);
        command.args([
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--broker-port",
            "0",
        ]);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let running = Self {
            child,
            data: data.to_owned(),
            url,
        };
        let ready = format!("{}/readyz", running.url);
        wait::until("the backend is ready", READY_WITHIN, async || {
            reqwest::get(&ready)
                .await
                .is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        running
    }

    /// A request with the token.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let token = std::fs::read_to_string(self.data.join("secrets/api-token")).unwrap();
        Client::new()
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(token)
    }

    /// Asks it to stop and returns whether it ended well.
    #[cfg(unix)]
    pub(crate) async fn terminate(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut status = None;
        wait::until("the backend ended", READY_WITHIN, async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().success()
    }
}

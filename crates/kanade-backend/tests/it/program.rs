//! The program as an operator starts it: what it says when it cannot start, and how it stops.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use kanade_testkit::{nats, ports, wait};

/// Longest start of a debug build on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

fn backend(data: &Path) -> Command {
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

/// What is told on standard error, without log lines, folders and ports.
fn told(output: &Output, data: &Path) -> String {
    let text = String::from_utf8_lossy(&output.stderr).replace(&data.display().to_string(), "DATA");
    let lines = text.lines().skip_while(|line| !line.starts_with("error:"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Ends the process when a test fails half-way.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Running {
    async fn start(data: &Path, port: u16) -> Self {
        let mut command = backend(data);
        command.args([
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--broker-port",
            "0",
        ]);
        let running = Self(command.stderr(Stdio::null()).spawn().unwrap());
        let url = format!("http://127.0.0.1:{port}/readyz");
        wait::until("the backend is ready", READY_WITHIN, async || {
            reqwest::get(&url)
                .await
                .is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        running
    }

    /// Asks it to stop and returns whether it ended well.
    async fn terminate(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut status = None;
        wait::until("the backend ended", READY_WITHIN, async || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().success()
    }
}

#[tokio::test]
async fn a_port_in_use_is_one_plain_sentence_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = backend(folder.path())
        .args(["--listen", &address])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let port = address.rsplit(':').next().unwrap();
    let text = told(&output, folder.path()).replace(port, "PORT");
    insta::assert_snapshot!(text, @"
    error: port PORT is in use by another program, so the API cannot listen on 127.0.0.1:PORT
      try: stop that program, or choose another port with `--listen 127.0.0.1:PORT`
    ");
}

#[test]
fn settings_that_cannot_be_end_with_the_code_for_usage() {
    let folder = tempfile::tempdir().unwrap();
    let output = backend(folder.path())
        .args(["--listen", "0.0.0.0:8443"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(told(&output, folder.path()), @"error: `listen` is 0.0.0.0:8443, which others than this machine can reach in clear text; listen on 127.0.0.1, or set `insecure = true` where the network is trusted");
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_backend_is_refused_and_the_first_stops_in_order_with_its_broker() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let first = Running::start(data, ports::free()).await;
    let mut second = backend(data);
    let output = second
        .args(["--listen", "127.0.0.1:0", "--broker-port", "0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(told(&output, data), @"
    error: the database DATA/kanade.db is in use by another backend
      try: stop the other backend, or use another data folder
    ");
    let broker = std::fs::read_to_string(data.join("broker/nats-server.pid")).unwrap();
    assert!(first.terminate().await);
    assert!(
        !Path::new(&format!("/proc/{}", broker.trim())).exists(),
        "its broker has ended"
    );
    // What it left behind is enough to start again.
    let again = Running::start(data, ports::free()).await;
    assert!(again.terminate().await);
}

#[test]
fn a_plan_says_by_its_exit_code_whether_something_differs() {
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = |verb: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kanade-backend"));
        command.env_clear().env(nats::BINARY, nats::binary()).args([
            "bootstrap",
            verb,
            "--data-dir",
        ]);
        command
            .arg(folder.path())
            .args(["--broker-port", "0"])
            .output()
            .unwrap()
    };
    assert_eq!(bootstrap("plan").status.code(), Some(7));
    assert_eq!(bootstrap("apply").status.code(), Some(0));
    let settled = bootstrap("plan");
    assert_eq!(
        settled.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&settled.stdout)
    );
}

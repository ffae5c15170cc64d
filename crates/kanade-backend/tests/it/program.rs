//! The program as an operator starts it: what it says when it cannot start, and how it stops.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use kanade_testkit::{nats, ports};

use crate::running::{Running, backend};

/// What is told on standard error, without log lines, folders and ports.
fn told(output: &Output, data: &Path) -> String {
    let text = String::from_utf8_lossy(&output.stderr).replace(&data.display().to_string(), "DATA");
    let lines = text.lines().skip_while(|line| !line.starts_with("error:"));
    lines.collect::<Vec<_>>().join("\n")
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

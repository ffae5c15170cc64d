//! A simulated fleet as a process of its own, watched by its figures.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use kanade_testkit::process::program;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// What a line of figures says.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Line {
    pub(super) live: u64,
    pub(super) connected: u64,
    pub(super) rss_bytes: u64,
    pub(super) cpu_ms: u64,
    pub(super) losses: u64,
}

/// A running `kanade-sim agents`; dropping it kills it.
pub(super) struct Simulated {
    child: Child,
    agents: u64,
    lines: watch::Receiver<Line>,
}

impl Simulated {
    pub(super) fn start(agents: u64, join: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(program("kanade-sim"))
            .args(["agents", "--output", "json", "--n"])
            .arg(agents.to_string())
            .arg("--join")
            .arg(join)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program can be started");
        let out = child.stdout.take().expect("standard output is piped");
        let (told, lines) = watch::channel(Line::default());
        tokio::spawn(async move {
            let mut read = BufReader::new(out).lines();
            while let Ok(Some(text)) = read.next_line().await {
                if let Ok(line) = serde_json::from_str(&text) {
                    told.send_replace(line);
                }
            }
        });
        Self {
            child,
            agents,
            lines,
        }
    }

    pub(super) fn now(&self) -> Line {
        *self.lines.borrow()
    }

    /// Waits until all agents act on what they hear; how long that took.
    pub(super) async fn all_live(&mut self, within: Duration) -> Duration {
        let begun = Instant::now();
        let agents = self.agents;
        self.wait_for(within, |line| line.live >= agents).await;
        begun.elapsed()
    }

    /// Waits until some agent has lost its connection.
    pub(super) async fn any_lost(&mut self, within: Duration) {
        let agents = self.agents;
        self.wait_for(within, |line| line.live < agents).await;
    }

    async fn wait_for(&mut self, within: Duration, holds: impl Fn(&Line) -> bool) {
        let mut lines = self.lines.clone();
        match tokio::time::timeout(within, lines.wait_for(|line| holds(line))).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => panic!("the simulated fleet ended by itself"),
            Err(_) => panic!(
                "the simulated fleet is not so after {within:?}: {:?}",
                self.now()
            ),
        }
    }

    pub(super) async fn stop(mut self) {
        self.child.kill().await.ok();
    }
}

//! A running `kanade-sim agents` beside a test's backend.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use kanade_shared::api::execs::ExecView;
use kanade_shared::api::system::SystemView;
use kanade_testkit::fleet::{Fleet, script};
use kanade_testkit::process::Process;
use kanade_testkit::wait;

/// What a loaded machine may take for what takes a second.
pub(crate) const WITHIN: Duration = Duration::from_secs(90);

/// The simulated fleet's process.
pub(crate) struct Sim {
    process: Process,
    log: PathBuf,
}

impl Sim {
    /// Starts agents named `prefix`-00001 and so on, with more arguments.
    pub(crate) fn start(fleet: &Fleet, prefix: &str, agents: u32, more: &[&str]) -> Self {
        let log = fleet.folder().join(format!("{prefix}.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_kanade-sim"));
        command
            .args(["agents", "--n", &agents.to_string(), "--prefix", prefix])
            .arg("--join")
            .arg(fleet.backend.join_file())
            .args(more);
        let process = Process::start(&mut command, &log);
        Self { process, log }
    }

    /// Starts them and waits until the backend has so many online in all.
    pub(crate) async fn up(fleet: &Fleet, prefix: &str, agents: u32, more: &[&str]) -> Self {
        let sim = Self::start(fleet, prefix, agents, more);
        wait::until("the simulated agents are live", WITHIN, async || {
            sim.text().contains(&format!("{agents} live"))
        })
        .await;
        wait::until("the backend knows them", WITHIN, async || {
            let system: SystemView = fleet.backend.get("system").await;
            system.agents_online >= u64::from(agents)
        })
        .await;
        sim
    }

    /// What it has written so far.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops it in order, and gives all that it has written.
    pub(crate) async fn stop(self) -> String {
        let log = self.log.clone();
        self.process.stop().await;
        std::fs::read_to_string(log).expect("the program has written something")
    }
}

/// Runs a short script on all PCs, to the end.
pub(crate) async fn run_on_all(fleet: &Fleet) -> ExecView {
    let exec = fleet.run(script("true"), &["all"]).await;
    fleet.backend.ended(exec.exec_id, WITHIN).await
}

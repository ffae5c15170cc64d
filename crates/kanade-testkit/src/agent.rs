//! A real agent as a process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Process, program};

/// An agent: running, stopped or killed; its data folder stays.
#[derive(Debug)]
pub struct Agent {
    process: Option<Process>,
    pc_id: String,
    folder: PathBuf,
    join_file: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Agent {
    /// Starts one with its data below `folder`.
    pub fn start(pc_id: &str, folder: &Path, join_file: &Path) -> Self {
        Self::start_in(pc_id, folder, join_file, Vec::new())
    }

    /// Starts one with more in its environment, now and each time it is started again.
    pub fn start_in(
        pc_id: &str,
        folder: &Path,
        join_file: &Path,
        environment: Vec<(OsString, OsString)>,
    ) -> Self {
        let mut agent = Self {
            process: None,
            pc_id: pc_id.to_owned(),
            folder: folder.to_path_buf(),
            join_file: join_file.to_path_buf(),
            environment,
        };
        agent.start_again();
        agent
    }

    /// Starts it again after a stop or a kill.
    pub fn start_again(&mut self) {
        let mut command = Command::new(program("kanade-agent"));
        command
            .arg("run")
            .args(["--data-dir".as_ref(), self.data().as_os_str()])
            .args(["--join".as_ref(), self.join_file.as_os_str()])
            .args(["--id", &self.pc_id])
            .envs(self.environment.iter().cloned());
        let log = self.folder.join(format!("agent-{}.log", self.pc_id));
        self.process = Some(Process::start(&mut command, &log));
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join(format!("agent-{}", self.pc_id))
    }

    /// The PC.
    pub fn pc_id(&self) -> &str {
        &self.pc_id
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::runs)
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("the agent runs").id()
    }

    /// Kills the agent alone, as a crash would.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill9();
        }
    }

    /// Stops it in order.
    ///
    /// # Panics
    /// When it doesn't stop.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }
}

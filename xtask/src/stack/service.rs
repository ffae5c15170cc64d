//! One long-running program: started with its output in a file, watched, stopped politely.
//!
//! Each runs in a process group of its own, so that Ctrl-C on the terminal reaches only this
//! program, which then stops them in order. Its process number is kept beside its log: what a
//! killed `up` left behind is found by it and stopped at the next start.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::LOOK_AGAIN;
use crate::process::last_lines;

/// A running program; it is stopped when this is dropped.
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    log: PathBuf,
    process_file: PathBuf,
    stops_within: Duration,
}

impl Service {
    /// Starts `command` with its output in `<logs>/<name>.log`; the last run's is kept as `.old`.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        logs: &Path,
        stops_within: Duration,
    ) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        // Absent at the first start.
        fs::rename(&log, logs.join(format!("{name}.log.old"))).ok();
        let output =
            File::create(&log).with_context(|| format!("could not make `{}`", log.display()))?;
        let errors = output.try_clone().context("could not share a log file")?;
        own_process_group(command);
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn();
        let child = child.with_context(|| {
            format!(
                "could not start `{}`",
                command.get_program().to_string_lossy()
            )
        })?;
        let process_file = process_file(logs, name);
        // Only the clean-up after a killed `up` is lost without it.
        fs::write(&process_file, child.id().to_string()).ok();
        Ok(Self {
            name,
            child,
            log,
            process_file,
            stops_within,
        })
    }

    /// Fails with the program's last words when it has ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("the {} ended ({status}){}", self.name, self.last_words()),
        }
    }

    /// The end of the log, as the rest of a sentence.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let lines = last_lines(&String::from_utf8_lossy(&text));
        match lines.as_str() {
            "" => format!("; `{}` is empty", self.log.display()),
            lines => format!("; the end of `{}`:\n{lines}", self.log.display()),
        }
    }

    /// Asks the program to end and waits; kills it when it takes too long. True if it ended.
    pub(crate) fn stop(&mut self) -> bool {
        let asked = self.ended().is_ok_and(|ended| ended.is_some()) || {
            ask_to_end(&mut self.child);
            let until = Instant::now() + self.stops_within;
            loop {
                match self.ended() {
                    Ok(Some(_)) => break true,
                    Ok(None) if Instant::now() < until => thread::sleep(LOOK_AGAIN),
                    Ok(None) | Err(_) => break false,
                }
            }
        };
        if !asked {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        fs::remove_file(&self.process_file).ok();
        asked
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("could not look after the {}", self.name))
    }

    /// Stops what an earlier, killed run left behind under that name.
    pub(super) fn stop_leftover(name: &str, logs: &Path, within: Duration) {
        let file = process_file(logs, name);
        if let Some(process) = fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.parse().ok())
        {
            leftover::stop(name, process, within);
        }
        fs::remove_file(&file).ok();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

fn process_file(logs: &Path, name: &str) -> PathBuf {
    logs.join(format!("{name}.process"))
}

#[cfg(unix)]
fn own_process_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_process_group(_command: &mut Command) {}

#[cfg(unix)]
fn ask_to_end(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process};
    // A failure means that it has ended, which the wait notices.
    if let Some(process) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        kill_process(process, Signal::TERM).ok();
    }
}

#[cfg(not(unix))]
fn ask_to_end(child: &mut Child) {
    // There is no polite way without a window or a shared console.
    child.kill().ok();
}

/// Only Linux tells by `/proc` whether a number still belongs to the program it was written for.
#[cfg(target_os = "linux")]
mod leftover {
    use super::*;

    pub(super) fn stop(name: &str, process: i32, within: Duration) {
        use rustix::process::{Pid, Signal, kill_process};
        let Some(pid) = Pid::from_raw(process) else {
            return;
        };
        if !is_ours(name, process) {
            return;
        }
        kill_process(pid, Signal::TERM).ok();
        let until = Instant::now() + within;
        while is_ours(name, process) {
            if Instant::now() > until {
                kill_process(pid, Signal::KILL).ok();
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// `agent-2` is an agent.
    fn is_ours(name: &str, process: i32) -> bool {
        let name = name.split('-').next().unwrap_or(name);
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let program = command.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(program).ends_with(&format!("kanade-{name}"))
    }
}

#[cfg(not(target_os = "linux"))]
mod leftover {
    use super::*;

    pub(super) fn stop(_name: &str, _process: i32, _within: Duration) {}
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str, logs: &Path) -> Service {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Service::start("agent", &mut command, logs, Duration::from_secs(20)).unwrap()
    }

    #[test]
    fn a_program_that_ended_is_told_with_its_last_words() {
        let logs = tempfile::tempdir().unwrap();
        let mut service = shell("echo the disk is full; exit 3", logs.path());
        service.child.wait().unwrap();
        let error = service.must_run().unwrap_err().to_string();
        assert!(
            error.starts_with("the agent ended (exit status: 3)"),
            "{error}"
        );
        assert!(error.ends_with("the disk is full"), "{error}");
    }

    #[test]
    fn a_program_is_asked_to_end_before_it_is_killed() {
        let logs = tempfile::tempdir().unwrap();
        let script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done";
        let mut service = shell(script, logs.path());
        while fs::read(&service.log).unwrap().is_empty() {
            thread::sleep(LOOK_AGAIN);
        }
        assert!(service.stop());
        assert_eq!(fs::read_to_string(&service.log).unwrap(), "up\nbye\n");
    }
}

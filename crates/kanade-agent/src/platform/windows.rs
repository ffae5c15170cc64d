//! Windows: job objects, private folders, the console's code page.
//!
//! A run's first process is created suspended and put into a job object before its first
//! instruction. While the run is supervised the job ends with its last handle: if the agent dies,
//! the kernel ends the whole tree at once, so a later life finds at most the first process of a
//! start that broke in the middle. After a normal exit that rule is taken off, and what the program
//! left running on purpose lives on.
//!
//! There is no polite stop: a program without a console window hears none. A stop ends the job.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use windows_sys::Win32::System::Threading::{CREATE_NO_WINDOW, CREATE_SUSPENDED};

use super::{Argument, Launch, Launched, Leftovers, Platform, ProcessMark, ProcessTree};
use job::Job;

mod job;
mod system;

pub(super) use system::{
    boot_id, create_private, create_private_dir, decode_console, disk_free, host_name, sync_dir,
};

/// How long a kill waits for processes to vanish.
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The platform type of this system.
pub(super) type Current = Windows;

/// Windows 10, Server 2016 and newer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Windows;

impl Windows {
    /// The one kind there is.
    #[must_use]
    pub fn detect() -> Self {
        Self
    }
}

impl Platform for Windows {
    fn find_program(&self, name: &str, path: Option<&str>) -> Option<PathBuf> {
        let file = format!("{name}.exe");
        let system = std::env::var_os("SystemRoot").map(|root| Path::new(&root).join("System32"));
        // The system's own first: a folder in `PATH` that others may write must not replace them.
        let own = system
            .into_iter()
            .flat_map(|folder| [folder.join("WindowsPowerShell\\v1.0"), folder]);
        let own = own.filter(|_| matches!(name, "cmd" | "powershell"));
        let listed = path
            .unwrap_or_default()
            .split(';')
            .map(|entry| entry.trim_matches('"'));
        let listed = listed
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute());
        own.chain(listed)
            .map(|folder| folder.join(&file))
            .find(|candidate| candidate.is_file())
    }

    fn launch(&self, launch: &Launch) -> io::Result<Launched> {
        let job = Job::new()?;
        let mut command = suspended_command(launch)?;
        let child = command.spawn()?;
        // Dropping the child on an error kills it: it has not run yet.
        let gone = || io::Error::other("the child was gone at once");
        let handle = child.raw_handle().ok_or_else(gone)?;
        job.assign(handle)?;
        let mark = ProcessMark {
            run: launch.run.clone(),
            pid: child.id().ok_or_else(gone)?,
            started: job::started(handle)?,
            // The start is a point on the wall clock, so the boot is not needed to compare it.
            boot_id: boot_id().unwrap_or_default(),
            cgroup: None,
        };
        let tree = Tree {
            job,
            pid: mark.pid,
            released: AtomicBool::new(false),
        };
        Ok(Launched {
            child,
            mark,
            tree: Arc::new(tree),
        })
    }

    fn kill_leftovers(&self, mark: &ProcessMark) -> Leftovers {
        if boot_id().unwrap_or_default() != mark.boot_id {
            return Leftovers::default();
        }
        job::kill_if_same(mark.pid, mark.started, PATIENCE)
    }

    fn sweep(&self) {}
}

fn suspended_command(launch: &Launch) -> io::Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(&launch.program);
    for argument in &launch.args {
        match argument {
            Argument::Plain(text) => command.arg(text),
            Argument::Verbatim(text) => command.raw_arg(text),
        };
    }
    command.env_clear().envs(&launch.env);
    if let Some(folder) = &launch.cwd {
        command.current_dir(folder);
    }
    match &launch.stdin {
        Some(path) => command.stdin(File::open(path)?),
        None => command.stdin(Stdio::null()),
    };
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.creation_flags(CREATE_SUSPENDED | CREATE_NO_WINDOW);
    Ok(command)
}

/// The processes of one run; ended with it unless it is let go.
struct Tree {
    job: Job,
    pid: u32,
    released: AtomicBool,
}

impl ProcessTree for Tree {
    fn release(&self) -> io::Result<()> {
        if self.released.swap(true, Ordering::Relaxed) {
            return Err(io::Error::other("the program was released before"));
        }
        job::resume(self.pid)
    }

    fn ask_to_stop(&self) -> bool {
        false
    }

    fn group_alive(&self) -> bool {
        self.job.active() > 0
    }

    fn kill(&self) -> Leftovers {
        let killed = self.job.active();
        self.job.terminate();
        let deadline = Instant::now() + PATIENCE;
        while self.job.active() > 0 && Instant::now() < deadline {
            std::thread::sleep(BETWEEN_LOOKS);
        }
        Leftovers {
            killed,
            survivors: self.job.active(),
        }
    }

    fn let_go(&self) {
        self.job.outlive();
    }
}

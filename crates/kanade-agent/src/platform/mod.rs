//! The operating system: the only place with OS calls and `unsafe`.
//!
//! [`Platform`] is what a run needs of a system: find a program, start a child that *waits*,
//! let it go, end it with all that came of it, and find again after a crash what was left. The
//! free functions below it are what the rest of the agent needs: private files, durable folders,
//! disk room, names.
//!
//! **Invariant:** a child that was launched runs nothing of its program before
//! [`ProcessTree::release`]; if the agent dies before that, the child ends by itself.
//! **Invariant:** a process is only ever signalled after its identity was checked (boot, start
//! time, group or marker), so a reused process id hits nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

mod files;
mod host;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::Unix;
#[cfg(windows)]
pub use windows::Windows;

#[cfg(unix)]
use unix as os;
#[cfg(windows)]
use windows as os;

pub use host::{give_memory_back, keep_memory_small, os_family, resident_bytes, since_boot};

pub use files::{create_private, create_private_dir, sync_dir, write_private};

/// Environment variable that marks every process of a run; its value is the run's request id.
pub const RUN_MARKER: &str = "KANADE_RUN";

/// A program to start, held until it is released.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Which run it belongs to; goes into [`ProcessMark::run`].
    pub run: String,
    /// The program's full path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<Argument>,
    /// Its whole environment; nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Its working folder; absent: the agent's.
    pub cwd: Option<PathBuf>,
    /// File that it reads as standard input; absent: empty.
    pub stdin: Option<PathBuf>,
}

/// An argument, and how it is put on a command line where the system has only one string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// Arrives as it is.
    Plain(String),
    /// Put on a Windows command line without any quoting; elsewhere the same as plain.
    Verbatim(String),
}

/// A child that was started, and its pipes.
pub struct Launched {
    /// The first process; its standard output and error are pipes.
    pub child: tokio::process::Child,
    /// What finds it again after a crash.
    pub mark: ProcessMark,
    /// All that comes of it.
    pub tree: Arc<dyn ProcessTree>,
}

impl fmt::Debug for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launched")
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}

/// What identifies a run's processes, also to a later life of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// The run's request id, which its processes carry in [`RUN_MARKER`].
    pub run: String,
    /// Id of the first process, which leads its session and group.
    pub pid: u32,
    /// When it started, in the system's own count since boot (clock ticks on Linux, 100 ns units
    /// of the wall clock on Windows); only good for comparing.
    pub started: u64,
    /// The boot that all of this is about.
    pub boot_id: String,
    /// Folder of the run's cgroup, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
}

/// What a kill of a whole tree came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Processes that were killed.
    pub killed: usize,
    /// Processes that were still there when patience ended (stuck in the kernel, or not ours to
    /// kill).
    pub survivors: usize,
}

/// The processes of one run. The methods block for milliseconds; [`ProcessTree::kill`] may take
/// seconds.
pub trait ProcessTree: Send + Sync {
    /// Lets the program begin.
    ///
    /// # Errors
    /// The child is gone, or the system refuses.
    fn release(&self) -> io::Result<()>;

    /// Asks the group to stop; false where the system has no polite way. Call it only while the
    /// first process has not been waited for.
    fn ask_to_stop(&self) -> bool;

    /// Whether anything of the first process's group lives.
    fn group_alive(&self) -> bool;

    /// Kills the first process and all that came of it, and waits for their end.
    fn kill(&self) -> Leftovers;

    /// Ends the supervision after a normal exit: what the program left running on purpose lives
    /// on.
    fn let_go(&self);
}

/// What a run needs of the operating system.
pub trait Platform: Send + Sync + fmt::Debug {
    /// Full path of a program that is installed, searched in `path` (the value of `PATH`).
    fn find_program(&self, name: &str, path: Option<&str>) -> Option<PathBuf>;

    /// Starts a program that waits for [`ProcessTree::release`]. Needs a tokio runtime; blocks for
    /// milliseconds.
    ///
    /// # Errors
    /// The system can't start it (no such folder, no rights, too many processes, too long a
    /// command line).
    fn launch(&self, launch: &Launch) -> io::Result<Launched>;

    /// Kills what is left of a run of an earlier life of the agent. After a reboot, and when
    /// nothing is left, nothing is done. May block for seconds.
    fn kill_leftovers(&self, mark: &ProcessMark) -> Leftovers;

    /// Removes what earlier lives of the agent left in the system (empty cgroups). Call it at the
    /// start, before the first run.
    fn sweep(&self);
}

/// The platform that this program runs on.
#[must_use]
pub fn current() -> Arc<dyn Platform> {
    Arc::new(os::Current::detect())
}

/// Id of this boot of the machine.
///
/// # Errors
/// The system doesn't tell.
pub fn boot_id() -> io::Result<String> {
    os::boot_id()
}

/// Bytes that may still be written to the disk that holds `path`.
///
/// # Errors
/// The path does not exist, or the system doesn't tell.
pub fn disk_free(path: &Path) -> io::Result<u64> {
    os::disk_free(path)
}

/// The machine's own name, as it is.
///
/// # Errors
/// The system doesn't tell.
pub fn host_name() -> io::Result<String> {
    os::host_name()
}

/// Text of what a program wrote: UTF-8 if it is that, else the console's code page on Windows,
/// elsewhere UTF-8 with replacement characters.
#[must_use]
pub fn decode_output(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => os::decode_console(bytes),
    }
}

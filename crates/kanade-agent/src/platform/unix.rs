//! Unix: sessions, signals and, on Linux, `/proc` and cgroups.
//!
//! A run's first process leads a session of its own. It starts as a tiny `sh` that reads one line
//! from the agent and then becomes the program; end-of-file instead of the line (the agent died or
//! thought better of it) ends it. So a child that was launched has done nothing until it is
//! released, and what the journal says of it is true from the first instruction on.
//!
//! A kill ends the cgroup where there is one, and then everything that is recognised as the run's:
//! its session and group, whatever carries its marker in the environment, and the descendants of
//! those. A process that leaves session, cgroup *and* drops the marker and its parent is not found.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, PipeWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal};

use super::{Argument, Launch, Launched, Leftovers, Platform, ProcessMark, ProcessTree};

mod cgroup;
mod processes;

/// Waits for its line, takes the file of its first argument as input, and becomes the rest.
const GATE: &str = r#"IFS= read -r go && [ "$go" = go ] || exit 125
stdin=$1
shift
exec "$@" <"$stdin""#;
const GATE_LINE: &[u8] = b"go\n";
const GATE_SHELL: &str = "/bin/sh";

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The platform type of this system.
pub(super) type Current = Unix;

/// Linux and its relatives.
#[derive(Debug, Clone)]
pub struct Unix {
    /// Folder in which a cgroup per run can be made.
    cgroups: Option<PathBuf>,
}

impl Unix {
    /// Uses cgroups if the agent may make some.
    #[must_use]
    pub fn detect() -> Self {
        Self {
            cgroups: cgroup::detect(),
        }
    }

    /// Does without cgroups.
    #[must_use]
    pub fn without_cgroups() -> Self {
        Self { cgroups: None }
    }

    /// Whether each run gets a cgroup.
    #[must_use]
    pub fn has_cgroups(&self) -> bool {
        self.cgroups.is_some()
    }
}

impl Platform for Unix {
    fn find_program(&self, name: &str, path: Option<&str>) -> Option<PathBuf> {
        path.unwrap_or(DEFAULT_PATH)
            .split(':')
            .filter(|folder| folder.starts_with('/'))
            .map(|folder| Path::new(folder).join(name))
            .find(|candidate| is_executable(candidate))
    }

    fn launch(&self, launch: &Launch) -> io::Result<Launched> {
        let (gate, opener) = io::pipe()?;
        let mut command = gate_command(launch);
        command.stdin(gate);
        let child = command.spawn()?;
        // The gate's end of the pipe lives in the command; kept open here it would hide the
        // agent's end from the child.
        drop(command);
        let mark = self.mark(launch, &child)?;
        let tree = Tree {
            mark: mark.clone(),
            opener: Mutex::new(Some(opener)),
        };
        Ok(Launched {
            child,
            mark,
            tree: Arc::new(tree),
        })
    }

    fn kill_leftovers(&self, mark: &ProcessMark) -> Leftovers {
        match boot_id() {
            Ok(boot) if boot == mark.boot_id => kill_tree(mark),
            Ok(_) | Err(_) => Leftovers::default(),
        }
    }

    fn sweep(&self) {
        if let Some(folder) = &self.cgroups {
            cgroup::sweep(folder);
        }
    }
}

impl Unix {
    /// Notes the child, and puts it into a cgroup if there are any.
    fn mark(&self, launch: &Launch, child: &tokio::process::Child) -> io::Result<ProcessMark> {
        let gone = || io::Error::other("the child was gone at once");
        let pid = child.id().ok_or_else(gone)?;
        Ok(ProcessMark {
            run: launch.run.clone(),
            pid,
            started: processes::started(pid).ok_or_else(gone)?,
            boot_id: boot_id()?,
            cgroup: self
                .cgroups
                .as_ref()
                .and_then(|folder| cgroup::join_new(folder, pid)),
        })
    }
}

fn gate_command(launch: &Launch) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(GATE_SHELL);
    command.args(["-c", GATE, "kanade-gate"]);
    command.arg(launch.stdin.as_deref().unwrap_or(Path::new("/dev/null")));
    command.arg(&launch.program);
    for Argument::Plain(text) | Argument::Verbatim(text) in &launch.args {
        command.arg(text);
    }
    command.env_clear().envs(&launch.env);
    if let Some(folder) = &launch.cwd {
        command.current_dir(folder);
    }
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    lead_a_session(&mut command);
    command
}

/// Makes the child the leader of a new session and group, away from the agent's terminal.
#[expect(unsafe_code, reason = "the standard library starts no sessions")]
fn lead_a_session(command: &mut tokio::process::Command) {
    // SAFETY: between fork and exec only setsid(2) runs, which is async-signal-safe; the error
    // is made from a number, without allocation.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}

/// The processes of one run; the pipe to the gate until it is released.
struct Tree {
    mark: ProcessMark,
    opener: Mutex<Option<PipeWriter>>,
}

impl Tree {
    fn opener(&self) -> Option<PipeWriter> {
        self.opener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn group(&self) -> Option<Pid> {
        i32::try_from(self.mark.pid).ok().and_then(Pid::from_raw)
    }
}

impl ProcessTree for Tree {
    fn release(&self) -> io::Result<()> {
        match self.opener() {
            // Three bytes into an empty pipe: never blocks.
            Some(mut opener) => opener.write_all(GATE_LINE),
            None => Err(io::Error::other("the program was released before")),
        }
    }

    fn ask_to_stop(&self) -> bool {
        self.group()
            .is_some_and(|group| rustix::process::kill_process_group(group, Signal::TERM).is_ok())
    }

    fn group_alive(&self) -> bool {
        let signalled = |group| rustix::process::test_kill_process_group(group).is_ok();
        // A signal finds also who has ended and waits for its parent, such as an orphan in a
        // container whose first process waits for nobody; only the table tells them apart.
        self.group().is_some_and(signalled) && processes::group_lives(self.mark.pid)
    }

    fn kill(&self) -> Leftovers {
        drop(self.opener());
        kill_tree(&self.mark)
    }

    fn let_go(&self) {
        if let Some(folder) = &self.mark.cgroup {
            // Fails while something lives in it; the next start of the agent sweeps it then.
            cgroup::remove(folder);
        }
    }
}

fn kill_tree(mark: &ProcessMark) -> Leftovers {
    let in_cgroup = mark.cgroup.as_deref().map(cgroup::kill).unwrap_or_default();
    let leftovers = processes::kill_all(mark, in_cgroup);
    if let Some(folder) = &mark.cgroup {
        cgroup::remove_after_kill(folder);
    }
    leftovers
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

pub(super) fn create_private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    // Also for a new folder: the process's umask may have taken rights away.
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700))
}

pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(target_os = "linux")]
pub(super) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn boot_id() -> io::Result<String> {
    let output = std::process::Command::new("/usr/sbin/sysctl")
        .args(["-n", "kern.bootsessionuuid"])
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub(super) fn disk_free(path: &Path) -> io::Result<u64> {
    let room = rustix::fs::statvfs(path)?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

pub(super) fn host_name() -> io::Result<String> {
    let names = rustix::system::uname();
    Ok(OsStr::to_string_lossy(os_str(names.nodename())).into_owned())
}

fn os_str(name: &std::ffi::CStr) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes())
}

pub(super) fn decode_console(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

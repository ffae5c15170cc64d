//! A cgroup (v2) per run, where the agent may make one.
//!
//! Membership is inherited and can't be shed by `setsid` or a double fork, so a kill by cgroup
//! misses nothing but what was moved on purpose. No limits are set. Without a writable cgroup the
//! agent does without, silently: the walk over `/proc` finds nearly as much.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the end of killed processes is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

const PREFIX: &str = "kanade-run-";

/// Folder in which the agent may make cgroups: its own, if it is writable.
pub(super) fn detect() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let folder = own_folder(&mounts, &own)?;
    let probe = make(&folder)?;
    // Killing by cgroup came with Linux 5.14; without it there is little to gain.
    let usable = probe.join("cgroup.kill").exists();
    remove(&probe);
    usable.then_some(folder)
}

/// Where the unified hierarchy is mounted, joined with the agent's place in it.
fn own_folder(mountinfo: &str, own: &str) -> Option<PathBuf> {
    let mount_point = mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        right
            .starts_with("cgroup2 ")
            .then(|| left.split(' ').nth(4))
            .flatten()
    })?;
    let place = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    // An agent that is in a run's cgroup (started by a script) makes its own beside it.
    let place = match place.find(PREFIX) {
        Some(at) => &place[..at],
        None => place,
    };
    Some(Path::new(mount_point).join(place.trim_matches('/')))
}

fn make(folder: &Path) -> Option<PathBuf> {
    let path = folder.join(format!("{PREFIX}{}", uuid::Uuid::now_v7().simple()));
    fs::create_dir(&path).ok().map(|()| path)
}

/// Makes a cgroup and moves a process into it; `None` if either is refused.
pub(super) fn join_new(folder: &Path, pid: u32) -> Option<PathBuf> {
    let path = make(folder)?;
    if fs::write(path.join("cgroup.procs"), pid.to_string()).is_err() {
        remove(&path);
        return None;
    }
    Some(path)
}

/// Kills all processes in it at once and says which they were. A folder that is gone, or that is
/// no run's, is left alone.
pub(super) fn kill(path: &Path) -> HashSet<u32> {
    if !is_a_runs(path) {
        return HashSet::new();
    }
    let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    match fs::write(path.join("cgroup.kill"), "1") {
        Ok(()) => members.lines().filter_map(|pid| pid.parse().ok()).collect(),
        Err(_) => HashSet::new(),
    }
}

/// Removes it if it is empty.
pub(super) fn remove(path: &Path) {
    if is_a_runs(path) {
        // Refused while a process lives in it, which is right.
        let _ = fs::remove_dir(path);
    }
}

/// Removes it as soon as what was killed in it has gone, or gives up: the next start sweeps it.
pub(super) fn remove_after_kill(path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while is_a_runs(path) && path.exists() && Instant::now() < deadline {
        remove(path);
        if path.exists() {
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
}

/// Removes the empty cgroups that earlier lives of the agent left.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        remove(&entry.path());
    }
}

/// The name is checked since the path may come from the journal.
fn is_a_runs(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "25 30 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
    const HYBRID: &str = "31 1 0:25 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
        32 31 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        33 31 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    fn check(mountinfo: &str, own: &str) -> Option<String> {
        own_folder(mountinfo, own).map(|path| path.to_string_lossy().into_owned())
    }

    #[test]
    fn a_services_cgroup_is_found() {
        let own = "0::/system.slice/kanade-agent.service\n";
        let expected = "/sys/fs/cgroup/system.slice/kanade-agent.service";
        assert_eq!(check(UNIFIED, own).as_deref(), Some(expected));
    }

    #[test]
    fn beside_the_old_hierarchies_the_new_one_is_found() {
        let own = "8:pids:/somewhere\n0::/\n";
        assert_eq!(
            check(HYBRID, own).as_deref(),
            Some("/sys/fs/cgroup/unified/")
        );
    }

    #[test]
    fn an_agent_that_a_run_started_does_not_nest_in_the_runs() {
        let own = "0::/agent/kanade-run-0193\n";
        assert_eq!(check(UNIFIED, own).as_deref(), Some("/sys/fs/cgroup/agent"));
    }

    #[test]
    fn without_the_unified_hierarchy_there_is_none() {
        assert_eq!(
            check(
                "31 1 0:25 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n",
                "8:pids:/x\n"
            ),
            None
        );
    }

    #[test]
    fn a_folder_that_is_no_runs_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        remove(folder.path());
        assert!(folder.path().exists());
    }
}

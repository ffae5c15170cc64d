//! Which processes belong to a run, and their end.
//!
//! [`belongs`] decides over a snapshot of the process table, without I/O; [`kill_all`] looks, kills
//! and looks again until nothing is left.
//!
//! **Invariant:** the agent itself and process 1 are never among the victims.
//! **Invariant:** between the look and the signal the process is pinned by a pidfd and its start
//! time compared, so an id that was given away meanwhile hits nobody.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};

use super::super::{Leftovers, ProcessMark, RUN_MARKER};

/// How long a kill waits for processes to vanish.
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// One line of the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    group: u32,
    session: u32,
    /// Clock ticks since boot.
    started: u64,
    /// Ended, and only waiting to be asked how.
    zombie: bool,
}

/// When a process started, in clock ticks since boot; `None` if there is none of this id.
pub(super) fn started(pid: u32) -> Option<u64> {
    read(pid).map(|process| process.started)
}

/// Whether a process of the group has not ended. Only Linux has the table; elsewhere anybody may.
pub(super) fn group_lives(group: u32) -> bool {
    let table = snapshot();
    table.is_empty() || lives_in(&table, group)
}

fn lives_in(table: &[Process], group: u32) -> bool {
    table.iter().any(|p| p.group == group && !p.zombie)
}

/// Kills all processes of a run and waits for their end.
///
/// `killed` are those that were killed already; they are counted once.
pub(super) fn kill_all(mark: &ProcessMark, mut killed: HashSet<u32>) -> Leftovers {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let table = snapshot();
        let marked = |pid| carries_marker(pid, &mark.run);
        let victims = belongs(&table, mark, std::process::id(), marked);
        if victims.is_empty() || Instant::now() >= deadline {
            return Leftovers {
                killed: killed.len(),
                survivors: victims.len(),
            };
        }
        for victim in victims {
            if kill(victim) {
                killed.insert(victim.pid);
            }
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// The living processes of a run.
///
/// The session and the group are the first process's as long as no *other* process has its id:
/// the kernel gives an id away only when no session and no group of that number is left.
fn belongs(
    table: &[Process],
    mark: &ProcessMark,
    own: u32,
    marked: impl Fn(u32) -> bool,
) -> Vec<Process> {
    let id_was_reused = table
        .iter()
        .any(|p| p.pid == mark.pid && p.started != mark.started);
    let in_group = |p: &Process| {
        !id_was_reused
            && p.started >= mark.started
            && (p.pid == mark.pid || p.session == mark.pid || p.group == mark.pid)
    };
    // Neither is a seed: all that lives descends from process 1, and all runs from the agent.
    let may_be = |p: &&Process| p.pid > 1 && p.pid != own;
    let seeds = table
        .iter()
        .filter(may_be)
        .filter(|p| in_group(p) || marked(p.pid));
    let mut found: HashSet<u32> = seeds.map(|p| p.pid).collect();
    // Descendants; parents may stand anywhere in the table.
    loop {
        let before = found.len();
        let children = table
            .iter()
            .filter(may_be)
            .filter(|p| found.contains(&p.parent));
        let children: Vec<u32> = children.map(|p| p.pid).collect();
        found.extend(children);
        if found.len() == before {
            break;
        }
    }
    table
        .iter()
        .filter(|p| found.contains(&p.pid) && !p.zombie)
        .copied()
        .collect()
}

fn kill(victim: Process) -> bool {
    let Some(pid) = i32::try_from(victim.pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    // Kernels before 5.3 have no pidfd; there the start time alone must do.
    let pinned = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    if started(victim.pid) != Some(victim.started) {
        return false;
    }
    match pinned {
        Ok(pinned) => rustix::process::pidfd_send_signal(pinned, Signal::KILL).is_ok(),
        Err(rustix::io::Errno::NOSYS) => rustix::process::kill_process(pid, Signal::KILL).is_ok(),
        Err(_) => false,
    }
}

fn snapshot() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

fn read(pid: u32) -> Option<Process> {
    // Not text: the program's name may hold any bytes.
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &String::from_utf8_lossy(&stat))
}

/// Fields 3, 4, 5, 6 and 22 of proc_pid_stat(5).
fn parse_stat(pid: u32, stat: &str) -> Option<Process> {
    // The name, in parentheses, may itself hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<u64>().ok())
    };
    let id = |index: usize| number(index).and_then(|n| u32::try_from(n).ok());
    Some(Process {
        pid,
        parent: id(1)?,
        group: id(2)?,
        session: id(3)?,
        started: number(19)?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
    })
}

fn carries_marker(pid: u32, run: &str) -> bool {
    let wanted = format!("{RUN_MARKER}={run}");
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
        environ
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: u32 = 50;

    fn mark() -> ProcessMark {
        ProcessMark {
            run: "r1".to_owned(),
            pid: 100,
            started: 1000,
            boot_id: "boot".to_owned(),
            cgroup: None,
        }
    }

    fn process(pid: u32, parent: u32, session: u32, started: u64) -> Process {
        Process {
            pid,
            parent,
            group: session,
            session,
            started,
            zombie: false,
        }
    }

    fn check(table: &[Process], marked: &[u32]) -> Vec<u32> {
        let mut found: Vec<u32> = belongs(table, &mark(), AGENT, |pid| marked.contains(&pid))
            .iter()
            .map(|p| p.pid)
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn the_whole_session_belongs_to_the_run() {
        let table = [
            process(100, AGENT, 100, 1000),
            process(101, 100, 100, 1001),
            process(7, 1, 7, 5),
        ];
        assert_eq!(check(&table, &[]), [100, 101]);
    }

    #[test]
    fn a_session_whose_leader_has_gone_still_belongs() {
        assert_eq!(check(&[process(101, 1, 100, 1001)], &[]), [101]);
    }

    #[test]
    fn children_in_sessions_of_their_own_belong_by_descent_or_marker() {
        let table = [
            process(103, 102, 103, 1003),
            process(102, 100, 102, 1002),
            process(100, AGENT, 100, 1000),
            process(200, 1, 200, 1500),
            process(201, 200, 201, 1501),
        ];
        assert_eq!(check(&table, &[200]), [100, 102, 103, 200, 201]);
    }

    #[test]
    fn a_reused_id_makes_nobody_a_victim() {
        let table = [process(100, 1, 100, 2000), process(101, 100, 100, 2001)];
        assert_eq!(check(&table, &[]), [0u32; 0]);
    }

    #[test]
    fn the_agent_and_the_dead_are_spared_also_if_marked() {
        let dead = Process {
            zombie: true,
            ..process(100, AGENT, 100, 1000)
        };
        let table = [
            dead,
            process(AGENT, 100, 100, 1001),
            process(1, 0, 1, 0),
            process(60, AGENT, 60, 1002),
        ];
        assert_eq!(check(&table, &[AGENT, 1]), [0u32; 0]);
    }

    #[test]
    fn a_group_of_the_dead_does_not_live() {
        let orphan = Process {
            zombie: true,
            ..process(101, 1, 100, 1001)
        };
        assert!(!lives_in(&[orphan, process(7, 1, 7, 5)], 100));
        assert!(lives_in(&[orphan, process(102, 1, 100, 1001)], 100));
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_is_read_right() {
        let stat = "42 (a) b (c) S 1 42 41 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        let read = parse_stat(42, stat).unwrap();
        assert_eq!(
            (read.parent, read.group, read.session, read.started),
            (1, 42, 41, 777)
        );
        assert!(!read.zombie);
    }

    #[test]
    fn the_running_program_finds_itself() {
        assert!(started(std::process::id()).is_some_and(|ticks| ticks > 0));
    }
}

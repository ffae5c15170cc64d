//! What the machine must give, looked at before anything starts.
//!
//! Each agent is a connection: a file, a local port, and memory here. [`raise_and_check`] raises
//! what the process may raise itself, and says what is missing, how much is needed, and how to
//! get it.

/// Memory of one simulated agent in this process, about, in bytes; measured at 10,000 with some
/// hundred results each.
pub const AGENT_BYTES: u64 = 128 * 1024;
/// Files that the process needs besides connections.
const OTHER_FILES: u64 = 128;
/// Local ports that others may have in use.
const OTHER_PORTS: u64 = 1_000;

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Files.
    #[error(
        "{agents} agents need {needed} open files, and this process may have {allowed}\n  try: \
         `ulimit -Hn {needed}` as root (or LimitNOFILE={needed} in a unit), or --n {fit}"
    )]
    Files {
        /// Agents that are wanted.
        agents: u32,
        /// Files for them.
        needed: u64,
        /// The hard limit.
        allowed: u64,
        /// Agents that fit.
        fit: u64,
    },
    /// Memory.
    #[error(
        "{agents} agents need about {needed_mib} MiB of memory, and {free_mib} MiB are free\n  \
         try: --n {fit}, or a part of the fleet on another machine (--first)"
    )]
    Memory {
        /// Agents that are wanted.
        agents: u32,
        /// Memory for them, in MiB.
        needed_mib: u64,
        /// What is there, in MiB.
        free_mib: u64,
        /// Agents that fit.
        fit: u64,
    },
    /// Local ports.
    #[error(
        "{agents} agents need as many local ports, and the system gives {ports} per broker \
         address\n  try: `sysctl net.ipv4.ip_local_port_range=\"1024 65535\"`, or --n {fit}"
    )]
    Ports {
        /// Agents that are wanted.
        agents: u32,
        /// Ports that there are.
        ports: u64,
        /// Agents that fit.
        fit: u64,
    },
}

/// What the machine has; `None` where it doesn't tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Machine {
    /// Files that this process may open.
    pub files: Option<u64>,
    /// Memory that is free, in bytes.
    pub memory: Option<u64>,
    /// Local ports for connections to one address.
    pub ports: Option<u64>,
}

/// Raises the limits that can be raised, and checks them for so many agents.
///
/// # Errors
/// [`Missing`] says what, and what to do.
pub fn raise_and_check(agents: u32) -> Result<(), Missing> {
    check(
        agents,
        &Machine::raised_for(u64::from(agents) + OTHER_FILES),
    )
}

fn check(agents: u32, machine: &Machine) -> Result<(), Missing> {
    let number = u64::from(agents);
    let needed = number + OTHER_FILES;
    if let Some(allowed) = machine.files.filter(|files| *files < needed) {
        let fit = allowed.saturating_sub(OTHER_FILES);
        return Err(Missing::Files {
            agents,
            needed,
            allowed,
            fit,
        });
    }
    let needed = number * AGENT_BYTES;
    if let Some(free) = machine.memory.filter(|free| *free < needed) {
        const MIB: u64 = 1024 * 1024;
        return Err(Missing::Memory {
            agents,
            needed_mib: needed / MIB,
            free_mib: free / MIB,
            fit: free / AGENT_BYTES,
        });
    }
    if let Some(ports) = machine.ports.filter(|ports| *ports < number + OTHER_PORTS) {
        let fit = ports.saturating_sub(OTHER_PORTS);
        return Err(Missing::Ports { agents, ports, fit });
    }
    Ok(())
}

impl Machine {
    #[cfg(unix)]
    fn raised_for(files: u64) -> Self {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|current| current < files) {
            let raised = limit.maximum.map_or(files, |most| most.min(files));
            let wanted = Rlimit {
                current: Some(raised),
                ..limit
            };
            if setrlimit(Resource::Nofile, wanted).is_ok() {
                limit.current = Some(raised);
            }
        }
        Self {
            files: limit.current,
            memory: free_memory(),
            ports: local_ports(),
        }
    }

    #[cfg(not(unix))]
    fn raised_for(_files: u64) -> Self {
        Self::default()
    }
}

#[cfg(unix)]
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(unix)]
fn local_ports() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut bounds = text.split_whitespace().map(str::parse::<u64>);
    let (low, high) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    Some(high.saturating_sub(low) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: Machine = Machine {
        files: Some(20_000),
        memory: Some(8 << 30),
        ports: Some(28_232),
    };

    #[test]
    fn a_roomy_machine_takes_ten_thousand() {
        assert_eq!(check(10_000, &ROOMY), Ok(()));
        assert_eq!(check(10_000, &Machine::default()), Ok(()));
    }

    #[test]
    fn what_is_missing_is_told_with_numbers_and_a_way_out() {
        let files = Machine {
            files: Some(1_024),
            ..ROOMY
        };
        let text = check(10_000, &files).unwrap_err().to_string();
        assert!(text.contains("10128") && text.contains("--n 896"), "{text}");
        let memory = Machine {
            memory: Some(1 << 30),
            ..ROOMY
        };
        let text = check(10_000, &memory).unwrap_err().to_string();
        assert!(
            text.contains("1250 MiB") && text.contains("1024 MiB"),
            "{text}"
        );
        let text = check(
            30_000,
            &Machine {
                files: None,
                ..ROOMY
            },
        )
        .unwrap_err();
        assert!(text.to_string().contains("--n 27232"), "{text}");
    }
}

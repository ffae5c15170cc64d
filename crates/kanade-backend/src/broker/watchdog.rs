//! Ends the broker when the backend is killed and can't do it itself.
//!
//! A shell that waits for its input to end. The backend holds the other end of that pipe and
//! never writes, so the input ends with the backend, however it ends. A broker that is left
//! behind all the same (no shell, another system) is replaced at the next start.

#[cfg(unix)]
use std::process::Stdio;

use tokio::process::Child;
#[cfg(unix)]
use tokio::process::Command;
#[cfg(unix)]
use tracing::debug;

/// Waits in the background until this process ends, and then asks process `pid` to end.
/// To be dropped as soon as `pid` has ended.
#[cfg(unix)]
pub(super) fn start(pid: u32) -> Option<Child> {
    let watchdog = Command::new("/bin/sh")
        .args(["-c", "read -r _; kill -TERM \"$0\""])
        .arg(pid.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C on the terminal is for the backend alone.
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    watchdog
        .inspect_err(|error| debug!(%error, "the broker has no watchdog"))
        .ok()
}

/// There is none for this system.
#[cfg(not(unix))]
pub(super) fn start(_: u32) -> Option<Child> {
    None
}

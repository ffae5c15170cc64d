//! The clocks of the shell: one that only goes forward, and the PC's own.

use chrono::{DateTime, Utc};
use kanade_agent_core::Mono;

use crate::platform;

/// Now, since the system's start, sleep included.
pub fn mono() -> Mono {
    let since_boot = platform::since_boot().unwrap_or_default();
    Mono(u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX))
}

/// Now, by the PC's own clock, which may be wrong and may jump: for what is only shown.
pub fn wall() -> DateTime<Utc> {
    Utc::now()
}

//! Facts about a PC; subject `inventory.<pc_id>.<job_id>`. The agent itself reports `hardware`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::PcId;

/// Job id under which the agent reports [`Hardware`].
pub const HARDWARE: &str = "hardware";

/// Hardware and system of a PC, sent at start and daily.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hardware {
    /// The PC; must be the one in the subject.
    pub pc_id: PcId,
    /// When it was read, by the PC's own clock.
    pub collected_at: DateTime<Utc>,
    /// Real host name.
    pub host_name: String,
    /// `linux`, `windows` or `macos`.
    pub os_family: String,
    /// Such as `Debian GNU/Linux`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_name: Option<String>,
    /// Such as `12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Kernel or build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// `x86_64` or `aarch64`.
    pub arch: String,
    /// Marketing name of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// Logical processors.
    pub cpu_count: u32,
    /// Memory, in bytes.
    pub ram_bytes: u64,
    /// Disks that are mounted.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// Network interfaces, without loopback.
    #[serde(default)]
    pub networks: Vec<Network>,
}

/// One mounted disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Disk {
    /// Device or drive.
    pub name: String,
    /// Where it is mounted.
    pub mounted_at: String,
    /// File system.
    pub file_system: String,
    /// Size, in bytes.
    pub size_bytes: u64,
    /// Room left, in bytes.
    pub free_bytes: u64,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Network {
    /// Interface.
    pub name: String,
    /// Hardware address.
    pub mac: String,
    /// Its addresses.
    #[serde(default)]
    pub addresses: Vec<String>,
}

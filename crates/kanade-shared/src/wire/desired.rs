//! What a PC should be: its desired document, and the brake of the fleet.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::id::{GroupId, JobId, PcId};
use crate::wire::command::Rev;

/// Key `<pc_id>` of the bucket `agent_desired`. An agent decides nothing before it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentDesired {
    /// Shape; a reader refuses one that is newer than it knows.
    pub v: u32,
    /// The PC it is for; must be the one in the key.
    pub pc_id: PcId,
    /// Which revision; an older one is refused.
    pub rev: Rev,
    /// When it was made, by the backend's clock.
    pub issued_at: DateTime<Utc>,
    /// When the PC became part of the fleet, by the database's clock.
    pub enrolled_at: DateTime<Utc>,
    /// Its groups, sorted.
    #[serde(default)]
    pub groups: Vec<GroupId>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Effective settings.
    #[serde(default)]
    pub settings: Settings,
}

/// Version of [`AgentDesired`] and [`Brake`] that this program writes.
pub const DESIRED_VERSION: u32 = 1;

/// Settings of an agent, all layers applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Time between heartbeats, in seconds, 5 to 3600.
    pub heartbeat_interval_s: u32,
    /// Commands that run at once, 1 to 256.
    pub max_concurrent_runs: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat_interval_s: 30,
            max_concurrent_runs: 8,
        }
    }
}

/// Key `brake` of the bucket `fleet_config`. Its absence is an answer: nothing is braked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    /// Shape; a reader refuses one that is newer than it knows.
    pub v: u32,
    /// Which revision; an older one is refused.
    pub rev: Rev,
    /// While set, commands stay pending with this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Freeze>,
    /// Jobs whose commands are refused.
    #[serde(default)]
    pub revoked: Vec<JobId>,
    /// Jobs of which only this version may run.
    #[serde(default)]
    pub pins: BTreeMap<JobId, String>,
}

/// The fleet holds its breath.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Why, in an operator's words.
    pub reason: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

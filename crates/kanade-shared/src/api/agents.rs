//! Agents: `GET /api/v1/agents`, `GET /api/v1/agents/{pc_id}`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{GroupId, PcId};
use crate::wire::heartbeat::AgentState;
use crate::wire::inventory::Hardware;

/// One PC and its agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentView {
    /// The PC.
    pub pc_id: PcId,
    /// Whether the broker has a connection of it, or a heartbeat came lately.
    pub presence: Presence,
    /// Since when it is so.
    pub since: DateTime<Utc>,
    /// When it became part of the fleet.
    pub enrolled_at: DateTime<Utc>,
    /// Last heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_at: Option<DateTime<Utc>>,
    /// What the last heartbeat said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AgentState>,
    /// Version of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// Real host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// `linux`, `windows` or `macos`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_family: Option<String>,
    /// System name and version, such as `Debian GNU/Linux 12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Its groups, sorted.
    pub groups: Vec<GroupId>,
    /// Its clock minus the fleet's, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// Why it admits no commands, when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// Runs in progress.
    pub running: u32,
    /// Results that wait on the PC.
    pub outbox_results: u64,
    /// Memory that the agent has resident, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_rss_bytes: Option<u64>,
    /// When the system started, by the PC's own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted_at: Option<DateTime<Utc>>,
    /// Hardware and system; only in the answer for one PC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
}

/// Whether a PC can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Connected to the broker.
    Online,
    /// Not connected.
    Offline,
}

impl Presence {
    /// The word on the wire and for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

/// Filters and order of the list of agents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub struct AgentQuery {
    /// Most rows to give, 1 to 500; 100 unless said.
    pub limit: Option<u32>,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Only those that are `online` or `offline`.
    pub presence: Option<Presence>,
    /// Only members of this group.
    pub group: Option<GroupId>,
    /// Only this system family.
    pub os_family: Option<String>,
    /// Only ids that contain this text.
    pub search: Option<String>,
    /// `pc_id` (default), `-pc_id`, `since`, `-since`, `heartbeat_at`, `-heartbeat_at`.
    pub sort: Option<String>,
}

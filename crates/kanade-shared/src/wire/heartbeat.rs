//! Heartbeats: what an agent is and holds; subject `heartbeat.<pc_id>`, core only.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{JournalId, PcId};
use crate::subject::Scope;
use crate::wire::command::Rev;

/// A PC's sign of life, every 30 s and at once (coalesced) when what it holds changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The PC; must be the one in the subject.
    pub pc_id: PcId,
    /// When it was sent, by the PC's own clock.
    pub at: DateTime<Utc>,
    /// Version of the agent.
    pub agent_version: String,
    /// What this agent can do; see [`capability`].
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Connecting, syncing or live.
    pub state: AgentState,
    /// Documents that it holds and has acted on.
    #[serde(default)]
    pub held: Vec<Held>,
    /// Birth mark of its journal.
    pub journal_id: JournalId,
    /// Number of the journal's last change.
    pub journal_counter: u64,
    /// Results that wait to be sent.
    #[serde(default)]
    pub outbox_results: u64,
    /// Their size on disk, in bytes.
    #[serde(default)]
    pub outbox_bytes: u64,
    /// Why it admits no commands, when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// Its clock minus the fleet's, in milliseconds; absent until it was synchronised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// Runs in progress.
    #[serde(default)]
    pub running: u32,
    /// Real host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// `linux`, `windows` or `macos`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_family: Option<String>,
    /// Memory that the agent itself has resident, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_rss_bytes: Option<u64>,
    /// When the system started, by the PC's own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted_at: Option<DateTime<Utc>>,
}

/// How far an agent is with its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Without a broker.
    Connecting,
    /// Reading what it missed; starts nothing.
    Syncing,
    /// Acts on what it hears.
    Live,
    /// From a newer agent.
    #[serde(other)]
    Unknown,
}

/// One document that an agent holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whose document.
    pub scope: Scope,
    /// Its rev.
    pub rev: Rev,
    /// A different document with the same rev was seen and refused.
    #[serde(default)]
    pub twin: bool,
}

/// Words in [`Heartbeat::capabilities`].
pub mod capability {
    /// Fetches encrypted bodies from the broker.
    pub const BODY: &str = "body/1";
    /// Sends large output over HTTPS.
    pub const OUTPUT_UPLOAD: &str = "output_upload/1";
    /// Answers `agent.P.tail`.
    pub const TAIL: &str = "tail/1";
    /// Every word that this version has.
    pub const ALL: [&str; 3] = [BODY, OUTPUT_UPLOAD, TAIL];
}

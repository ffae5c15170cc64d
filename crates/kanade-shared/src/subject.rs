//! Names of everything that travels over the broker.
//!
//! Subjects are built here and nowhere else, from ids that are valid tokens, so a subject can
//! neither be malformed nor reach further than it says.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{IdError, JobId, PcId, RequestId};

/// Who a command document is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Every PC.
    All,
    /// One PC.
    Pc(PcId),
}

impl Scope {
    /// Where the scope's document is stored: `commands.all` or `commands.pc.P`.
    #[must_use]
    pub fn commands(&self) -> String {
        format!("commands.{self}")
    }

    /// Where agents hear it: only what the stream has stored, with its sequence.
    #[must_use]
    pub fn live_commands(&self) -> String {
        format!("live.commands.{self}")
    }

    /// Reads `all` or `pc.P`.
    ///
    /// # Errors
    /// [`IdError`] when it is neither.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text == "all" {
            return Ok(Self::All);
        }
        PcId::parse(text.strip_prefix("pc.").unwrap_or("")).map(Self::Pc)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Pc(pc_id) => write!(f, "pc.{pc_id}"),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Prefix under which a stream's stored messages are heard live.
pub const LIVE: &str = "live.";
/// Streams whose newest message per subject agents read by Direct Get.
pub const EXEC_STREAM: &str = "EXEC";
/// The stream of results.
pub const RESULTS_STREAM: &str = "RESULTS";
/// The stream behind the bucket `agent_desired`.
pub const DESIRED_STREAM: &str = "KV_agent_desired";
/// The stream behind the bucket `fleet_config`.
pub const FLEET_STREAM: &str = "KV_fleet_config";
/// Where the brake is stored.
pub const BRAKE: &str = "$KV.fleet_config.brake";
/// Where the brake is heard live.
pub const LIVE_BRAKE: &str = "live.fleet.brake";
/// Backends tell each other that there is something to do; carries no content.
pub const BACKEND_NUDGE: &str = "backend.nudge";
/// Backends tell each other which changes to send on to their listeners.
pub const BACKEND_CHANGES: &str = "backend.changes";

/// The subject-form Direct Get of the newest message on `subject` in `stream`.
#[must_use]
pub fn direct_get(stream: &str, subject: &str) -> String {
    format!("$JS.API.DIRECT.GET.{stream}.{subject}")
}

/// Body of a script, by the hash of its encrypted bytes.
#[must_use]
pub fn body(sha256: &str) -> String {
    format!("commands.body.{sha256}")
}

/// Result of one run.
#[must_use]
pub fn result(pc_id: &PcId, request_id: RequestId) -> String {
    format!("results.{pc_id}.{request_id}")
}

/// Facts that a job (or the agent itself, `hardware`) found on a PC.
#[must_use]
pub fn inventory(pc_id: &PcId, job_id: &JobId) -> String {
    format!("inventory.{pc_id}.{job_id}")
}

/// An event of a run or of the agent; `kind` is one token.
#[must_use]
pub fn event(pc_id: &PcId, kind: &str) -> String {
    format!("events.{pc_id}.{kind}")
}

/// Kind of the event that a run has outlived a second.
pub const EVENT_STARTED: &str = "started";

/// A PC's sign of life.
#[must_use]
pub fn heartbeat(pc_id: &PcId) -> String {
    format!("heartbeat.{pc_id}")
}

/// Live output of one run.
#[must_use]
pub fn tail(pc_id: &PcId, request_id: RequestId) -> String {
    format!("tail.{pc_id}.{request_id}")
}

/// The desired document of one PC, as stored.
#[must_use]
pub fn desired(pc_id: &PcId) -> String {
    format!("$KV.agent_desired.{pc_id}")
}

/// The desired document of one PC, as heard live.
#[must_use]
pub fn live_desired(pc_id: &PcId) -> String {
    format!("live.desired.{pc_id}")
}

/// A request to one agent.
#[must_use]
pub fn agent_request(pc_id: &PcId, verb: &str) -> String {
    format!("agent.{pc_id}.{verb}")
}

/// A request to the backend in the name of one PC.
#[must_use]
pub fn service(verb: &str, pc_id: &PcId) -> String {
    format!("svc.{verb}.{pc_id}")
}

/// Copy of an audit row; `actor` is an account id.
#[must_use]
pub fn audit(actor: &str) -> String {
    format!("audit.{actor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_what_they_print() {
        let pc = PcId::parse("pc-1").unwrap();
        for scope in [Scope::All, Scope::Pc(pc)] {
            assert_eq!(Scope::parse(&scope.to_string()), Ok(scope));
        }
        assert!(Scope::parse("group.lab").is_err());
        assert!(Scope::parse("pc.*").is_err());
        assert_eq!(Scope::All.live_commands(), "live.commands.all");
    }
}

//! Command documents: everything that one scope still has to do.
//!
//! The newest message on a scope's subject is the whole truth of it. What is not listed is not
//! withdrawn; only a [`Stop`] withdraws.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{Attempt, ExecId, JobId};
use crate::subject::Scope;

/// Version of the document's shape that this program writes.
pub const DOCUMENT_VERSION: u32 = 1;

/// Number of a document within its scope; grows with every publish, near the unix time in
/// milliseconds.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = u64))]
#[serde(transparent)]
pub struct Rev(pub u64);

impl std::fmt::Display for Rev {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The newest message on `commands.all` or `commands.pc.P`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Shape; a reader refuses one that is newer than it knows.
    pub v: u32,
    /// Whom it is for; must be the scope of the subject it came on.
    pub scope: Scope,
    /// Which revision this is.
    pub rev: Rev,
    /// When it was made, by the backend's clock.
    pub issued_at: DateTime<Utc>,
    /// Everything that is still to be done.
    pub commands: Vec<Command>,
    /// Everything that must not be done any more.
    #[serde(default)]
    pub stops: Vec<Stop>,
}

/// What a PC is told to do once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The exec it belongs to.
    pub exec_id: ExecId,
    /// Which try of the exec.
    pub attempt: Attempt,
    /// The job, absent for an ad-hoc script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The job's version at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_version: Option<String>,
    /// Who takes it.
    pub reach: Reach,
    /// When the operator issued it, by the database's clock.
    pub issued_at: DateTime<Utc>,
    /// Latest start.
    pub deadline: DateTime<Utc>,
    /// Starts are spread over this many seconds from `issued_at`.
    #[serde(default)]
    pub jitter_s: u32,
    /// Takes the place of commands of the same job that have not started.
    #[serde(default)]
    pub supersede: bool,
    /// What a broker that was silent too long means for it.
    #[serde(default)]
    pub staleness: Staleness,
    /// What to run.
    pub run: Run,
}

/// Which PCs of a scope a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// In `commands.all`: PCs that enrolled before it was issued. In a PC's own document: it.
    Fixed,
    /// Also PCs that enrol before its deadline.
    Open,
}

/// How fresh an agent's knowledge of the fleet must be before it starts a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Staleness {
    /// What the agent knows is good enough, however old.
    #[default]
    Cached,
    /// Refuse when the broker has not been heard for longer than this.
    Strict {
        /// Longest silence, in seconds.
        max_age_s: u64,
    },
    /// The brake's pins and revocations do not apply.
    Unchecked,
}

/// A script and how to run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Interpreter.
    pub shell: Shell,
    /// The script, or where to get it.
    pub script: ScriptSource,
    /// Arguments after the script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Added to the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working folder; absent: the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Standard input; absent: empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Limit of each try, in seconds, at least 1.
    pub timeout_s: u32,
    /// Tries in all, at least 1.
    #[serde(default = "one")]
    pub tries: u32,
    /// Wait before the second try, in seconds; doubles with each, up to an hour.
    #[serde(default)]
    pub backoff_s: u32,
    /// Whose rights it runs with.
    #[serde(default)]
    pub run_as: RunAs,
    /// Output kept per stream, in bytes: its first two thirds and its last third.
    #[serde(default = "output_cap")]
    pub output_cap_bytes: u64,
}

fn one() -> u32 {
    1
}

/// Output kept per stream unless the job says otherwise: 8 MiB.
#[must_use]
pub fn output_cap() -> u64 {
    8 * 1024 * 1024
}

/// Interpreter of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Shell {
    /// POSIX shell.
    Sh,
    /// GNU Bash.
    Bash,
    /// PowerShell 7.
    Pwsh,
    /// Windows PowerShell 5.1.
    Powershell,
    /// The Windows command prompt.
    Cmd,
}

impl Shell {
    /// Every shell, in the order people are shown.
    pub const ALL: [Self; 5] = [
        Self::Sh,
        Self::Bash,
        Self::Pwsh,
        Self::Powershell,
        Self::Cmd,
    ];

    /// The word in manifests and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Bash => "bash",
            Self::Pwsh => "pwsh",
            Self::Powershell => "powershell",
            Self::Cmd => "cmd",
        }
    }
}

/// Whose rights a run has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunAs {
    /// The agent's own.
    #[default]
    System,
    /// The person's at the PC.
    User,
    /// The agent's own, on the person's desktop.
    SystemGui,
}

/// Where a script's text is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ScriptSource {
    /// In the document.
    Inline {
        /// The text.
        text: String,
    },
    /// On the broker, under `commands.body.<sha256>`, encrypted.
    Body(BodyRef),
    /// At the backend's `/agent/v1/bodies/<sha256>`, encrypted.
    Https(BodyRef),
}

/// Names an encrypted script and opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRef {
    /// SHA-256 of the encrypted bytes, hex.
    pub sha256: String,
    /// Key of the encryption, base64.
    pub key: String,
    /// Size of the text, in bytes.
    pub size_bytes: u64,
}

/// Something that must not be done any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The exec it stops.
    pub exec_id: ExecId,
    /// The try that it stops.
    pub attempt: Attempt,
    /// How far it goes.
    pub action: StopAction,
    /// Who the stopped command was for.
    pub reach: Reach,
    /// When the stopped command was issued.
    pub issued_at: DateTime<Utc>,
    /// Latest start of the stopped command.
    pub deadline: DateTime<Utc>,
    /// How long the stop stays in the document: until nothing of the command can run any more.
    pub until: DateTime<Utc>,
}

/// How far a stop goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StopAction {
    /// Nothing more starts.
    Withdraw,
    /// Nothing more starts, and what runs is killed.
    Kill,
}

/// How often a wait can double before even one second has become more than an hour.
const DOUBLINGS: u64 = 12;

impl Run {
    /// Longest time from the first start to the end of the last try, in seconds: every try's
    /// timeout and every wait between.
    #[must_use]
    pub fn longest_s(&self) -> u64 {
        let tries = u64::from(self.tries.max(1));
        // Past the doublings all waits are equal: however many tries a peer asks for, summing
        // them up takes no time.
        let doubling = (tries - 1).min(DOUBLINGS);
        let waits: u64 = (1..=doubling).map(|n| self.backoff_before_s(n)).sum();
        let further = (tries - 1 - doubling) * self.backoff_before_s(DOUBLINGS + 1);
        (tries * u64::from(self.timeout_s.max(1))).saturating_add(waits + further)
    }

    /// Wait before the retry with this number (the first retry is 1), in seconds: doubles, at
    /// most an hour.
    #[must_use]
    pub fn backoff_before_s(&self, retry: u64) -> u64 {
        let doubled =
            u64::from(self.backoff_s).saturating_mul(1 << (retry.saturating_sub(1)).min(DOUBLINGS));
        doubled.min(3600)
    }
}

impl Command {
    /// When nothing of it can run any more: its deadline, its tries and its waits. The end of
    /// time when these are longer than a date can be away.
    #[must_use]
    pub fn over_at(&self) -> DateTime<Utc> {
        i64::try_from(self.run.longest_s())
            .ok()
            .and_then(chrono::Duration::try_seconds)
            .and_then(|longest| self.deadline.checked_add_signed(longest))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

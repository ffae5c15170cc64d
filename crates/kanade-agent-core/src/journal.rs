//! What an agent remembers of commands, on disk.
//!
//! An entry goes only when no current document lists it and nothing of it can run any more.

use chrono::{DateTime, Utc};
use kanade_shared::id::{Attempt, ExecId, JobId, JournalId, PcId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::{Command, Reach, Stop};
use kanade_shared::wire::result::Outcome;
use serde::{Deserialize, Serialize};

/// What is known of the journal as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Birth mark: drawn when the journal is made.
    pub journal_id: JournalId,
    /// Number of its last change.
    pub counter: u64,
    /// Commands that were issued before this may have run under a journal that is gone.
    /// `None` in a new journal, until the fleet's time is known.
    pub doubt_before: Option<DateTime<Utc>>,
}

impl Meta {
    /// A journal that was just made.
    #[must_use]
    pub fn new(journal_id: JournalId) -> Self {
        Self {
            journal_id,
            counter: 0,
            doubt_before: None,
        }
    }
}

/// One command on this PC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The run.
    pub request_id: RequestId,
    /// The exec.
    pub exec_id: ExecId,
    /// Which try of the exec.
    pub attempt: Attempt,
    /// The document that it came in.
    pub scope: Scope,
    /// Who takes it.
    pub reach: Reach,
    /// The job, absent for an ad-hoc script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The job's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_version: Option<String>,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Latest start.
    pub deadline: DateTime<Utc>,
    /// When nothing of it can run any more.
    pub over_at: DateTime<Utc>,
    /// How far it is.
    pub state: State,
    /// Came in a backlog, which runs strictly one after another.
    #[serde(default)]
    pub backlog: bool,
    /// What to run; dropped when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Box<Command>>,
    /// The journal's counter when this was written.
    pub counter: u64,
}

/// How far a command is on this PC; only grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Will run, unless something forbids it before it starts.
    Admitted,
    /// About to run, or running.
    Started {
        /// Start of the first try, by the fleet's clock.
        started_at: DateTime<Utc>,
        /// Which try, from 1.
        tries: u32,
        /// How the shell finds its processes again; absent until they exist.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mark: Option<serde_json::Value>,
    },
    /// Over, and its result was in the outbox before this was written.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

impl Entry {
    /// The entry of a command of `scope` on this PC.
    #[must_use]
    pub fn of_command(pc_id: &PcId, scope: &Scope, command: &Command) -> Self {
        Self {
            request_id: RequestId::derive(command.exec_id, pc_id, command.attempt),
            exec_id: command.exec_id,
            attempt: command.attempt,
            scope: scope.clone(),
            reach: command.reach,
            job_id: command.job_id.clone(),
            job_version: command.job_version.clone(),
            issued_at: command.issued_at,
            deadline: command.deadline,
            over_at: command.over_at(),
            state: State::Admitted,
            backlog: false,
            command: Some(Box::new(command.clone())),
            counter: 0,
        }
    }

    /// The entry of a command of which only its stop was seen.
    #[must_use]
    pub fn of_stop(pc_id: &PcId, scope: &Scope, stop: &Stop) -> Self {
        Self {
            request_id: RequestId::derive(stop.exec_id, pc_id, stop.attempt),
            exec_id: stop.exec_id,
            attempt: stop.attempt,
            scope: scope.clone(),
            reach: stop.reach,
            job_id: None,
            job_version: None,
            issued_at: stop.issued_at,
            deadline: stop.deadline,
            over_at: stop.until,
            state: State::Admitted,
            backlog: false,
            command: None,
            counter: 0,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// Where it stands in a backlog.
    #[must_use]
    pub fn order(&self) -> (ExecId, Attempt) {
        (self.exec_id, self.attempt)
    }
}

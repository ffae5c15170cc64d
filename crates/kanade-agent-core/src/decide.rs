//! Decides what an agent does with one command, without doing it.
//!
//! Input: the command, what the journal and the fleet say of it, and the time.
//! Output: a [`Verdict`]. The order of the checks is the contract with operators: for me, already
//! in the journal, deadline, a journal in doubt, brake, staleness, supported here, jitter.

use chrono::{DateTime, Duration, Utc};
use kanade_shared::id::{ExecId, PcId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::{Command, Reach, RunAs, Staleness};
use kanade_shared::wire::desired::Brake;
use kanade_shared::wire::result::{Outcome, Reason};
use sha2::{Digest, Sha256};

/// What is known besides the command.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// This PC.
    pub pc_id: &'a PcId,
    /// The document it came in.
    pub scope: &'a Scope,
    /// When this PC became part of the fleet.
    pub enrolled_at: DateTime<Utc>,
    /// Whether the journal has it.
    pub journaled: bool,
    /// What was issued before this may have run under a journal that is gone.
    pub doubt_before: Option<DateTime<Utc>>,
    /// The fleet's brake, if there is one.
    pub brake: Option<&'a Brake>,
    /// How long the broker was silent, in seconds.
    pub silent_s: u64,
    /// Whose rights runs can have on this PC.
    pub run_as: &'a [RunAs],
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is for others, or was dealt with.
    Ignore,
    /// It ends here, for this reason.
    Refuse(Outcome, Reason),
    /// Only broker and backend can tell whether it ran.
    Ask,
    /// It will run, from this time on.
    Admit {
        /// Earliest start: when it was issued, and its jitter.
        start_at: DateTime<Utc>,
    },
}

/// What an agent does with a command that it has not dealt with.
#[must_use]
pub fn decide(command: &Command, facts: &Facts<'_>, now: DateTime<Utc>) -> Verdict {
    if !for_me(
        facts.scope,
        command.reach,
        command.issued_at,
        facts.enrolled_at,
    ) || facts.journaled
    {
        return Verdict::Ignore;
    }
    if let Some(refusal) = expired(command.deadline, now) {
        return refusal.into();
    }
    if facts
        .doubt_before
        .is_some_and(|doubt| command.issued_at < doubt)
    {
        return Verdict::Ask;
    }
    if let Some(refusal) = refused(command, facts.brake, facts.silent_s) {
        return refusal.into();
    }
    if !facts.run_as.contains(&command.run.run_as) {
        let text = "this PC cannot run scripts with the rights that the job asks for";
        return Verdict::Refuse(Outcome::Skipped, Reason::new("run_as.unsupported", text));
    }
    let jitter = Duration::milliseconds(jitter_ms(command.exec_id, facts.pc_id, command.jitter_s));
    Verdict::Admit {
        start_at: command.issued_at + jitter,
    }
}

/// An end without a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub Outcome, pub Reason);

impl From<Refusal> for Verdict {
    fn from(Refusal(outcome, reason): Refusal) -> Self {
        Self::Refuse(outcome, reason)
    }
}

/// Whether a command of this scope and reach is for a PC that enrolled at this time.
#[must_use]
pub fn for_me(
    scope: &Scope,
    reach: Reach,
    issued_at: DateTime<Utc>,
    enrolled_at: DateTime<Utc>,
) -> bool {
    match (scope, reach) {
        (Scope::Pc(_), _) | (Scope::All, Reach::Open) => true,
        (Scope::All, Reach::Fixed) => enrolled_at < issued_at,
    }
}

/// The refusal of a command whose deadline has passed; a start at the deadline itself is too late.
#[must_use]
pub fn expired(deadline: DateTime<Utc>, now: DateTime<Utc>) -> Option<Refusal> {
    (deadline <= now).then(|| {
        let text = format!(
            "its deadline {} passed before it could start",
            shown(deadline)
        );
        Refusal(Outcome::Expired, Reason::new("deadline.passed", text))
    })
}

/// The refusal by the brake or by the staleness rule.
#[must_use]
pub fn refused(command: &Command, brake: Option<&Brake>, silent_s: u64) -> Option<Refusal> {
    let unchecked = command.staleness == Staleness::Unchecked;
    if let (Some(brake), Some(job_id), false) = (brake, &command.job_id, unchecked) {
        if brake.revoked.contains(job_id) {
            let text = format!("job `{job_id}` is revoked");
            return Some(Refusal(Outcome::Revoked, Reason::new("job.revoked", text)));
        }
        let version = command.job_version.as_deref().unwrap_or("");
        if let Some(pin) = brake.pins.get(job_id).filter(|pin| pin.as_str() != version) {
            let text = format!("job `{job_id}` is pinned to version {pin}; this is {version}");
            return Some(Refusal(Outcome::Skipped, Reason::new("job.pinned", text)));
        }
    }
    match command.staleness {
        Staleness::Strict { max_age_s } if silent_s > max_age_s => {
            let text =
                format!("the broker was silent for {silent_s} s; the job allows {max_age_s} s");
            Some(Refusal(
                Outcome::Skipped,
                Reason::new("staleness.exceeded", text),
            ))
        }
        Staleness::Strict { .. } | Staleness::Cached | Staleness::Unchecked => None,
    }
}

/// Why nothing may start now, although it stays pending; `None` when it may.
#[must_use]
pub fn held(brake: Option<&Brake>, now: DateTime<Utc>) -> Option<&str> {
    let freeze = brake?.freeze.as_ref()?;
    freeze
        .until
        .is_none_or(|until| now < until)
        .then_some(freeze.reason.as_str())
}

/// How long after it was issued a command starts on this PC, in milliseconds: the same at each
/// look, evenly spread over the PCs. The first 8 bytes of SHA-256 over exec and PC.
#[must_use]
pub fn jitter_ms(exec_id: ExecId, pc_id: &PcId, jitter_s: u32) -> i64 {
    if jitter_s == 0 {
        return 0;
    }
    let mut hash = Sha256::new();
    hash.update(b"kanade/jitter/1\0");
    hash.update(exec_id.uuid().as_bytes());
    hash.update(pc_id.as_str().as_bytes());
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    let spread = u64::from(jitter_s) * 1000;
    i64::try_from(u64::from_be_bytes(first) % spread).unwrap_or(0)
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// What an answer about a run in doubt means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Nobody heard of it: it may run.
    Run,
    /// It ended before, and its result is known.
    Known,
    /// It began before, and what became of it is lost.
    Lost,
    /// Not known yet: ask again.
    AskAgain,
}

/// Weighs what the broker and the backend know of a run: a result in the broker, and the
/// backend's word. An absent result alone proves nothing.
#[must_use]
pub fn doubt(
    result_found: Option<bool>,
    heard: Option<kanade_shared::wire::agent::HeardState>,
) -> Doubt {
    use kanade_shared::wire::agent::HeardState;
    match (result_found, heard) {
        (Some(true), _) | (_, Some(HeardState::Ended)) => Doubt::Known,
        (_, Some(HeardState::Begun)) => Doubt::Lost,
        (Some(false), Some(HeardState::Nothing)) => Doubt::Run,
        (None, Some(HeardState::Nothing)) | (_, Some(HeardState::Unknown) | None) => {
            Doubt::AskAgain
        }
    }
}

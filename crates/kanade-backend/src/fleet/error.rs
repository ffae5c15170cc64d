//! Why the fleet refuses.

use kanade_shared::id::{ExecId, GroupId, JobId, PcId, RequestId};
use kanade_shared::manifest::ManifestError;

use crate::store::StoreError;

/// What the API makes of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetStatus {
    /// What was named does not exist.
    NotFound,
    /// The request itself is wrong.
    Invalid,
    /// It was right, and something else has changed.
    Conflict,
    /// It is right, and may not be done now.
    Refused,
    /// It is larger than a limit.
    TooLarge,
    /// It may work later.
    Unavailable,
    /// The backend is wrong.
    Internal,
}

/// The fleet's answer to what it cannot or will not do.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// No such PC.
    #[error("pc `{pc_id}` does not exist")]
    UnknownPc {
        /// What was asked for.
        pc_id: PcId,
        /// One with a similar name.
        nearest: Option<PcId>,
        /// The input that named it, when it was not the path.
        field: Option<&'static str>,
    },
    /// No such group.
    #[error("group `{group_id}` does not exist")]
    UnknownGroup {
        /// What was asked for.
        group_id: GroupId,
        /// One with a similar name.
        nearest: Option<GroupId>,
        /// The input that named it, when it was not the path.
        field: Option<&'static str>,
    },
    /// No such job.
    #[error("job `{job_id}` does not exist")]
    UnknownJob {
        /// What was asked for.
        job_id: JobId,
        /// One with a similar name.
        nearest: Option<JobId>,
        /// The input that named it, when it was not the path.
        field: Option<&'static str>,
    },
    /// No such exec.
    #[error("exec {exec} does not exist")]
    UnknownExec {
        /// The id or the beginning of one.
        exec: String,
    },
    /// Several execs begin so.
    #[error("exec {prefix} is one of several: {}", shown(candidates))]
    AmbiguousExec {
        /// What was asked for.
        prefix: String,
        /// Some that begin so.
        candidates: Vec<ExecId>,
    },
    /// No result of this run.
    #[error("run {request_id} has no result")]
    UnknownResult {
        /// What was asked for.
        request_id: RequestId,
    },
    /// No run of this id on this PC.
    #[error("run {request_id} is not one of pc `{pc_id}`")]
    UnknownRun {
        /// What was asked for.
        request_id: RequestId,
        /// The PC that asked.
        pc_id: PcId,
    },
    /// No such body.
    #[error("body {sha256} does not exist")]
    UnknownBody {
        /// What was asked for.
        sha256: String,
    },
    /// An input is wrong.
    #[error("{field} {what}")]
    Invalid {
        /// Which input.
        field: &'static str,
        /// What is wrong with it and what is expected.
        what: String,
    },
    /// A definition breaks rules.
    #[error("{} in {object}: {}", problems(wrong.len()), sentences(wrong))]
    Definition {
        /// What was written.
        object: String,
        /// All that is wrong.
        wrong: Vec<ManifestError>,
    },
    /// The YAML cannot be read as a job.
    #[error("the definition of {object} cannot be read: {what}")]
    Unreadable {
        /// What was written.
        object: String,
        /// Where and why.
        what: String,
    },
    /// The targets are nobody.
    #[error("the targets are no pc at all")]
    NoTargets,
    /// Somebody else changed it in between.
    #[error("{object} has revision {is}, not {expected}")]
    Revision {
        /// What was to be changed.
        object: String,
        /// Its revision.
        is: u64,
        /// The revision in the request.
        expected: u64,
    },
    /// The key of another request.
    #[error("the idempotency key `{key}` was used for another request")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// A preview that is gone, or never was.
    #[error("the preview `{token}` has expired or does not exist")]
    PreviewExpired {
        /// Its token.
        token: String,
    },
    /// A preview of something else.
    #[error("the preview `{token}` is of another request")]
    PreviewOther {
        /// Its token.
        token: String,
    },
    /// The targets are others than the preview showed.
    #[error("the targets have changed since the preview: {change}")]
    PreviewChanged {
        /// Who enters and who leaves.
        change: String,
    },
    /// Nothing of the exec ended so that it could be tried again.
    #[error("exec {exec_id} has no pc to try again{with}")]
    NothingToRetry {
        /// The exec.
        exec_id: ExecId,
        /// The outcomes that were asked for.
        with: String,
    },
    /// The script of an adopted exec is not here.
    #[error("exec {exec_id} cannot be tried again: its script is not in the database")]
    ScriptGone {
        /// The exec.
        exec_id: ExecId,
    },
    /// What the broker knows is still being taken over.
    #[error("the backend still compares its database with the broker")]
    Recovering,
    /// The stream of commands is nearly full.
    #[error("commands hold {used_bytes} of {cap_bytes} bytes in the broker")]
    ExecFull {
        /// What they take.
        used_bytes: u64,
        /// What they may take.
        cap_bytes: u64,
    },
    /// A command or the document it goes into would be too large.
    #[error("{what} would be {bytes} bytes; at most {limit_bytes} are allowed")]
    TooLarge {
        /// What.
        what: String,
        /// Its size.
        bytes: u64,
        /// Its limit.
        limit_bytes: u64,
    },
    /// An upload is not what its header says.
    #[error("the output {object} has another sha-256 than its header says")]
    WrongHash {
        /// Where it was to go.
        object: String,
    },
    /// The store of large outputs does not answer.
    #[error("could not {operation} output {object}")]
    Objects {
        /// What was tried.
        operation: &'static str,
        /// Which one.
        object: String,
        /// What the broker said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system gives no random bytes.
    #[error("could not draw random bytes: {what}")]
    Random {
        /// What it said.
        what: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn shown(execs: &[ExecId]) -> String {
    execs
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn problems(n: usize) -> String {
    if n == 1 {
        "1 problem".to_owned()
    } else {
        format!("{n} problems")
    }
}

fn sentences(wrong: &[ManifestError]) -> String {
    wrong
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn nearest_of(nearest: Option<&impl std::fmt::Display>, all: &str) -> String {
    match nearest {
        Some(name) => format!("`{name}`, or `{all}` for all of them"),
        None => format!("`{all}` shows all of them"),
    }
}

impl FleetError {
    /// An input that is wrong.
    pub(crate) fn invalid(field: &'static str, what: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            what: what.into(),
        }
    }

    /// Stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownPc { .. } => "agent.unknown",
            Self::UnknownGroup { .. } => "group.unknown",
            Self::UnknownJob { .. } => "job.unknown",
            Self::UnknownExec { .. } => "exec.unknown",
            Self::AmbiguousExec { .. } => "exec.ambiguous",
            Self::UnknownResult { .. } => "result.unknown",
            Self::UnknownRun { .. } => "run.unknown",
            Self::UnknownBody { .. } => "body.unknown",
            Self::Invalid { .. } => "request.invalid",
            Self::Definition { .. } => "definition.invalid",
            Self::Unreadable { .. } => "definition.unreadable",
            Self::NoTargets => "targets.none",
            Self::Revision { .. } => "revision.changed",
            Self::KeyReused { .. } => "idempotency.reused",
            Self::PreviewExpired { .. } => "preview.expired",
            Self::PreviewOther { .. } => "preview.other_request",
            Self::PreviewChanged { .. } => "preview.changed",
            Self::NothingToRetry { .. } => "exec.nothing_to_retry",
            Self::ScriptGone { .. } => "exec.script_gone",
            Self::Recovering => "exec.recovering",
            Self::ExecFull { .. } => "exec.full",
            Self::TooLarge { .. } => "request.too_large",
            Self::WrongHash { .. } => "output.wrong_hash",
            Self::Objects { .. } => "output.unavailable",
            Self::Random { .. } => "random.unavailable",
            Self::Store(error) => error.code(),
        }
    }

    /// What kind of answer it is.
    #[must_use]
    pub fn status(&self) -> FleetStatus {
        match self {
            Self::UnknownPc { field, .. }
            | Self::UnknownGroup { field, .. }
            | Self::UnknownJob { field, .. } => {
                if field.is_some() {
                    FleetStatus::Invalid
                } else {
                    FleetStatus::NotFound
                }
            }
            Self::UnknownExec { .. }
            | Self::UnknownResult { .. }
            | Self::UnknownRun { .. }
            | Self::UnknownBody { .. } => FleetStatus::NotFound,
            Self::Invalid { .. }
            | Self::Definition { .. }
            | Self::Unreadable { .. }
            | Self::NoTargets
            | Self::WrongHash { .. } => FleetStatus::Invalid,
            Self::AmbiguousExec { .. }
            | Self::Revision { .. }
            | Self::KeyReused { .. }
            | Self::PreviewExpired { .. }
            | Self::PreviewOther { .. }
            | Self::PreviewChanged { .. }
            | Self::NothingToRetry { .. }
            | Self::ScriptGone { .. } => FleetStatus::Conflict,
            Self::ExecFull { .. } => FleetStatus::Refused,
            Self::TooLarge { .. } => FleetStatus::TooLarge,
            Self::Store(error) if error.is_passing() => FleetStatus::Unavailable,
            Self::Recovering | Self::Objects { .. } => FleetStatus::Unavailable,
            Self::Random { .. } | Self::Store(_) => FleetStatus::Internal,
        }
    }

    /// The input at fault, such as `targets.groups`.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::UnknownPc { field, .. }
            | Self::UnknownGroup { field, .. }
            | Self::UnknownJob { field, .. } => *field,
            Self::Invalid { field, .. } => Some(field),
            Self::NoTargets => Some("targets"),
            Self::PreviewExpired { .. }
            | Self::PreviewOther { .. }
            | Self::PreviewChanged { .. } => Some("preview"),
            Self::Definition { wrong, .. } => wrong.first().map(|rule| rule.field),
            Self::UnknownExec { .. }
            | Self::AmbiguousExec { .. }
            | Self::UnknownResult { .. }
            | Self::UnknownRun { .. }
            | Self::UnknownBody { .. }
            | Self::Unreadable { .. }
            | Self::Revision { .. }
            | Self::KeyReused { .. }
            | Self::NothingToRetry { .. }
            | Self::ScriptGone { .. }
            | Self::Recovering
            | Self::ExecFull { .. }
            | Self::TooLarge { .. }
            | Self::WrongHash { .. }
            | Self::Objects { .. }
            | Self::Random { .. }
            | Self::Store(_) => None,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::UnknownPc { nearest, .. } => nearest_of(nearest.as_ref(), "kanade get agents"),
            Self::UnknownGroup { nearest, .. } => nearest_of(nearest.as_ref(), "kanade get groups"),
            Self::UnknownJob { nearest, .. } => nearest_of(nearest.as_ref(), "kanade get jobs"),
            Self::UnknownExec { .. } => "`kanade get execs` shows the newest".to_owned(),
            Self::AmbiguousExec { .. } => "give more digits".to_owned(),
            Self::Revision { .. } => "read it again and repeat the change on what it is now".into(),
            Self::KeyReused { .. } => "draw a new key for a new request".to_owned(),
            Self::PreviewExpired { .. }
            | Self::PreviewOther { .. }
            | Self::PreviewChanged { .. } => "preview it again".to_owned(),
            Self::NoTargets => "name an enrolled pc or a group that has some".to_owned(),
            Self::NothingToRetry { .. } => {
                "wait until pcs have ended, or name other outcomes".to_owned()
            }
            Self::ScriptGone { .. } => "run the script again as a new exec".to_owned(),
            Self::Recovering => "send it again in a moment".to_owned(),
            Self::ExecFull { .. } => {
                "wait until running execs have ended, or withdraw some; the cap is broker.cap_scale"
                    .to_owned()
            }
            Self::TooLarge { .. } => "use a smaller script, fewer arguments or less stdin, or fetch what is large while it runs"
                .into(),
            Self::Store(error) => return error.help().map(str::to_owned),
            Self::UnknownResult { .. }
            | Self::UnknownRun { .. }
            | Self::UnknownBody { .. }
            | Self::Invalid { .. }
            | Self::Definition { .. }
            | Self::Unreadable { .. }
            | Self::WrongHash { .. }
            | Self::Objects { .. }
            | Self::Random { .. } => return None,
        };
        Some(text)
    }
}

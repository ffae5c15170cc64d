//! Running a script as a process: start, capture, limits, and an end in any case.
//!
//! [`Runner::run`] takes a [`RunSpec`] that others decided to run and always comes back with a
//! [`RunEnd`]. The order: the script is staged as a private file, its shell is started but *held*,
//! the caller notes the process in its journal, and only then the shell begins. While it runs its
//! output goes into a cap of memory and into the live tail.
//!
//! What ends a run: the program itself; the time limit; a stop from outside. The latter two ask
//! the group politely, wait, and kill all that came of the run. After a normal exit what the
//! program left running on purpose lives on (it has to redirect its output, since the pipes are
//! closed soon after the exit).
//!
//! **Invariant:** a run whose journal entry failed has not begun.
//! **Invariant:** the exit code is the program's own; there is none if it did not end by itself.
//! **Invariant:** nothing here waits without a limit for anything but the program, and for that
//! until its timeout. If the future is dropped, the run's processes are killed.
//!
//! `script` stages and writes the launchers, `environment` says what a script finds in its
//! environment, `supervise` is the run itself, `platform::` has the system's part.

use std::collections::BTreeMap;
use std::time::Duration;

use kanade_shared::wire::command::{RunAs, Shell};
use kanade_shared::wire::result::{Outcome, Reason};

pub use self::capture::{Capture, Captured};
pub use self::supervise::Runner;
pub use self::tail::{OutputStream, TAIL_BYTES, TailBuffer, TailPiece, TailPosition, TailReader};

mod capture;
mod environment;
mod script;
mod supervise;
mod tail;

/// One try of a script, decided and complete.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// The run; marks its processes.
    pub request_id: String,
    /// Interpreter.
    pub shell: Shell,
    /// The script's text.
    pub script: String,
    /// Arguments after the script.
    pub args: Vec<String>,
    /// Added to the environment; an operator's, or facts such as `KANADE_EXEC`.
    pub env: BTreeMap<String, String>,
    /// Working folder, absolute; absent: the agent's.
    pub cwd: Option<String>,
    /// Standard input; absent: empty.
    pub stdin: Option<String>,
    /// Time limit, from the moment the script may begin.
    pub timeout: Duration,
    /// Output kept per stream, in bytes.
    pub output_cap_bytes: u64,
    /// Whose rights it has.
    pub run_as: RunAs,
}

/// Why a run is stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopKind {
    /// Somebody killed the exec.
    Kill,
    /// The agent itself has to end.
    Shutdown,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HowEnded {
    /// By itself.
    Exited {
        /// The program's exit code; absent if a signal ended it.
        code: Option<i32>,
        /// The signal that ended it, which was not the agent's.
        signal: Option<i32>,
    },
    /// At its time limit.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// By a stop from outside.
    Killed(StopKind),
    /// It never began.
    NotStarted {
        /// Why.
        reason: Reason,
    },
}

/// A run's end, with all that it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// How it ended.
    pub how: HowEnded,
    /// Whether the script began; a stop may come before.
    pub began: bool,
    /// Standard output.
    pub stdout: Captured,
    /// Standard error.
    pub stderr: Captured,
    /// From the moment the script might begin until its end.
    pub duration: Duration,
    /// A process that outlived the script still held its output open; what that process wrote
    /// later is not in the output.
    pub pipe_held: bool,
    /// Processes that a kill could not end.
    pub survivors: usize,
}

impl RunEnd {
    fn not_begun(how: HowEnded) -> Self {
        Self {
            how,
            began: false,
            stdout: Captured::default(),
            stderr: Captured::default(),
            duration: Duration::ZERO,
            pipe_held: false,
            survivors: 0,
        }
    }

    /// The word for it on the wire.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match &self.how {
            HowEnded::Exited { code: Some(0), .. } => Outcome::Ok,
            HowEnded::Exited { .. } | HowEnded::NotStarted { .. } => Outcome::Failed,
            HowEnded::TimedOut { .. } => Outcome::TimedOut,
            HowEnded::Killed(StopKind::Kill) => Outcome::Killed,
            HowEnded::Killed(StopKind::Shutdown) => Outcome::Interrupted,
        }
    }

    /// The program's own exit code; absent if it did not end by itself.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match &self.how {
            HowEnded::Exited { code, .. } => *code,
            HowEnded::TimedOut { .. } | HowEnded::Killed(_) | HowEnded::NotStarted { .. } => None,
        }
    }

    /// Why there is no exit code; absent when there is one.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match &self.how {
            HowEnded::Exited { code: Some(_), .. } => None,
            HowEnded::Exited { code: None, signal } => {
                Some(Reason::new("run.signal", signal_sentence(*signal)))
            }
            HowEnded::TimedOut { limit } => {
                let seconds = limit.as_secs_f64();
                Some(Reason::new(
                    "run.timeout",
                    format!("stopped at its time limit of {seconds} s"),
                ))
            }
            HowEnded::Killed(StopKind::Kill) => {
                Some(Reason::new("run.killed", "killed by an operator"))
            }
            HowEnded::Killed(StopKind::Shutdown) => Some(Reason::new(
                "run.shutdown",
                "stopped because the agent was stopped",
            )),
            HowEnded::NotStarted { reason } => Some(reason.clone()),
        }
    }
}

fn signal_sentence(signal: Option<i32>) -> String {
    // Only the numbers that are the same on every Unix.
    let name = match signal {
        Some(1) => " (hang-up)",
        Some(2) => " (interrupt)",
        Some(3) => " (quit)",
        Some(6) => " (abort)",
        Some(9) => " (kill)",
        Some(11) => " (segmentation fault)",
        Some(13) => " (broken pipe)",
        Some(15) => " (terminate)",
        Some(_) | None => "",
    };
    match signal {
        Some(number) => format!("ended by signal {number}{name}"),
        None => "ended without an exit code".to_owned(),
    }
}

/// Why a run could not be started; each text is the sentence that an operator reads.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The shell is no program of this PC.
    #[error("shell `{0}` is not installed on this PC: no program of this name in PATH")]
    ShellMissing(&'static str),
    /// The agent can't take on these rights here.
    #[error("running as `{0}` is not supported on this PC")]
    RunAsUnsupported(&'static str),
    /// The working folder is no absolute path.
    #[error("working folder `{0}` is not an absolute path")]
    FolderRelative(String),
    /// The working folder is missing.
    #[error("working folder `{0}` does not exist or is not a folder")]
    FolderMissing(String),
    /// A name can't be one of an environment variable.
    #[error("`{0}` can't be the name of an environment variable: use letters, digits and `_`")]
    EnvironmentName(String),
    /// A text for the process holds a NUL character.
    #[error("{0} holds a NUL character, which no process can be given")]
    NulCharacter(String),
    /// The command prompt has no way to pass this.
    #[error("argument {0} can't be passed to cmd: it holds a quote or a line break")]
    CmdArgument(usize),
    /// The script's files can't be written.
    #[error("could not write the script into `{folder}`")]
    Stage {
        /// Where they would be.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The system refuses to start the shell.
    #[error("could not start `{program}`")]
    Spawn {
        /// The shell's path.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The child was held and could not be released.
    #[error("could not let `{shell}` begin")]
    Release {
        /// The shell.
        shell: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The caller could not note the process.
    #[error("could not note the run in the journal: {0}")]
    Journal(String),
    /// The agent's own fault.
    #[error("the start was interrupted inside the agent")]
    Interrupted,
}

impl StartError {
    /// For programs; never changes.
    fn code(&self) -> &'static str {
        match self {
            Self::ShellMissing(_) => "shell.missing",
            Self::RunAsUnsupported(_) => "run_as.unsupported",
            Self::FolderRelative(_) | Self::FolderMissing(_) => "cwd.missing",
            Self::EnvironmentName(_) => "env.name",
            Self::NulCharacter(_) => "run.nul",
            Self::CmdArgument(_) => "args.cmd",
            Self::Stage { .. } => "script.stage",
            Self::Spawn { .. } | Self::Release { .. } => "shell.start",
            Self::Journal(_) => "journal.write",
            Self::Interrupted => "agent.internal",
        }
    }

    /// Code and sentence, with the cause.
    fn into_reason(self) -> Reason {
        let code = self.code();
        let mut text = self.to_string();
        if let Some(cause) = std::error::Error::source(&self) {
            text = format!("{text}: {cause}");
        }
        Reason::new(code, text)
    }
}

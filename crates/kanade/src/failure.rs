//! The one place of error words and exit codes.
//!
//! Every part of the program fails with a [`Failure`]; it prints as `error:`, `in:` and `try:`,
//! and says the [`Exit`] code that scripts see.
//!
//! **Invariant:** when several things went wrong, [`Exit::first`] picks the code by one fixed
//! order, so that a script can rely on it.

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;

use kanade_shared::api::Problem;

/// What a script sees when the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Exit {
    /// All well.
    Ok,
    /// Some PC did not end well, or a check found an error.
    Failed,
    /// The command line or a file is wrong.
    Usage,
    /// The backend refused.
    Refused,
    /// Something named does not exist.
    NotFound,
    /// Some PC has not ended.
    Waiting,
    /// The backend can't be reached or can't serve.
    Unreachable,
    /// What is there differs from what is wanted.
    Differs,
}

impl Exit {
    /// The order in which codes win when more than one applies.
    const PRIORITY: [Self; 8] = [
        Self::Unreachable,
        Self::Usage,
        Self::NotFound,
        Self::Refused,
        Self::Failed,
        Self::Waiting,
        Self::Differs,
        Self::Ok,
    ];

    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NotFound => 4,
            Self::Waiting => 5,
            Self::Unreachable => 6,
            Self::Differs => 7,
        }
    }

    /// The one that wins; [`Exit::Ok`] of none.
    pub(crate) fn first(exits: impl IntoIterator<Item = Self>) -> Self {
        let rank = |exit: &Self| Self::PRIORITY.iter().position(|other| other == exit);
        exits.into_iter().min_by_key(rank).unwrap_or(Self::Ok)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: Exit,
    // Apart, so that a `Result` stays small.
    words: Box<Words>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Words {
    /// What failed, with which input.
    title: String,
    /// Causes, outermost first.
    causes: Vec<String>,
    /// The input at fault.
    field: Option<String>,
    /// Lines that show where, such as a piece of a file.
    excerpt: Option<String>,
    /// What to do next.
    help: Option<String>,
    /// The backend's code for programs.
    code: Option<String>,
}

impl Failure {
    fn new(exit: Exit, title: impl Into<String>) -> Self {
        let words = Words {
            title: title.into(),
            ..Words::default()
        };
        Self {
            exit,
            words: Box::new(words),
        }
    }

    /// The command line or a file is wrong.
    pub(crate) fn usage(title: impl Into<String>) -> Self {
        Self::new(Exit::Usage, title)
    }

    /// Something named does not exist.
    pub(crate) fn not_found(title: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, title)
    }

    /// The backend can't be reached or can't serve.
    pub(crate) fn unreachable(title: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, title)
    }

    /// What the backend answered.
    pub(crate) fn of_problem(problem: Problem) -> Self {
        let exit = exit_of(problem.status, &problem.code);
        let words = Words {
            title: problem.title,
            causes: problem.causes,
            field: problem.field.as_deref().map(flag_of),
            excerpt: None,
            help: problem.help,
            code: Some(problem.code),
        };
        Self {
            exit,
            words: Box::new(words),
        }
    }

    /// With the input at fault, as the operator wrote it.
    pub(crate) fn in_field(mut self, field: impl Into<String>) -> Self {
        self.words.field = Some(field.into());
        self
    }

    /// With lines that show where.
    pub(crate) fn shown(mut self, excerpt: impl Into<String>) -> Self {
        self.words.excerpt = Some(excerpt.into());
        self
    }

    /// With the next step.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.words.help = Some(help.into());
        self
    }

    /// With the chain of causes of an error; one that only repeats the line above is left out.
    pub(crate) fn caused_by(mut self, error: &dyn StdError) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            let text = cause.to_string();
            let known = self.words.causes.last().unwrap_or(&self.words.title);
            if !known.contains(&text) {
                self.words.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// The input at fault, as the operator wrote it.
    pub(crate) fn field(&self) -> Option<&str> {
        self.words.field.as_deref()
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// What failed, in one line.
    pub(crate) fn title(&self) -> &str {
        &self.words.title
    }

    /// The backend's code for programs.
    #[cfg(test)]
    pub(crate) fn code(&self) -> Option<&str> {
        self.words.code.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.words.title)?;
        for cause in &self.words.causes {
            write!(f, "\n  for: {cause}")?;
        }
        if let Some(field) = &self.words.field {
            write!(f, "\n  in:  {field}")?;
        }
        if let Some(excerpt) = &self.words.excerpt {
            write!(f, "\n{}", excerpt.trim_end_matches('\n'))?;
        }
        if let Some(help) = &self.words.help {
            write!(f, "\n  try: {help}")?;
        }
        Ok(())
    }
}

/// The exit code of an answer. A name that is not there is 'not found' also where it was one input
/// among others and the status says 'invalid'.
fn exit_of(status: u16, code: &str) -> Exit {
    if status == 404 || code.ends_with(".unknown") {
        return Exit::NotFound;
    }
    match status {
        400 | 411 | 413..=417 | 422 => Exit::Usage,
        408 | 500..=599 => Exit::Unreachable,
        _ => Exit::Refused,
    }
}

/// What the operator wrote for a field of the API; a field without a flag of its own stays.
fn flag_of(field: &str) -> String {
    let bare = field.strip_prefix("what.script.").unwrap_or(field);
    let bare = bare.strip_prefix("run.").unwrap_or(bare);
    let flag = match bare {
        "targets" => "--target",
        "targets.groups" => "--target group:…",
        "targets.pcs" => "--target pc:…",
        "targets.not_groups" => "--not group:…",
        "targets.not_pcs" => "--not pc:…",
        "deadline_s" => "--deadline",
        "reach" => "--open",
        "jitter_s" | "jitter" => "--jitter",
        "timeout" => "--timeout",
        "tries" => "--tries",
        "backoff" => "--backoff",
        "shell" => "--shell",
        "script" => "the script",
        "outcomes" => "--outcome",
        "preview" => "--preview",
        "reason" => "--reason",
        "what.job" => "JOB",
        "sort" => "--sort",
        "search" => "--search",
        _ => return field.to_owned(),
    };
    flag.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_that_wins_is_the_first_of_the_documented_order() {
        let all = [0, 7, 5, 1, 3, 4, 2, 6];
        let of = |code: u8| {
            Exit::PRIORITY
                .into_iter()
                .find(|exit| exit.code() == code)
                .unwrap()
        };
        for (place, &winner) in all.iter().enumerate() {
            let some = all[..=place].iter().map(|&code| of(code));
            assert_eq!(Exit::first(some).code(), winner);
        }
        assert_eq!(Exit::first([]), Exit::Ok);
    }

    #[test]
    fn an_answer_of_the_backend_becomes_words_and_a_code() {
        let mut problem = Problem::new(422, "group.unknown", "group `lba` does not exist");
        problem.field = Some("targets.groups".into());
        problem.help = Some("`lab`, or `kanade get groups` for all of them".into());
        let failure = Failure::of_problem(problem);
        assert_eq!(failure.exit(), Exit::NotFound);
        insta::assert_snapshot!(failure, @"
        error: group `lba` does not exist
          in:  --target group:…
          try: `lab`, or `kanade get groups` for all of them
        ");
    }

    #[test]
    fn each_kind_of_answer_has_its_code() {
        let code = |status, code| exit_of(status, code).code();
        assert_eq!(code(404, "exec.unknown"), 4);
        assert_eq!(code(422, "exec.deadline"), 2);
        assert_eq!(code(400, "request.body"), 2);
        assert_eq!(code(401, "auth.missing"), 3);
        assert_eq!(code(409, "exec.preview_changed"), 3);
        assert_eq!(code(429, "limit.rate"), 3);
        assert_eq!(code(503, "store.unavailable"), 6);
    }

    #[test]
    fn the_chain_of_causes_is_printed_once() {
        let inner = std::io::Error::other("connection refused");
        let failure = Failure::unreachable("could not reach the backend at http://127.0.0.1:1")
            .caused_by(&inner)
            .help("`cargo xtask up`");
        insta::assert_snapshot!(failure, @"
        error: could not reach the backend at http://127.0.0.1:1
          for: connection refused
          try: `cargo xtask up`
        ");
    }
}

//! Starting other programs, and saying plainly why one could not be started or failed.
//!
//! **Invariant:** a child never reads this program's input.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

/// What the last lines of a failed program's words are cut to.
const LAST_LINES: usize = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A `cargo` as the caller's shell would start it.
///
/// `cargo run` leaves variables that describe *this* crate; build scripts that watch them
/// would run again on every change between `cargo xtask` and a plain `cargo`.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    without_own_variables(&mut command);
    command
}

/// Removes what `cargo run` tells about this crate from the environment of `command`.
pub(crate) fn without_own_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let own = ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
            || [
                "CARGO",
                "CARGO_BIN_NAME",
                "CARGO_CRATE_NAME",
                "CARGO_PRIMARY_PACKAGE",
            ]
            .contains(&text);
        if own {
            command.env_remove(&name);
        }
    }
}

/// Runs `command` with its output on this program's; fails unless it ends with 0.
pub(crate) fn run_shown(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| not_started(command, error))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs `command` and gives its standard output; a failure carries its last words.
pub(crate) fn run_captured(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_started(command, error))?;
    if !output.status.success() {
        let words = [&output.stderr[..], &output.stdout[..]]
            .map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned())
            .join("\n");
        bail!(
            "`{}` failed ({})\n{}",
            shown(command),
            output.status,
            last_lines(&words)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `command` ends with 0 within `limit`; its words are dropped, and it is killed if not.
pub(crate) fn succeeds_within(command: &mut Command, limit: Duration) -> Result<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| not_started(command, error))?;
    let until = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().context("could not wait for a program")? {
            return Ok(status.success());
        }
        if Instant::now() > until {
            child.kill().ok();
            child.wait().ok();
            return Ok(false);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Runs a `cargo` build; on a terminal one line shows how far it is.
///
/// Warnings and errors are shown in full when the build is over.
pub(crate) fn run_build(command: &mut Command, label: &str) -> Result<Duration> {
    let begun = Instant::now();
    let terminal = io::stderr().is_terminal();
    if terminal {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| not_started(command, error))?;
    let words = child
        .stderr
        .take()
        .context("a piped standard error is there")?;
    let mut kept = Vec::new();
    let mut compiled = 0;
    for line in BufReader::new(words).split(b'\n') {
        let line = line.context("could not read what the build says")?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let Some(doing) = progress(&line) else {
            kept.push(line);
            continue;
        };
        compiled += usize::from(doing.starts_with("Compiling"));
        if terminal {
            let doing: String = doing.chars().take(40).collect();
            eprint!(
                "\r\x1b[K{label}{compiled} crates, {} · {doing}",
                seconds(begun.elapsed())
            );
            io::stderr().flush().ok();
        }
    }
    if terminal {
        eprint!("\r\x1b[K");
    }
    let status = child.wait().context("could not wait for the build")?;
    let kept = kept.join("\n");
    if !kept.trim().is_empty() {
        eprintln!("{}", kept.trim_end());
    }
    if !status.success() {
        bail!("the build failed ({status}); its errors are above");
    }
    Ok(begun.elapsed())
}

/// A line on the terminal that goes when this is dropped.
pub(crate) struct ProgressLine(bool);

/// Shows what is being done, where a terminal can take it away again.
pub(crate) fn progress_line(text: &str) -> ProgressLine {
    let terminal = io::stderr().is_terminal();
    if terminal {
        eprint!("\r\x1b[K{text}");
        io::stderr().flush().ok();
    }
    ProgressLine(terminal)
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.0 {
            eprint!("\r\x1b[K");
        }
    }
}

/// What cargo is doing, when `line` is one of its lines of progress.
fn progress(line: &str) -> Option<String> {
    const VERBS: [&str; 8] = [
        "Compiling",
        "Checking",
        "Finished",
        "Downloading",
        "Downloaded",
        "Locking",
        "Updating",
        "Blocking",
    ];
    let plain = without_colour(line);
    let plain = plain.trim();
    VERBS
        .iter()
        .any(|verb| plain.starts_with(verb))
        .then(|| plain.to_owned())
}

fn without_colour(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

/// The end of a longer text, which is where programs say what went wrong.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// `3 m 41 s`, `4.2 s`.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        whole => format!("{} m {} s", whole / 60, whole % 60),
    }
}

fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}

fn not_started(command: &Command, error: io::Error) -> anyhow::Error {
    let program = command.get_program().to_string_lossy();
    if error.kind() == io::ErrorKind::NotFound {
        return anyhow!(
            "`{program}` is not installed (or not on the PATH): install it, and try again"
        );
    }
    anyhow!(error).context(format!("could not start `{}`", shown(command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_what_to_do() {
        let error = run_captured(&mut Command::new("no-such-program-here")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`no-such-program-here` is not installed (or not on the PATH): install it, and try again"
        );
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended_and_counts_as_failed() {
        let python = |code: &str| {
            let mut command = Command::new("python3");
            command.args(["-c", code]);
            command
        };
        let limit = Duration::from_secs(60);
        assert!(succeeds_within(&mut python("pass"), limit).unwrap());
        assert!(!succeeds_within(&mut python("exit(3)"), limit).unwrap());
        let mut endless = python("import time; time.sleep(3600)");
        assert!(!succeeds_within(&mut endless, Duration::from_millis(1)).unwrap());
    }

    #[test]
    fn coloured_lines_of_progress_are_told_from_warnings() {
        let line = "\x1b[0m\x1b[0m\x1b[1m\x1b[32m   Compiling\x1b[0m sqlx v0.9.0";
        assert_eq!(progress(line).as_deref(), Some("Compiling sqlx v0.9.0"));
        assert_eq!(progress("\x1b[33mwarning\x1b[0m: unused"), None);
    }

    #[test]
    fn times_read_like_a_person_says_them() {
        assert_eq!(seconds(Duration::from_millis(4_230)), "4.2 s");
        assert_eq!(seconds(Duration::from_secs(221)), "3 m 41 s");
    }
}

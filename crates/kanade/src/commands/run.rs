//! `kanade run`: a command or a script, now.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use kanade_shared::api::execs::ExecWhat;
use kanade_shared::manifest::{JobRun, duration};
use kanade_shared::wire::command::{RunAs, Shell, output_cap};

use super::follow::WaitArgs;
use super::issue::{self, IssueArgs, Wait};
use super::{script, seconds};
use crate::cli::Global;
use crate::failure::{Exit, Failure};
use crate::output::Screen;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kanade run -t all -- uptime
  kanade run -t group:lab --not pc:lab-07 -- df -h /
  kanade run -t pc:lab-01 -- 'echo $HOME; ls | wc -l'      one word is a script as it stands
  kanade run -t group:office --file fix.ps1 --timeout 20m
  echo 'uname -a' | kanade run -t all -
  kanade run -t all --dry-run -- reboot                    says which PCs, runs nothing")]
pub(crate) struct RunArgs {
    /// Whom and until when.
    #[command(flatten)]
    pub issue: IssueArgs,
    /// Interpreter: sh, bash, pwsh, powershell, cmd [default: sh, or by the file's name]
    #[arg(long, value_name = "SHELL", value_parser = script::parse_shell)]
    pub shell: Option<Shell>,
    /// Run the script in this file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "words")]
    pub file: Option<PathBuf>,
    /// Limit of each try
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
    pub timeout: u32,
    /// Tries in all, when it does not end well
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub tries: u32,
    /// Wait before the second try; doubles with each
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = seconds)]
    pub backoff: u32,
    /// Print the exec's id and leave
    #[arg(long)]
    pub no_wait: bool,
    /// The command, after `--`; `-` alone reads a script from standard input
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub words: Vec<String>,
    /// How to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Runs it and waits for it.
///
/// # Errors
/// The script or the targets are wrong, or the backend refuses or can't be reached.
pub(crate) async fn run(args: &RunArgs, global: &Global, screen: &Screen) -> Result<Exit, Failure> {
    let waiting = args.wait.waiting()?;
    let what = ExecWhat::Script(job_run(args)?);
    let request = args.issue.request(what)?;
    let client = global.client()?;
    if args.issue.dry_run {
        return issue::preview(&client, screen, &request, args.wait.output).await;
    }
    let exec = issue::issue(&client, &request).await?;
    let wait = if !args.no_wait {
        Wait::ToTheEnd
    } else {
        Wait::Not
    };
    issue::see_through(&client, screen, exec, &waiting, wait).await
}

fn job_run(args: &RunArgs) -> Result<JobRun, Failure> {
    let (script, shell) = source(args)?;
    let run = JobRun {
        shell,
        script,
        args: Vec::new(),
        env: std::collections::BTreeMap::new(),
        cwd: None,
        stdin: None,
        timeout: args.timeout,
        jitter: args.issue.jitter.unwrap_or(0),
        tries: args.tries,
        backoff: args.backoff,
        run_as: RunAs::System,
        output_cap_bytes: output_cap(),
    };
    // What is wrong is said before anything is sent.
    match run.check().into_iter().next() {
        Some(wrong) => Err(Failure::usage(format!(
            "{} {}",
            flag(wrong.field, args),
            wrong.what
        ))),
        None => Ok(run),
    }
}

/// What was written for a field of the run.
fn flag(field: &str, args: &RunArgs) -> String {
    match field {
        "run.timeout" => format!("`--timeout {}`", duration::format(args.timeout)),
        "run.jitter" => format!(
            "`--jitter {}`",
            duration::format(args.issue.jitter.unwrap_or(0))
        ),
        "run.tries" => format!("`--tries {}`", args.tries),
        "run.backoff" => format!("`--backoff {}`", duration::format(args.backoff)),
        "run.script" => "the script".to_owned(),
        other => other.to_owned(),
    }
}

fn source(args: &RunArgs) -> Result<(String, Shell), Failure> {
    let shell = |file: Option<&Path>| {
        args.shell
            .or_else(|| file.and_then(script::shell_of))
            .unwrap_or(Shell::Sh)
    };
    match (&args.file, args.words.as_slice()) {
        (Some(file), _) => Ok((script::of_file(file)?, shell(Some(file)))),
        (None, [dash]) if dash == "-" => Ok((script::of_file(Path::new("-"))?, shell(None))),
        (None, []) => Err(nothing_to_run(std::io::stdin().is_terminal())),
        (None, words) => Ok((script::of_words(words, shell(None)), shell(None))),
    }
}

fn nothing_to_run(terminal: bool) -> Failure {
    Failure::usage("there is nothing to run").help(match terminal {
        true => "`kanade run -t all -- uptime`, or `--file FILE`",
        false => "`-` at the end, to read the script from standard input",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use clap::Parser as _;

    fn run_of(words: &[&str]) -> Result<JobRun, String> {
        let words = ["kanade", "run", "-t", "all"].iter().chain(words);
        let Verb::Run(args) = Cli::try_parse_from(words).unwrap().verb else {
            panic!("another verb");
        };
        job_run(&args).map_err(|failure| failure.to_string())
    }

    #[test]
    fn words_and_flags_become_a_run() {
        let run = run_of(&["--timeout", "20m", "--tries", "3", "--", "df", "-h", "/a b"]).unwrap();
        assert_eq!(
            (run.shell, run.script.as_str()),
            (Shell::Sh, "df -h '/a b'")
        );
        assert_eq!((run.timeout, run.tries, run.backoff), (1200, 3, 0));
        let run = run_of(&["--shell", "pwsh", "--", "Get-Date"]).unwrap();
        assert_eq!((run.shell, run.script.as_str()), (Shell::Pwsh, "Get-Date"));
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_sent() {
        let wrong = |words| run_of(words).unwrap_err();
        assert_eq!(
            wrong(&["--tries", "40", "--", "x"]),
            "error: `--tries 40` must be 1 to 11"
        );
        let timeout = wrong(&["--timeout", "0s", "--", "x"]);
        assert_eq!(timeout, "error: `--timeout 0s` must be 1s to 7d");
        assert_eq!(wrong(&["--", " "]), "error: the script is empty");
    }
}

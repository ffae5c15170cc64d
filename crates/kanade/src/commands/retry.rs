//! `kanade retry`: an exec again, where it did not end well.

use kanade_shared::api::execs::{ExecView, RetryRequest};
use kanade_shared::wire::result::Outcome;

use super::follow::{Shows, WaitArgs};
use super::issue::{self, Wait};
use super::seconds;
use crate::cli::Global;
use crate::failure::{Exit, Failure};
use crate::output::Screen;

/// Arguments of `retry`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kanade retry 0193a7f2 --failed --wait
  kanade retry 0193a7f2 --outcome timed_out,interrupted")]
pub(crate) struct RetryArgs {
    /// The exec, or the beginning of its id
    #[arg(value_name = "EXEC", value_parser = super::exec_ref)]
    pub exec: String,
    /// Where it ended with anything but `ok`
    #[arg(long, required_unless_present = "outcome", conflicts_with = "outcome")]
    pub failed: bool,
    /// Only where it ended so, such as `timed_out`; repeat it or use commas
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', value_parser = parse_outcome)]
    pub outcome: Vec<Outcome>,
    /// Latest start, from now [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub deadline: Option<u32>,
    /// Why; kept in the audit log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Wait for its end, as `run` does
    #[arg(long)]
    pub wait: bool,
    /// How to wait.
    #[command(flatten)]
    pub waiting: WaitArgs,
}

/// Reads an outcome.
///
/// # Errors
/// No such outcome, as clap shows it.
pub(crate) fn parse_outcome(word: &str) -> Result<Outcome, String> {
    let known = || Outcome::ALL.map(Outcome::as_str).join(", ");
    Outcome::parse(&word.replace(['-', ' '], "_")).ok_or_else(|| format!("one of: {}", known()))
}

/// Runs it again.
///
/// # Errors
/// There is no such exec, nothing to try again, or the backend can't be reached.
pub(crate) async fn run(
    args: &RetryArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let mut waiting = args.waiting.waiting()?;
    let request = RetryRequest {
        outcomes: args.outcome.clone(),
        deadline_s: args.deadline,
        reason: args.reason.clone(),
    };
    let client = global.client()?;
    let path = format!("execs/{}/retry", args.exec);
    let exec: ExecView = client.post(&path, &request).await?;
    waiting.shows = Shows::NewestAttempt;
    let wait = if args.wait { Wait::ToTheEnd } else { Wait::Not };
    issue::see_through(&client, screen, exec, &waiting, wait).await
}

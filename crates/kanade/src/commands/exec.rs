//! `kanade exec`: a job of the catalogue.

use kanade_shared::api::execs::ExecWhat;
use kanade_shared::id::JobId;

use super::follow::WaitArgs;
use super::issue::{self, IssueArgs, Wait};
use crate::cli::Global;
use crate::failure::{Exit, Failure};
use crate::output::Screen;

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kanade exec patch-browser -t group:canary --wait
  kanade exec cleanup-temp -t all --jitter 30m --deadline 2d
  id=$(kanade exec report -t all) && kanade watch $id")]
pub(crate) struct ExecArgs {
    /// The job
    #[arg(value_name = "JOB")]
    pub job: JobId,
    /// Whom and until when.
    #[command(flatten)]
    pub issue: IssueArgs,
    /// Wait for its end, as `run` does
    #[arg(long)]
    pub wait: bool,
    /// How to wait.
    #[command(flatten)]
    pub waiting: WaitArgs,
}

/// Issues it, and waits if that is wished.
///
/// # Errors
/// The targets are wrong, or the backend refuses or can't be reached.
pub(crate) async fn run(
    args: &ExecArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let waiting = args.waiting.waiting()?;
    let request = args.issue.request(ExecWhat::Job(args.job.clone()))?;
    let client = global.client()?;
    if args.issue.dry_run {
        return issue::preview(&client, screen, &request, args.waiting.output).await;
    }
    let exec = issue::issue(&client, &request).await?;
    let wait = if args.wait { Wait::ToTheEnd } else { Wait::Not };
    issue::see_through(&client, screen, exec, &waiting, wait).await
}

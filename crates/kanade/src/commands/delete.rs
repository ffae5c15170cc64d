//! `kanade delete`.

use kanade_shared::id::{GroupId, JobId};

use crate::cli::Global;
use crate::failure::{Exit, Failure};
use crate::output::Screen;

/// Arguments of `delete`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Execs of a deleted job go on; `kanade withdraw` and `kanade kill` stop them."
)]
pub(crate) struct DeleteArgs {
    /// What to delete.
    #[command(subcommand)]
    pub what: What,
}

/// What can be deleted.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum What {
    /// Jobs
    Job {
        /// Their names
        #[arg(required = true, value_name = "JOB")]
        names: Vec<JobId>,
    },
    /// Groups; the PCs stay
    Group {
        /// Their names
        #[arg(required = true, value_name = "GROUP")]
        names: Vec<GroupId>,
    },
}

/// Deletes; goes on after one that can't be deleted.
///
/// # Errors
/// The backend can't be reached.
pub(crate) async fn run(
    args: &DeleteArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    let (kind, names): (&str, Vec<&str>) = match &args.what {
        What::Job { names } => ("job", names.iter().map(JobId::as_str).collect()),
        What::Group { names } => ("group", names.iter().map(GroupId::as_str).collect()),
    };
    let mut exits = Vec::new();
    for name in names {
        match client.delete(&format!("{kind}s/{name}")).await {
            Ok(()) => screen.words(&format!("{kind}/{name} deleted")),
            Err(failure) if failure.exit() == Exit::Unreachable => return Err(failure),
            Err(failure) => {
                screen.failure(&failure);
                exits.push(failure.exit());
            }
        }
    }
    Ok(Exit::first(exits))
}

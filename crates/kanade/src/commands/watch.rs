//! `kanade watch`: picks an exec up again.

use kanade_shared::api::execs::ExecView;

use super::follow::{self, Offline, WaitArgs};
use crate::cli::Global;
use crate::failure::{Exit, Failure};
use crate::output::Screen;

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Shows what has ended, waits for the rest (also for PCs that are offline, until \
the deadline),\nand exits as `run` would have. Ctrl-C leaves the exec as it is."
)]
pub(crate) struct WatchArgs {
    /// The exec, or the beginning of its id
    #[arg(value_name = "EXEC", value_parser = super::exec_ref)]
    pub exec: String,
    /// How to wait.
    #[command(flatten)]
    pub waiting: WaitArgs,
}

/// Waits for it.
///
/// # Errors
/// There is no such exec, or the backend can't be reached.
pub(crate) async fn run(
    args: &WatchArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let mut waiting = args.waiting.waiting()?;
    waiting.offline = Offline::Wait;
    let client = global.client()?;
    let exec: ExecView = client.get(&format!("execs/{}", args.exec), &()).await?;
    follow::follow(&client, screen, exec, &waiting).await
}

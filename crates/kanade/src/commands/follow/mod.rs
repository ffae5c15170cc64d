//! Waiting for an exec: shows what comes, until it has ended or nothing more is to be waited for.
//!
//! [`state`] decides on what it was told, without I/O; [`show`] prints; this file holds the loop
//! over everything that can happen: a change, a timer, Ctrl-C.
//!
//! **Invariant:** the stream of changes is only the fast way; the lists are read at its start, after
//! every break, and from time to time, and they alone would be enough.

#[cfg(test)]
pub(crate) mod fixtures;
mod show;
mod state;
mod tails;

use std::pin::Pin;
use std::time::Duration;

use chrono::Utc;
use kanade_shared::api::agents::{AgentQuery, AgentView, Presence};
use kanade_shared::api::execs::{ExecView, TargetQuery, TargetState, TargetView};
use kanade_shared::api::results::{ResultQuery, ResultView};
use kanade_shared::wire::agent::TailChunk;
use tokio::time::Instant;

use self::show::Shown;
use self::state::{Follow, Verdict};
use self::tails::Tails;
use super::seconds;
use crate::client::events::{Listener, Live};
use crate::client::{Asking, Client, list};
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::table::Format;

pub(crate) use self::show::line_of;
pub(crate) use self::state::{Offline, Shows};

/// Up to this many PCs, each one's lines are shown as they come.
const LINES_MAX: u64 = 5;
/// How often what is left is read again, first and at most.
const READ_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// How long the last look at what is left may take.
const LAST_READ: Duration = Duration::from_secs(1);

/// The flags of everything that waits.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "While waiting")]
pub(crate) struct WaitArgs {
    /// Put equal answers together at the end [default: for more than 5 PCs]
    #[arg(long, overrides_with = "no_fold")]
    pub fold: bool,
    /// Show each PC's lines as they come
    #[arg(long, overrides_with = "fold")]
    pub no_fold: bool,
    /// Wait also for PCs that are offline, until the deadline
    #[arg(long)]
    pub wait_offline: bool,
    /// Leave after this time, whatever is left (exit code 5)
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub timeout_wait: Option<u32>,
    /// How to show it
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORM",
        default_value = "table",
        hide_possible_values = true
    )]
    pub output: Format,
}

impl WaitArgs {
    /// How to wait.
    ///
    /// # Errors
    /// The form of output is none for this.
    pub(crate) fn waiting(&self) -> Result<Waiting, Failure> {
        if matches!(self.output, Format::Wide) {
            return Err(
                Failure::usage("`-o wide` is for lists").help("table, json, yaml, name or csv")
            );
        }
        Ok(Waiting {
            fold: match (self.fold, self.no_fold) {
                (true, _) => Fold::Always,
                (_, true) => Fold::Never,
                (false, false) => Fold::Many,
            },
            offline: if self.wait_offline {
                Offline::Wait
            } else {
                Offline::Leave
            },
            shows: Shows::All,
            give_up: self
                .timeout_wait
                .map(|seconds| Duration::from_secs(seconds.into())),
            format: self.output,
        })
    }
}

/// How to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    /// When to put equal answers together.
    pub fold: Fold,
    /// What to do when only offline PCs are left.
    pub offline: Offline,
    /// Which PCs are shown.
    pub shows: Shows,
    /// Longest wait.
    pub give_up: Option<Duration>,
    /// How to show it.
    pub format: Format,
}

/// When to put equal answers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fold {
    /// Always.
    Always,
    /// Never.
    Never,
    /// For more PCs than fit as lines.
    Many,
}

/// Everything that can happen while waiting.
enum Happening {
    Change(Live),
    ReadAgain,
    Output(TailChunk),
    GiveUp,
    Interrupt,
}

/// Waits for an exec and shows it.
///
/// # Errors
/// The backend refuses, or stays away.
pub(crate) async fn follow(
    client: &Client,
    screen: &Screen,
    exec: ExecView,
    waiting: &Waiting,
) -> Result<Exit, Failure> {
    let id = exec.exec_id;
    let done = watch_to_end(client, screen, exec, waiting).await;
    screen.progress().clear();
    done.map_err(|failure| {
        if failure.exit() != Exit::Unreachable {
            return failure;
        }
        let id = id.short();
        failure.help(format!(
            "`kanade watch {id}` when it is back; the exec goes on"
        ))
    })
}

async fn watch_to_end(
    client: &Client,
    screen: &Screen,
    exec: ExecView,
    waiting: &Waiting,
) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let mut listener = Listener::start(client.clone(), &format!("exec:{}", exec.exec_id));
    let mut shown = Shown::new(client, screen, *waiting, exec.counts.targets > LINES_MAX);
    let mut follow = Follow::new(exec, waiting.shows);
    let give_up = waiting.give_up.map(|time| begun + time);
    let mut again = READ_AGAIN.0;
    let mut read_at = begun + again;
    let mut began = false;
    // One for the whole time: a Ctrl-C while something is read is not lost.
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let verdict = loop {
        let timers = Timers { read_at, give_up };
        match happening(&mut listener, shown.tails(), timers, interrupt.as_mut()).await {
            Happening::Change(live) => {
                let mut changed = take_live(live, &mut follow, screen)?;
                // What is already here is one step, so that a thousand ends are not a thousand.
                while let Some(live) = listener.try_next() {
                    changed |= take_live(live, &mut follow, screen)?;
                }
                if !changed {
                    continue;
                }
                (again, read_at) = (READ_AGAIN.0, Instant::now() + READ_AGAIN.0);
                if follow.missed() {
                    tolerate(read_all(client, &mut follow).await)?;
                }
            }
            Happening::ReadAgain => {
                let read = match follow.missed() {
                    true => read_all(client, &mut follow).await,
                    false => read_rest(client, &mut follow).await,
                };
                tolerate(read)?;
                again = (again * 2).min(READ_AGAIN.1);
                read_at = Instant::now() + again;
            }
            Happening::Output(chunk) => {
                shown.output(&follow, &chunk);
                continue;
            }
            Happening::GiveUp => break Verdict::GaveUp,
            Happening::Interrupt => break Verdict::Interrupted,
        }
        if !follow.read() {
            continue;
        }
        if !began {
            began = true;
            shown.head(&follow);
        }
        shown.news(&mut follow).await?;
        if let Some(verdict) = follow.verdict(waiting.offline, Utc::now()) {
            if verdict == Verdict::Ended && follow.lacks_results() {
                tolerate(read_all(client, &mut follow).await)?;
                shown.news(&mut follow).await?;
            }
            break verdict;
        }
    };
    let took = begun.elapsed();
    if verdict != Verdict::Ended {
        // Why each one that is left is as it is; without an answer in time, what is known.
        let _ = tokio::time::timeout(LAST_READ, read_rest(client, &mut follow)).await;
    }
    shown.end(&mut follow, verdict, took).await?;
    Ok(follow.exit())
}

#[derive(Clone, Copy)]
struct Timers {
    read_at: Instant,
    give_up: Option<Instant>,
}

async fn happening(
    listener: &mut Listener,
    tails: &mut Tails,
    timers: Timers,
    interrupt: Pin<&mut impl Future<Output = std::io::Result<()>>>,
) -> Happening {
    let far = || Instant::now() + Duration::from_secs(86_400);
    tokio::select! {
        biased;
        _ = interrupt => Happening::Interrupt,
        live = listener.next() => Happening::Change(live),
        chunk = tails.next() => Happening::Output(chunk),
        () = tokio::time::sleep_until(timers.give_up.unwrap_or_else(far)) => Happening::GiveUp,
        () = tokio::time::sleep_until(timers.read_at) => Happening::ReadAgain,
    }
}

/// Takes one change; says whether it may have changed anything.
fn take_live(live: Live, follow: &mut Follow, screen: &Screen) -> Result<bool, Failure> {
    match live {
        Live::ReadAgain => follow.miss(),
        Live::Event(event) => follow.take(event),
        Live::Away => {
            screen
                .progress()
                .show(0, 1, "the backend is away, trying again");
            return Ok(false);
        }
        Live::Back => return Ok(false),
        Live::Over(failure) => return Err(failure),
    }
    Ok(true)
}

/// A backend that is away for a moment is no end: the listener says when it is given up, and what
/// was not read is read at the next turn.
fn tolerate(read: Result<(), Failure>) -> Result<(), Failure> {
    match read {
        Err(failure) if failure.exit() == Exit::Unreachable => Ok(()),
        read => read,
    }
}

/// Reads the exec, all its targets and all its results.
async fn read_all(client: &Client, follow: &mut Follow) -> Result<(), Failure> {
    let id = follow.exec().exec_id;
    // The exec last: what it says to have ended is in the lists that were read before, or will
    // come as an event.
    let (targets, results) =
        tokio::try_join!(async { targets(client, follow, None).await }, async {
            let query = ResultQuery {
                exec_id: Some(id),
                ..ResultQuery::default()
            };
            Ok(
                list::<ResultView, _>(client, "results", &query, Asking::All)
                    .await?
                    .items,
            )
        })?;
    let exec: ExecView = client.get(&format!("execs/{id}"), &()).await?;
    follow.take_lists(exec, targets, results);
    Ok(())
}

/// Reads what has not ended again: whether PCs went offline is no change of a target.
async fn read_rest(client: &Client, follow: &mut Follow) -> Result<(), Failure> {
    let id = follow.exec().exec_id;
    let exec: ExecView = client.get(&format!("execs/{id}"), &()).await?;
    let mut rest = Vec::new();
    for state in [
        TargetState::Pending,
        TargetState::Admitted,
        TargetState::Running,
    ] {
        rest.extend(targets(client, follow, Some(state)).await?);
    }
    follow.take_rest(exec, rest);
    if follow.held() {
        let query = AgentQuery {
            presence: Some(Presence::Offline),
            ..AgentQuery::default()
        };
        let offline = list::<AgentView, _>(client, "agents", &query, Asking::All)
            .await?
            .items;
        follow.take_offline(offline.into_iter().map(|agent| (agent.pc_id, agent.since)));
    }
    Ok(())
}

async fn targets(
    client: &Client,
    follow: &Follow,
    state: Option<TargetState>,
) -> Result<Vec<TargetView>, Failure> {
    let path = format!("execs/{}/targets", follow.exec().exec_id);
    let query = TargetQuery {
        state,
        ..TargetQuery::default()
    };
    Ok(list(client, &path, &query, Asking::All).await?.items)
}

//! Live output of runs that last, while few PCs are followed.
//!
//! A task per run listens and asks; what comes goes through one channel. Lines are handed out
//! whole.

use std::collections::BTreeMap;

use kanade_shared::api::events::LiveEvent;
use kanade_shared::api::execs::TargetState;
use kanade_shared::id::RequestId;
use kanade_shared::wire::agent::TailChunk;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::LINES_MAX;
use super::state::Follow;
use crate::client::Client;
use crate::client::events::{Listener, Live};
use crate::commands::tail::{ASK_AGAIN, Seen};

/// The runs whose output is shown while they run.
pub(super) struct Tails {
    runs: BTreeMap<RequestId, Run>,
    sender: mpsc::UnboundedSender<TailChunk>,
    chunks: mpsc::UnboundedReceiver<TailChunk>,
}

struct Run {
    seen: [Seen; 2],
    /// Text after the last whole line.
    rest: [String; 2],
    task: JoinHandle<()>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tails {
    /// Follows none yet.
    pub(super) fn new() -> Self {
        let (sender, chunks) = mpsc::unbounded_channel();
        Self {
            runs: BTreeMap::new(),
            sender,
            chunks,
        }
    }

    /// Begins to follow what runs.
    pub(super) fn tend(&mut self, client: &Client, follow: &Follow) {
        if follow.exec().counts.targets > LINES_MAX {
            return;
        }
        for target in follow
            .targets()
            .filter(|target| target.state == TargetState::Running)
        {
            let (run, sender) = (target.request_id, &self.sender);
            self.runs.entry(run).or_insert_with(|| Run {
                seen: [Seen::default(); 2],
                rest: [String::new(), String::new()],
                task: tokio::spawn(listen(client.clone(), run, sender.clone())),
            });
        }
    }

    /// The next piece of output.
    pub(super) async fn next(&mut self) -> TailChunk {
        match self.chunks.recv().await {
            Some(chunk) => chunk,
            // The sender lives as long as the receiver.
            None => std::future::pending().await,
        }
    }

    /// The whole lines that a piece completes, of standard output and standard error.
    pub(super) fn take(&mut self, chunk: &TailChunk) -> [String; 2] {
        let Some(run) = self.runs.get_mut(&chunk.request_id) else {
            return [String::new(), String::new()];
        };
        let pieces = [
            (chunk.stdout_offset, &chunk.stdout),
            (chunk.stderr_offset, &chunk.stderr),
        ];
        let mut lines = [String::new(), String::new()];
        for (place, (offset, text)) in pieces.into_iter().enumerate() {
            let (_, new) = run.seen[place].take(offset, text);
            let rest = &mut run.rest[place];
            rest.push_str(new);
            let end = rest.rfind('\n').map_or(0, |end| end + 1);
            lines[place] = rest.drain(..end).collect();
        }
        lines
    }

    /// Ends a run and says how many bytes of its two streams were handed out.
    pub(super) fn end(&mut self, run: RequestId) -> [u64; 2] {
        match self.runs.remove(&run) {
            Some(run) => [0, 1].map(|place| {
                run.seen[place]
                    .bytes
                    .saturating_sub(run.rest[place].len() as u64)
            }),
            None => [0, 0],
        }
    }

    /// Follows nothing any more.
    pub(super) fn stop(&mut self) {
        self.runs.clear();
    }
}

/// Hands on what a PC sends of a run. When it can't be had, the output comes with the result.
async fn listen(client: Client, run: RequestId, sender: mpsc::UnboundedSender<TailChunk>) {
    let mut listener = Listener::start(client.clone(), &format!("tail:{run}"));
    let mut ask = tokio::time::interval_at(Instant::now() + ASK_AGAIN, ASK_AGAIN);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let path = format!("results/{run}/tail");
    loop {
        tokio::select! {
            _ = ask.tick() => drop(client.ask(&path).await),
            live = listener.next() => match live {
                Live::ReadAgain => drop(client.ask(&path).await),
                Live::Event(LiveEvent::Tail { chunk }) => {
                    if sender.send(chunk).is_err() {
                        return;
                    }
                }
                Live::Event(_) | Live::Away | Live::Back => {}
                Live::Over(_) => return,
            },
        }
    }
}

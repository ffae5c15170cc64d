//! Output of a run while it runs.
//!
//! A PC sends pieces that may overlap; [`Seen`] puts them together. It sends for a minute, so
//! whoever watches asks again.

use std::time::Duration;

use kanade_shared::api::events::LiveEvent;
use kanade_shared::api::results::{ResultView, Stream};
use kanade_shared::id::{ExecId, RequestId};
use kanade_shared::wire::agent::TailChunk;
use tokio::time::{Instant, MissedTickBehavior};

use crate::client::events::{Listener, Live};
use crate::client::{Client, whole_output};
use crate::failure::{Exit, Failure};
use crate::output::Screen;

/// How often a PC is asked to go on: well within the minute that it sends for.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(25);

/// What was seen of one stream.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    /// Bytes, from the beginning of all that was written.
    pub bytes: u64,
}

impl Seen {
    /// The part of a piece that is new, and how many bytes are missing before it.
    pub(super) fn take<'a>(&mut self, offset: u64, text: &'a str) -> (u64, &'a str) {
        let end = offset + text.len() as u64;
        if end <= self.bytes {
            return (0, "");
        }
        let missing = offset.saturating_sub(self.bytes);
        let known = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(0);
        self.bytes = end;
        // A piece that was cut within a character is shown from the next one on.
        let start = (known..=text.len())
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(text.len());
        (missing, &text[start..])
    }
}

/// The part of a stored output that comes after the first `seen` bytes of all that was written,
/// also when its middle was cut out.
pub(super) fn after(stored: &str, total_bytes: u64, seen: u64) -> &str {
    if seen == 0 {
        return stored;
    }
    let unseen = usize::try_from(total_bytes.saturating_sub(seen)).unwrap_or(usize::MAX);
    let start = stored.len().saturating_sub(unseen);
    let start = (start..=stored.len()).find(|&at| stored.is_char_boundary(at));
    &stored[start.unwrap_or(stored.len())..]
}

/// Shows what a run writes until it ends; its outcome is the exit code.
///
/// # Errors
/// The backend can't be reached, or the PC can't be asked.
pub(super) async fn follow(
    client: &Client,
    screen: &Screen,
    exec: ExecId,
    run: RequestId,
    stream: Stream,
) -> Result<Exit, Failure> {
    let mut listener = Listener::start(client.clone(), &format!("tail:{run},exec:{exec}"));
    let mut ask = tokio::time::interval_at(Instant::now() + ASK_AGAIN, ASK_AGAIN);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen::default();
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    // What is written stands at any place of a line; nothing may be drawn over it.
    screen.progress().off();
    loop {
        let live = tokio::select! {
            _ = interrupt.as_mut() => return Ok(Exit::Waiting),
            live = listener.next() => live,
            _ = ask.tick() => {
                if let Some(result) = result(client, run).await? {
                    return rest(client, screen, &result, stream, seen).await;
                }
                ask_pc(client, screen, run).await?;
                continue;
            }
        };
        match live {
            Live::ReadAgain => {
                if let Some(result) = result(client, run).await? {
                    return rest(client, screen, &result, stream, seen).await;
                }
                ask_pc(client, screen, run).await?;
            }
            Live::Event(LiveEvent::Tail { chunk }) if chunk.request_id == run => {
                show(screen, &chunk, stream, &mut seen);
            }
            Live::Event(LiveEvent::Result { result }) if result.request_id == run => {
                return rest(client, screen, &result, stream, seen).await;
            }
            Live::Event(_) | Live::Away | Live::Back => {}
            Live::Over(failure) => return Err(failure),
        }
    }
}

/// A PC that can't be asked now may be asked later; that is no reason to leave.
async fn ask_pc(client: &Client, screen: &Screen, run: RequestId) -> Result<(), Failure> {
    match client.ask(&format!("results/{run}/tail")).await {
        Err(failure) if failure.exit() == Exit::NotFound => Err(failure),
        Err(failure) => {
            screen.words(&format!("{}; trying again", failure.title()));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn result(client: &Client, run: RequestId) -> Result<Option<ResultView>, Failure> {
    match client.get(&format!("results/{run}"), &()).await {
        Ok(result) => Ok(Some(result)),
        Err(failure) if failure.exit() == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn show(screen: &Screen, chunk: &TailChunk, stream: Stream, seen: &mut Seen) {
    let (missing, text) = match stream {
        Stream::Stdout => seen.take(chunk.stdout_offset, &chunk.stdout),
        Stream::Stderr => seen.take(chunk.stderr_offset, &chunk.stderr),
    };
    if missing > 0 {
        screen.words(&format!("… {missing} bytes are not shown …"));
    }
    if !text.is_empty() {
        screen.raw(text);
    }
}

async fn rest(
    client: &Client,
    screen: &Screen,
    result: &ResultView,
    stream: Stream,
    seen: Seen,
) -> Result<Exit, Failure> {
    let view = match stream {
        Stream::Stdout => &result.stdout,
        Stream::Stderr => &result.stderr,
    };
    let text = whole_output(client, result.request_id, stream, view).await?;
    screen.raw(after(&text, view.total_bytes, seen.bytes));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_overlap_are_shown_once() {
        let mut seen = Seen::default();
        assert_eq!(seen.take(0, "hello "), (0, "hello "));
        assert_eq!(seen.take(0, "hello wor"), (0, "wor"));
        assert_eq!(seen.take(3, "lo"), (0, ""));
        assert_eq!(seen.take(9, "ld"), (0, "ld"));
        assert_eq!(seen.take(15, "x"), (4, "x"));
        assert_eq!(seen.bytes, 16);
        let mut seen = Seen { bytes: 1 };
        assert_eq!(seen.take(0, "éa"), (0, "a"));
    }

    #[test]
    fn a_stored_output_goes_on_where_the_live_one_ended() {
        assert_eq!(after("hello", 5, 0), "hello");
        assert_eq!(after("hello", 5, 3), "lo");
        assert_eq!(after("hello", 5, 9), "");
        // Its middle was cut out: 100 bytes were written, the last 4 are `tail`.
        assert_eq!(after("head…tail", 100, 96), "tail");
    }
}

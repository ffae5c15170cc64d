//! Live changes that outlive their connection.
//!
//! A task reads the stream and hands on what it says; when the connection breaks it comes back
//! with the id of the last event. Where something may have been missed it says
//! [`Live::ReadAgain`], and the listener reads the lists.
//!
//! **Invariant:** the first thing given is [`Live::ReadAgain`], sent when the backend listens: what
//! a list says after it, together with the events after it, leaves nothing out.

use std::time::Duration;

use futures::StreamExt as _;
use kanade_shared::api::events::LiveEvent;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Client;
use super::sse::SseReader;
use crate::failure::{Exit, Failure};

/// A stream that is silent for longer is broken: heartbeats come every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// How long a backend may be away before it counts as gone.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// First and longest wait between two tries to come back.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// What a listener is told.
#[derive(Debug)]
pub(crate) enum Live {
    /// Something may have been missed: read the lists.
    ReadAgain,
    /// One change.
    Event(LiveEvent),
    /// The connection is broken; it is tried again.
    Away,
    /// It is back.
    Back,
    /// It is given up.
    Over(Failure),
}

/// Listens to topics of one backend until dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    changes: mpsc::UnboundedReceiver<Live>,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Starts to listen; `topics` as the API has them, such as `exec:<id>`.
    pub(crate) fn start(client: Client, topics: &str) -> Self {
        let (sender, changes) = mpsc::unbounded_channel();
        let path = format!("events?topics={topics}");
        let task = tokio::spawn(async move {
            let mut session = Session {
                client,
                path,
                sender,
                last: None,
            };
            if let Some(failure) = session.run().await {
                let _ = session.sender.send(Live::Over(failure));
            }
        });
        Self { changes, task }
    }

    /// The next change; the last one is [`Live::Over`].
    pub(crate) async fn next(&mut self) -> Live {
        match self.changes.recv().await {
            Some(live) => live,
            None => Live::Over(Failure::unreachable("the stream of changes ended")),
        }
    }

    /// A change that is already here.
    pub(crate) fn try_next(&mut self) -> Option<Live> {
        self.changes.try_recv().ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Session {
    client: Client,
    path: String,
    sender: mpsc::UnboundedSender<Live>,
    last: Option<String>,
}

impl Session {
    /// Listens over as many connections as it takes; ends when nobody listens any more (`None`)
    /// or the backend refuses or stays away.
    async fn run(&mut self) -> Option<Failure> {
        let mut away_since: Option<Instant> = None;
        let mut wait = BACK_OFF.0;
        loop {
            let failure = match self
                .client
                .open_stream(&self.path, self.last.as_deref())
                .await
            {
                Ok(response) => {
                    let came_back = away_since.take().is_some();
                    wait = BACK_OFF.0;
                    if came_back {
                        self.sender.send(Live::Back).ok()?;
                    }
                    // With an id the backend sends what was missed, or says reset.
                    if self.last.is_none() {
                        self.sender.send(Live::ReadAgain).ok()?;
                    }
                    self.read(response).await?
                }
                Err(failure) if failure.exit() != Exit::Unreachable => return Some(failure),
                Err(failure) => failure,
            };
            if self.sender.is_closed() {
                return None;
            }
            let since = *away_since.get_or_insert_with(|| {
                let _ = self.sender.send(Live::Away);
                Instant::now()
            });
            if since.elapsed() > AWAY_MAX {
                return Some(failure);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }

    /// Reads one connection to its end; `None` when nobody listens any more.
    async fn read(&mut self, response: reqwest::Response) -> Option<Failure> {
        let mut pieces = response.bytes_stream();
        let mut reader = SseReader::default();
        loop {
            let piece = match tokio::time::timeout(SILENCE_MAX, pieces.next()).await {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(error))) => return Some(self.client.unreachable(&error)),
                Ok(None) => return Some(Failure::unreachable("the backend ended the stream")),
                Err(_) => return Some(Failure::unreachable("the stream of changes went silent")),
            };
            for event in reader.take(&piece) {
                if event.id.is_some() {
                    self.last.clone_from(&event.id);
                }
                let live = match serde_json::from_str(&event.data) {
                    Ok(LiveEvent::Reset) => Live::ReadAgain,
                    Ok(event) => Live::Event(event),
                    // From a newer backend: what it says is in the lists, too.
                    Err(_) => continue,
                };
                self.sender.send(live).ok()?;
            }
        }
    }
}

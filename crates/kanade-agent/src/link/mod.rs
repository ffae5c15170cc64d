//! The connection to the broker.
//!
//! One connection, one task that turns what comes over it into [`LinkEvent`]s. Everything live is
//! subscribed before anything is read, on the same connection, so nothing falls between. There is
//! no JetStream consumer: what is live comes by core subscriptions of what the streams have
//! stored, what was missed by Direct Get.
//!
//! **Invariant:** a live document counts only with its stream's sequence, and per connection and
//! subject only in the order of the sequences; the rev inside decides the rest.
//! **Invariant:** a loss of the connection is told before anything that came over the next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Auth, AuthError, ConnectOptions, Event as ClientEvent, Message};
use futures::StreamExt;
use kanade_agent_core::{Heard, Mono, Read};
use kanade_shared::id::PcId;
use kanade_shared::subject::{self, Scope};
use kanade_shared::wire::agent::TimeReply;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::Join;
use crate::random;

pub mod document;
pub mod read;

use document::OpenCommands;

const PING_EVERY: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_RECONNECT_MS: u64 = 200;
const LONGEST_RECONNECT_MS: u64 = 8_000;
/// Messages that wait in a subscription, at most; a document makes its forerunners superfluous.
const SUBSCRIPTION_CAPACITY: usize = 256;

/// What comes from the broker.
#[derive(Debug)]
pub enum LinkEvent {
    /// There is a connection, and everything live is subscribed.
    Up(async_nats::Client),
    /// The connection is gone.
    Down,
    /// A document, as it was stored.
    Heard(Heard),
    /// An answer to a read.
    Read(Read),
    /// The fleet's time.
    Time {
        /// The backend's answer.
        reply: TimeReply,
        /// When it was asked.
        asked: Mono,
        /// When it answered.
        answered: Mono,
    },
    /// A request to this agent that wants a reply.
    Request {
        /// The last word of its subject.
        verb: String,
        /// What was asked.
        message: Message,
    },
}

/// Why there can be no connection, ever.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address is no broker's.
    #[error("could not use the broker address `{url}`")]
    Address {
        /// The address.
        url: String,
        /// Why.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The client is gone.
    #[error("could not subscribe `{subject}`")]
    Subscribe {
        /// What to.
        subject: String,
        /// Why.
        #[source]
        source: async_nats::SubscribeError,
    },
}

/// Where what comes over a link goes.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Takes one event; what nobody waits for any more is dropped.
    fn tell(&self, event: LinkEvent) -> impl Future<Output = ()> + Send;
}

impl Sink for mpsc::Sender<LinkEvent> {
    async fn tell(&self, event: LinkEvent) {
        // The agent that listens is the one that ends this task.
        let _ = self.send(event).await;
    }
}

/// An open link. Dropping it closes the connection, without a last event.
#[derive(Debug)]
pub struct Link {
    receiver: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

/// Opens the link: it connects in the background and stays open until it is dropped, with every
/// copy of the client that it told of.
///
/// # Errors
/// [`LinkError`] when the address makes no sense; a broker that is not there is no error.
pub async fn open(
    join: &Join,
    pc_id: &PcId,
    documents: Arc<dyn OpenCommands>,
    events: impl Sink,
) -> Result<Link, LinkError> {
    let (changes, connection_changes) = mpsc::unbounded_channel();
    let client = options(join, pc_id, changes)
        .connect(&join.url)
        .await
        .map_err(|source| LinkError::Address {
            url: join.url.clone(),
            source,
        })?;
    let mut subscriptions = Vec::new();
    for subject in [
        Scope::All.live_commands(),
        Scope::Pc(pc_id.clone()).live_commands(),
        subject::live_desired(pc_id),
        subject::LIVE_BRAKE.to_owned(),
        subject::agent_request(pc_id, "*"),
    ] {
        let subscribed = client.subscribe(subject.clone()).await;
        subscriptions.push(subscribed.map_err(|source| LinkError::Subscribe { subject, source })?);
    }
    let receiver = Receiver {
        client,
        pc_id: pc_id.clone(),
        documents,
        events,
        connection: None,
        sequences: HashMap::new(),
    };
    let receiver = tokio::spawn(receiver.run(connection_changes, subscriptions));
    Ok(Link { receiver })
}

/// A change of the connection, as the client tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Up,
    Down,
}

fn options(join: &Join, pc_id: &PcId, changes: mpsc::UnboundedSender<Change>) -> ConnectOptions {
    let (user, password) = (join.user.clone(), join.password.clone());
    let told = AtomicBool::new(false);
    // By callback, so that a credential that was renewed meanwhile is used at the next connect.
    let credentials = move |_nonce: Vec<u8>| {
        let (user, password) = (user.clone(), password.clone());
        async move {
            let mut auth = Auth::new();
            auth.username = Some(user);
            auth.password = Some(password);
            Ok::<Auth, AuthError>(auth)
        }
    };
    ConnectOptions::with_auth_callback(credentials)
        .name(pc_id)
        .custom_inbox_prefix(format!("_INBOX.{pc_id}"))
        .retry_on_initial_connect()
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_EVERY)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(256)
        .reconnect_delay_callback(|attempts| Duration::from_millis(reconnect_ms(attempts)))
        .event_callback(move |event| {
            tell_change(&event, &changes, &told);
            std::future::ready(())
        })
}

fn tell_change(event: &ClientEvent, changes: &mpsc::UnboundedSender<Change>, told: &AtomicBool) {
    let change = match event {
        ClientEvent::Connected => {
            told.store(false, Ordering::Relaxed);
            Change::Up
        }
        ClientEvent::Disconnected | ClientEvent::Closed => Change::Down,
        ClientEvent::ServerError(error) => return tell_once(&error.to_string(), told),
        ClientEvent::ClientError(error) => return tell_once(&error.to_string(), told),
        ClientEvent::SlowConsumer(_) | ClientEvent::LameDuckMode | ClientEvent::Draining => {
            return tracing::debug!(%event, "connection");
        }
    };
    // The receiver lives as long as the client.
    let _ = changes.send(change);
}

/// A fault of the connection is worth one line until there is a connection again: it is tried for
/// ever.
fn tell_once(error: &str, told: &AtomicBool) {
    if told.swap(true, Ordering::Relaxed) {
        tracing::debug!(error, "no connection to the broker");
    } else {
        tracing::warn!(
            error,
            "no connection to the broker; trying again until there is one"
        );
    }
}

/// The first connect is at once; then each wait doubles, spread so that a fleet does not come
/// back in one instant.
fn reconnect_ms(attempts: usize) -> u64 {
    if attempts <= 1 {
        return u64::from(random::byte());
    }
    let failures = u32::try_from(attempts - 1).unwrap_or(u32::MAX);
    kanade_agent_core::backoff::delay_ms(
        failures,
        FIRST_RECONNECT_MS,
        LONGEST_RECONNECT_MS,
        random::byte(),
    )
}

/// The life of a broker, and its number for the connection: a restarted one counts anew.
type ConnectionId = (String, u64);

struct Receiver<S> {
    client: async_nats::Client,
    pc_id: PcId,
    documents: Arc<dyn OpenCommands>,
    events: S,
    /// The connection that was told of; `None` while there is none.
    connection: Option<ConnectionId>,
    /// Newest sequence heard per subject over this connection.
    sequences: HashMap<String, u64>,
}

impl<S: Sink> Receiver<S> {
    async fn run(
        mut self,
        mut changes: mpsc::UnboundedReceiver<Change>,
        subscriptions: Vec<async_nats::Subscriber>,
    ) {
        let mut messages = futures::stream::select_all(subscriptions);
        loop {
            tokio::select! {
                biased;
                change = changes.recv() => match change {
                    Some(Change::Up) => self.connected().await,
                    Some(Change::Down) => self.disconnected().await,
                    None => return,
                },
                message = messages.next() => match message {
                    Some(message) => self.handle_message(message).await,
                    None => return,
                },
            }
        }
    }

    async fn connected(&mut self) {
        let connection = self.connection_id();
        if self.connection == connection && connection.is_some() {
            return;
        }
        self.disconnected().await;
        self.connection = Some(connection.unwrap_or_default());
        self.sequences.clear();
        self.tell(LinkEvent::Up(self.client.clone())).await;
    }

    async fn disconnected(&mut self) {
        if self.connection.take().is_some() {
            self.tell(LinkEvent::Down).await;
        }
    }

    /// The client tells of a connection a little later than it delivers over it.
    async fn handle_message(&mut self, message: Message) {
        let connection = self.connection_id();
        if connection.is_some() && connection != self.connection {
            self.connected().await;
        }
        let subject = message.subject.to_string();
        if let Some(verb) = subject.strip_prefix(&subject::agent_request(&self.pc_id, "")) {
            if message.reply.is_some() {
                self.tell(LinkEvent::Request {
                    verb: verb.to_owned(),
                    message,
                })
                .await;
            }
            return;
        }
        if let Some(heard) = self.heard(&subject, &message) {
            self.tell(LinkEvent::Heard(heard)).await;
        }
    }

    fn heard(&mut self, subject: &str, message: &Message) -> Option<Heard> {
        let headers = message.headers.as_ref()?;
        let sequence: u64 = headers.get("Nats-Sequence")?.as_str().parse().ok()?;
        let newest = self.sequences.entry(subject.to_owned()).or_default();
        if sequence <= *newest || read::is_marker(headers) {
            return None;
        }
        *newest = sequence;
        let (body, signature) = (&message.payload, read::signature(headers));
        if subject == subject::LIVE_BRAKE {
            return read::taken(subject, document::brake(body, signature)).map(Heard::Brake);
        }
        if subject == subject::live_desired(&self.pc_id) {
            let desired = document::desired(&self.pc_id, body, signature);
            return read::taken(subject, desired).map(Heard::Desired);
        }
        let scope = [Scope::All, Scope::Pc(self.pc_id.clone())]
            .into_iter()
            .find(|scope| scope.live_commands() == subject)?;
        let opened = self.documents.open(&scope, body, signature);
        let (document, hash) = read::taken(subject, opened)?;
        Some(Heard::Commands(scope, document, hash))
    }

    fn connection_id(&self) -> Option<ConnectionId> {
        let server = self.client.try_server_info()?;
        Some((server.server_id, server.client_id))
    }

    async fn tell(&self, event: LinkEvent) {
        self.events.tell(event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::reconnect_ms;

    #[test]
    fn reconnects_begin_at_once_and_are_never_long_apart() {
        assert!(reconnect_ms(1) < 256);
        assert!((1..100).all(|attempts| reconnect_ms(attempts) <= 8_000));
    }
}

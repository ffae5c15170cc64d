//! Who is there: heartbeats, and the broker's own events of connections.
//!
//! What comes is gathered for [`BATCH_PERIOD`] and written in one transaction; after a quiet
//! moment, at once. Connections make presence right within a second; where the broker's system
//! account is not at hand (somebody else's broker), a PC is offline after three heartbeats that
//! did not come.
//!
//! As long as all agents share the broker's user `agent`, a connection's PC is the name that the
//! client gave, so a PC can pretend to be another one here, and only here: nothing but the word
//! online or offline follows from it.

pub mod collision;
pub mod intake;
pub mod roster;

use std::collections::HashMap;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt};
use kanade_shared::id::PcId;
use tokio::time::Instant;

use crate::flow::Flow;
use crate::projector::reader::connects;
use crate::store::StoreError;
use crate::store::positions::DeadLetter;
use crate::tasks::Stop;
use intake::Batch;
use roster::{ConnectionEvent, ConnectionList, Roster};

/// The user of the broker that all agents share.
const AGENT_USER: &str = "agent";
/// Shortest time between two transactions.
const BATCH_PERIOD: Duration = Duration::from_millis(200);
/// Messages in a batch at most.
const BATCH_MESSAGES: usize = 5_000;
/// Silence after which a PC without a connection is offline: three heartbeats.
const SILENCE: chrono::Duration = chrono::Duration::seconds(90);
/// Time that agents have to come back after the broker or this process began anew. Whoever neither
/// has a connection then nor was heard since is offline.
const COME_BACK: chrono::Duration = chrono::Duration::seconds(20);
/// How often the silent are looked for.
const LOOK: Duration = Duration::from_secs(5);
/// How often the broker's list of connections is read again.
const LIST_PERIOD: Duration = Duration::from_secs(60);
/// Connections that one page of the list has.
const LIST_PAGE: u64 = 1024;
/// Messages of one PC (or of none) that are put aside per minute.
const DEAD_LETTERS_PER_MINUTE: u32 = 10;

/// Why the loop ended.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// The database did not take a batch.
    #[error("could not store heartbeats")]
    Store(#[from] StoreError),
    /// There is no subscription.
    #[error("could not listen to `{subject}`")]
    Subscribe {
        /// To what.
        subject: &'static str,
        /// What the client said.
        #[source]
        source: async_nats::SubscribeError,
    },
    /// A subscription ended by itself.
    #[error("the subscription to heartbeats or connections ended")]
    Ended,
}

struct Presence {
    flow: Flow,
    system: Option<Client>,
    heartbeats: Subscriber,
    connections: Option<Subscriber>,
    roster: Roster,
    letters: Letters,
    /// Connections of the system client at the last list; 0 before the first.
    listed_connects: u64,
    listed_at: Instant,
    /// Since when connections are heard without a break; absent while they are not.
    listening_since: Option<DateTime<Utc>>,
}

/// Takes in heartbeats and connections until `stop`. `system` is a client of the broker's system
/// account, where there is one.
///
/// # Errors
/// [`PresenceError`]; heartbeats that come meanwhile are lost, and the next ones say the same.
pub async fn run(flow: Flow, system: Option<Client>, stop: Stop) -> Result<(), PresenceError> {
    let heartbeats = subscribe(&flow.client, "heartbeat.*").await?;
    let connections = match &system {
        Some(system) => Some(subscribe(system, "$SYS.ACCOUNT.*.*").await?),
        None => None,
    };
    let presence = Presence {
        flow,
        system,
        heartbeats,
        connections,
        roster: Roster::default(),
        letters: Letters::default(),
        listed_connects: 0,
        listed_at: Instant::now(),
        listening_since: None,
    };
    let run = async {
        // A PC that is taken over keeps its enrolment, and must not get another one.
        presence.flow.recovered().await;
        presence.run().await
    };
    tokio::select! {
        ended = run => ended,
        () = stop.cancelled() => Ok(()),
    }
}

async fn subscribe(client: &Client, subject: &'static str) -> Result<Subscriber, PresenceError> {
    let subscribed = client.subscribe(subject).await;
    subscribed.map_err(|source| PresenceError::Subscribe { subject, source })
}

/// Everything that can happen.
enum Event {
    Heartbeat(Option<Message>),
    Connection(Option<Message>),
    Look,
}

impl Presence {
    async fn run(mut self) -> Result<(), PresenceError> {
        let mut look = tokio::time::interval(LOOK);
        let mut written = Instant::now();
        loop {
            let event = tokio::select! {
                message = self.heartbeats.next() => Event::Heartbeat(message),
                message = next(&mut self.connections) => Event::Connection(message),
                _ = look.tick() => Event::Look,
            };
            let mut batch = Batch::default();
            self.take(event, &mut batch).await?;
            self.gather(&mut batch, written + BATCH_PERIOD).await?;
            if !batch.is_empty() {
                written = Instant::now();
                intake::write(&self.flow, &self.roster, batch).await?;
            }
        }
    }

    /// What else comes until then; what is here already in any case.
    async fn gather(&mut self, batch: &mut Batch, until: Instant) -> Result<(), PresenceError> {
        for _ in 0..BATCH_MESSAGES {
            if let Some(message) = self.heartbeats.next().now_or_never() {
                self.take(Event::Heartbeat(message), batch).await?;
                continue;
            }
            if let Some(message) = next(&mut self.connections).now_or_never() {
                self.take(Event::Connection(message), batch).await?;
                continue;
            }
            let event = tokio::select! {
                message = self.heartbeats.next() => Event::Heartbeat(message),
                message = next(&mut self.connections) => Event::Connection(message),
                () = tokio::time::sleep_until(until) => return Ok(()),
            };
            self.take(event, batch).await?;
        }
        Ok(())
    }

    async fn take(&mut self, event: Event, batch: &mut Batch) -> Result<(), PresenceError> {
        match event {
            Event::Heartbeat(Some(message)) => self.heartbeat(&message, batch),
            Event::Connection(Some(message)) => self.connection(&message, batch),
            Event::Heartbeat(None) | Event::Connection(None) => return Err(PresenceError::Ended),
            Event::Look => self.look(batch).await?,
        }
        Ok(())
    }

    fn heartbeat(&mut self, message: &Message, batch: &mut Batch) {
        match intake::read(&message.subject, &message.payload) {
            Ok(mut heartbeat) => {
                let (pc_id, journal_id) = (&heartbeat.pc_id, heartbeat.journal_id);
                let collisions = &self.flow.counters.collisions;
                let now = Utc::now();
                if !collisions.heard(pc_id, journal_id, now) {
                    return;
                }
                if let Some(sentence) = collisions.blocked(pc_id, now) {
                    heartbeat.blocked = Some(sentence);
                }
                batch.heartbeats.insert(heartbeat.pc_id.clone(), heartbeat);
            }
            Err(why) => {
                if self.letters.room(&message.subject) {
                    let (subject, payload) = (&message.subject, &message.payload);
                    batch
                        .dead_letters
                        .push(DeadLetter::new("", 0, subject, why, payload));
                }
            }
        }
    }

    fn connection(&mut self, message: &Message, batch: &mut Batch) {
        let connect = message.subject.ends_with(".CONNECT");
        if !connect && !message.subject.ends_with(".DISCONNECT") {
            return;
        }
        let event: Result<ConnectionEvent, _> = serde_json::from_slice(&message.payload);
        let Some((pc_id, connection)) = event.ok().and_then(|event| event.agent(AGENT_USER)) else {
            return;
        };
        let mut last = false;
        if connect {
            self.roster.connected(&pc_id, connection);
        } else {
            last = self.roster.disconnected(&pc_id, &connection, Utc::now());
        }
        let crowded = self.roster.crowded(&pc_id);
        self.flow.counters.collisions.connection(&pc_id, crowded);
        if connect {
            batch.left.remove(&pc_id);
            batch.came.insert(pc_id);
        } else if last {
            batch.came.remove(&pc_id);
            batch.left.insert(pc_id);
        }
    }

    fn note_crowds(&self) {
        let crowded = self.roster.pcs().filter(|pc_id| self.roster.crowded(pc_id));
        let crowded = crowded.cloned().collect();
        self.flow.counters.collisions.connections(crowded);
    }

    /// Reads the list of connections when it may differ from what the events said, and looks for
    /// the silent.
    async fn look(&mut self, batch: &mut Batch) -> Result<(), PresenceError> {
        if let Some(system) = self.system.clone() {
            let connects = connects(&system);
            if connects != self.listed_connects || self.listed_at.elapsed() >= LIST_PERIOD {
                match list(&system).await {
                    Ok(connections) => {
                        if connects != self.listed_connects {
                            self.listening_since = Some(Utc::now());
                        }
                        self.roster.listed(connections);
                        self.note_crowds();
                        batch.came.extend(self.roster.pcs().cloned());
                        self.listed_connects = connects;
                        self.listed_at = Instant::now();
                    }
                    Err(error) => tracing::debug!(%error, "the broker gave no list of connections"),
                }
            }
        }
        let now = Utc::now();
        self.flow.counters.collisions.forget(now);
        let since = self
            .listening_since
            .filter(|since| now - *since > COME_BACK);
        let horizon = since.map_or(now - SILENCE, |since| since.max(now - SILENCE));
        let silent = self.flow.store.pcs_silent(horizon).await?;
        let gone = silent.into_iter().filter(|pc_id| !self.roster.has(pc_id));
        batch.left.extend(gone);
        Ok(())
    }
}

async fn next(subscriber: &mut Option<Subscriber>) -> Option<Message> {
    match subscriber {
        Some(subscriber) => subscriber.next().await,
        None => std::future::pending().await,
    }
}

/// Every agent's connection, page by page.
async fn list(system: &Client) -> Result<Vec<(PcId, roster::Connection)>, async_nats::Error> {
    let mut agents = Vec::new();
    let mut offset = 0;
    loop {
        let request = format!(r#"{{"auth":true,"limit":{LIST_PAGE},"offset":{offset}}}"#);
        let answer = system.request("$SYS.REQ.SERVER.PING.CONNZ", request.into());
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await??;
        let page: ConnectionList = serde_json::from_slice(&answer.payload)?;
        let (here, total) = page.sizes();
        agents.extend(page.agents(AGENT_USER));
        offset += here;
        if here == 0 || offset >= total {
            return Ok(agents);
        }
    }
}

/// Counts what is put aside per subject and minute, so that one PC cannot fill the table.
#[derive(Default)]
struct Letters {
    minute: Option<Instant>,
    counts: HashMap<String, u32>,
}

/// Subjects that are told apart in a minute.
const SUBJECTS_TOLD_APART: usize = 1000;

impl Letters {
    fn room(&mut self, subject: &str) -> bool {
        let over = self.minute.is_none_or(|at| at.elapsed().as_secs() >= 60);
        if over {
            self.minute = Some(Instant::now());
            self.counts.clear();
        }
        let known = self.counts.contains_key(subject) || self.counts.len() < SUBJECTS_TOLD_APART;
        let key = if known { subject } else { "" };
        let count = self.counts.entry(key.to_owned()).or_default();
        *count += 1;
        *count <= DEAD_LETTERS_PER_MINUTE
    }
}

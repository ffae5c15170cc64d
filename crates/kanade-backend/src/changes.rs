//! The hub of live changes: who changed something publishes here, who watches listens here.
//!
//! In goes a [`Changes::publish`] per committed transaction, with its change number and what
//! became different by topic; out comes a [`Listener`] per watcher, in the order of publishing.
//! The last [`RING_EVENTS`] events are kept, so that one who was away for a moment goes on where
//! it was; one who was away too long, or reads too slowly, is told to read everything again.
//!
//! Views are only made for topics that [`Changes::wants`] names, and a topic stays wanted for
//! [`LINGER`] after its last listener left: what is in the ring is complete for a topic from the
//! change at which it became wanted, and resuming from before that is a reset.
//!
//! **Invariant:** a listener sees every event of its topics after its start, or a reset.
//! **Invariant:** publishing never waits for a listener.

mod listener;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use kanade_shared::api::events::LiveEvent;
use kanade_shared::id::{ExecId, PcId, RequestId};
use tokio::sync::Notify;

pub use listener::Listener;
use listener::Start;

/// Events that are kept for those who come back.
pub const RING_EVENTS: usize = 10_000;
/// Events that may wait for one listener before it gets a reset instead; enough for every target
/// and result of an exec to 10,000 PCs.
pub const QUEUE_EVENTS: usize = 50_000;
/// How long a topic stays wanted after its last listener left.
pub const LINGER: Duration = Duration::from_secs(60);

/// What a listener may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Every PC.
    Agents,
    /// Every exec, without its targets.
    Execs,
    /// One exec, its targets and its results.
    Exec(ExecId),
    /// The live output of one run.
    Tail(RequestId),
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agents => f.write_str("agents"),
            Self::Execs => f.write_str("execs"),
            Self::Exec(id) => write!(f, "exec:{id}"),
            Self::Tail(id) => write!(f, "tail:{id}"),
        }
    }
}

/// A text that is no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no topic; topics are `agents`, `execs`, `exec:<id>` and `tail:<request_id>`")]
pub struct TopicError {
    text: String,
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        let topic = match text.split_once(':') {
            None if text == "agents" => Some(Self::Agents),
            None if text == "execs" => Some(Self::Execs),
            Some(("exec", id)) => id.parse().ok().map(Self::Exec),
            Some(("tail", id)) => id.parse().ok().map(Self::Tail),
            _ => None,
        };
        topic.ok_or_else(|| TopicError {
            text: text.chars().take(80).collect(),
        })
    }
}

/// The hub; clones share it.
#[derive(Clone)]
pub struct Changes(Arc<Mutex<Hub>>);

struct Hub {
    /// Highest change number that was published, or that the hub began with.
    current: u64,
    /// Changes up to this one are no longer all in the ring.
    forgotten: u64,
    ring: VecDeque<Arc<Batch>>,
    ring_events: usize,
    topics: HashMap<Topic, Interest>,
    listeners: HashMap<u64, Arc<Queue>>,
    next_listener: u64,
}

struct Interest {
    listeners: usize,
    /// The ring has every event of the topic after this change.
    since: u64,
    /// When the last listener left.
    left: Option<Instant>,
}

impl Interest {
    fn lives(&self, now: Instant) -> bool {
        self.left
            .is_none_or(|left| now.duration_since(left) < LINGER)
    }
}

/// Everything that one transaction changed; `change` is absent for what is only live.
struct Batch {
    change: Option<u64>,
    events: Vec<Event>,
}

struct Event {
    topic: Topic,
    event: LiveEvent,
    /// Made once, however many listen.
    json: OnceLock<String>,
}

impl Event {
    fn json(&self) -> &str {
        // A view serializes by derive, from strings and numbers; `null` is read as unknown.
        self.json
            .get_or_init(|| serde_json::to_string(&self.event).unwrap_or("null".to_owned()))
    }
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    ready: Notify,
    topics: Vec<Topic>,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Arc<Batch>>,
    events: usize,
    /// The change at which the listener lost track.
    reset: Option<u64>,
}

impl Changes {
    /// A hub whose first change will be above `current`, the last one of the database.
    #[must_use]
    pub fn new(current: u64) -> Self {
        Self(Arc::new(Mutex::new(Hub {
            current,
            forgotten: current,
            ring: VecDeque::new(),
            ring_events: 0,
            topics: HashMap::new(),
            listeners: HashMap::new(),
            next_listener: 0,
        })))
    }

    /// Whether views of this topic have to be made.
    ///
    /// Ask *after* the commit: whoever starts to listen later reads what was committed.
    #[must_use]
    pub fn wants(&self, topic: &Topic) -> bool {
        let hub = self.lock();
        hub.topics
            .get(topic)
            .is_some_and(|interest| interest.lives(Instant::now()))
    }

    /// Highest change number that was published.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.lock().current
    }

    /// How many listen.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.lock().listeners.len()
    }

    /// Tells listeners what the committed transaction `change` made different.
    pub fn publish(&self, change: u64, events: Vec<(Topic, LiveEvent)>) {
        let mut hub = self.lock();
        let late = change < hub.current;
        hub.current = hub.current.max(change);
        if events.is_empty() {
            return;
        }
        let events = if late {
            hub.without_outdated(change, events)
        } else {
            events
        };
        let batch = Arc::new(Batch::new(Some(change), events));
        hub.keep(batch.clone());
        hub.deliver(&batch);
    }

    /// Tells listeners what is not stored, such as live output; it is not kept for anybody.
    pub fn publish_live(&self, events: Vec<(Topic, LiveEvent)>) {
        let batch = Arc::new(Batch::new(None, events));
        self.lock().deliver(&batch);
    }

    /// Listens to `topics`; `after` is the change that the listener saw last.
    #[must_use]
    pub fn listen(&self, topics: Vec<Topic>, after: Option<u64>) -> Listener {
        let mut hub = self.lock();
        let now = Instant::now();
        hub.topics.retain(|_, interest| interest.lives(now));
        let start = match after {
            Some(after) if hub.remembers(&topics, after) => Start::Resumed(after),
            _ => Start::Reset(hub.current),
        };
        let current = hub.current;
        for topic in &topics {
            let new = Interest {
                listeners: 0,
                since: current,
                left: None,
            };
            let interest = hub.topics.entry(*topic).or_insert(new);
            interest.listeners += 1;
            interest.left = None;
        }
        let queue = Arc::new(Queue {
            topics,
            ..Queue::default()
        });
        if let Start::Resumed(after) = start {
            for batch in hub.since(after) {
                queue.push(batch, current);
            }
        }
        let id = hub.next_listener;
        hub.next_listener += 1;
        hub.listeners.insert(id, queue.clone());
        Listener::new(self.clone(), id, queue, start)
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        // Every statement leaves the hub whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// A transaction may be published after a later one. What the later one said of the same
    /// thing is newer, and must stay the last word.
    fn without_outdated(
        &self,
        change: u64,
        mut events: Vec<(Topic, LiveEvent)>,
    ) -> Vec<(Topic, LiveEvent)> {
        let later: Vec<_> = self
            .ring
            .iter()
            .filter(|batch| batch.change > Some(change))
            .collect();
        let said: HashSet<_> = later.iter().flat_map(|batch| batch.things()).collect();
        events.retain(|(topic, event)| {
            thing(event).is_none_or(|thing| !said.contains(&(*topic, thing)))
        });
        events
    }

    fn keep(&mut self, batch: Arc<Batch>) {
        self.ring_events += batch.events.len();
        self.ring.push_back(batch);
        while self.ring_events > RING_EVENTS
            && let Some(oldest) = self.ring.pop_front()
        {
            self.ring_events -= oldest.events.len();
            self.forgotten = self.forgotten.max(oldest.change.unwrap_or(0));
        }
    }

    fn deliver(&self, batch: &Arc<Batch>) {
        for queue in self.listeners.values() {
            queue.push(batch, self.current);
        }
    }

    /// A number above the current one is of another database, or of one that was put back.
    fn remembers(&self, topics: &[Topic], after: u64) -> bool {
        let kept = after >= self.forgotten && after <= self.current;
        let whole = |topic| {
            self.topics
                .get(topic)
                .is_some_and(|known| known.since <= after)
        };
        kept && topics.iter().all(whole)
    }

    /// What came after `after`, in the order of publishing, which may differ from the order of
    /// the numbers: whoever saw a number saw all that was published before it.
    fn since(&self, after: u64) -> impl Iterator<Item = &Arc<Batch>> {
        let seen = self
            .ring
            .iter()
            .rposition(|batch| batch.change == Some(after));
        let from = seen.map_or_else(
            || {
                self.ring
                    .iter()
                    .position(|batch| batch.change > Some(after))
            },
            |seen| Some(seen + 1),
        );
        self.ring.iter().skip(from.unwrap_or(self.ring.len()))
    }
}

impl Batch {
    fn things(&self) -> impl Iterator<Item = (Topic, Thing<'_>)> {
        self.events
            .iter()
            .filter_map(|event| Some((event.topic, thing(&event.event)?)))
    }

    fn new(change: Option<u64>, events: Vec<(Topic, LiveEvent)>) -> Self {
        let event = |(topic, event)| Event {
            topic,
            event,
            json: OnceLock::new(),
        };
        Self {
            change,
            events: events.into_iter().map(event).collect(),
        }
    }
}

/// What an event shows the state of.
#[derive(PartialEq, Eq, Hash)]
enum Thing<'a> {
    Agent(&'a PcId),
    Exec(ExecId),
    Target(&'a PcId),
}

fn thing(event: &LiveEvent) -> Option<Thing<'_>> {
    match event {
        LiveEvent::Agent { agent } => Some(Thing::Agent(&agent.pc_id)),
        LiveEvent::Exec { exec } => Some(Thing::Exec(exec.exec_id)),
        LiveEvent::Target { target, .. } => Some(Thing::Target(&target.pc_id)),
        LiveEvent::Reset
        | LiveEvent::Result { .. }
        | LiveEvent::Tail { .. }
        | LiveEvent::Unknown => None,
    }
}

impl Queue {
    fn push(&self, batch: &Arc<Batch>, current: u64) {
        let events = batch
            .events
            .iter()
            .filter(|event| self.topics.contains(&event.topic))
            .count();
        if events == 0 {
            return;
        }
        let mut waiting = self.lock();
        if waiting.events + events > QUEUE_EVENTS {
            *waiting = Waiting {
                reset: Some(current),
                ..Waiting::default()
            };
        } else {
            waiting.events += events;
            waiting.batches.push_back(batch.clone());
        }
        drop(waiting);
        self.ready.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

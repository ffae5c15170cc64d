//! A part of the fleet: many agents, one thread, one loop, one list of timers.
//!
//! What happens to an agent comes as a [`Message`] over one channel, or as a [`Due`] from the
//! timers; either is handed to the [`Agent`], which acts before the next one is looked at. The
//! thread's runtime also drives the agents' connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kanade_agent::clock;
use kanade_agent::config::Join;
use kanade_agent::https::Blobs;
use kanade_agent::link::{Link, LinkEvent, Sink};
use kanade_shared::id::RequestId;
use kanade_shared::wire::agent::HeardState;
use kanade_shared::wire::result::Reason;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::agent::{Absent, Agent};
use crate::behaviour::Behaviour;
use crate::documents::{Bodies, OpenOnce};
use crate::figures::Figures;
use crate::timers::Timers;

/// Messages that are handled before timers are looked at again.
const AT_ONCE: usize = 256;
/// Results that wait get this long to reach the broker when the fleet stops.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

/// What all agents of the fleet share.
#[derive(Debug)]
pub struct Shared {
    /// The way to the broker and the backend.
    pub join: Join,
    /// The backend's door for large scripts and output.
    pub blobs: Blobs,
    /// What is done by chance.
    pub behaviour: Behaviour,
    /// Counters.
    pub figures: Figures,
    /// Command documents.
    pub documents: Arc<OpenOnce>,
    /// Scripts that were opened.
    pub bodies: Bodies,
    /// What scripts write.
    pub text: String,
}

/// Something that happened to one agent.
#[derive(Debug)]
pub struct Message {
    /// Its place in the shard.
    pub agent: u32,
    /// The connection it belongs to; of an earlier one it counts no more.
    pub life: u32,
    /// What.
    pub what: Happening,
}

/// What can happen from outside.
#[derive(Debug)]
pub enum Happening {
    /// The link is open; the connection follows.
    Opened(Link),
    /// Over the link.
    Link(LinkEvent),
    /// A result was acknowledged, or not.
    Sent(RequestId, bool),
    /// The hardware was acknowledged, or not.
    Told(bool),
    /// A script was fetched, or why not and whether another try may help.
    Script(RequestId, Result<(), (Reason, bool)>),
    /// Broker and backend said what they know of a run in doubt.
    Asked(RequestId, Option<bool>, Option<HeardState>),
}

/// What can become due.
#[derive(Debug)]
pub enum Due {
    /// The agent starts.
    Start,
    /// Its core, its heartbeat or its outbox wanted to be woken.
    Wake,
    /// What came over a slow link arrives.
    Arrives(u32, Box<Happening>),
    /// A run ends, the one with this number.
    RunEnds(RequestId, u64),
    /// The hardware is to be told.
    Hardware,
    /// The PC loses its network, or the agent crashes.
    Leaves(Absent),
    /// It comes back.
    Returns,
}

/// Takes the events of one link to the shard.
#[derive(Debug, Clone)]
pub struct ToShard {
    pub(crate) agent: u32,
    pub(crate) life: u32,
    pub(crate) messages: mpsc::UnboundedSender<Message>,
}

impl ToShard {
    /// Tells what happened; at the end of the fleet nobody listens.
    pub fn happened(&self, what: Happening) {
        let message = Message {
            agent: self.agent,
            life: self.life,
            what,
        };
        let _ = self.messages.send(message);
    }
}

impl Sink for ToShard {
    fn tell(&self, event: LinkEvent) -> impl Future<Output = ()> + Send {
        self.happened(Happening::Link(event));
        std::future::ready(())
    }
}

/// What an agent needs while it acts.
pub struct Context<'a> {
    /// What all share.
    pub shared: &'a Arc<Shared>,
    /// The shard's timers.
    pub timers: &'a mut Timers<(u32, Due)>,
    /// Where what happens later is told.
    pub messages: &'a mpsc::UnboundedSender<Message>,
    /// Now, in milliseconds of the monotonic clock.
    pub now: u64,
    /// The same moment on the runtime's clock.
    pub instant: Instant,
}

/// See the module.
pub struct Shard {
    shared: Arc<Shared>,
    agents: Vec<Agent>,
    timers: Timers<(u32, Due)>,
    messages: mpsc::UnboundedReceiver<Message>,
    sender: mpsc::UnboundedSender<Message>,
}

impl Shard {
    /// A shard of these PCs, which start at these times, in milliseconds from now.
    #[must_use]
    pub fn new(shared: Arc<Shared>, pcs: Vec<(crate::agent::Pc, u64)>) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        let mut timers = Timers::default();
        let now = clock::mono().0;
        let mut agents = Vec::with_capacity(pcs.len());
        for (place, (pc, after_ms)) in (0..).zip(pcs) {
            timers.add(now + after_ms, (place, Due::Start));
            agents.push(Agent::new(pc, place));
        }
        Self {
            shared,
            agents,
            timers,
            messages,
            sender,
        }
    }

    /// Works until it is told to stop, and what is left then has reached the broker or `hurry`
    /// says that it need not.
    pub async fn run(mut self, stop: CancellationToken, hurry: &AtomicBool) {
        let mut inbox = Vec::with_capacity(AT_ONCE);
        let mut stop_by = None;
        loop {
            self.handle_due();
            let now = clock::mono().0;
            let wait_ms = self.timers.next().map(|at| at.saturating_sub(now));
            let wait = Duration::from_millis(wait_ms.unwrap_or_default());
            tokio::select! {
                biased;
                () = stop.cancelled(), if stop_by.is_none() => {
                    stop_by = Some(Instant::now() + FLUSH_PATIENCE);
                    self.each(|agent, context| agent.stop(context));
                }
                _ = self.messages.recv_many(&mut inbox, AT_ONCE) => self.handle(&mut inbox),
                () = tokio::time::sleep(wait), if wait_ms.is_some() => {}
                () = tokio::time::sleep(Duration::from_millis(50)), if stop_by.is_some() => {}
            }
            if let Some(by) = stop_by {
                let flushed = self.agents.iter().all(Agent::is_flushed);
                if flushed || Instant::now() >= by || hurry.load(Ordering::Relaxed) {
                    return;
                }
            }
            // The connections have their turn, however much is waiting here.
            tokio::task::yield_now().await;
        }
    }

    fn handle_due(&mut self) {
        let now = clock::mono().0;
        while let Some((place, due)) = self.timers.take_due(now) {
            self.with(place, |agent, context| agent.handle_due(due, context));
        }
    }

    fn handle(&mut self, inbox: &mut Vec<Message>) {
        for message in inbox.drain(..) {
            let Message { agent, life, what } = message;
            self.with(agent, |agent, context| agent.handle(life, what, context));
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut Agent, &mut Context<'_>)) {
        for place in 0..u32::try_from(self.agents.len()).unwrap_or(u32::MAX) {
            self.with(place, &mut act);
        }
    }

    fn with(&mut self, place: u32, act: impl FnOnce(&mut Agent, &mut Context<'_>)) {
        let mut context = Context {
            shared: &self.shared,
            timers: &mut self.timers,
            messages: &self.sender,
            now: clock::mono().0,
            instant: Instant::now(),
        };
        if let Some(agent) = self.agents.get_mut(place as usize) {
            act(agent, &mut context);
            agent.settle(&mut context);
        }
    }
}

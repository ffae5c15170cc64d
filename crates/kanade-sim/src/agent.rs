//! One simulated agent: the agent's own mind and link, with a shell without files and processes.
//!
//! Everything that happens goes to the core, and the core's effects are performed at once, in
//! order. What a real agent writes to disk is what the core knows at that moment
//! ([`Core::into_boot`]), so a crash between two events loses nothing, as a real one doesn't.
//!
//! **Invariant:** no rule about commands here.

mod effects;
mod hardware;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kanade_agent::heartbeat::{Facts, Pulse, heartbeat};
use kanade_agent::link::document::OpenCommands;
use kanade_agent::link::{self, Link, LinkEvent};
use kanade_agent::requests::{self, KickGate, Request};
use kanade_agent_core::journal::Meta;
use kanade_agent_core::{Boot, Core, Effect, LinkState, Mono};
use kanade_shared::id::{JournalId, PcId, RequestId};
use kanade_shared::subject;
use kanade_shared::wire::agent::LogsPage;
use kanade_shared::wire::command::RunAs;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::figures::{change, more};
use crate::outbox::Outbox;
use crate::shard::{Context, Due, Happening, ToShard};

/// The hardware is told so long after the start, and then daily, in milliseconds.
const HARDWARE_FIRST_MS: u64 = 2_000;
const HARDWARE_EVERY_MS: u64 = 24 * 3600 * 1000;
/// When it was not acknowledged, it is told again after so long, in milliseconds.
const HARDWARE_AGAIN_MS: u64 = 5_000;
/// Room for results that a simulated PC has, in bytes.
const ROOM_BYTES: u64 = 512 * 1024 * 1024;

/// Which PC it is.
#[derive(Debug, Clone)]
pub struct Pc {
    /// Its id.
    pub pc_id: PcId,
    /// Its number in the fleet, from which its behaviour follows.
    pub number: u32,
}

/// Why a PC is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absent {
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// The agent crashes, too.
    pub crash: bool,
}

/// One run in progress.
#[derive(Debug, Clone, Copy)]
struct Run {
    number: u64,
    stdout_bytes: u64,
    takes_ms: u64,
    fails: bool,
    timeout_ms: u64,
    cap_bytes: u64,
}

/// A connection, as far as it is open, and what is on its way over it.
#[derive(Debug)]
struct Connection {
    /// Absent until it is opened.
    link: Option<Link>,
    client: Option<async_nats::Client>,
    tasks: JoinSet<()>,
    reader: Option<AbortHandle>,
}

/// What was last counted of this agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    connected: bool,
    live: bool,
    away: bool,
    running: i64,
    waiting: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Agent {
    pc: Pc,
    place: u32,
    /// Number of the connection; what belongs to an earlier one counts no more.
    life: u32,
    /// `None` before the start and between a crash and the restart.
    core: Option<Core>,
    /// What is found at the next start.
    boot: Option<Box<Boot>>,
    connection: Option<Connection>,
    outbox: Outbox,
    runs: BTreeMap<RequestId, Run>,
    /// Output of runs that have ended, until their result is stored.
    written: BTreeMap<RequestId, Run>,
    /// Runs so far, absences so far, messages so far: what chance is drawn by.
    run_count: u64,
    absence_count: u64,
    message_count: u64,
    /// When the newest message over a slow link arrives.
    arrives_at: u64,
    pulse: Pulse,
    kicks: KickGate,
    wake_at: Option<u64>,
    /// The hardware is on its way.
    tells_hardware: bool,
    away: bool,
    stopping: bool,
    counted: Counted,
    effects: VecDeque<Effect>,
}

impl Agent {
    /// One that has not started.
    #[must_use]
    pub fn new(pc: Pc, place: u32) -> Self {
        Self {
            pc,
            place,
            life: 0,
            core: None,
            boot: None,
            connection: None,
            outbox: Outbox::default(),
            runs: BTreeMap::new(),
            written: BTreeMap::new(),
            run_count: 0,
            absence_count: 0,
            message_count: 0,
            arrives_at: 0,
            pulse: Pulse::new(Instant::now()),
            kicks: KickGate::default(),
            wake_at: None,
            tells_hardware: false,
            away: false,
            stopping: false,
            counted: Counted::default(),
            effects: VecDeque::new(),
        }
    }

    /// Something became due.
    pub fn handle_due(&mut self, due: Due, context: &mut Context<'_>) {
        match due {
            Due::Start => {
                self.start(context);
                self.plan_absence(context);
            }
            Due::Wake => self.wake(context),
            Due::Arrives(life, what) if life == self.life => self.take(*what, context),
            Due::Arrives(..) => {}
            Due::RunEnds(request_id, number) => self.run_ends(request_id, number, context),
            Due::Hardware => self.tell_hardware(context),
            Due::Leaves(absent) => self.leave(absent, context),
            Due::Returns => {
                self.away = false;
                if self.core.is_none() {
                    more(&context.shared.figures.restarts);
                    self.start(context);
                } else {
                    self.connect(context);
                }
                self.plan_absence(context);
            }
        }
    }

    /// Something happened on the connection with the number `life`.
    pub fn handle(&mut self, life: u32, what: Happening, context: &mut Context<'_>) {
        if life != self.life {
            return;
        }
        let at_once = matches!(
            what,
            Happening::Opened(_) | Happening::Link(LinkEvent::Up(_) | LinkEvent::Down)
        );
        let delay = self.delay(context);
        if at_once || delay == 0 {
            return self.take(what, context);
        }
        // In the order in which it was sent, however the delays vary.
        self.arrives_at = self.arrives_at.max(context.now + delay);
        let due = Due::Arrives(life, Box::new(delayed(what, delay)));
        context.timers.add(self.arrives_at, (self.place, due));
    }

    /// Nothing starts any more; what runs is stopped and reported as interrupted.
    pub fn stop(&mut self, _context: &mut Context<'_>) {
        self.stopping = true;
        if let Some(core) = &mut self.core {
            core.handle_stopping();
        }
    }

    /// Whether nothing is left that should still reach the broker.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        let connected = self.client().is_some();
        !connected || (self.runs.is_empty() && self.outbox.level().results == 0)
    }

    /// Performs what the core wants, sends what may be sent, and plans the next wake.
    pub fn settle(&mut self, context: &mut Context<'_>) {
        self.perform_all(context);
        self.send_results(context);
        self.plan_wake(context);
        self.count(context);
    }

    fn start(&mut self, context: &mut Context<'_>) {
        let boot = match self.boot.take() {
            Some(boot) => *boot,
            None => Boot {
                pc_id: self.pc.pc_id.clone(),
                meta: Meta::new(JournalId::new(uuid::Uuid::now_v7().into_bytes())),
                entries: Vec::new(),
                held: BTreeMap::new(),
                desired: None,
                brake: None,
                outbox: Vec::new(),
                room_bytes: ROOM_BYTES,
                run_as: vec![RunAs::System],
                wall: chrono::Utc::now(),
            },
        };
        self.core = Some(Core::new(boot, Mono(context.now)));
        self.pulse = Pulse::new(context.instant);
        let at = context.now + HARDWARE_FIRST_MS;
        context.timers.add(at, (self.place, Due::Hardware));
        self.perform_all(context);
        self.connect(context);
    }

    fn connect(&mut self, context: &mut Context<'_>) {
        self.life += 1;
        let to_shard = self.to_shard(context);
        let (shared, pc_id) = (Arc::clone(context.shared), self.pc.pc_id.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let documents: Arc<dyn OpenCommands> = shared.documents.clone();
            match link::open(&shared.join, &pc_id, documents, to_shard.clone()).await {
                Ok(link) => to_shard.happened(Happening::Opened(link)),
                Err(error) => tracing::error!(%pc_id, %error, "no link"),
            }
        });
        self.connection = Some(Connection {
            link: None,
            client: None,
            tasks,
            reader: None,
        });
    }

    fn leave(&mut self, absent: Absent, context: &mut Context<'_>) {
        if self.stopping {
            return;
        }
        self.connection = None;
        self.life += 1;
        self.away = true;
        let now = Mono(context.now);
        if absent.crash {
            self.crash();
        } else if let Some(core) = &mut self.core {
            core.handle_disconnected(now);
        }
        let back = context.now + absent.for_ms;
        context.timers.add(back, (self.place, Due::Returns));
    }

    /// All that is not on disk is gone.
    fn crash(&mut self) {
        let Some(core) = self.core.take() else { return };
        let (outbox, results) = std::mem::take(&mut self.outbox).restarted();
        self.outbox = outbox;
        self.boot = Some(Box::new(core.into_boot(results, chrono::Utc::now())));
        self.runs.clear();
        self.written.clear();
        self.effects.clear();
        self.wake_at = None;
    }

    fn plan_absence(&mut self, context: &mut Context<'_>) {
        let behaviour = &context.shared.behaviour;
        let Some(absence) = behaviour.absence(self.pc.number, self.absence_count) else {
            return;
        };
        self.absence_count += 1;
        let absent = Absent {
            for_ms: absence.away_ms,
            crash: absence.crash,
        };
        let at = context.now + absence.after_ms;
        context.timers.add(at, (self.place, Due::Leaves(absent)));
    }

    fn take(&mut self, what: Happening, context: &mut Context<'_>) {
        let now = Mono(context.now);
        match what {
            Happening::Link(event) => self.handle_link(event, context),
            Happening::Sent(request_id, true) => {
                if self.outbox.acknowledged(request_id) {
                    more(&context.shared.figures.acknowledged);
                    if let Some(core) = &mut self.core {
                        core.handle_sent(request_id);
                    }
                }
            }
            Happening::Sent(request_id, false) => {
                more(&context.shared.figures.unacknowledged);
                let random = request_id.uuid().as_bytes()[15];
                self.outbox.failed(request_id, context.instant, random);
            }
            Happening::Opened(link) => {
                if let Some(connection) = &mut self.connection {
                    connection.link = Some(link);
                }
            }
            Happening::Told(stored) => {
                self.tells_hardware = false;
                let again = if stored {
                    HARDWARE_EVERY_MS
                } else {
                    HARDWARE_AGAIN_MS
                };
                let at = context.now + again;
                context.timers.add(at, (self.place, Due::Hardware));
            }
            Happening::Script(request_id, got) => {
                if let Some(core) = &mut self.core {
                    core.handle_script(request_id, got, now);
                }
            }
            Happening::Asked(request_id, found, heard) => {
                if let Some(core) = &mut self.core {
                    core.handle_asked(request_id, found, heard, now);
                }
            }
        }
    }

    fn handle_link(&mut self, event: LinkEvent, context: &mut Context<'_>) {
        let (Some(core), now) = (&mut self.core, Mono(context.now)) else {
            return;
        };
        match event {
            LinkEvent::Up(client) => {
                more(&context.shared.figures.connects);
                if let Some(connection) = &mut self.connection {
                    connection.client = Some(client);
                }
                self.outbox.reset();
                if self.tells_hardware {
                    context.timers.add(context.now, (self.place, Due::Hardware));
                }
                core.handle_connected(now);
            }
            LinkEvent::Down => {
                more(&context.shared.figures.losses);
                if let Some(connection) = &mut self.connection {
                    connection.client = None;
                    connection.tasks.abort_all();
                    connection.reader = None;
                }
                core.handle_disconnected(now);
            }
            LinkEvent::Heard(heard) => core.handle_heard(heard, now),
            LinkEvent::Read(read) => core.handle_read(read, now),
            LinkEvent::Time {
                reply,
                asked,
                answered,
            } => {
                let journal = reply.journal_id.map(|id| (id, reply.journal_counter));
                core.handle_time(reply.now, journal, asked, answered);
            }
            LinkEvent::Request { verb, message } => self.answer(&verb, message, context),
        }
    }

    fn answer(&mut self, verb: &str, message: async_nats::Message, context: &mut Context<'_>) {
        let (Some(core), Some(to)) = (&mut self.core, message.reply) else {
            return;
        };
        let ack = match requests::parse(verb, &message.payload) {
            Request::Ping => requests::yes(),
            Request::Kick if self.kicks.admits(context.instant) => {
                self.effects.push_back(Effect::ReadAll);
                requests::yes()
            }
            Request::Kick => requests::no("kicked less than 5 s ago"),
            Request::Results(wanted) => {
                core.handle_results_wanted(&wanted.runs);
                requests::yes()
            }
            Request::Logs(_) => {
                let none = LogsPage {
                    found: false,
                    text: String::new(),
                    start: 0,
                    end: 0,
                };
                return self.reply(to, none, context);
            }
            Request::Tail(wanted) => {
                let found = core.has_run(wanted.request_id);
                let none = requests::no_tail(wanted.request_id, found);
                return self.reply(to, none, context);
            }
            Request::Unknown(why) => requests::no(why),
        };
        self.reply(to, ack, context);
    }

    fn reply(
        &mut self,
        to: async_nats::Subject,
        with: impl serde::Serialize + Send + Sync + 'static,
        context: &mut Context<'_>,
    ) {
        let delay = self.outward_delay(context);
        self.spawn(move |client| async move {
            delay.await;
            requests::reply(&client, to, &with).await;
        });
    }

    fn wake(&mut self, context: &mut Context<'_>) {
        // An entry that another replaced: the plan says when to come again.
        if self.wake_at.is_none_or(|at| at > context.now) {
            return;
        }
        self.wake_at = None;
        let now = Mono(context.now);
        if let Some(core) = &mut self.core
            && core.poll_timeout(now).is_some_and(|(at, _)| at <= now)
        {
            core.handle_timeout(now);
        }
        if self.client().is_some() && self.pulse.at() <= context.instant {
            self.beat(context);
        }
    }

    fn beat(&mut self, context: &mut Context<'_>) {
        let Some(core) = &mut self.core else { return };
        let (mono, wall) = (Mono(context.now), chrono::Utc::now());
        let every = core.settings().heartbeat_interval_s;
        self.pulse.sent(context.instant, every);
        let beat = heartbeat(
            core.status(),
            Facts {
                pc_id: self.pc.pc_id.clone(),
                wall,
                since_boot: Some(std::time::Duration::from_millis(context.now)),
                skew_ms: core.skew_ms(wall, mono),
                level: self.outbox.level(),
                host_name: Some(self.pc.pc_id.to_string()),
                os_family: hardware::os_family(self.pc.number),
                rss_bytes: None,
            },
        );
        let Ok(payload) = serde_json::to_vec(&beat) else {
            return;
        };
        more(&context.shared.figures.heartbeats);
        let subject = subject::heartbeat(&self.pc.pc_id);
        let delay = self.delay(context);
        if delay > 0 {
            let delay = self.outward_delay(context);
            self.spawn(move |client| async move {
                delay.await;
                let _ = client.publish(subject, payload.into()).await;
            });
            return;
        }
        if let Some(client) = self.client() {
            // A full connection has lost a heartbeat; the next one makes up for it. Unconstrained,
            // since the runtime would have a long batch of agents wait in the middle.
            let sent = tokio::task::unconstrained(client.publish(subject, payload.into()));
            let _ = futures::FutureExt::now_or_never(sent);
        }
    }

    fn plan_wake(&mut self, context: &mut Context<'_>) {
        let Some(core) = &self.core else { return };
        let mut next = core
            .poll_timeout(Mono(context.now))
            // The clock shows milliseconds: a little later is surely not before.
            .map(|(at, _)| at.0 + 1);
        if self.client().is_some() {
            let due = self.outbox.next_due(context.instant);
            let soonest = due.map_or(self.pulse.at(), |due| due.min(self.pulse.at()));
            let wait = soonest.saturating_duration_since(context.instant);
            let at = context.now + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2) + 1;
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        if let Some(next) = next
            && self.wake_at.is_none_or(|at| next < at)
        {
            self.wake_at = Some(next);
            context.timers.add(next, (self.place, Due::Wake));
        }
    }

    fn count(&mut self, context: &Context<'_>) {
        let now = Counted {
            connected: self.client().is_some(),
            live: self
                .core
                .as_ref()
                .is_some_and(|core| core.link_state() == LinkState::Live),
            away: self.away,
            running: i64::try_from(self.runs.len()).unwrap_or(i64::MAX),
            waiting: i64::try_from(self.outbox.level().results).unwrap_or(i64::MAX),
        };
        let before = std::mem::replace(&mut self.counted, now);
        if before == now {
            return;
        }
        let figures = &context.shared.figures;
        let flag = |now: bool, before: bool| i64::from(now) - i64::from(before);
        change(&figures.connected, flag(now.connected, before.connected));
        change(&figures.live, flag(now.live, before.live));
        change(&figures.away, flag(now.away, before.away));
        change(&figures.running, now.running - before.running);
        change(&figures.waiting, now.waiting - before.waiting);
    }

    /// The client, while there is a connection.
    fn client(&self) -> Option<&async_nats::Client> {
        self.connection.as_ref()?.client.as_ref()
    }

    /// Does something over the connection that ends with it.
    fn spawn<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        act: impl FnOnce(async_nats::Client) -> F,
    ) -> Option<AbortHandle> {
        let connection = self.connection.as_mut()?;
        let client = connection.client.clone()?;
        while connection.tasks.try_join_next().is_some() {}
        Some(connection.tasks.spawn(act(client)))
    }

    fn to_shard(&self, context: &Context<'_>) -> ToShard {
        ToShard {
            agent: self.place,
            life: self.life,
            messages: context.messages.clone(),
        }
    }

    /// How long the next message takes, in milliseconds.
    fn delay(&mut self, context: &Context<'_>) -> u64 {
        self.message_count += 1;
        let behaviour = &context.shared.behaviour;
        behaviour.delay_ms(self.pc.number, self.message_count)
    }

    /// Waits as long as the next message takes.
    fn outward_delay(&mut self, context: &Context<'_>) -> impl Future<Output = ()> + Send + use<> {
        let ms = self.delay(context);
        async move {
            if ms > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            }
        }
    }
}

/// The fleet's time is half-way between question and answer, also when both are slow.
fn delayed(mut what: Happening, delay: u64) -> Happening {
    if let Happening::Link(LinkEvent::Time {
        asked, answered, ..
    }) = &mut what
    {
        asked.0 = asked.0.saturating_sub(delay);
        *answered = answered.plus_ms(delay);
    }
    what
}

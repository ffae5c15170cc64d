//! The agent's mind: one struct that is told everything and says what to do.
//!
//! `link` holds what comes from the broker, `admit` takes commands and stops, `run` starts and
//! ends them, `disk` deals with writes that fail. All of them change the one state here.

mod admit;
mod disk;
mod link;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kanade_shared::id::{JournalId, PcId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::agent::RunKey;
use kanade_shared::wire::command::{Command, Document, Rev, RunAs, StopAction};
use kanade_shared::wire::desired::{AgentDesired, Brake, Settings};
use kanade_shared::wire::heartbeat::Held;
use kanade_shared::wire::result::{Outcome, Reason, RunResult};

use crate::clock::{Clock, Mono};
use crate::effect::Effect;
use crate::journal::{Entry, Meta};

pub use link::{Heard, LinkState, Read};

/// What was on disk when the agent started.
#[derive(Debug, Clone)]
pub struct Boot {
    /// This PC.
    pub pc_id: PcId,
    /// The journal as a whole; a new one where there was none.
    pub meta: Meta,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Highest rev of each scope, with the hash of its bytes.
    pub held: BTreeMap<Scope, (Rev, String)>,
    /// The desired document.
    pub desired: Option<AgentDesired>,
    /// The brake.
    pub brake: Option<Brake>,
    /// Results that wait to be sent; their output may be left out.
    pub outbox: Vec<RunResult>,
    /// Room for results, in bytes.
    pub room_bytes: u64,
    /// Whose rights runs can have on this PC.
    pub run_as: Vec<RunAs>,
    /// The PC's wall clock: a guess at the fleet's time.
    pub wall: DateTime<Utc>,
}

/// How one try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// `Ok`, `Failed`, `TimedOut`, `Killed`, or `Interrupted` when the agent had to stop.
    pub outcome: Outcome,
    /// Why, where the exit code doesn't say it.
    pub reason: Option<Reason>,
    /// The program's own.
    pub exit_code: Option<i32>,
}

/// What a heartbeat tells of the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// How far it is with its broker.
    pub link: LinkState,
    /// Documents that it holds.
    pub held: Vec<Held>,
    /// The journal.
    pub meta: Meta,
    /// Runs in progress.
    pub running: u32,
    /// Why it admits nothing, when it does not.
    pub blocked: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Core {
    pc_id: PcId,
    run_as: Vec<RunAs>,
    clock: Clock,
    meta: Meta,
    entries: BTreeMap<RequestId, Entry>,
    tracks: BTreeMap<RequestId, Track>,
    /// Admitted and not started, in the order in which they may start.
    queue: Vec<RequestId>,
    asks: BTreeMap<RequestId, Asking>,
    /// Runs in doubt that the backend never heard of.
    cleared: BTreeSet<RequestId>,
    held: BTreeMap<Scope, HeldDocument>,
    /// The newest documents heard since the agent started.
    documents: BTreeMap<Scope, Arc<Document>>,
    /// Scopes whose document, or its absence, was read since the agent started.
    known_scopes: BTreeSet<Scope>,
    desired: Option<AgentDesired>,
    brake: Option<Brake>,
    link: link::Link,
    outbox: BTreeSet<RequestId>,
    room_bytes: u64,
    disk: disk::Disk,
    /// The agent is about to stop: nothing starts any more.
    stopping: bool,
    effects: Vec<Effect>,
}

#[derive(Debug)]
struct HeldDocument {
    rev: Rev,
    hash: String,
    twin: bool,
}

/// What is known in memory of a command that has not ended.
#[derive(Debug)]
struct Track {
    start_at: DateTime<Utc>,
    script: Script,
    phase: Phase,
    stop: Option<StopAction>,
}

#[derive(Debug, PartialEq, Eq)]
enum Script {
    Ready,
    Fetching {
        failures: u32,
    },
    Failed {
        again: Mono,
        failures: u32,
        reason: Reason,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Admitted.
    Waiting,
    /// 'Started' is being written.
    Preparing,
    /// The processes are being made.
    Spawning,
    /// The script runs.
    Running { since: Mono, told: bool },
    /// It failed and will be tried again.
    BackingOff { until: Mono, last: RunEnd },
    /// Told to end.
    Killing { before_release: bool },
}

impl Phase {
    fn occupies(&self) -> bool {
        match self {
            Self::Preparing | Self::Spawning | Self::Running { .. } | Self::Killing { .. } => true,
            Self::Waiting | Self::BackingOff { .. } => false,
        }
    }
}

/// A command that may have run under a journal that is gone.
#[derive(Debug)]
struct Asking {
    scope: Scope,
    command: Box<Command>,
    failures: u32,
    again: Option<Mono>,
    backlog: bool,
}

impl Core {
    /// The mind of an agent that has just started. What a crashed one left behind comes first
    /// among the effects.
    #[must_use]
    pub fn new(boot: Boot, now: Mono) -> Self {
        let mut core = Self {
            pc_id: boot.pc_id,
            run_as: boot.run_as,
            clock: Clock::new(boot.wall, now),
            meta: boot.meta,
            entries: boot
                .entries
                .into_iter()
                .map(|entry| (entry.request_id, entry))
                .collect(),
            tracks: BTreeMap::new(),
            queue: Vec::new(),
            asks: BTreeMap::new(),
            cleared: BTreeSet::new(),
            held: BTreeMap::new(),
            documents: BTreeMap::new(),
            known_scopes: BTreeSet::new(),
            desired: boot.desired,
            brake: boot.brake,
            link: link::Link::new(now),
            outbox: BTreeSet::new(),
            room_bytes: boot.room_bytes,
            disk: disk::Disk::default(),
            stopping: false,
            effects: Vec::new(),
        };
        for (scope, (rev, hash)) in boot.held {
            core.held.insert(
                scope,
                HeldDocument {
                    rev,
                    hash,
                    twin: false,
                },
            );
        }
        let highest = core
            .entries
            .values()
            .map(|entry| entry.counter)
            .max()
            .unwrap_or(0);
        core.meta.counter = core.meta.counter.max(highest);
        core.take_up(boot.outbox, now);
        core
    }

    /// What to do now, in this order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The fleet's time; `None` until it was synchronised in this boot of the system.
    #[must_use]
    pub fn fleet_time(&self, now: Mono) -> Option<DateTime<Utc>> {
        self.clock.fleet(now)
    }

    /// The PC's wall clock minus the fleet's time, in milliseconds.
    #[must_use]
    pub fn skew_ms(&self, wall: DateTime<Utc>, now: Mono) -> Option<i64> {
        self.clock.skew_ms(wall, now)
    }

    /// Birth mark of this journal.
    #[must_use]
    pub fn journal_id(&self) -> JournalId {
        self.meta.journal_id
    }

    /// How far it is with its broker.
    #[must_use]
    pub fn link_state(&self) -> LinkState {
        self.link.state
    }

    /// This PC's settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.desired
            .as_ref()
            .map(|desired| desired.settings.clone())
            .unwrap_or_default()
    }

    /// Whether this PC has a run of this id, so that its output may be asked for.
    #[must_use]
    pub fn has_run(&self, request_id: RequestId) -> bool {
        self.entries.contains_key(&request_id)
    }

    /// What the disk holds once every effect was performed, for a shell that keeps it in memory:
    /// with it, and the results that still wait to be sent, the agent can start again.
    #[must_use]
    pub fn into_boot(self, outbox: Vec<RunResult>, wall: DateTime<Utc>) -> Boot {
        let held = self.held.into_iter();
        Boot {
            pc_id: self.pc_id,
            meta: self.meta,
            entries: self.entries.into_values().collect(),
            held: held
                .map(|(scope, held)| (scope, (held.rev, held.hash)))
                .collect(),
            desired: self.desired,
            brake: self.brake,
            outbox,
            room_bytes: self.room_bytes,
            run_as: self.run_as,
            wall,
        }
    }

    /// The journal's entries, for `status` and for tests.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<RequestId, Entry> {
        &self.entries
    }

    /// What a heartbeat tells. A rev that is held means that all its commands are in the journal:
    /// a scope of which some are in doubt, or found no room, is left out.
    #[must_use]
    pub fn status(&self) -> Status {
        let asked: BTreeSet<&Scope> = self.asks.values().map(|asking| &asking.scope).collect();
        let whole = |(scope, document): &(&Scope, &HeldDocument)| {
            document.twin || (self.disk.blocked.is_none() && !asked.contains(*scope))
        };
        let held = self
            .held
            .iter()
            .filter(whole)
            .map(|(scope, document)| Held {
                scope: scope.clone(),
                rev: document.rev,
                twin: document.twin,
            });
        let running = self
            .tracks
            .values()
            .filter(|track| track.phase.occupies())
            .count();
        Status {
            link: self.link.state,
            held: held.collect(),
            meta: self.meta.clone(),
            running: u32::try_from(running).unwrap_or(u32::MAX),
            blocked: self.disk.blocked.clone(),
        }
    }

    /// The backend lacks these results: those that are still there are sent again.
    pub fn handle_results_wanted(&mut self, runs: &[RunKey]) {
        for run in runs {
            let id = RequestId::derive(run.exec_id, &self.pc_id, run.attempt);
            let known = self.entries.get(&id).is_some_and(Entry::ended);
            if known && self.outbox.insert(id) {
                self.effects.push(Effect::SendAgain(id));
                self.effects.push(Effect::Send(id));
            }
        }
    }

    /// The broker has this result.
    pub fn handle_sent(&mut self, request_id: RequestId) {
        self.outbox.remove(&request_id);
    }

    /// When to call [`Core::handle_timeout`], and what for.
    #[must_use]
    pub fn poll_timeout(&self, now: Mono) -> Option<(Mono, &'static str)> {
        let mut next: Option<(Mono, &'static str)> = None;
        let mut offer = |at: Option<Mono>, what| {
            if let Some(at) = at
                && next.is_none_or(|(earliest, _)| at < earliest)
            {
                next = Some((at.max(now), what));
            }
        };
        offer(self.disk.retry_at, "write again what the disk refused");
        offer(self.link.reread_at, "read all documents again");
        for asking in self.asks.values() {
            offer(asking.again, "ask again about a run in doubt");
            offer(
                self.clock.mono_of(asking.command.deadline),
                "a run in doubt expires",
            );
        }
        for (id, track) in &self.tracks {
            match &track.phase {
                Phase::Waiting => self.offer_waiting(*id, track, &mut offer),
                Phase::Running { since, told: false } => {
                    offer(
                        Some(since.plus_ms(run::TOLD_AFTER_MS)),
                        "tell that a run goes on",
                    );
                }
                Phase::BackingOff { until, .. } => offer(Some(*until), "try a run again"),
                Phase::Running { told: true, .. }
                | Phase::Preparing
                | Phase::Spawning
                | Phase::Killing { .. } => {}
            }
        }
        next
    }

    fn offer_waiting(
        &self,
        id: RequestId,
        track: &Track,
        offer: &mut impl FnMut(Option<Mono>, &'static str),
    ) {
        if let Script::Failed { again, .. } = &track.script {
            offer(Some(*again), "fetch a script again");
        }
        if !self.may_start() {
            return;
        }
        if let Some(entry) = self.entries.get(&id) {
            offer(self.clock.mono_of(entry.deadline), "a command expires");
        }
        if self
            .clock
            .mono_of(track.start_at)
            .is_some_and(|at| at > self.link.seen_at)
        {
            offer(
                self.clock.mono_of(track.start_at),
                "a command starts after its jitter",
            );
        }
        let freeze = self.brake.as_ref().and_then(|brake| brake.freeze.as_ref());
        if let Some(until) = freeze.and_then(|freeze| freeze.until) {
            offer(self.clock.mono_of(until), "the freeze ends");
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Mono) {
        self.link.seen_at = now;
        self.retry_disk(now);
        self.reread_if_due(now);
        self.ask_again_if_due(now);
        self.fetch_again_if_due(now);
        self.tell_of_long_runs(now);
        self.retry_runs_if_due(now);
        self.start_what_may(now);
        self.forget_what_is_over(now);
    }

    fn write_entry(&mut self, id: RequestId) {
        self.meta.counter += 1;
        let counter = self.meta.counter;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.counter = counter;
            self.effects
                .push(Effect::WriteEntry(Box::new(entry.clone())));
        }
    }

    fn beat(&mut self) {
        if self.effects.last() != Some(&Effect::Beat) {
            self.effects.push(Effect::Beat);
        }
    }
}

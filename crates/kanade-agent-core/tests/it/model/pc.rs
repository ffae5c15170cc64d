//! One PC: its disk, the agent's core, and what travels to and from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use kanade_agent_core::journal::{Entry, Meta, State};
use kanade_agent_core::{Boot, Core, Effect, LinkState, Mono, RunEnd};
use kanade_shared::id::{JournalId, PcId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::{Document, Rev, RunAs};
use kanade_shared::wire::desired::{AgentDesired, DESIRED_VERSION, Settings};
use kanade_shared::wire::result::{Outcome, RunResult};

#[derive(Debug, Default)]
pub(crate) struct Disk {
    meta: Option<Meta>,
    pub(crate) entries: BTreeMap<RequestId, Entry>,
    held: BTreeMap<Scope, (Rev, String)>,
    desired: Option<AgentDesired>,
    pub(crate) outbox: BTreeMap<RequestId, RunResult>,
    sent: BTreeMap<RequestId, RunResult>,
    full: bool,
}

/// Something that the agent asked for and that will be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    Commands(Scope),
    Desired,
    Brake,
    Time(Mono),
    Ask(RequestId),
    Script(RequestId),
}

/// What an effect does to the world outside the PC.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    Nothing,
    Beat,
    Began(RequestId),
    Told(RequestId),
}

#[derive(Debug)]
pub(crate) struct Pc {
    pub(crate) pc_id: PcId,
    pub(crate) enrolled_at: DateTime<Utc>,
    pub(crate) disk: Disk,
    pub(crate) core: Option<Core>,
    effects: VecDeque<Effect>,
    pub(crate) online: bool,
    pub(crate) readings: VecDeque<Reading>,
    pub(crate) inbox: VecDeque<(Scope, Document)>,
    /// Made, and maybe begun.
    processes: BTreeMap<RequestId, bool>,
    sendable: BTreeSet<RequestId>,
    pub(crate) in_flight: VecDeque<RequestId>,
    /// Journals that this PC had.
    journals: u8,
    // What only the test knows.
    pub(crate) admitted: BTreeMap<RequestId, DateTime<Utc>>,
    pub(crate) ended: BTreeMap<RequestId, Outcome>,
    pub(crate) deletions: Vec<DateTime<Utc>>,
    pub(crate) began: Vec<RequestId>,
    /// Stops that the core has taken.
    pub(crate) stopped: BTreeSet<RequestId>,
}

impl Pc {
    pub(crate) fn new(number: usize, enrolled_at: DateTime<Utc>) -> Self {
        Self {
            pc_id: PcId::parse(&format!("p{number}")).unwrap(),
            enrolled_at,
            disk: Disk::default(),
            core: None,
            effects: VecDeque::new(),
            online: false,
            readings: VecDeque::new(),
            inbox: VecDeque::new(),
            processes: BTreeMap::new(),
            sendable: BTreeSet::new(),
            in_flight: VecDeque::new(),
            journals: 0,
            admitted: BTreeMap::new(),
            ended: BTreeMap::new(),
            deletions: Vec::new(),
            began: Vec::new(),
            stopped: BTreeSet::new(),
        }
    }

    pub(crate) fn scopes(&self) -> [Scope; 2] {
        [Scope::All, Scope::Pc(self.pc_id.clone())]
    }

    pub(crate) fn desired(&self) -> AgentDesired {
        AgentDesired {
            v: DESIRED_VERSION,
            pc_id: self.pc_id.clone(),
            rev: Rev(1),
            issued_at: self.enrolled_at,
            enrolled_at: self.enrolled_at,
            groups: vec![],
            labels: BTreeMap::new(),
            settings: Settings {
                max_concurrent_runs: 2,
                ..Settings::default()
            },
        }
    }

    pub(crate) fn boot(&mut self, now: Mono) {
        if self.core.is_some() {
            return;
        }
        let meta = self.disk.meta.clone().unwrap_or_else(|| {
            self.journals += 1;
            let mut random = [self.journals; 16];
            random[..2].copy_from_slice(self.pc_id.as_str().as_bytes());
            Meta::new(JournalId::new(random))
        });
        self.disk.meta = Some(meta.clone());
        let boot = Boot {
            pc_id: self.pc_id.clone(),
            meta,
            entries: self.disk.entries.values().cloned().collect(),
            held: self.disk.held.clone(),
            desired: self.disk.desired.clone(),
            brake: None,
            outbox: self.disk.outbox.values().cloned().collect(),
            room_bytes: 1 << 30,
            run_as: vec![RunAs::System],
            wall: self.enrolled_at,
        };
        self.core = Some(Core::new(boot, now));
    }

    pub(crate) fn connect(&mut self, now: Mono) {
        if let Some(core) = self.core.as_mut().filter(|_| !self.online) {
            self.online = true;
            core.handle_connected(now);
        }
    }

    pub(crate) fn go_offline(&mut self, now: Mono) {
        self.online = false;
        self.inbox.clear();
        self.in_flight.clear();
        let asked: Vec<Reading> = self.readings.drain(..).collect();
        if let Some(core) = &mut self.core {
            core.handle_disconnected(now);
            for reading in asked {
                if let Reading::Ask(id) = reading {
                    core.handle_asked(id, None, None, now);
                }
            }
        }
    }

    pub(crate) fn crash(&mut self) {
        self.core = None;
        self.online = false;
        self.effects.clear();
        self.readings.clear();
        self.inbox.clear();
        self.processes.clear();
        self.sendable.clear();
        self.in_flight.clear();
        self.stopped.clear();
    }

    pub(crate) fn delete_journal(&mut self, now: DateTime<Utc>) {
        self.crash();
        self.disk.entries.clear();
        self.disk.meta = None;
        self.disk.sent.clear();
        self.deletions.push(now);
    }

    pub(crate) fn set_disk_full(&mut self, full: bool) {
        self.disk.full = full;
    }

    pub(crate) fn live(&self) -> bool {
        self.core
            .as_ref()
            .is_some_and(|core| core.status().link == LinkState::Live)
    }

    fn collect(&mut self) {
        if let Some(core) = &mut self.core {
            self.effects.extend(core.take_effects());
        }
    }

    /// Performs one effect; `None`: there was none.
    pub(crate) fn effect(&mut self, now: Mono, time: DateTime<Utc>) -> Option<Outside> {
        self.collect();
        let effect = self.effects.pop_front()?;
        if effect.writes() && self.disk.full {
            let rest = std::iter::once(effect)
                .chain(self.effects.drain(..))
                .collect();
            self.core
                .as_mut()?
                .handle_disk_failed(rest, "the disk is full", now);
            return Some(Outside::Nothing);
        }
        Some(self.perform(effect, now, time))
    }

    fn perform(&mut self, effect: Effect, now: Mono, time: DateTime<Utc>) -> Outside {
        let Some(core) = &mut self.core else {
            return Outside::Nothing;
        };
        match effect {
            Effect::WriteMeta(meta) => self.disk.meta = Some(meta),
            Effect::WriteEntry(entry) => {
                if entry.state == State::Admitted {
                    self.admitted.entry(entry.request_id).or_insert(time);
                }
                self.disk.entries.insert(entry.request_id, *entry);
            }
            Effect::RemoveEntry(id) => {
                self.disk.entries.remove(&id);
                self.disk.sent.remove(&id);
            }
            Effect::WriteHeld { scope, rev, hash } => {
                self.disk.held.insert(scope, (rev, hash));
            }
            Effect::WriteDesired(desired) => self.disk.desired = Some(*desired),
            Effect::WriteBrake(_) | Effect::KillLeftovers { .. } | Effect::DropOutput(_) => {}
            Effect::StoreResult(result) => {
                self.ended
                    .entry(result.request_id)
                    .or_insert(result.outcome);
                self.disk.outbox.insert(result.request_id, *result);
            }
            Effect::Send(id) => {
                self.sendable.insert(id);
            }
            Effect::SendAgain(id) => match self.disk.sent.get(&id) {
                Some(result) => {
                    self.disk.outbox.insert(id, result.clone());
                }
                None => core.handle_sent(id),
            },
            Effect::FetchScript(id, _) => self.readings.push_back(Reading::Script(id)),
            Effect::Prepare(id) => core.handle_prepared(id, now),
            Effect::Spawn(id, _) => {
                self.processes.insert(id, false);
                core.handle_spawned(id, serde_json::json!({ "pid": 1 }), now);
            }
            Effect::Release(id) => {
                self.processes.insert(id, true);
                self.began.push(id);
                return Outside::Began(id);
            }
            Effect::Kill(id) => {
                self.processes.remove(&id);
                let end = RunEnd {
                    outcome: Outcome::Killed,
                    reason: None,
                    exit_code: None,
                };
                core.handle_ended(id, end, now);
            }
            Effect::Ask(id) if self.online => self.readings.push_back(Reading::Ask(id)),
            Effect::Ask(id) => core.handle_asked(id, None, None, now),
            Effect::SendStarted(started) => return Outside::Told(started.request_id),
            Effect::Beat => return Outside::Beat,
            Effect::ReadAll => {
                let [all, own] = self.scopes();
                let wanted = [
                    Reading::Commands(all),
                    Reading::Commands(own),
                    Reading::Time(now),
                    Reading::Desired,
                    Reading::Brake,
                ];
                if self.online {
                    self.readings.extend(wanted);
                }
            }
        }
        Outside::Nothing
    }

    /// One process ends; the script's exit code is a function of its exec.
    pub(crate) fn end_one(&mut self, now: Mono) {
        let begun = self
            .processes
            .iter()
            .find(|(_, begun)| **begun)
            .map(|(id, _)| *id);
        if let (Some(id), Some(core)) = (begun, &mut self.core) {
            self.processes.remove(&id);
            let command = core
                .entries()
                .get(&id)
                .and_then(|entry| entry.command.clone());
            let fails = command.is_some_and(|command| command.run.env.contains_key("FAIL"));
            let (outcome, code) = if fails {
                (Outcome::Failed, 3)
            } else {
                (Outcome::Ok, 0)
            };
            core.handle_ended(
                id,
                RunEnd {
                    outcome,
                    reason: None,
                    exit_code: Some(code),
                },
                now,
            );
        }
    }

    pub(crate) fn send_one(&mut self) -> Option<RunResult> {
        let next = |id: &&RequestId| self.sendable.contains(*id) && !self.in_flight.contains(id);
        let id = *self.disk.outbox.keys().find(next).filter(|_| self.online)?;
        self.in_flight.push_back(id);
        self.disk.outbox.get(&id).cloned()
    }

    pub(crate) fn ack_one(&mut self) {
        if let Some(id) = self.in_flight.pop_front()
            && let Some(result) = self.disk.outbox.remove(&id)
        {
            self.disk.sent.insert(id, result);
            self.sendable.remove(&id);
            if let Some(core) = &mut self.core {
                core.handle_sent(id);
            }
        }
    }
}

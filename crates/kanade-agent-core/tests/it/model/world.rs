//! Plays a schedule, watches for violations, lets everything heal, and counts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use kanade_agent_core::{Heard, Mono, Read};
use kanade_shared::id::{Attempt, ExecId, PcId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::agent::RunKey;
use kanade_shared::wire::command::Document;

use super::backend::{Broker, Database, Work, provisional};
use super::pc::{Outside, Pc, Reading};
use super::schedule::{Fault, Op, Step};

#[derive(Debug)]
pub(crate) struct World {
    pub(super) t: u64,
    pub(super) unique: u64,
    pub(super) db: Database,
    pub(super) broker: Broker,
    pub(super) database_copies: Vec<Database>,
    pub(super) broker_copies: Vec<Broker>,
    pub(super) work: BTreeMap<Scope, Work>,
    pub(super) pcs: Vec<Pc>,
    pub(super) runs: BTreeMap<RequestId, u32>,
    /// Runs that an operator meant at the time of a post or a retry.
    pub(super) posted: BTreeSet<RequestId>,
    /// Fixed execs and whom they were for.
    pub(super) fixed: BTreeMap<ExecId, BTreeSet<PcId>>,
    pub(super) database_losses: Vec<DateTime<Utc>>,
    pub(super) broker_losses: Vec<DateTime<Utc>>,
    pub(super) execs: u8,
}

pub(super) type Played = Result<(), String>;

fn hash(document: &Document) -> String {
    serde_json::to_string(document).unwrap()
}

impl World {
    pub(crate) fn new(pcs: usize) -> Self {
        let mut world = Self {
            t: 0,
            unique: 0,
            db: Database::default(),
            broker: Broker::default(),
            database_copies: Vec::new(),
            broker_copies: Vec::new(),
            work: BTreeMap::new(),
            pcs: Vec::new(),
            runs: BTreeMap::new(),
            posted: BTreeSet::new(),
            fixed: BTreeMap::new(),
            database_losses: Vec::new(),
            broker_losses: Vec::new(),
            execs: 0,
        };
        for _ in 0..pcs {
            world.enrol();
        }
        world
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + i64::try_from(self.t).unwrap(), 0).unwrap()
    }

    pub(super) fn mono(&self) -> Mono {
        Mono(self.t * 1000)
    }

    /// Each transaction of the database has a time of its own.
    pub(super) fn transaction(&mut self) -> DateTime<Utc> {
        self.t += 1;
        self.now()
    }

    fn enrol(&mut self) {
        if self.pcs.len() < 5 {
            let now = self.transaction();
            let pc = Pc::new(self.pcs.len(), now);
            self.db.enrol(&pc.pc_id, now, now);
            self.pcs.push(pc);
        }
    }

    fn scope(&self, number: usize) -> Scope {
        match number % (self.pcs.len() + 1) {
            0 => Scope::All,
            k => Scope::Pc(self.pcs[k - 1].pc_id.clone()),
        }
    }

    pub(crate) fn order_on(&self, pc: usize) -> Vec<RequestIdOrder> {
        let entries = &self.pcs[pc].disk.entries;
        self.pcs[pc]
            .began
            .iter()
            .filter_map(|id| entries.get(id))
            .map(|e| (e.exec_id, e.attempt))
            .collect()
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Played {
        match *op {
            Op::Tick(seconds) => self.t += seconds,
            Op::Step(step, k) => return self.step(step, k % self.pcs.len()),
            Op::Burst(k, times) => {
                for _ in 0..times {
                    for step in Step::ALL {
                        self.step(step, k % self.pcs.len())?;
                    }
                }
            }
            Op::Fault(fault, k) => {
                let k = k % self.pcs.len();
                while matches!(fault, Fault::Offline) && self.effects(k)? {}
                self.fault(fault, k);
            }
            Op::Publish { scope, from, to } => {
                let scope = self.scope(scope);
                for stage in from..to {
                    self.publish_stage(&scope, stage);
                }
            }
            Op::PublishAll => self.publish_all(),
            Op::Project => {
                self.transaction();
                self.db.project(&self.broker);
            }
            Op::Sweep => self.sweep(),
            Op::Post {
                open,
                all,
                pcs,
                jitter_s,
                deadline_s,
                fails,
            } => {
                self.post(open, all, pcs, jitter_s, deadline_s, fails);
            }
            Op::Stop { nth, kill } => self.stop(nth, kill),
            Op::Retry { nth, deadline_s } => self.retry(nth, deadline_s),
            Op::Enrol => self.enrol(),
            Op::CopyDatabase => self.database_copies.push(self.db.clone()),
            Op::CopyBroker => self.broker_copies.push(self.broker.clone()),
            Op::RestoreDatabase(n) => self.restore_database(n),
            Op::RestoreBroker(n) => self.restore_broker(n),
            Op::EmptyDatabase => {
                self.database_losses.push(self.now());
                self.db = Database::default();
                self.after_database_loss();
            }
            Op::WipeBroker => {
                self.broker_losses.push(self.now());
                self.broker = Broker::default();
                self.after_broker_loss();
            }
            Op::CrashBackend => self.work.clear(),
        }
        Ok(())
    }

    // ---- backend

    fn publish_stage(&mut self, scope: &Scope, stage: u8) {
        let now = self.now();
        self.broker.expire(now);
        match stage {
            0 => {
                self.work
                    .insert(scope.clone(), Work::read(&self.broker, scope));
            }
            1 => {
                let now = self.transaction();
                if let Some(work) = self.work.get_mut(scope) {
                    work.build(&mut self.db, scope, now);
                }
            }
            _ => {
                let work = self.work.remove(scope);
                if let Some(document) =
                    work.and_then(|work| work.publish(&mut self.broker, scope, now))
                {
                    for pc in self
                        .pcs
                        .iter_mut()
                        .filter(|pc| pc.online && pc.scopes().contains(scope))
                    {
                        pc.inbox.push_back((scope.clone(), document.clone()));
                    }
                }
            }
        }
    }

    pub(super) fn publish_all(&mut self) {
        for number in 0..=self.pcs.len() {
            let scope = self.scope(number);
            for stage in 0..3 {
                self.publish_stage(&scope, stage);
            }
        }
    }

    pub(super) fn sweep(&mut self) {
        let now = self.transaction();
        for (pc_id, exec_id, attempt) in self.db.sweep(now) {
            let pc = self
                .pcs
                .iter_mut()
                .find(|pc| pc.pc_id == pc_id && pc.online);
            if let Some(core) = pc.and_then(|pc| pc.core.as_mut()) {
                core.handle_results_wanted(&[RunKey { exec_id, attempt }]);
            }
        }
    }

    fn heartbeat(&mut self, k: usize) {
        let now = self.transaction();
        let pc = &self.pcs[k];
        let Some(status) = pc
            .core
            .as_ref()
            .filter(|_| pc.online)
            .map(|core| core.status())
        else {
            return;
        };
        let db = &mut self.db;
        db.journals.insert(
            pc.pc_id.clone(),
            (status.meta.journal_id, status.meta.counter),
        );
        for held in status.held {
            let floor = db.floor.entry(held.scope.clone()).or_default();
            let heard = if held.twin {
                held.rev.0 + 1
            } else {
                held.rev.0
            };
            floor.0 = floor.0.max(heard);
            for target in db.targets.values_mut() {
                let listed = target.listed.is_some_and(|listed| listed <= held.rev);
                if target.pc_id == pc.pc_id
                    && target.scope == held.scope
                    && listed
                    && status.blocked.is_none()
                {
                    target.begun = true;
                }
            }
        }
        if !db.pcs.contains_key(&pc.pc_id) {
            db.enrol(&pc.pc_id.clone(), pc.enrolled_at, now);
        }
    }

    // ---- PCs

    pub(super) fn fault(&mut self, fault: Fault, k: usize) {
        let (mono, now) = (self.mono(), self.now());
        let pc = &mut self.pcs[k];
        match fault {
            Fault::Offline => pc.go_offline(mono),
            Fault::Crash => pc.crash(),
            Fault::Lose => {
                pc.inbox.pop_front();
            }
            Fault::DeleteJournal => pc.delete_journal(now),
            Fault::DiskFull => pc.set_disk_full(true),
            Fault::DiskFree => pc.set_disk_full(false),
        }
    }

    pub(super) fn step(&mut self, step: Step, k: usize) -> Played {
        // The shell performs all effects of one event before it hands over the next.
        if matches!(
            step,
            Step::Connect | Step::Read | Step::Deliver | Step::End | Step::Timeout
        ) {
            while self.effects(k)? {}
        }
        let mono = self.mono();
        match step {
            Step::Boot => self.pcs[k].boot(mono),
            Step::Connect => self.pcs[k].connect(mono),
            Step::Effect => {
                self.effects(k)?;
            }
            Step::Read => self.read(k),
            Step::Deliver => self.deliver(k),
            Step::End => self.pcs[k].end_one(mono),
            Step::Send => {
                if let Some(result) = self.pcs[k].send_one() {
                    self.unique += 1;
                    self.broker.add_result(self.unique, result);
                }
            }
            Step::Ack => self.pcs[k].ack_one(),
            Step::Timeout => {
                if let Some(core) = &mut self.pcs[k].core {
                    core.handle_timeout(mono);
                }
            }
            Step::Heartbeat => self.heartbeat(k),
        }
        Ok(())
    }

    /// Performs up to three effects, so that a crash may fall between any two; `false`: none is left.
    fn effects(&mut self, k: usize) -> Result<bool, String> {
        for _ in 0..3 {
            let (mono, now) = (self.mono(), self.now());
            match self.pcs[k].effect(mono, now) {
                None => return Ok(false),
                Some(Outside::Nothing) => {}
                Some(Outside::Beat) => self.heartbeat(k),
                Some(Outside::Told(id)) => {
                    if let Some(target) =
                        self.db.targets.get_mut(&id).filter(|_| self.pcs[k].online)
                    {
                        target.begun = true;
                    }
                }
                Some(Outside::Began(id)) => self.began(id, k)?,
            }
        }
        Ok(true)
    }

    fn began(&mut self, id: RequestId, k: usize) -> Played {
        let pc = &self.pcs[k];
        let runs = self.runs.entry(id).or_default();
        *runs += 1;
        if *runs > 1 {
            return Err(format!("{id} ran twice on {}", pc.pc_id));
        }
        if pc.stopped.contains(&id) {
            return Err(format!("{id} began after its stop had been taken"));
        }
        let entry = pc
            .disk
            .entries
            .get(&id)
            .ok_or(format!("{id} began without a journal entry"))?;
        if self
            .fixed
            .get(&entry.exec_id)
            .is_some_and(|members| !members.contains(&pc.pc_id))
        {
            return Err(format!("{id} was not meant for {}", pc.pc_id));
        }
        Ok(())
    }

    fn read(&mut self, k: usize) {
        let (mono, now) = (self.mono(), self.now());
        self.broker.expire(now);
        let Some(reading) = self.pcs[k].readings.pop_front() else {
            return;
        };
        let pc = &mut self.pcs[k];
        let desired = pc.desired();
        let Some(core) = &mut pc.core else { return };
        match reading {
            Reading::Commands(scope) => {
                let there = self
                    .broker
                    .documents
                    .get(&scope)
                    .map(|(_, document, _)| document.clone());
                let answer = there.map(|document| (hash(&document), document));
                let answer = answer.map(|(hash, document)| (document.into(), hash));
                core.handle_read(Read::Commands(scope, answer), mono);
            }
            Reading::Desired => {
                let known = self.db.pcs.contains_key(&pc.pc_id);
                core.handle_read(Read::Desired(known.then_some(desired)), mono);
            }
            Reading::Brake => core.handle_read(Read::Brake(None), mono),
            Reading::Time(asked) => {
                let journal = self.db.journals.get(&pc.pc_id).copied();
                core.handle_time(now, journal, mono, mono.max(asked));
            }
            Reading::Ask(id) => {
                let found = self
                    .broker
                    .results
                    .iter()
                    .any(|(_, _, r)| r.request_id == id && !provisional(r.outcome));
                let heard = self.db.heard(id);
                core.handle_asked(id, Some(found), Some(heard), mono);
            }
            Reading::Script(id) => core.handle_script(id, Ok(()), mono),
        }
    }

    fn deliver(&mut self, k: usize) {
        let mono = self.mono();
        let pc = &mut self.pcs[k];
        let Some((scope, document)) = pc.inbox.pop_front() else {
            return;
        };
        let live = pc.live();
        if let Some(core) = &mut pc.core {
            let hash = hash(&document);
            if live {
                let stopped = document
                    .stops
                    .iter()
                    .map(|s| RequestId::derive(s.exec_id, &pc.pc_id, s.attempt));
                pc.stopped.extend(stopped);
            }
            core.handle_heard(Heard::Commands(scope, document.into(), hash), mono);
        }
    }
}

type RequestIdOrder = (ExecId, Attempt);

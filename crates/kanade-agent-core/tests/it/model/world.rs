//! Plays a schedule, watches for violations, lets everything heal, and counts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use kanade_agent_core::{Heard, Mono, Read};
use kanade_shared::id::{Attempt, ExecId, PcId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::agent::RunKey;
use kanade_shared::wire::command::{
    BodyRef, Command, Document, Reach, Run, RunAs, ScriptSource, Shell, Staleness, StopAction,
};
use kanade_shared::wire::result::Outcome;

use super::backend::{Broker, Database, Work, provisional};
use super::pc::{Outside, Pc, Reading};
use super::schedule::{Fault, Op, Step};

const TIMEOUT_S: u32 = 12;

#[derive(Debug)]
pub(crate) struct World {
    t: u64,
    unique: u64,
    db: Database,
    broker: Broker,
    database_copies: Vec<Database>,
    broker_copies: Vec<Broker>,
    work: BTreeMap<Scope, Work>,
    pcs: Vec<Pc>,
    runs: BTreeMap<RequestId, u32>,
    /// Fixed execs and whom they were for.
    fixed: BTreeMap<ExecId, BTreeSet<PcId>>,
    database_losses: Vec<DateTime<Utc>>,
    broker_losses: Vec<DateTime<Utc>>,
    execs: u8,
}

type Played = Result<(), String>;

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

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + i64::try_from(self.t).unwrap(), 0).unwrap()
    }

    fn mono(&self) -> Mono {
        Mono(self.t * 1000)
    }

    /// Each transaction of the database has a time of its own.
    fn transaction(&mut self) -> DateTime<Utc> {
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

    // ---- operators

    fn command(&mut self, open: bool, jitter_s: u32, deadline_s: i64, fails: bool) -> Command {
        let now = self.transaction();
        self.execs += 1;
        let random = [self.execs; 10];
        let body = BodyRef {
            sha256: "0".into(),
            key: "0".into(),
            size_bytes: 0,
        };
        let script = if self.execs.is_multiple_of(3) {
            ScriptSource::Body(body)
        } else {
            ScriptSource::Inline {
                text: "true".into(),
            }
        };
        let env = fails.then(|| ("FAIL".to_owned(), "1".to_owned()));
        Command {
            exec_id: ExecId::new(now, random),
            attempt: Attempt::FIRST,
            job_id: None,
            job_version: None,
            reach: if open { Reach::Open } else { Reach::Fixed },
            issued_at: now,
            deadline: now + Duration::seconds(deadline_s),
            jitter_s,
            supersede: false,
            staleness: Staleness::Cached,
            run: Run {
                shell: Shell::Sh,
                script,
                args: vec![],
                env: env.into_iter().collect(),
                cwd: None,
                stdin: None,
                timeout_s: TIMEOUT_S,
                tries: 1,
                backoff_s: 0,
                run_as: RunAs::System,
                output_cap_bytes: 1024,
            },
        }
    }

    fn post(
        &mut self,
        open: bool,
        all: bool,
        pcs: u8,
        jitter_s: u32,
        deadline_s: i64,
        fails: bool,
    ) -> Option<ExecId> {
        let named = |pc: &PcId| {
            all || (0..8).any(|k| pcs & (1 << k) != 0 && pc.as_str() == format!("p{k}"))
        };
        let members: Vec<PcId> = self.db.pcs.keys().filter(|pc| named(pc)).cloned().collect();
        if members.is_empty() {
            return None;
        }
        let command = self.command(open, jitter_s, deadline_s, fails);
        let wide = all && (open || self.db.restored_at.is_none());
        for pc_id in &members {
            let scope = if wide {
                Scope::All
            } else {
                Scope::Pc(pc_id.clone())
            };
            self.db.put(pc_id, &scope, &command);
        }
        if !open {
            self.fixed
                .insert(command.exec_id, members.into_iter().collect());
        }
        Some(command.exec_id)
    }

    fn nth(&self, nth: usize) -> Option<ExecId> {
        let execs = self.db.execs();
        execs.len().checked_sub(1 + nth).map(|n| execs[n])
    }

    fn stop(&mut self, nth: usize, kill: bool) {
        let Some(exec_id) = self.nth(nth) else { return };
        self.transaction();
        let action = if kill {
            StopAction::Kill
        } else {
            StopAction::Withdraw
        };
        for ((id, _, _), row) in &mut self.db.commands {
            if *id == exec_id {
                row.stop = row.stop.max(Some(action));
            }
        }
        for target in self.db.targets.values_mut() {
            if target.exec_id == exec_id && !kill {
                target.outcome.get_or_insert(Outcome::Withdrawn);
            }
        }
    }

    fn retry(&mut self, nth: usize, deadline_s: i64) {
        let Some(exec_id) = self.nth(nth) else { return };
        let mut newest: BTreeMap<PcId, (Attempt, Option<Outcome>)> = BTreeMap::new();
        for target in self
            .db
            .targets
            .values()
            .filter(|target| target.exec_id == exec_id)
        {
            let there = newest
                .entry(target.pc_id.clone())
                .or_insert((target.attempt, target.outcome));
            if there.0 < target.attempt {
                *there = (target.attempt, target.outcome);
            }
        }
        let again =
            |outcome: Option<Outcome>| outcome.is_some_and(|outcome| outcome != Outcome::Ok);
        let mut command = self.command(false, 0, deadline_s, false);
        command.exec_id = exec_id;
        command.attempt = Attempt(self.t);
        for (pc_id, (_, outcome)) in newest {
            if again(outcome) && self.db.pcs.contains_key(&pc_id) {
                self.db.put(&pc_id, &Scope::Pc(pc_id.clone()), &command);
            }
        }
    }

    // ---- losses

    fn restore_database(&mut self, n: usize) {
        if let Some(copy) = self.database_copies.iter().rev().nth(n) {
            self.db = copy.clone();
            self.database_losses.push(self.now());
            self.after_database_loss();
        }
    }

    fn after_database_loss(&mut self) {
        self.work.clear();
        let now = self.transaction();
        self.db.restored_at = Some(now);
    }

    fn restore_broker(&mut self, n: usize) {
        if let Some(copy) = self.broker_copies.iter().rev().nth(n) {
            self.broker = copy.clone();
            self.broker_losses.push(self.now());
            self.after_broker_loss();
        }
    }

    fn after_broker_loss(&mut self) {
        self.t += 1;
        let mono = self.mono();
        for pc in &mut self.pcs {
            pc.go_offline(mono);
        }
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

    fn publish_all(&mut self) {
        for number in 0..=self.pcs.len() {
            let scope = self.scope(number);
            for stage in 0..3 {
                self.publish_stage(&scope, stage);
            }
        }
    }

    fn sweep(&mut self) {
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

    fn fault(&mut self, fault: Fault, k: usize) {
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

    fn step(&mut self, step: Step, k: usize) -> Played {
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
                let answer = there.map(|document| (document.clone(), hash(&document)));
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
            core.handle_heard(Heard::Commands(scope, document, hash), mono);
        }
    }

    // ---- the end

    pub(crate) fn round(&mut self) -> Played {
        self.apply(&Op::Project)?;
        self.sweep();
        self.publish_all();
        for k in 0..self.pcs.len() {
            self.fault(Fault::DiskFree, k);
            self.t += 1;
            for _ in 0..12 {
                for step in Step::ALL {
                    self.step(step, k)?;
                }
            }
        }
        Ok(())
    }

    /// The faults stop, everybody comes on line, and time passes every deadline.
    pub(crate) fn settle(&mut self) -> Played {
        for _ in 0..4 {
            self.round()?;
        }
        let probe = self
            .post(true, true, 0, 0, 400, false)
            .ok_or("no PC is known")?;
        for _ in 0..20 {
            self.round()?;
        }
        for pc in &self.pcs {
            let id = RequestId::derive(probe, &pc.pc_id, Attempt::FIRST);
            if self.runs.get(&id) != Some(&1) {
                return Err(format!(
                    "{} is stuck: it did not run the probe; {:?}",
                    pc.pc_id,
                    pc.core.as_ref().map(|c| c.status())
                ));
            }
        }
        let over = self
            .db
            .commands
            .values()
            .map(|row| row.key.over_at)
            .max()
            .unwrap_or(self.now());
        let wait = (over - self.now()).num_seconds().max(0);
        self.t += u64::try_from(wait).unwrap() + 2;
        for _ in 0..8 {
            self.round()?;
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Played {
        for (id, target) in &self.db.targets {
            if target.outcome.is_none() {
                return Err(format!("{id} on {} has no outcome", target.pc_id));
            }
        }
        self.pcs.iter().try_for_each(|pc| self.check_pc(pc))
    }

    fn check_pc(&self, pc: &Pc) -> Played {
        let both_lost = |at: DateTime<Utc>| {
            self.database_losses.iter().any(|lost| *lost > at)
                && self.broker_losses.iter().any(|lost| *lost > at)
        };
        for (id, admitted_at) in &pc.admitted {
            if pc.deletions.iter().any(|deleted| deleted >= admitted_at) {
                continue;
            }
            let known = self.db.targets.contains_key(id);
            let got = self.db.results.get(id);
            let Some(ended) = pc.ended.get(id) else {
                return Err(format!("{id} was admitted by {} and never ended", pc.pc_id));
            };
            let issued_at = pc.disk.entries.get(id).map(|entry| entry.issued_at);
            if !known && issued_at.is_some_and(both_lost) {
                continue;
            }
            match got {
                None => {
                    let target = self.db.targets.get(id);
                    let here = pc.disk.entries.get(id).map(|entry| &entry.state);
                    let waits = pc.disk.outbox.contains_key(id);
                    return Err(format!(
                        "{id} ended {ended:?} on {}, and its result is missing; {target:?}, {here:?}, waits {waits}",
                        pc.pc_id
                    ));
                }
                Some(got) if got != ended && !provisional(*ended) => {
                    return Err(format!(
                        "{id} ended {ended:?} on {}, and the database says {got:?}",
                        pc.pc_id
                    ));
                }
                Some(got) => {
                    let says = self.db.targets.get(id).and_then(|target| target.outcome);
                    if !provisional(*got) && says != Some(*got) {
                        return Err(format!(
                            "{id} has the result {got:?}, and its target says {says:?}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

type RequestIdOrder = (ExecId, Attempt);

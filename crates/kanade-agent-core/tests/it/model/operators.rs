//! What operators do, and what is lost.

use std::collections::BTreeMap;

use chrono::Duration;
use kanade_shared::id::{Attempt, ExecId, PcId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::{
    BodyRef, Command, Reach, Run, RunAs, ScriptSource, Shell, Staleness, StopAction,
};
use kanade_shared::wire::result::Outcome;

use super::world::World;

const TIMEOUT_S: u32 = 12;

impl World {
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

    pub(super) fn post(
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
            self.posted
                .insert(RequestId::derive(command.exec_id, pc_id, command.attempt));
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

    pub(super) fn stop(&mut self, nth: usize, kill: bool) {
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

    pub(super) fn retry(&mut self, nth: usize, deadline_s: i64) {
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
                self.posted
                    .insert(RequestId::derive(command.exec_id, &pc_id, command.attempt));
            }
        }
    }

    pub(super) fn restore_database(&mut self, n: usize) {
        if let Some(copy) = self.database_copies.iter().rev().nth(n) {
            self.db = copy.clone();
            self.database_losses.push(self.now());
            self.after_database_loss();
        }
    }

    pub(super) fn after_database_loss(&mut self) {
        self.work.clear();
        let now = self.transaction();
        self.db.restored_at = Some(now);
    }

    pub(super) fn restore_broker(&mut self, n: usize) {
        if let Some(copy) = self.broker_copies.iter().rev().nth(n) {
            self.broker = copy.clone();
            self.broker_losses.push(self.now());
            self.after_broker_loss();
        }
    }

    pub(super) fn after_broker_loss(&mut self) {
        self.t += 1;
        let mono = self.mono();
        for pc in &mut self.pcs {
            pc.go_offline(mono);
        }
    }
}

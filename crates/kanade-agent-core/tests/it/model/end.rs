//! Everything heals, time passes every deadline, and then it is counted.

use chrono::{DateTime, Utc};
use kanade_shared::id::{Attempt, RequestId};

use super::backend::provisional;
use super::pc::Pc;
use super::schedule::{Fault, Op, Step};
use super::world::{Played, World};

impl World {
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
            // A PC that joined an open exec by itself, at a database that did not know it, may be
            // forgotten again together with the broker.
            let joined = !self.posted.contains(id);
            let issued_at = pc.disk.entries.get(id).map(|entry| entry.issued_at);
            let since = issued_at
                .filter(|_| !joined)
                .unwrap_or(DateTime::UNIX_EPOCH);
            if !known && both_lost(since) {
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

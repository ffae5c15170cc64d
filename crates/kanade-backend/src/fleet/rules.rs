//! How targets go from state to state, and what that does to the counters of their exec.
//!
//! pending → admitted → running → ended: the rank only grows. An outcome that the backend made up
//! is provisional, and the agent's own result replaces it; the agent's own is final, but for an
//! end without a run, which a real one replaces.
//!
//! **Invariant:** no I/O and no clock here.
//! **Invariant:** an exec has ended exactly when no target waits and nobody may join.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use kanade_shared::api::execs::TargetState;
use kanade_shared::id::ExecId;
use kanade_shared::wire::result::{Outcome, Reason, RunResult};

use crate::store::intake::{ExecRow, Tally, TargetRow};

/// Takes over the agent's result; `false` when it has a final one already.
pub fn finish(target: &mut TargetRow, result: &RunResult) -> bool {
    let ended = target.state == TargetState::Ended;
    let knows_better = target.outcome.is_some_and(ran_nothing) && !ran_nothing(result.outcome);
    if ended && !target.provisional && !knows_better {
        return false;
    }
    target.state = TargetState::Ended;
    target.outcome = Some(result.outcome);
    target.provisional = false;
    target.reason = result.reason.clone();
    target.exit_code = result.exit_code;
    target.stopping = false;
    target.open = false;
    target.started_at = result.started_at.or(target.started_at);
    target.ended_at = Some(result.ended_at);
    true
}

/// Outcomes that say that nothing is known to have run. A PC with a young journal may report one
/// of a run whose real end then turns up.
#[must_use]
pub fn ran_nothing(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Lost | Outcome::Expired | Outcome::Withdrawn
    )
}

/// The outcome that counts; one that a newer agent invented is a failure that says so.
#[must_use]
pub fn outcome_of(result: &RunResult) -> (Outcome, Option<Reason>) {
    if result.outcome != Outcome::Unknown {
        return (result.outcome, result.reason.clone());
    }
    let text = "the agent is newer than the backend and reports an outcome that it does not know";
    let reason = result.reason.clone();
    (
        Outcome::Failed,
        reason.or_else(|| Some(Reason::new("outcome.unknown", text))),
    )
}

/// The PC holds the document that lists the command; `false` when more is known already.
pub fn admit(target: &mut TargetRow, now: DateTime<Utc>) -> bool {
    if target.state != TargetState::Pending {
        return false;
    }
    target.state = TargetState::Admitted;
    target.admitted_at = Some(now);
    true
}

/// The run has begun; `false` when more is known already.
pub fn start(target: &mut TargetRow, started_at: DateTime<Utc>) -> bool {
    if target.state >= TargetState::Running {
        return false;
    }
    target.state = TargetState::Running;
    target.started_at = Some(started_at);
    true
}

/// The backend's own word, until the agent's comes; `false` when the target has ended.
pub fn give_up(
    target: &mut TargetRow,
    outcome: Outcome,
    reason: Reason,
    now: DateTime<Utc>,
) -> bool {
    if target.state == TargetState::Ended {
        return false;
    }
    target.state = TargetState::Ended;
    target.outcome = Some(outcome);
    target.provisional = true;
    target.reason = Some(reason);
    target.ended_at = Some(now);
    true
}

/// The execs of one transaction, and how their counters move.
#[derive(Debug, Default)]
pub struct Ledger {
    execs: BTreeMap<ExecId, ExecRow>,
    touched: BTreeSet<ExecId>,
}

impl Ledger {
    /// With these execs as they are in the database.
    #[must_use]
    pub fn new(execs: Vec<ExecRow>) -> Self {
        let execs = execs.into_iter().map(|exec| (exec.exec_id, exec));
        Self {
            execs: execs.collect(),
            touched: BTreeSet::new(),
        }
    }

    /// An exec as it is now.
    #[must_use]
    pub fn get(&self, id: ExecId) -> Option<&ExecRow> {
        self.execs.get(&id)
    }

    /// Adds an exec that was inserted in this transaction.
    pub fn add(&mut self, exec: ExecRow) {
        self.execs.insert(exec.exec_id, exec);
    }

    /// Looks at an exec at the end, although none of its targets moved.
    pub fn touch(&mut self, id: ExecId) {
        self.touched.insert(id);
    }

    /// A target moved, or joined when there is no `before`.
    pub fn moved(&mut self, before: Option<&TargetRow>, after: &TargetRow) {
        let Some(exec) = self.execs.get_mut(&after.exec_id) else {
            return;
        };
        self.touched.insert(after.exec_id);
        match before {
            Some(before) if before.newest => count(&mut exec.tally, before, -1),
            None if after.newest => exec.tally.targets += 1,
            Some(_) | None => {}
        }
        if after.newest {
            count(&mut exec.tally, after, 1);
        }
    }

    /// The execs that changed, each with its end set or taken back.
    #[must_use]
    pub fn settle(mut self, now: DateTime<Utc>) -> Vec<ExecRow> {
        let mut changed = Vec::new();
        for id in self.touched {
            let Some(mut exec) = self.execs.remove(&id) else {
                continue;
            };
            let closed = exec.stop.is_some() || exec.joins_until.is_none_or(|until| until <= now);
            if closed {
                exec.joins_until = None;
            }
            let waiting = exec.tally.pending + exec.tally.admitted + exec.tally.running;
            exec.ended_at = match exec.ended_at {
                _ if waiting > 0 || !closed => None,
                Some(ended_at) => Some(ended_at),
                None => Some(now),
            };
            changed.push(exec);
        }
        changed
    }
}

fn count(tally: &mut Tally, target: &TargetRow, n: i64) {
    match target.state {
        TargetState::Pending => tally.pending += n,
        TargetState::Admitted => tally.admitted += n,
        TargetState::Running => tally.running += n,
        TargetState::Ended => {
            let outcome = target.outcome.unwrap_or(Outcome::Failed);
            let index = Outcome::ALL.iter().position(|one| *one == outcome);
            // One that a newer version wrote counts as a failure, as it is shown.
            let index = index.unwrap_or(1);
            if let Some(slot) = tally.ended.get_mut(index) {
                *slot += n;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use kanade_shared::id::{Attempt, PcId};
    use kanade_shared::subject::Scope;
    use kanade_shared::wire::command::Reach;
    use kanade_shared::wire::result::Output;
    use proptest::prelude::*;

    pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    pub(crate) fn exec_id(n: u8) -> ExecId {
        ExecId::new(at(i64::from(n)), [n; 10])
    }

    pub(crate) fn pc(n: usize) -> PcId {
        PcId::parse(&format!("pc-{n}")).unwrap()
    }

    pub(crate) fn exec(n: u8, targets: i64) -> ExecRow {
        ExecRow {
            exec_id: exec_id(n),
            job_id: None,
            reach: Reach::Fixed,
            issued_at: at(0),
            deadline: at(3600),
            stop: None,
            joins_until: None,
            ended_at: None,
            adopted: false,
            tally: Tally {
                targets,
                pending: targets,
                ..Tally::default()
            },
        }
    }

    pub(crate) fn result(target: &TargetRow, outcome: Outcome) -> RunResult {
        RunResult {
            request_id: target.request_id,
            exec_id: target.exec_id,
            attempt: target.attempt,
            pc_id: target.pc_id.clone(),
            scope: Scope::All,
            job_id: None,
            job_version: None,
            outcome,
            reason: None,
            exit_code: Some(0),
            tries: 1,
            started_at: Some(at(1)),
            ended_at: at(2),
            stdout: Output::whole("out"),
            stderr: Output::default(),
        }
    }

    #[test]
    fn a_real_result_replaces_what_the_backend_made_up_and_nothing_replaces_a_real_one() {
        let mut target = TargetRow::pending(exec_id(1), pc(1), Attempt::FIRST, true);
        assert!(give_up(
            &mut target,
            Outcome::Expired,
            Reason::new("deadline", "it passed"),
            at(5)
        ));
        assert!(!start(&mut target, at(6)) && !admit(&mut target, at(6)));
        let ok = result(&target, Outcome::Ok);
        assert!(finish(&mut target, &ok));
        assert_eq!((target.outcome, target.open), (Some(Outcome::Ok), false));
        let late = result(&target, Outcome::Failed);
        assert!(!finish(&mut target, &late));
        let word = Reason::new("x", "y");
        assert!(!give_up(&mut target, Outcome::Lost, word, at(9)));
        assert_eq!(target.outcome, Some(Outcome::Ok));
    }

    #[test]
    fn a_real_end_replaces_what_a_young_journal_said_and_never_the_other_way() {
        let mut target = TargetRow::pending(exec_id(1), pc(1), Attempt::FIRST, true);
        let expired = result(&target, Outcome::Expired);
        let ok = result(&target, Outcome::Ok);
        assert!(finish(&mut target, &expired));
        assert!(finish(&mut target, &ok));
        assert!(!finish(&mut target, &expired));
        assert_eq!(target.outcome, Some(Outcome::Ok));
    }

    #[test]
    fn an_open_exec_ends_only_when_nobody_may_join_any_more() {
        let mut open = exec(1, 0);
        open.joins_until = Some(at(100));
        let mut ledger = Ledger::new(vec![open.clone()]);
        ledger.touch(open.exec_id);
        assert_eq!(ledger.settle(at(99))[0].ended_at, None);
        let mut ledger = Ledger::new(vec![open.clone()]);
        ledger.touch(open.exec_id);
        assert_eq!(ledger.settle(at(100))[0].ended_at, Some(at(100)));
    }

    proptest! {
        #[test]
        fn counters_equal_a_recount_after_any_moves(moves in prop::collection::vec((0usize..4, 0u8..5), 0..60)) {
            let mut targets: Vec<TargetRow> =
                (0..4).map(|n| TargetRow::pending(exec_id(1), pc(n), Attempt::FIRST, true)).collect();
            let mut row = exec(1, 4);
            for (n, step) in moves {
                let target = &mut targets[n];
                let (before, rank) = (target.clone(), target.state);
                let mut ledger = Ledger::new(vec![row.clone()]);
                let changed = match step {
                    0 => admit(target, at(1)),
                    1 => start(target, at(2)),
                    2 => give_up(target, Outcome::Lost, Reason::new("x", "y"), at(3)),
                    3 => { let r = result(target, Outcome::Ok); finish(target, &r) }
                    _ => { let r = result(target, Outcome::Failed); finish(target, &r) }
                };
                prop_assert!(target.state >= rank, "the rank only grows");
                if changed {
                    ledger.moved(Some(&before), target);
                    row = ledger.settle(at(4)).remove(0);
                }
            }
            let mut recount = Tally { targets: 4, ..Tally::default() };
            for target in &targets {
                count(&mut recount, target, 1);
            }
            prop_assert_eq!(&row.tally, &recount);
            prop_assert_eq!(row.ended_at.is_some(), targets.iter().all(|t| t.state == TargetState::Ended));
        }
    }
}

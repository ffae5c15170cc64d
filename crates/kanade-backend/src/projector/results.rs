//! RESULTS: what agents report of their runs, into `results`, `targets` and the counters of execs.
//!
//! [`read`] checks one message, [`fold`] decides for a batch with what the database knows of its
//! targets, and [`project`] reads and writes around it. Who may report: a PC for itself (subject
//! and payload must name it) and for a run that it was given. What an older database does not
//! know is kept as *unverified* only while it is known to be older, and only for an exec whose id
//! was drawn in the time that it lost.
//!
//! **Invariant:** the same results in any order and number give the same rows.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use kanade_shared::id::{ExecId, RequestId};
use kanade_shared::wire::command::Reach;
use kanade_shared::wire::result::RunResult;

use super::Applied;
use super::reader::Stored;
use super::rules::{self, Ledger};
use crate::store::intake::{ExecRow, Tally, TargetRow};
use crate::store::positions::DeadLetter;
use crate::store::received::NewResult;
use crate::store::recovery::Behind;
use crate::store::{StoreError, Tx};

/// Name of the stream.
pub const STREAM: &str = kanade_shared::subject::RESULTS_STREAM;

/// A result with its place in the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrived {
    /// What the agent sent.
    pub result: RunResult,
    /// Its sequence.
    pub sequence: u64,
    /// Which message of the batch it is.
    pub index: usize,
}

/// Checks one message.
///
/// # Errors
/// A sentence that says why it cannot be taken.
pub fn read(message: &Stored) -> Result<RunResult, String> {
    let mut result: RunResult = serde_json::from_slice(&message.payload)
        .map_err(|error| format!("it is not a result: {error}"))?;
    let subject = kanade_shared::subject::result(&result.pc_id, result.request_id);
    if subject != message.subject {
        return Err(format!(
            "it says that it is run {} of `{}`, which is not what its subject says",
            result.request_id, result.pc_id
        ));
    }
    let derived = RequestId::derive(result.exec_id, &result.pc_id, result.attempt);
    if derived != result.request_id {
        return Err("its request id is not that of its exec, PC and attempt".into());
    }
    for (stream, output) in [("stdout", &result.stdout), ("stderr", &result.stderr)] {
        let own = format!("{}/{stream}", result.request_id);
        if output
            .stored_as
            .as_ref()
            .is_some_and(|object| *object != own)
        {
            return Err(format!("its {stream} names an object that is not its own"));
        }
    }
    (result.outcome, result.reason) = rules::outcome_of(&result);
    Ok(result)
}

/// What a batch of results does.
#[derive(Debug, Default, PartialEq)]
pub struct Folded {
    /// Results to store, by their place in what was given, and whether they are unverified.
    pub store: Vec<(usize, bool)>,
    /// Targets that changed.
    pub update: Vec<TargetRow>,
    /// Targets that joined.
    pub insert: Vec<TargetRow>,
    /// Execs that this database never issued.
    pub stubs: Vec<ExecRow>,
    /// Results that cannot be taken, by their place in what was given.
    pub refused: Vec<(usize, String)>,
}

/// Decides for a batch. `targets` are those of its request ids that exist, `ledger` has those of
/// its execs that exist.
pub fn fold(
    arrived: &[Arrived],
    targets: Vec<TargetRow>,
    ledger: &mut Ledger,
    behind: Option<&Behind>,
) -> Folded {
    let mut folded = Folded::default();
    let mut known: HashMap<RequestId, (TargetRow, Change)> = targets
        .into_iter()
        .map(|target| (target.request_id, (target, Change::None)))
        .collect();
    let mut stubs = BTreeSet::new();
    for (place, arrived) in arrived.iter().enumerate() {
        let result = &arrived.result;
        if let Some((target, change)) = known.get_mut(&result.request_id) {
            let before = target.clone();
            if rules::finish(target, result) {
                ledger.moved(Some(&before), target);
                *change = change.and_update();
                folded.store.push((place, stubs.contains(&result.exec_id)));
            }
            continue;
        }
        if ledger.get(result.exec_id).is_none() {
            let Some(stub) = stub(result, behind) else {
                let why = format!("exec {} was never issued here", result.exec_id);
                folded.refused.push((place, why));
                continue;
            };
            ledger.add(stub.clone());
            stubs.insert(result.exec_id);
            folded.stubs.push(stub);
        }
        if !ledger.get(result.exec_id).is_some_and(|exec| exec.adopted) {
            let why = format!("exec {} was not given to this PC", result.exec_id);
            folded.refused.push((place, why));
            continue;
        }
        let wide = result.scope == kanade_shared::subject::Scope::All;
        let mut target =
            TargetRow::pending(result.exec_id, result.pc_id.clone(), result.attempt, wide);
        rules::finish(&mut target, result);
        ledger.moved(None, &target);
        known.insert(result.request_id, (target, Change::Insert));
        folded.store.push((place, stubs.contains(&result.exec_id)));
    }
    for (target, change) in known.into_values() {
        match change {
            Change::None => {}
            Change::Update => folded.update.push(target),
            Change::Insert => folded.insert.push(target),
        }
    }
    folded
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Update,
    Insert,
}

impl Change {
    fn and_update(self) -> Self {
        match self {
            Self::None | Self::Update => Self::Update,
            Self::Insert => Self::Insert,
        }
    }
}

/// The exec of a result that this database, which is older than the broker, may have issued.
fn stub(result: &RunResult, behind: Option<&Behind>) -> Option<ExecRow> {
    let issued_at = result.exec_id.issued_at()?;
    behind.filter(|behind| behind.lost(issued_at))?;
    Some(ExecRow {
        exec_id: result.exec_id,
        job_id: result.job_id.clone(),
        reach: Reach::Fixed,
        issued_at,
        deadline: issued_at,
        stop: None,
        joins_until: None,
        ended_at: None,
        adopted: true,
        tally: Tally::default(),
    })
}

/// Stores a batch in `tx`.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn project(tx: &mut Tx, messages: &[Stored]) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    let mut arrived = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        match read(message) {
            Ok(result) => arrived.push(Arrived {
                result,
                sequence: message.sequence,
                index,
            }),
            Err(why) => applied.dead_letters.push(dead(message, why)),
        }
    }
    let now = tx.now();
    let requests: Vec<RequestId> = arrived.iter().map(|a| a.result.request_id).collect();
    let execs: BTreeSet<ExecId> = arrived.iter().map(|a| a.result.exec_id).collect();
    let execs: Vec<ExecId> = execs.into_iter().collect();
    let targets = tx.targets_by_request(&requests).await?;
    let mut ledger = Ledger::new(tx.execs_by_id(&execs).await?);
    let behind = tx.behind().await?;
    let folded = fold(&arrived, targets, &mut ledger, behind.as_ref());
    write(tx, &arrived, &folded, &ledger, now).await?;
    let execs = ledger.settle(now);
    tx.execs_update(&execs).await?;
    for (place, why) in folded.refused {
        if let Some(message) = arrived.get(place).and_then(|a| messages.get(a.index)) {
            applied.dead_letters.push(dead(message, why));
        }
    }
    applied.live.execs = execs.iter().map(|exec| exec.exec_id).collect();
    applied.live.targets = folded.update;
    applied.live.targets.extend(folded.insert);
    let stored: HashMap<usize, bool> = folded.store.into_iter().collect();
    let results = arrived.into_iter().enumerate();
    applied.live.results = results
        .filter(|(place, _)| stored.contains_key(place))
        .map(|(_, arrived)| arrived.result)
        .collect();
    applied.live.stored_at = Some(now);
    Ok(applied)
}

async fn write(
    tx: &mut Tx,
    arrived: &[Arrived],
    folded: &Folded,
    ledger: &Ledger,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    tx.exec_stubs_insert(&folded.stubs).await?;
    let rows: Vec<NewResult<'_>> = folded
        .store
        .iter()
        .filter_map(|(place, unverified)| {
            let arrived = arrived.get(*place)?;
            let exec = ledger.get(arrived.result.exec_id);
            Some(NewResult {
                result: &arrived.result,
                job_id: exec.and_then(|exec| exec.job_id.as_ref()),
                sequence: arrived.sequence,
                unverified: *unverified,
            })
        })
        .collect();
    tx.results_insert(&rows, now).await?;
    tx.targets_insert(&folded.insert).await?;
    tx.targets_update(&folded.update).await
}

fn dead(message: &Stored, why: String) -> DeadLetter {
    DeadLetter::new(
        STREAM,
        message.sequence,
        &message.subject,
        why,
        &message.payload,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::rules::tests::{at, exec, exec_id, pc, result};
    use bytes::Bytes;
    use kanade_shared::api::execs::TargetState;
    use kanade_shared::id::Attempt;
    use kanade_shared::wire::result::Outcome;
    use proptest::prelude::*;

    fn target(n: usize) -> TargetRow {
        TargetRow::pending(exec_id(1), pc(n), Attempt::FIRST, true)
    }

    fn arrive(results: &[RunResult]) -> Vec<Arrived> {
        let results = results.iter().cloned().enumerate();
        results
            .map(|(index, result)| Arrived {
                result,
                sequence: index as u64 + 1,
                index,
            })
            .collect()
    }

    fn message(result: &RunResult, subject: String) -> Stored {
        Stored {
            sequence: 1,
            at_ns: 0,
            subject,
            payload: Bytes::from(serde_json::to_vec(result).unwrap()),
        }
    }

    #[test]
    fn a_result_counts_once_however_often_it_comes() {
        let one = result(&target(1), Outcome::Ok);
        let mut ledger = Ledger::new(vec![exec(1, 2)]);
        let arrived = arrive(&[one.clone(), one]);
        let folded = fold(&arrived, vec![target(1), target(2)], &mut ledger, None);
        assert_eq!((folded.store.len(), folded.update.len()), (1, 1));
        let exec = &ledger.settle(at(9))[0];
        assert_eq!((exec.tally.pending, exec.tally.ended[0]), (1, 1));
        assert_eq!(exec.ended_at, None);
    }

    proptest! {
        #[test]
        fn results_in_any_order_number_and_batches_give_the_same_counters(
            order in prop::collection::vec((0usize..4, any::<bool>()), 0..40),
            batch in 1usize..6,
        ) {
            let mut targets: Vec<TargetRow> = (0..4).map(target).collect();
            let mut row = exec(1, 4);
            for results in order.chunks(batch) {
                let results: Vec<RunResult> = results
                    .iter()
                    .map(|(n, lost)| {
                        let real = if *n == 0 { Outcome::Failed } else { Outcome::Ok };
                        result(&target(*n), if *lost { Outcome::Lost } else { real })
                    })
                    .collect();
                let mut ledger = Ledger::new(vec![row.clone()]);
                let folded = fold(&arrive(&results), targets.clone(), &mut ledger, None);
                for after in folded.update {
                    let place = targets.iter().position(|t| t.request_id == after.request_id);
                    targets[place.unwrap()] = after;
                }
                row = ledger.settle(at(9)).pop().unwrap_or(row);
            }
            for (n, target) in targets.iter().enumerate() {
                let came = |lost: bool| order.contains(&(n, lost));
                let expected = match (came(false), came(true)) {
                    (true, _) if n == 0 => Some(Outcome::Failed),
                    (true, _) => Some(Outcome::Ok),
                    (false, true) => Some(Outcome::Lost),
                    (false, false) => None,
                };
                prop_assert_eq!(target.outcome, expected);
            }
            let waiting = targets.iter().filter(|t| t.outcome.is_none()).count();
            prop_assert_eq!(row.tally.pending, waiting as i64);
            prop_assert_eq!(row.ended_at.is_some(), waiting == 0);
        }
    }

    #[test]
    fn a_pc_cannot_report_for_another_or_for_a_run_it_was_not_given() {
        let one = result(&target(1), Outcome::Ok);
        let foreign = kanade_shared::subject::result(&pc(2), one.request_id);
        assert!(read(&message(&one, foreign)).is_err());
        let own = kanade_shared::subject::result(&pc(1), one.request_id);
        assert_eq!(read(&message(&one, own)), Ok(one.clone()));
        let mut ledger = Ledger::new(vec![exec(1, 1)]);
        let folded = fold(&arrive(&[one]), vec![], &mut ledger, None);
        assert_eq!((folded.store.len(), folded.refused.len()), (0, 1));
    }

    #[test]
    fn a_result_of_an_adopted_exec_makes_its_target() {
        let mut adopted = exec(1, 0);
        adopted.adopted = true;
        let mut ledger = Ledger::new(vec![adopted]);
        let folded = fold(
            &arrive(&[result(&target(1), Outcome::Failed)]),
            vec![],
            &mut ledger,
            None,
        );
        assert_eq!(folded.insert[0].state, TargetState::Ended);
        assert_eq!(ledger.settle(at(9))[0].tally.targets, 1);
    }

    #[test]
    fn an_unknown_exec_is_kept_only_for_the_time_that_the_database_lost() {
        let behind = Behind {
            from: at(0),
            since: at(10),
        };
        for (n, kept) in [(5, 1), (11, 0)] {
            let row = TargetRow::pending(exec_id(n), pc(1), Attempt::FIRST, true);
            let arrived = arrive(&[result(&row, Outcome::Ok)]);
            let mut ledger = Ledger::default();
            let folded = fold(&arrived, vec![], &mut ledger, Some(&behind));
            assert_eq!(folded.stubs.len(), kept, "exec of second {n}");
            assert_eq!(folded.store, vec![(0, true); kept]);
            let folded = fold(&arrived, vec![], &mut Ledger::default(), None);
            assert_eq!(folded.refused.len(), 1);
        }
    }
}

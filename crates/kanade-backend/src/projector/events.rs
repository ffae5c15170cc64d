//! EVENTS: a run that has outlived a second is running.

use std::collections::{BTreeSet, HashMap};

use kanade_shared::id::{ExecId, RequestId};
use kanade_shared::subject;
use kanade_shared::wire::result::Started;

use super::Applied;
use super::reader::Stored;
use super::rules::{self, Ledger};
use crate::store::intake::TargetRow;
use crate::store::positions::DeadLetter;
use crate::store::{StoreError, Tx};

/// Name of the stream.
pub const STREAM: &str = "EVENTS";

/// Checks one message; one of a kind that this version does not know is `None`.
///
/// # Errors
/// A sentence that says why it cannot be taken.
pub fn read(message: &Stored) -> Result<Option<Started>, String> {
    if !message.subject.ends_with(".started") {
        return Ok(None);
    }
    let started: Started = serde_json::from_slice(&message.payload)
        .map_err(|error| format!("it is not the start of a run: {error}"))?;
    if message.subject != subject::event(&started.pc_id, subject::EVENT_STARTED) {
        return Err(format!(
            "it says that it is of `{}`, which is not what its subject says",
            started.pc_id
        ));
    }
    if RequestId::derive(started.exec_id, &started.pc_id, started.attempt) != started.request_id {
        return Err("its request id is not that of its exec, PC and attempt".into());
    }
    Ok(Some(started))
}

/// Stores a batch in `tx`. The start of a run that is not known here is nothing to keep: its
/// result decides.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn project(tx: &mut Tx, messages: &[Stored]) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    let mut starts: HashMap<RequestId, Started> = HashMap::new();
    for message in messages {
        match read(message) {
            Ok(Some(started)) => {
                starts.insert(started.request_id, started);
            }
            Ok(None) => {}
            Err(why) => applied.dead_letters.push(DeadLetter::new(
                STREAM,
                message.sequence,
                &message.subject,
                why,
                &message.payload,
            )),
        }
    }
    let ids: Vec<RequestId> = starts.keys().copied().collect();
    let targets = tx.targets_by_request(&ids).await?;
    let execs: BTreeSet<ExecId> = targets.iter().map(|target| target.exec_id).collect();
    let execs: Vec<ExecId> = execs.into_iter().collect();
    let mut ledger = Ledger::new(tx.execs_by_id(&execs).await?);
    let mut changed: Vec<TargetRow> = Vec::new();
    for mut target in targets {
        let Some(started) = starts.get(&target.request_id) else {
            continue;
        };
        let before = target.clone();
        if rules::start(&mut target, started.started_at) {
            ledger.moved(Some(&before), &target);
            changed.push(target);
        }
    }
    tx.targets_update(&changed).await?;
    let execs = ledger.settle(tx.now());
    tx.execs_update(&execs).await?;
    applied.live.execs = execs.iter().map(|exec| exec.exec_id).collect();
    applied.live.targets = changed;
    Ok(applied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::rules::tests::{at, exec_id, pc};
    use bytes::Bytes;
    use kanade_shared::id::Attempt;

    #[test]
    fn a_pc_starts_only_its_own_runs_and_kinds_of_newer_agents_are_passed_over() {
        let started = Started {
            request_id: RequestId::derive(exec_id(1), &pc(1), Attempt::FIRST),
            exec_id: exec_id(1),
            attempt: Attempt::FIRST,
            pc_id: pc(1),
            started_at: at(1),
        };
        let message = |subject: &str| Stored {
            sequence: 1,
            at_ns: 0,
            subject: subject.to_owned(),
            payload: Bytes::from(serde_json::to_vec(&started).unwrap()),
        };
        assert_eq!(
            read(&message("events.pc-1.started")),
            Ok(Some(started.clone()))
        );
        assert!(read(&message("events.pc-2.started")).is_err());
        assert_eq!(read(&message("events.pc-1.moved")), Ok(None));
    }
}

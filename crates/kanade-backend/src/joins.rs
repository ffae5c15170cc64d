//! PCs that join open execs: those that became members of a group, or enrolled, after the exec was
//! issued and before its deadline.
//!
//! An open exec to all is one command in `commands.all`, which late PCs read by themselves. Any
//! other is in the own documents of its PCs, so it compares who is meant now with who has it, and
//! adds those that lack it. It takes no input, so it is right after a restart, too.
//!
//! **Invariant:** nobody leaves: what a PC was given stays given.

use std::collections::HashSet;

use kanade_shared::id::{Attempt, PcId};
use kanade_shared::subject::Scope;

use crate::fleet;
use crate::flow::{Flow, Live};
use crate::projector::rules::Ledger;
use crate::store::StoreError;
use crate::store::intake::TargetRow;
use crate::store::joins::OpenExec;

/// Lets everybody join who is meant and has not joined.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn reconcile(flow: &Flow) -> Result<(), StoreError> {
    for exec in flow.store.execs_open(chrono::Utc::now()).await? {
        join(flow, &exec).await?;
    }
    Ok(())
}

async fn join(flow: &Flow, exec: &OpenExec) -> Result<(), StoreError> {
    let exec_id = exec.exec_id;
    let mut tx = flow.store.begin().await?;
    let meant = fleet::members_now(&mut tx, &exec.targets).await?;
    let there = tx.targets_of_exec(exec_id, None, None).await?;
    let there: HashSet<PcId> = there.into_iter().map(|target| target.pc_id).collect();
    let mut ledger = Ledger::new(tx.execs_by_id(&[exec_id]).await?);
    // Looked at again in this transaction: a stop closes an exec for those who would join.
    let open = ledger
        .get(exec_id)
        .is_some_and(|exec| exec.joins_until.is_some());
    let new: Vec<TargetRow> = meant
        .into_iter()
        .filter(|pc_id| open && !there.contains(pc_id))
        .map(|pc_id| TargetRow::pending(exec_id, pc_id, Attempt::FIRST, false))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    for target in &new {
        ledger.moved(None, target);
    }
    tx.targets_insert(&new).await?;
    let execs = ledger.settle(tx.now());
    tx.execs_update(&execs).await?;
    let change = tx.next_change();
    tx.commit().await?;
    tracing::info!(exec = %exec_id.short(), pcs = new.len(), "PCs joined an open exec");
    flow.dirty
        .scopes(new.iter().map(|target| Scope::Pc(target.pc_id.clone())));
    flow.publisher.nudge();
    let live = Live {
        execs: vec![exec_id],
        targets: new,
        ..Live::default()
    };
    flow.tell(change, live).await;
    Ok(())
}

//! Stops and retries of an exec.
//!
//! A stop marks every command of the exec that may still matter. Targets of PCs that are
//! offline and of which nothing was heard get `withdrawn` at once, as the backend's word; what a PC
//! reports later replaces it. Any other PC may have started in this very second, so its own word is
//! awaited. A retry
//! is a new attempt, in the own documents of its PCs, of targets that have ended. It is not stopped
//! by what stopped the attempts before: their commands stay stopped, the exec does not.

use std::collections::HashSet;

use kanade_shared::api::events::LiveEvent;
use kanade_shared::api::execs::{ExecView, RetryRequest, StopRequest, StopView, TargetState};
use kanade_shared::id::{Attempt, ExecId, PcId, RequestId};
use kanade_shared::wire::command::{Reach, ScriptSource, StopAction};
use kanade_shared::wire::result::{Outcome, Reason};
use serde_json::json;

use super::execs::{self, Draft};
use super::requests::{known, retry_hash, scoped_key};
use super::{Fleet, FleetError, FleetResult, Operator};
use crate::changes::Topic;
use crate::fleet::rules::{self, Ledger};
use crate::store::Tx;
use crate::store::intake::TargetRow;

/// What a stop does to one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// It had not started and never will.
    NeverStarts,
    /// It runs, or is about to, and is told to end.
    ToKill,
    /// The PC has it and is told not to start it; it says whether it was in time.
    ToldNot,
    /// It runs, and may end by itself.
    RunsOn,
    /// It had ended.
    Ended,
}

impl Fleet {
    /// Withdraws or kills an exec; one that was withdrawn can be killed.
    ///
    /// # Errors
    /// [`FleetError::UnknownExec`] when there is none.
    pub async fn exec_stop(
        &self,
        exec_id: ExecId,
        request: &StopRequest,
        by: &Operator,
    ) -> FleetResult<StopView> {
        execs::reason(request.reason.as_deref())?;
        let mut tx = self.store.begin().await?;
        let action = request.action.max(stopped(&mut tx, exec_id).await?);
        tx.exec_stop(exec_id, action).await?;
        let before = tx.targets_current(exec_id).await?;
        let online = tx.agents_online().await?;
        let (after, met) = stop_all(&before, action, &online, by, tx.now());
        write(&mut tx, exec_id, &before, &after).await?;
        let count = |what: Met| met.iter().filter(|(_, met)| *met == what).count() as u64;
        let told = met
            .iter()
            .filter(|(_, met)| matches!(met, Met::NeverStarts | Met::ToldNot | Met::ToKill));
        let offline = told.filter(|(pc_id, _)| !online.contains(pc_id)).count() as u64;
        let detail = json!({
            "action": request.action,
            "never_start": count(Met::NeverStarts) + count(Met::ToldNot),
            "to_kill": count(Met::ToKill),
            "already_ended": count(Met::Ended),
            "reason": request.reason,
        });
        tx.audit_insert(&by.account_id, "exec.stop", &exec_id.to_string(), &detail)
            .await?;
        let change = tx.next_change();
        tx.commit().await?;
        self.publisher.nudge();
        let exec = self
            .tell_targets(change, exec_id, &changed(&before, &after))
            .await?;
        Ok(StopView {
            exec,
            never_start: count(Met::NeverStarts) + count(Met::ToldNot),
            to_kill: count(Met::ToKill),
            already_ended: count(Met::Ended),
            offline,
        })
    }

    /// Tries an exec again on the PCs that ended with one of the outcomes asked for, once for each
    /// key.
    ///
    /// # Errors
    /// [`FleetError`] when there is no such exec, nothing to try again, its script is gone, or the
    /// key is another request's.
    pub async fn exec_retry(
        &self,
        exec_id: ExecId,
        request: &RetryRequest,
        idempotency_key: Option<&str>,
        by: &Operator,
    ) -> FleetResult<ExecView> {
        execs::reason(request.reason.as_deref())?;
        let key = idempotency_key.map(|key| scoped_key(key, by)).transpose()?;
        let hash = retry_hash(exec_id, request)?;
        let mut tx = self.store.begin().await?;
        if let Some(known) = known(&mut tx, key.as_deref(), &hash).await? {
            drop(tx);
            return self.exec_fetch(known).await;
        }
        self.room.admit()?;
        stopped(&mut tx, exec_id).await?;
        let before = tx.targets_current(exec_id).await?;
        let again: Vec<&TargetRow> = before
            .iter()
            .filter(|target| target.newest && wanted(target, request))
            .collect();
        if again.is_empty() {
            let outcomes: Vec<&str> = request.outcomes.iter().map(|one| one.as_str()).collect();
            let with = if outcomes.is_empty() {
                String::new()
            } else {
                format!(" that ended with {}", outcomes.join(", "))
            };
            return Err(FleetError::NothingToRetry { exec_id, with });
        }
        let pcs: Vec<PcId> = again.iter().map(|target| target.pc_id.clone()).collect();
        let attempt = Attempt(tx.attempt_draw().await?);
        let bytes = command_again(&mut tx, exec_id, attempt, request, &pcs).await?;
        self.room.reserve(bytes)?;
        let old: Vec<TargetRow> = again.into_iter().cloned().collect();
        let new = attempt_targets(&mut tx, exec_id, attempt, &old, &pcs).await?;
        let detail = json!({
            "attempt": attempt,
            "outcomes": request.outcomes,
            "count": pcs.len(),
            "reason": request.reason,
        });
        tx.audit_insert(&by.account_id, "exec.retry", &exec_id.to_string(), &detail)
            .await?;
        if let Some(key) = &key {
            tx.idempotency_insert(key, &hash, exec_id).await?;
        }
        let change = tx.next_change();
        tx.commit().await?;
        self.publisher.nudge();
        self.tell_targets(change, exec_id, &new).await
    }

    /// Tells listeners how an exec and these of its targets are now.
    async fn tell_targets(
        &self,
        change: u64,
        exec_id: ExecId,
        targets: &[RequestId],
    ) -> FleetResult<ExecView> {
        let exec = self.exec_fetch(exec_id).await?;
        if self.changes.wants(&Topic::Exec(exec_id)) {
            let views = self.targets_views(targets).await?;
            let event = |(exec_id, target)| {
                let target = Box::new(target);
                (Topic::Exec(exec_id), LiveEvent::Target { exec_id, target })
            };
            self.changes
                .publish(change, views.into_iter().map(event).collect());
        }
        self.tell_exec(change, &exec);
        Ok(exec)
    }
}

/// The stop that an exec has already; a withdrawal is the least there is.
async fn stopped(tx: &mut Tx, exec_id: ExecId) -> FleetResult<StopAction> {
    match tx.exec_find(exec_id).await? {
        Some(exec) => Ok(exec.stop.unwrap_or(StopAction::Withdraw)),
        None => Err(FleetError::UnknownExec {
            exec: exec_id.to_string(),
        }),
    }
}

/// Every target as the stop leaves it, and what it met on each PC.
fn stop_all(
    targets: &[TargetRow],
    action: StopAction,
    online: &HashSet<PcId>,
    by: &Operator,
    now: chrono::DateTime<chrono::Utc>,
) -> (Vec<TargetRow>, Vec<(PcId, Met)>) {
    let text = format!("stopped by {} before it started", by.account_id);
    let reason = Reason::new("exec.stopped", text);
    let mut met = Vec::new();
    let after = targets.iter().map(|before| {
        let mut target = before.clone();
        let meets = meet(&target, action, online.contains(&target.pc_id));
        match meets {
            Met::NeverStarts => {
                rules::give_up(&mut target, Outcome::Withdrawn, reason.clone(), now);
            }
            Met::ToKill | Met::ToldNot => target.stopping = true,
            Met::RunsOn | Met::Ended => {}
        }
        if target.newest {
            met.push((target.pc_id.clone(), meets));
        }
        target
    });
    let after = after.collect();
    (after, met)
}

fn meet(target: &TargetRow, action: StopAction, online: bool) -> Met {
    // A PC that is online may have the command, though its word is still on the way.
    let state = if online && target.state == TargetState::Pending {
        TargetState::Admitted
    } else {
        target.state
    };
    match (state, action) {
        (TargetState::Pending, _) => Met::NeverStarts,
        (TargetState::Admitted, StopAction::Withdraw) => Met::ToldNot,
        (TargetState::Admitted | TargetState::Running, StopAction::Kill) => Met::ToKill,
        (TargetState::Running, StopAction::Withdraw) => Met::RunsOn,
        // Said again, a stop counts what it had met the first time.
        (TargetState::Ended, _) if target.outcome == Some(Outcome::Withdrawn) => Met::NeverStarts,
        (TargetState::Ended, _) => Met::Ended,
    }
}

/// Writes targets that changed, and the counters and the end of their exec.
async fn write(
    tx: &mut Tx,
    exec_id: ExecId,
    before: &[TargetRow],
    after: &[TargetRow],
) -> FleetResult<()> {
    let mut ledger = Ledger::new(tx.execs_by_id(&[exec_id]).await?);
    ledger.touch(exec_id);
    let mut moved = Vec::new();
    for (before, after) in before
        .iter()
        .zip(after)
        .filter(|(before, after)| before != after)
    {
        ledger.moved(Some(before), after);
        moved.push(after.clone());
    }
    tx.targets_update(&moved).await?;
    tx.execs_update(&ledger.settle(tx.now())).await?;
    Ok(())
}

fn changed(before: &[TargetRow], after: &[TargetRow]) -> Vec<RequestId> {
    let pairs = before
        .iter()
        .zip(after)
        .filter(|(before, after)| before != after);
    pairs
        .filter(|(_, after)| after.newest)
        .map(|(_, after)| after.request_id)
        .collect()
}

fn wanted(target: &TargetRow, request: &RetryRequest) -> bool {
    let Some(outcome) = target
        .outcome
        .filter(|_| target.state == TargetState::Ended)
    else {
        return false;
    };
    if request.outcomes.is_empty() {
        outcome.retriable()
    } else {
        request.outcomes.contains(&outcome)
    }
}

/// Stores the command of a new attempt: what the exec runs, for these PCs.
async fn command_again(
    tx: &mut Tx,
    exec_id: ExecId,
    attempt: Attempt,
    request: &RetryRequest,
    pcs: &[PcId],
) -> FleetResult<u64> {
    let deadline = execs::deadline(request.deadline_s, tx.now())?;
    let (run, newest) = tx.exec_run(exec_id).await?;
    let (Some(run), Some(newest)) = (run, newest) else {
        return Err(FleetError::ScriptGone { exec_id });
    };
    if let ScriptSource::Body(body) | ScriptSource::Https(body) = &run.script {
        let longest = i64::try_from(run.longest_s()).unwrap_or(i64::MAX / 2000);
        let until = deadline + chrono::Duration::seconds(longest.saturating_add(3600));
        if !tx.body_keep(&body.sha256, until).await? {
            return Err(FleetError::ScriptGone { exec_id });
        }
    }
    let seconds = (deadline - tx.now()).num_seconds();
    let fits = i64::from(newest.jitter_s) < seconds;
    let draft = Draft {
        exec_id,
        attempt,
        job_id: newest.job_id,
        job_version: newest.job_version,
        reach: Reach::Fixed,
        deadline,
        jitter_s: if fits { newest.jitter_s } else { 0 },
        supersede: newest.supersede,
        staleness: newest.staleness,
        run: &run,
        wide: false,
        pcs,
    };
    let bytes = execs::command(tx, draft).await?;
    tx.exec_again(exec_id, deadline).await?;
    Ok(bytes)
}

/// Puts waiting targets of a new attempt in the place of those that ended.
async fn attempt_targets(
    tx: &mut Tx,
    exec_id: ExecId,
    attempt: Attempt,
    old: &[TargetRow],
    pcs: &[PcId],
) -> FleetResult<Vec<RequestId>> {
    let mut ledger = Ledger::new(tx.execs_by_id(&[exec_id]).await?);
    for before in old {
        // The PC is counted once: its newest attempt in place of the one before.
        let after = TargetRow::pending(exec_id, before.pc_id.clone(), attempt, false);
        ledger.moved(Some(before), &after);
    }
    tx.targets_outdate(exec_id, pcs).await?;
    tx.targets_issue(exec_id, attempt, false, pcs).await?;
    tx.execs_update(&ledger.settle(tx.now())).await?;
    Ok(pcs
        .iter()
        .map(|pc_id| RequestId::derive(exec_id, pc_id, attempt))
        .collect())
}

//! What time alone changes: targets that nobody will answer for, results to ask for again, and
//! rows that nobody needs any more.
//!
//! A target without an answer gets the backend's provisional word, with a sentence that says why;
//! the agent's own result replaces it whenever it comes. PCs that are online are asked for the
//! results that should be here.
//!
//! **Invariant:** an exec whose deadline has passed comes to an end, whatever its PCs do.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures::StreamExt;
use kanade_shared::api::execs::TargetState;
use kanade_shared::id::PcId;
use kanade_shared::subject;
use kanade_shared::wire::agent::{ResultsRequest, RunKey};
use kanade_shared::wire::result::{Outcome, Reason};
use tokio::time::Instant;

use crate::flow::{Flow, Live};
use crate::joins;
use crate::projector::rules::{self, Ledger};
use crate::store::StoreError;
use crate::store::intake::TargetRow;
use crate::store::sweep::Overdue;
use crate::tasks::Stop;

/// How often targets are looked at.
const PERIOD: Duration = Duration::from_secs(2);
/// How often results are asked for, and old rows deleted.
const SLOW_PERIOD: Duration = Duration::from_secs(30);
/// How long the answer of a PC that is online may be under way.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(15);
/// How long after the last moment of a run its result may come.
const RESULT_ON_ITS_WAY: TimeDelta = TimeDelta::seconds(60);
/// Targets that one transaction changes at most.
const TARGETS_AT_ONCE: u32 = 5_000;
/// Days that results are kept.
const RESULT_DAYS: i64 = 30;
/// Dead letters that are kept.
const DEAD_LETTERS: u32 = 10_000;
/// Runs that one PC is asked for at a time.
const RUNS_PER_PC: usize = 100;
/// PCs that are asked at a time.
const PCS_AT_ONCE: usize = 32;
/// First wait before a PC is asked again; doubles up to [`LONGEST_ASK`].
const FIRST_ASK: Duration = Duration::from_secs(60);
/// Longest wait before a PC is asked again.
const LONGEST_ASK: Duration = Duration::from_secs(6 * 3600);

/// Decides about a target of an attempt whose deadline has passed; `None`: it may still answer.
#[must_use]
pub fn verdict(
    target: &TargetRow,
    overdue: &Overdue,
    presence: Option<(bool, DateTime<Utc>)>,
    now: DateTime<Utc>,
) -> Option<(Outcome, Reason)> {
    let online = presence.is_some_and(|(online, _)| online);
    let whereabouts = match presence {
        Some((true, _)) => "the PC is online".to_owned(),
        Some((false, since)) => format!("the PC is offline since {}", shown(since)),
        None => "the PC is not known any more".to_owned(),
    };
    if target.state == TargetState::Pending {
        let wait = if online {
            ON_ITS_WAY
        } else {
            TimeDelta::zero()
        };
        let text = format!(
            "its deadline passed at {} and the PC had not taken it; {whereabouts}",
            shown(overdue.deadline)
        );
        let reason = Reason::new("deadline.passed", text);
        return (overdue.deadline + wait <= now).then_some((Outcome::Expired, reason));
    }
    let text = match (target.started_at, target.admitted_at) {
        (Some(at), _) => format!(
            "it runs since {} and gave no result; {whereabouts}",
            shown(at)
        ),
        (None, Some(at)) => format!(
            "the PC has it since {} and gave no result; {whereabouts}",
            shown(at)
        ),
        (None, None) => format!("the PC gave no result; {whereabouts}"),
    };
    let reason = Reason::new("result.missing", text);
    (overdue.over_at + RESULT_ON_ITS_WAY <= now).then_some((Outcome::Lost, reason))
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Sweeps until `stop`.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn run(flow: Flow, stop: Stop) -> Result<(), StoreError> {
    let mut asked = Asked::default();
    let mut slow_at: Option<Instant> = None;
    loop {
        let swept = async {
            overdue(&flow, Utc::now()).await?;
            close(&flow).await?;
            joins::reconcile(&flow).await?;
            if slow_at.is_none_or(|at| at.elapsed() >= SLOW_PERIOD) {
                ask(&flow, &mut asked, Utc::now()).await?;
                tidy(&flow, Utc::now()).await?;
                slow_at = Some(Instant::now());
            }
            Ok(())
        };
        tokio::select! {
            swept = swept => swept?,
            () = stop.cancelled() => return Ok(()),
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Gives targets that nobody will answer for their outcome.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn overdue(flow: &Flow, now: DateTime<Utc>) -> Result<(), StoreError> {
    for overdue in flow.store.commands_overdue(now).await? {
        give_up(flow, &overdue, now).await?;
    }
    Ok(())
}

async fn give_up(flow: &Flow, overdue: &Overdue, now: DateTime<Utc>) -> Result<(), StoreError> {
    let (exec_id, attempt) = (overdue.exec_id, overdue.attempt);
    let mut tx = flow.store.begin().await?;
    let waiting = tx
        .targets_waiting(exec_id, attempt, TARGETS_AT_ONCE)
        .await?;
    let pcs: Vec<PcId> = waiting.iter().map(|target| target.pc_id.clone()).collect();
    let presence = tx.pcs_presence_of(&pcs).await?;
    let mut ledger = Ledger::new(tx.execs_by_id(&[exec_id]).await?);
    let mut changed = Vec::new();
    for mut target in waiting {
        let there = presence.get(&target.pc_id).copied();
        let Some((outcome, reason)) = verdict(&target, overdue, there, now) else {
            continue;
        };
        let before = target.clone();
        if rules::give_up(&mut target, outcome, reason, tx.now()) {
            ledger.moved(Some(&before), &target);
            changed.push(target);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    tx.targets_update(&changed).await?;
    let execs = ledger.settle(tx.now());
    tx.execs_update(&execs).await?;
    let change = tx.next_change();
    tx.commit().await?;
    let live = Live {
        execs: vec![exec_id],
        targets: changed,
        ..Live::default()
    };
    flow.tell(change, live).await;
    Ok(())
}

/// Ends open execs that nobody may join any more.
async fn close(flow: &Flow) -> Result<(), StoreError> {
    let mut tx = flow.store.begin().await?;
    let closed = tx.execs_closed().await?;
    if closed.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = closed.iter().map(|exec| exec.exec_id).collect();
    let mut ledger = Ledger::new(closed);
    for id in &ids {
        ledger.touch(*id);
    }
    let execs = ledger.settle(tx.now());
    tx.execs_update(&execs).await?;
    let change = tx.next_change();
    tx.commit().await?;
    let live = Live {
        execs: ids,
        ..Live::default()
    };
    flow.tell(change, live).await;
    Ok(())
}

/// When each PC may be asked again.
#[derive(Debug, Default)]
pub struct Asked(HashMap<PcId, (Instant, Duration)>);

impl Asked {
    /// Whether this PC may be asked now; then not again for a while.
    fn may_ask(&mut self, pc_id: &PcId) -> bool {
        let now = Instant::now();
        let entry = self.0.entry(pc_id.clone());
        let (at, wait) = entry.or_insert((now, FIRST_ASK));
        if *at > now {
            return false;
        }
        *at = now + *wait;
        *wait = (*wait * 2).min(LONGEST_ASK);
        true
    }
}

/// Asks PCs that are online for the results that should be here.
///
/// # Errors
/// [`StoreError`] when the database does not answer.
pub async fn ask(flow: &Flow, asked: &mut Asked, now: DateTime<Utc>) -> Result<(), StoreError> {
    let lacking = flow.store.runs_lacking(now, TARGETS_AT_ONCE).await?;
    let mut by_pc: BTreeMap<PcId, Vec<RunKey>> = BTreeMap::new();
    for run in lacking {
        let (exec_id, attempt) = (run.exec_id, run.attempt);
        let runs = by_pc.entry(run.pc_id).or_default();
        runs.push(RunKey { exec_id, attempt });
    }
    // One that lacks nothing any more begins anew when it does.
    asked.0.retain(|pc_id, _| by_pc.contains_key(pc_id));
    by_pc.retain(|pc_id, _| asked.may_ask(pc_id));
    futures::stream::iter(by_pc)
        .for_each_concurrent(PCS_AT_ONCE, |(pc_id, mut runs)| async move {
            runs.truncate(RUNS_PER_PC);
            let Ok(request) = serde_json::to_vec(&ResultsRequest { runs }) else {
                return;
            };
            let subject = subject::agent_request(&pc_id, "results");
            if let Err(error) = flow.client.request(subject, request.into()).await {
                tracing::debug!(%pc_id, %error, "could not ask for results");
            }
        })
        .await;
    Ok(())
}

/// Deletes what nobody needs any more, a slice at a time.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn tidy(flow: &Flow, now: DateTime<Utc>) -> Result<(), StoreError> {
    let mut tx = flow.store.begin().await?;
    tx.commands_retire(now - RESULT_ON_ITS_WAY).await?;
    tx.expired_delete().await?;
    tx.behind_end().await?;
    let before = now - TimeDelta::days(RESULT_DAYS);
    tx.dead_letters_prune(before, DEAD_LETTERS).await?;
    tx.commit().await?;
    loop {
        let mut tx = flow.store.begin().await?;
        let more = tx.execs_prune(before).await?;
        tx.commit().await?;
        if !more {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::rules::tests::{at, exec_id, pc};
    use kanade_shared::id::Attempt;

    fn overdue() -> Overdue {
        Overdue {
            exec_id: exec_id(1),
            attempt: Attempt::FIRST,
            deadline: at(100),
            over_at: at(160),
        }
    }

    fn target() -> TargetRow {
        TargetRow::pending(exec_id(1), pc(1), Attempt::FIRST, true)
    }

    #[test]
    fn a_pc_that_is_off_expires_at_the_deadline_and_one_that_is_on_gets_a_moment() {
        let (off, on) = (Some((false, at(5))), Some((true, at(5))));
        let outcome = |presence, now| {
            verdict(&target(), &overdue(), presence, at(now)).map(|(outcome, _)| outcome)
        };
        assert_eq!(outcome(off, 100), Some(Outcome::Expired));
        assert_eq!(outcome(on, 114), None);
        assert_eq!(outcome(on, 115), Some(Outcome::Expired));
        let (_, reason) = verdict(&target(), &overdue(), off, at(100)).unwrap();
        assert!(
            reason.text.contains("offline since 2027-01-15T08:00:05Z"),
            "{}",
            reason.text
        );
    }

    #[test]
    fn what_a_pc_has_taken_is_lost_only_when_nothing_of_it_can_run() {
        let mut taken = target();
        rules::admit(&mut taken, at(1));
        let outcome = |target: &TargetRow, now| {
            verdict(target, &overdue(), None, at(now)).map(|(outcome, _)| outcome)
        };
        assert_eq!(outcome(&taken, 219), None);
        assert_eq!(outcome(&taken, 220), Some(Outcome::Lost));
        rules::start(&mut taken, at(2));
        assert_eq!(outcome(&taken, 220), Some(Outcome::Lost));
    }
}

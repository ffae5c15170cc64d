//! Takes over from the broker what an older or empty database lacks.
//!
//! Before anything is published: PCs with their enrolment and groups from the desired documents,
//! jobs from their YAML, and, scope by scope, commands and stops of command documents whose rev
//! the database did not reserve. Each of these says that the database is older than the broker,
//! which is noted: [`crate::store::recovery::Behind`].
//!
//! **Invariant:** only a stop withdraws: what a document does not list is not touched.
//! **Invariant:** an enrolment is never replaced by a newer one.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use kanade_shared::api::execs::TargetState;
use kanade_shared::document::Foreign;
use kanade_shared::id::{Attempt, ExecId, PcId};
use kanade_shared::subject::{DESIRED_STREAM, Scope};
use kanade_shared::wire::command::{Command, Reach, Stop, StopAction};
use kanade_shared::wire::desired::AgentDesired;
use kanade_shared::wire::result::{Outcome, Reason};

use super::PublishError;
use super::kept;
use crate::flow::{Flow, Live};
use crate::projector::rules::{self, Ledger};
use crate::store::intake::{ExecRow, Tally, TargetRow};
use crate::store::{StoreError, Tx};

/// Adds what one take-over made different to what others did.
pub fn merge(into: &mut Live, from: Live) {
    into.agents.extend(from.agents);
    into.execs.extend(from.execs);
    into.targets.extend(from.targets);
}

/// Takes over what a foreign document of `scope` lists.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn adopt(
    tx: &mut Tx,
    flow: &Flow,
    scope: &Scope,
    foreign: &Foreign,
) -> Result<Live, StoreError> {
    tracing::warn!(
        %scope,
        rev = foreign.rev.0,
        commands = foreign.commands.len(),
        stops = foreign.stops.len(),
        "the broker's document is newer than the database; it is taken over"
    );
    tx.behind_mark(flow.agreed_until()).await?;
    let mut adoption = Adoption::begin(tx, foreign).await?;
    for command in &foreign.commands {
        adoption.command(tx, scope, command, foreign.rev.0).await?;
    }
    for stop in &foreign.stops {
        adoption.stop(tx, scope, stop, foreign.rev.0).await?;
    }
    let taken = adoption.taken;
    flow.counters.recovered.add(taken);
    adoption.finish(tx).await
}

/// One document's take-over.
struct Adoption {
    ledger: Ledger,
    /// Every PC with its enrolment.
    pcs: Vec<(PcId, DateTime<Utc>)>,
    update: Vec<TargetRow>,
    taken: u64,
}

impl Adoption {
    async fn begin(tx: &mut Tx, foreign: &Foreign) -> Result<Self, StoreError> {
        let commands = foreign.commands.iter().map(|command| command.exec_id);
        let execs: BTreeSet<ExecId> = commands
            .chain(foreign.stops.iter().map(|stop| stop.exec_id))
            .collect();
        let execs: Vec<ExecId> = execs.into_iter().collect();
        let pcs = tx.pcs_enrolled().await?;
        Ok(Self {
            ledger: Ledger::new(tx.execs_by_id(&execs).await?),
            pcs: pcs.into_iter().map(|(pc_id, at, _)| (pc_id, at)).collect(),
            update: Vec::new(),
            taken: 0,
        })
    }

    async fn command(
        &mut self,
        tx: &mut Tx,
        scope: &Scope,
        command: &Command,
        rev: u64,
    ) -> Result<(), StoreError> {
        if self.ledger.get(command.exec_id).is_none() {
            let exec = adopted_exec(scope, command);
            let version = command.job_version.as_deref();
            tx.exec_adopt(&exec, version, Some(&command.run)).await?;
            self.ledger.add(exec);
            self.taken += 1;
        }
        let wide = *scope == Scope::All;
        let listed = if wide { rev } else { 0 };
        let new = tx.command_adopt(command, wide, listed).await?;
        self.taken += u64::from(new);
        let key = (command.exec_id, command.attempt);
        self.join(tx, scope, key, command.reach, command.issued_at, rev, new)
            .await
    }

    async fn stop(
        &mut self,
        tx: &mut Tx,
        scope: &Scope,
        stop: &Stop,
        rev: u64,
    ) -> Result<(), StoreError> {
        if self.ledger.get(stop.exec_id).is_none() {
            let exec = ExecRow {
                exec_id: stop.exec_id,
                job_id: None,
                reach: stop.reach,
                issued_at: stop.issued_at,
                deadline: stop.deadline,
                stop: Some(stop.action),
                joins_until: None,
                ended_at: None,
                adopted: true,
                tally: Tally::default(),
            };
            tx.exec_adopt(&exec, None, None).await?;
            self.ledger.add(exec);
            self.taken += 1;
        }
        let wide = *scope == Scope::All;
        let new = tx.command_of_stop(stop, wide).await?;
        let key = (stop.exec_id, stop.attempt);
        self.join(tx, scope, key, stop.reach, stop.issued_at, rev, new)
            .await?;
        if tx.stop_adopt(stop).await? {
            self.taken += 1;
        }
        let pc_id = match scope {
            Scope::All => None,
            Scope::Pc(pc_id) => Some(pc_id),
        };
        let targets = tx
            .targets_of_exec(stop.exec_id, Some(stop.attempt), pc_id)
            .await?;
        for mut target in targets {
            let before = target.clone();
            if stop_target(&mut target, stop.action, tx.now()) {
                self.ledger.moved(Some(&before), &target);
                self.update.push(target);
            }
        }
        self.ledger.touch(stop.exec_id);
        Ok(())
    }

    /// Makes the targets that a command has in this scope.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parts that a command and a stop have in common"
    )]
    async fn join(
        &mut self,
        tx: &mut Tx,
        scope: &Scope,
        (exec_id, attempt): (ExecId, Attempt),
        reach: Reach,
        issued_at: DateTime<Utc>,
        rev: u64,
        new: bool,
    ) -> Result<(), StoreError> {
        let pcs: Vec<PcId> = match scope {
            Scope::Pc(pc_id) => vec![pc_id.clone()],
            Scope::All if !new => return Ok(()),
            Scope::All => self
                .pcs
                .iter()
                .filter(|(_, enrolled_at)| reach == Reach::Open || *enrolled_at < issued_at)
                .map(|(pc_id, _)| pc_id.clone())
                .collect(),
        };
        let listed = if *scope == Scope::All { 0 } else { rev };
        self.taken += join(tx, &mut self.ledger, exec_id, attempt, &pcs, listed).await?;
        Ok(())
    }

    async fn finish(self, tx: &mut Tx) -> Result<Live, StoreError> {
        tx.targets_update(&self.update).await?;
        let execs = self.ledger.settle(tx.now());
        tx.execs_update(&execs).await?;
        Ok(Live {
            execs: execs.iter().map(|exec| exec.exec_id).collect(),
            targets: self.update,
            ..Live::default()
        })
    }
}

/// Makes targets of one command on PCs that have none of it; says how many.
///
/// # Errors
/// [`StoreError`] when the database does not take them.
pub async fn join(
    tx: &mut Tx,
    ledger: &mut Ledger,
    exec_id: ExecId,
    attempt: Attempt,
    pcs: &[PcId],
    listed_rev: u64,
) -> Result<u64, StoreError> {
    let one = if pcs.len() == 1 { pcs.first() } else { None };
    let mut there: HashMap<PcId, Vec<TargetRow>> = HashMap::new();
    for target in tx.targets_of_exec(exec_id, None, one).await? {
        there.entry(target.pc_id.clone()).or_default().push(target);
    }
    let (mut insert, mut older) = (Vec::new(), Vec::new());
    for pc_id in pcs {
        let others = there.remove(pc_id).unwrap_or_default();
        if others.iter().any(|target| target.attempt == attempt) {
            continue;
        }
        let wide = listed_rev == 0;
        let mut target = TargetRow::pending(exec_id, pc_id.clone(), attempt, wide);
        target.listed_rev = listed_rev;
        target.newest = others.iter().all(|other| other.attempt < attempt);
        let replaced = others
            .into_iter()
            .find(|other| other.newest && target.newest);
        if let Some(mut replaced) = replaced {
            let before = replaced.clone();
            replaced.newest = false;
            ledger.moved(Some(&before), &replaced);
            // One PC stays one target, whatever its attempts.
            ledger.moved(Some(&uncounted(&target)), &target);
            older.push(replaced);
        } else {
            ledger.moved(None, &target);
        }
        insert.push(target);
    }
    tx.targets_update(&older).await?;
    tx.targets_insert(&insert).await?;
    Ok(insert.len() as u64)
}

/// Stands for the row before, where the PC was counted already.
fn uncounted(target: &TargetRow) -> TargetRow {
    TargetRow {
        newest: false,
        ..target.clone()
    }
}

fn adopted_exec(scope: &Scope, command: &Command) -> ExecRow {
    let joins = *scope == Scope::All && command.reach == Reach::Open;
    ExecRow {
        exec_id: command.exec_id,
        job_id: command.job_id.clone(),
        reach: command.reach,
        issued_at: command.issued_at,
        deadline: command.deadline,
        stop: None,
        joins_until: joins.then_some(command.deadline),
        ended_at: None,
        adopted: true,
        tally: Tally::default(),
    }
}

/// What a stop does to a target that has not ended; `false`: nothing.
pub fn stop_target(target: &mut TargetRow, action: StopAction, now: DateTime<Utc>) -> bool {
    match target.state {
        TargetState::Pending => {
            let reason = Reason::new("stopped", "an operator stopped it before it started");
            target.stopping = true;
            rules::give_up(target, Outcome::Withdrawn, reason, now)
        }
        TargetState::Admitted if !target.stopping => {
            target.stopping = true;
            true
        }
        TargetState::Running if action == StopAction::Kill && !target.stopping => {
            target.stopping = true;
            true
        }
        TargetState::Admitted | TargetState::Running | TargetState::Ended => false,
    }
}

/// Lets PCs that enrolled at this time join the commands of `commands.all` that they take although
/// these were issued before the database knew them.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn pcs_join(
    tx: &mut Tx,
    pcs: &[PcId],
    enrolled_at: DateTime<Utc>,
) -> Result<Live, StoreError> {
    let mut live = Live::default();
    live.agents.extend(pcs.iter().cloned());
    let commands = tx.commands_to_join(enrolled_at).await?;
    if commands.is_empty() || pcs.is_empty() {
        return Ok(live);
    }
    let execs: BTreeSet<ExecId> = commands.iter().map(|command| command.exec_id).collect();
    let execs: Vec<ExecId> = execs.into_iter().collect();
    let mut ledger = Ledger::new(tx.execs_by_id(&execs).await?);
    for command in commands {
        let (exec_id, attempt) = (command.exec_id, command.attempt);
        let joined = join(tx, &mut ledger, exec_id, attempt, pcs, 0).await?;
        if joined == 0 || !command.stopped {
            continue;
        }
        let one = if pcs.len() == 1 { pcs.first() } else { None };
        for mut target in tx.targets_of_exec(exec_id, Some(attempt), one).await? {
            let before = target.clone();
            let new = live.agents.contains(&target.pc_id);
            if new && stop_target(&mut target, StopAction::Withdraw, tx.now()) {
                ledger.moved(Some(&before), &target);
                live.targets.push(target);
            }
        }
    }
    tx.targets_update(&live.targets).await?;
    let execs = ledger.settle(tx.now());
    tx.execs_update(&execs).await?;
    live.execs = execs.iter().map(|exec| exec.exec_id).collect();
    Ok(live)
}

/// Takes PCs back from their desired documents.
///
/// # Errors
/// [`PublishError`] when broker or database do not answer.
pub async fn pcs(flow: &Flow) -> Result<(), PublishError> {
    let kept = kept::all(&flow.js, DESIRED_STREAM, "$KV.agent_desired.>").await;
    let kept = kept.map_err(|source| PublishError::Read { source })?;
    let documents = kept.iter().filter(|kept| !kept.deleted).filter_map(|kept| {
        let desired: AgentDesired = serde_json::from_slice(&kept.payload).ok()?;
        let named = kanade_shared::subject::desired(&desired.pc_id) == kept.subject;
        named.then_some(desired)
    });
    let mut tx = flow.store.begin().await?;
    let known: HashMap<PcId, (DateTime<Utc>, u64)> = tx
        .pcs_enrolled()
        .await?
        .into_iter()
        .map(|(pc_id, at, rev)| (pc_id, (at, rev)))
        .collect();
    let foreign: Vec<AgentDesired> = documents
        .filter(|desired| {
            known
                .get(&desired.pc_id)
                .is_none_or(|(_, rev)| desired.rev.0 > *rev)
        })
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    tracing::warn!(pcs = foreign.len(), "PCs are taken back from the broker");
    tx.behind_mark(flow.agreed_until()).await?;
    let mut live = Live::default();
    for desired in &foreign {
        tx.pc_adopt(desired).await?;
        if !known.contains_key(&desired.pc_id) {
            let pcs = std::slice::from_ref(&desired.pc_id);
            let joined = pcs_join(&mut tx, pcs, desired.enrolled_at).await?;
            merge(&mut live, joined);
        }
    }
    let change = tx.next_change();
    tx.commit().await?;
    flow.counters.recovered.add(foreign.len() as u64);
    flow.tell(change, live).await;
    Ok(())
}

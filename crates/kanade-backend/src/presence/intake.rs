//! Heartbeats into the database, a batch per transaction.
//!
//! The first heartbeat of an unknown PC makes it part of the fleet: it gets its enrolment by the
//! database's clock, an audit row, and the open commands that it may join. A rev that it holds
//! raises the floor of that scope; targets whose document it holds are admitted.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use kanade_shared::id::{ExecId, PcId};
use kanade_shared::subject::{self, Scope};
use kanade_shared::wire::command::Rev;
use kanade_shared::wire::heartbeat::Heartbeat;
use kanade_shared::wire::inventory::Hardware;

use super::roster::Roster;
use crate::flow::{Flow, Live};
use crate::projector::inventory;
use crate::projector::rules::{self, Ledger};
use crate::publisher::{kept, recovery};
use crate::store::positions::DeadLetter;
use crate::store::presence::{KnownPc, Said};
use crate::store::{StoreError, Tx};

/// A rev is near the unix time in milliseconds; one from beyond the year 4000 is garbage, and
/// would leave no room above it.
const HIGHEST_REV: u64 = 1 << 46;

/// Checks one heartbeat.
///
/// # Errors
/// A sentence that says why it cannot be taken.
pub fn read(subject: &str, payload: &[u8]) -> Result<Heartbeat, String> {
    let heartbeat: Heartbeat = serde_json::from_slice(payload)
        .map_err(|error| format!("it is not a heartbeat: {error}"))?;
    if subject::heartbeat(&heartbeat.pc_id) != subject {
        return Err(format!(
            "it says that it is of `{}`, which is not what its subject says",
            heartbeat.pc_id
        ));
    }
    if heartbeat.held.iter().any(|held| held.rev.0 > HIGHEST_REV) {
        return Err("it holds a rev that no backend can have given".into());
    }
    Ok(heartbeat)
}

/// What a batch says.
#[derive(Debug, Default)]
pub struct Batch {
    /// Of each PC the newest heartbeat.
    pub heartbeats: HashMap<PcId, Heartbeat>,
    /// PCs of which a connection began.
    pub came: BTreeSet<PcId>,
    /// PCs whose last connection ended.
    pub left: BTreeSet<PcId>,
    /// Messages that cannot be taken.
    pub dead_letters: Vec<DeadLetter>,
}

impl Batch {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heartbeats.is_empty()
            && self.came.is_empty()
            && self.left.is_empty()
            && self.dead_letters.is_empty()
    }
}

/// Writes a batch in one transaction, and tells publisher and listeners.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn write(flow: &Flow, roster: &Roster, batch: Batch) -> Result<(), StoreError> {
    let count = batch.heartbeats.len() as u64;
    let heartbeats: Vec<Heartbeat> = batch.heartbeats.into_values().collect();
    let pcs: Vec<PcId> = heartbeats.iter().map(|one| one.pc_id.clone()).collect();
    let mut tx = flow.store.begin().await?;
    let known = tx.pcs_known(&pcs).await?;
    let mut live = Live::default();
    let new: Vec<PcId> = pcs
        .iter()
        .filter(|pc_id| !known.contains_key(*pc_id))
        .cloned()
        .collect();
    enrol(&mut tx, &new, &mut live).await?;
    tx.pcs_heard(&heartbeats).await?;
    note_changes(&heartbeats, &known, &mut live);
    let now = tx.now();
    let vouched = pcs.iter().filter(|pc_id| roster.vouches(pc_id, now));
    let online: Vec<PcId> = vouched.chain(&batch.came).cloned().collect();
    live.agents.extend(tx.pcs_presence(&online, true).await?);
    let offline: Vec<PcId> = batch.left.into_iter().collect();
    live.agents.extend(tx.pcs_presence(&offline, false).await?);
    let overtaken = raise_floors(&mut tx, flow, &heartbeats).await?;
    admit(&mut tx, &heartbeats, &mut live).await?;
    tx.dead_letters_insert(&batch.dead_letters).await?;
    let change = tx.next_change();
    tx.commit().await?;
    flow.counters.heartbeats.add(count);
    flow.counters.enrolled.add(new.len() as u64);
    flow.counters
        .core_dead_letters
        .add(batch.dead_letters.len() as u64);
    if !new.is_empty() || !overtaken.is_empty() {
        flow.dirty.pcs(new.iter().cloned());
        flow.dirty.scopes(overtaken);
        flow.publisher.nudge();
    }
    flow.tell(change, live).await;
    if !new.is_empty() {
        tracing::info!(pcs = new.len(), "PCs became part of the fleet");
        tokio::spawn(take_hardware(flow.clone(), new));
    }
    Ok(())
}

async fn enrol(tx: &mut Tx, new: &[PcId], live: &mut Live) -> Result<(), StoreError> {
    tx.pcs_enrol(new).await?;
    let now = tx.now();
    recovery::merge(live, recovery::pcs_join(tx, new, now).await?);
    Ok(())
}

/// Only what people see makes an event: a heartbeat that says nothing new is none.
fn note_changes(heartbeats: &[Heartbeat], known: &HashMap<PcId, KnownPc>, live: &mut Live) {
    for heartbeat in heartbeats {
        let before = known.get(&heartbeat.pc_id);
        if before.is_none_or(|before| before.said != Said::of(heartbeat)) {
            live.agents.insert(heartbeat.pc_id.clone());
        }
    }
}

/// A rev is near the unix time in milliseconds. A backend's clock may have been wrong, but a PC
/// that claims more than this would only use the numbers up, so that nobody could be told anything.
fn highest_believable(now: DateTime<Utc>) -> Rev {
    let ahead = now + chrono::Duration::days(366);
    Rev(u64::try_from(ahead.timestamp_millis()).unwrap_or(0))
}

/// Raises the floors of scopes of which somebody holds more than was reserved; says which.
async fn raise_floors(
    tx: &mut Tx,
    flow: &Flow,
    heartbeats: &[Heartbeat],
) -> Result<Vec<Scope>, StoreError> {
    let believable = highest_believable(tx.now());
    let mut heard: HashMap<Scope, (Rev, bool)> = HashMap::new();
    for heartbeat in heartbeats {
        let own = Scope::Pc(heartbeat.pc_id.clone());
        for held in &heartbeat.held {
            if held.scope != Scope::All && held.scope != own {
                continue;
            }
            // Above the twin, or the PC would go on refusing it.
            let rev = Rev(held.rev.0.saturating_add(u64::from(held.twin)));
            if rev > believable {
                tracing::warn!(pc_id = %heartbeat.pc_id, scope = %held.scope, rev = rev.0, "a PC claims a rev that no backend can have given; it is ignored");
                continue;
            }
            let entry = heard.entry(held.scope.clone()).or_default();
            entry.0 = entry.0.max(rev);
            entry.1 |= held.twin;
        }
    }
    let scopes: Vec<Scope> = heard.keys().cloned().collect();
    let revs = tx.scopes_revs(&scopes).await?;
    let mut floors = Vec::new();
    let mut older = false;
    for (scope, (rev, twin)) in heard {
        let known = revs.get(&scope).copied().unwrap_or_default();
        if rev > known.recorded && rev > known.floor {
            tracing::warn!(%scope, rev = rev.0, recorded = known.recorded.0, twin, "a PC holds a rev that was not reserved here");
            older |= !twin;
            floors.push((scope, rev));
        }
    }
    if older {
        tx.behind_mark(flow.agreed_until()).await?;
    }
    tx.scopes_raise_floor(&floors).await?;
    Ok(floors.into_iter().map(|(scope, _)| scope).collect())
}

/// Admits the targets whose document the PC holds.
async fn admit(tx: &mut Tx, heartbeats: &[Heartbeat], live: &mut Live) -> Result<(), StoreError> {
    let now = tx.now();
    let mut held: HashMap<&PcId, (u64, u64)> = HashMap::new();
    for heartbeat in heartbeats {
        let rev = |wide: bool| {
            let mut of_kind = heartbeat
                .held
                .iter()
                .filter(|h| (h.scope == Scope::All) == wide);
            of_kind.next().map_or(0, |held| held.rev.0)
        };
        held.insert(&heartbeat.pc_id, (rev(true), rev(false)));
    }
    let pcs: Vec<PcId> = held.keys().map(|pc_id| (*pc_id).clone()).collect();
    let pending = tx.targets_pending(&pcs).await?;
    let holds = |target: &crate::store::intake::TargetRow, listed: u64| {
        let (all, own) = held.get(&target.pc_id).copied().unwrap_or_default();
        listed > 0 && listed <= if target.wide { all } else { own }
    };
    let admitted: Vec<_> = pending
        .into_iter()
        .filter(|(target, listed)| holds(target, *listed))
        .map(|(target, _)| target)
        .collect();
    let execs: BTreeSet<ExecId> = admitted.iter().map(|target| target.exec_id).collect();
    let execs: Vec<ExecId> = execs.into_iter().collect();
    let mut ledger = Ledger::new(tx.execs_by_id(&execs).await?);
    let mut changed = Vec::with_capacity(admitted.len());
    for mut target in admitted {
        let before = target.clone();
        if rules::admit(&mut target, now) {
            ledger.moved(Some(&before), &target);
            changed.push(target);
        }
    }
    tx.targets_update(&changed).await?;
    let execs = ledger.settle(now);
    tx.execs_update(&execs).await?;
    live.execs.extend(execs.iter().map(|exec| exec.exec_id));
    live.targets.extend(changed);
    Ok(())
}

/// Hardware that a PC sent before it was known waits in the bucket.
async fn take_hardware(flow: Flow, pcs: Vec<PcId>) {
    let subjects = pcs.iter().map(inventory::bucket_key).collect();
    let found = match kept::last_of_each(&flow.js, "KV_agents_state", subjects).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "the hardware of new PCs comes with their next report");
            return;
        }
    };
    let values = found.into_iter().flatten();
    let hardware: Vec<Hardware> = values
        .filter_map(|kept| serde_json::from_slice(&kept.payload).ok())
        .collect();
    let stored = async {
        let mut tx = flow.store.begin().await?;
        tx.pcs_hardware(&hardware).await?;
        tx.commit().await
    };
    if let Err(error) = stored.await {
        tracing::debug!(%error, "the hardware of new PCs comes with their next report");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_and_heartbeats_in_the_name_of_others_are_told_apart_from_real_ones() {
        let real = serde_json::json!({
            "pc_id": "pc-1", "at": "2027-01-01T00:00:00Z", "agent_version": "0.1.0",
            "state": "live", "journal_id": "00000000000080008000000000000000",
            "journal_counter": 1,
        });
        let bytes = serde_json::to_vec(&real).unwrap();
        assert!(read("heartbeat.pc-1", &bytes).is_ok());
        assert!(read("heartbeat.pc-2", &bytes).is_err());
        assert!(read("heartbeat.pc-1", b"\xff\x00").is_err());
        let mut wild = real;
        wild["held"] = serde_json::json!([{ "scope": "all", "rev": u64::MAX }]);
        assert!(read("heartbeat.pc-1", &serde_json::to_vec(&wild).unwrap()).is_err());
    }
}

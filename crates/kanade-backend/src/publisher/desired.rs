//! Publishes what each PC should be: `agent_desired.<pc>`.
//!
//! A document is published when its content differs from what was published last, or when the
//! broker lost it. Its rev is above the one that the broker has and the one that was reserved.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use kanade_shared::id::PcId;
use kanade_shared::subject::{self, DESIRED_STREAM};
use kanade_shared::wire::command::Rev;
use kanade_shared::wire::desired::{AgentDesired, DESIRED_VERSION, Settings};
use sha2::{Digest, Sha256};

use super::PublishError;
use super::kept::{self, Kept, Outgoing, Published};
use crate::flow::Flow;
use crate::store::published::DesiredRow;

/// Documents that are read and published together.
const AT_ONCE: usize = 1000;

/// Which PCs to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// These.
    Some(Vec<PcId>),
    /// Each; what was published last is as the database says.
    All,
    /// Each, against what the broker has.
    AllInBroker,
}

/// Reconciles the desired documents of these PCs.
///
/// # Errors
/// [`PublishError`] when broker or database do not answer.
pub async fn reconcile(flow: &Flow, whom: Whom) -> Result<(), PublishError> {
    let rows = match &whom {
        Whom::Some(pcs) => flow.store.desired_list(Some(pcs)).await?,
        Whom::All | Whom::AllInBroker => flow.store.desired_list(None).await?,
    };
    let there: Option<HashMap<String, Kept>> = match whom {
        Whom::Some(_) | Whom::All => None,
        Whom::AllInBroker => {
            let kept = kept::all(&flow.js, DESIRED_STREAM, "$KV.agent_desired.>").await;
            let kept = kept.map_err(|source| PublishError::Read { source })?;
            Some(
                kept.into_iter()
                    .map(|kept| (kept.subject.clone(), kept))
                    .collect(),
            )
        }
    };
    let differs = |row: &DesiredRow| {
        let hash_differs = row.hash.as_deref() != Some(&hash(row));
        let lost = there.as_ref().is_some_and(|there| {
            let kept = there.get(&subject::desired(&row.pc_id));
            kept.and_then(document)
                .is_none_or(|document| document.rev.0 != row.rev)
        });
        hash_differs || lost
    };
    let rows: Vec<DesiredRow> = rows.into_iter().filter(differs).collect();
    for rows in rows.chunks(AT_ONCE) {
        publish(flow, rows).await?;
    }
    Ok(())
}

async fn publish(flow: &Flow, rows: &[DesiredRow]) -> Result<(), PublishError> {
    let subjects = rows
        .iter()
        .map(|row| subject::desired(&row.pc_id))
        .collect();
    let there = kept::last_of_each(&flow.js, DESIRED_STREAM, subjects).await;
    let there = there.map_err(|source| PublishError::Read { source })?;
    let mut tx = flow.store.begin().await?;
    let now = tx.now();
    let mut revs = Vec::with_capacity(rows.len());
    let mut messages = Vec::with_capacity(rows.len());
    for (row, kept) in rows.iter().zip(&there) {
        let held = kept
            .as_ref()
            .and_then(document)
            .map_or(0, |document| document.rev.0);
        let rev = next_rev(row.rev.max(held), now);
        let document = desired(row, rev, now);
        let payload =
            serde_json::to_vec(&document).map_err(|source| PublishError::Encode { source })?;
        revs.push((row.pc_id.clone(), rev));
        messages.push(Outgoing {
            expected: Some(kept.as_ref().map_or(0, |kept| kept.sequence)),
            ..Outgoing::plain(subject::desired(&row.pc_id), payload)
        });
    }
    tx.desired_reserve(&revs).await?;
    tx.commit().await?;
    let answers = kept::publish(&flow.js, &messages, now).await?;
    let mut hashes = Vec::with_capacity(rows.len());
    for ((row, (_, rev)), answer) in rows.iter().zip(&revs).zip(answers) {
        match answer {
            Published::Stored(_) => hashes.push((row.pc_id.clone(), *rev, hash(row).to_vec())),
            // Without a hash, the next pass takes it up.
            Published::Conflict => flow.counters.conflicts.add(1),
        }
    }
    let mut tx = flow.store.begin().await?;
    tx.desired_published(&hashes).await?;
    tx.commit().await?;
    flow.counters.desired.add(hashes.len() as u64);
    Ok(())
}

fn next_rev(known: u64, now: DateTime<Utc>) -> u64 {
    let clock = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    clock.max(known + 1)
}

fn document(kept: &Kept) -> Option<AgentDesired> {
    serde_json::from_slice(&kept.payload).ok()
}

fn desired(row: &DesiredRow, rev: u64, issued_at: DateTime<Utc>) -> AgentDesired {
    AgentDesired {
        v: DESIRED_VERSION,
        pc_id: row.pc_id.clone(),
        rev: Rev(rev),
        issued_at,
        enrolled_at: row.enrolled_at,
        groups: row.groups.clone(),
        labels: BTreeMap::new(),
        settings: Settings::default(),
    }
}

/// Of all that the document says, without its rev and time.
fn hash(row: &DesiredRow) -> [u8; 32] {
    let timeless = desired(row, 0, DateTime::UNIX_EPOCH);
    let json = serde_json::to_vec(&timeless).unwrap_or_default();
    Sha256::digest(json).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::rules::tests::{at, pc};

    #[test]
    fn the_hash_follows_the_content_alone() {
        let row = DesiredRow {
            pc_id: pc(1),
            enrolled_at: at(0),
            groups: vec![],
            rev: 1,
            hash: None,
        };
        let later = DesiredRow {
            rev: 9,
            ..row.clone()
        };
        assert_eq!(hash(&row), hash(&later));
        let grouped = DesiredRow {
            groups: vec![kanade_shared::id::GroupId::parse("lab").unwrap()],
            ..row.clone()
        };
        assert_ne!(hash(&row), hash(&grouped));
        assert_eq!(next_rev(u64::MAX / 2, at(0)), u64::MAX / 2 + 1);
    }
}

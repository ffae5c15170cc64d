//! Whom an exec hits, and how its targets are shown.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use kanade_shared::api::Page;
use kanade_shared::api::execs::{TargetQuery, TargetView, Targets};
use kanade_shared::id::{ExecId, GroupId, PcId, RequestId};

use super::why::why;
use super::{Fleet, FleetError, FleetResult, groups, page};
use crate::store::page::Order;
use crate::store::targets::TargetFacts;
use crate::store::{StoreError, Tx};

/// Most names in one list of targets.
const NAMES_MAX: usize = 50_000;

impl Fleet {
    /// Targets of an exec, one page, by PC: of each its newest attempt.
    ///
    /// # Errors
    /// [`FleetError`] when there is no such exec, or no such page.
    pub async fn targets_list(
        &self,
        exec_id: ExecId,
        query: &TargetQuery,
    ) -> FleetResult<Page<TargetView>> {
        let slice = page::slice(query.limit, query.cursor.as_deref(), "pc_id", Order::Up)?;
        if self.store.exec_find(exec_id).await?.is_none() {
            return Err(FleetError::UnknownExec {
                exec: exec_id.to_string(),
            });
        }
        let (facts, count) = self.store.targets_list(exec_id, query, &slice).await?;
        let key = |facts: &TargetFacts| facts.target.pc_id.to_string();
        let facts = page::page(facts, count, slice.limit, "pc_id", key);
        let items = views(&facts.items, Utc::now());
        Ok(Page {
            items,
            next: facts.next,
            count,
        })
    }

    /// Targets by the ids of their runs, as lists show them; one that is unknown is left out.
    ///
    /// # Errors
    /// [`FleetError::Store`] when the database does not answer.
    pub async fn targets_views(&self, ids: &[RequestId]) -> FleetResult<Vec<(ExecId, TargetView)>> {
        let facts = self.store.targets_facts(ids).await?;
        let execs = facts.iter().map(|facts| facts.target.exec_id);
        Ok(execs.zip(views(&facts, Utc::now())).collect())
    }
}

fn views(facts: &[TargetFacts], now: DateTime<Utc>) -> Vec<TargetView> {
    facts
        .iter()
        .map(|facts| TargetView {
            why: why(facts, now),
            ..facts.target.view()
        })
        .collect()
}

/// The PCs that `targets` name, sorted.
///
/// # Errors
/// [`FleetError`] for a name that there is not, with the one that may have been meant.
pub(super) async fn resolve(tx: &mut Tx, targets: &Targets) -> FleetResult<Vec<PcId>> {
    let named = [
        targets.groups.len(),
        targets.pcs.len(),
        targets.not_groups.len(),
        targets.not_pcs.len(),
    ];
    if named.iter().sum::<usize>() > NAMES_MAX {
        return Err(FleetError::invalid(
            "targets",
            format!("names more than {NAMES_MAX}"),
        ));
    }
    if !targets.all && targets.groups.is_empty() && targets.pcs.is_empty() {
        let what = "names nobody; give `all`, groups or pcs";
        return Err(FleetError::invalid("targets", what));
    }
    known_groups(tx, &targets.groups, "targets.groups").await?;
    known_groups(tx, &targets.not_groups, "targets.not_groups").await?;
    known_pcs(tx, &targets.pcs, "targets.pcs").await?;
    Ok(members_now(tx, targets).await?)
}

/// The PCs that `targets` mean now, sorted; a name that there is not (any more) means nobody.
///
/// # Errors
/// [`StoreError`] when the database does not answer.
pub async fn members_now(tx: &mut Tx, targets: &Targets) -> Result<Vec<PcId>, StoreError> {
    let everybody = if targets.all {
        tx.pcs_all().await?
    } else {
        Vec::new()
    };
    let groups: Vec<GroupId> = targets
        .groups
        .iter()
        .chain(&targets.not_groups)
        .cloned()
        .collect();
    let members = tx.members_enrolled(&groups).await?;
    Ok(chosen(targets, everybody, &members))
}

/// The union of what is named, minus what is excluded, sorted.
fn chosen(targets: &Targets, everybody: Vec<PcId>, members: &[(GroupId, PcId)]) -> Vec<PcId> {
    let of = |groups: &[GroupId]| -> BTreeSet<PcId> {
        let named: BTreeSet<&GroupId> = groups.iter().collect();
        let members = members.iter().filter(|(group, _)| named.contains(group));
        members.map(|(_, pc_id)| pc_id.clone()).collect()
    };
    let mut pcs: BTreeSet<PcId> = everybody.into_iter().collect();
    pcs.extend(of(&targets.groups));
    pcs.extend(targets.pcs.iter().cloned());
    let excluded = of(&targets.not_groups);
    pcs.into_iter()
        .filter(|pc_id| !excluded.contains(pc_id) && !targets.not_pcs.contains(pc_id))
        .collect()
}

/// Whether nothing but 'every PC' is said, so that one document can carry it.
pub(super) fn is_everybody(targets: &Targets) -> bool {
    targets.all
        && *targets
            == Targets {
                all: true,
                ..Targets::default()
            }
}

async fn known_groups(tx: &mut Tx, groups: &[GroupId], field: &'static str) -> FleetResult<()> {
    let known: BTreeSet<GroupId> = tx.groups_known(groups).await?.into_iter().collect();
    match groups.iter().find(|group| !known.contains(group)) {
        Some(group) => Err(groups::unknown(tx, group, Some(field)).await?),
        None => Ok(()),
    }
}

async fn known_pcs(tx: &mut Tx, pcs: &[PcId], field: &'static str) -> FleetResult<()> {
    let known: BTreeSet<PcId> = tx.pcs_existing(pcs).await?.into_iter().collect();
    let Some(pc_id) = pcs.iter().find(|pc_id| !known.contains(pc_id)) else {
        return Ok(());
    };
    let names = tx.pcs_all().await?;
    let nearest = page::nearest(pc_id.as_str(), names.iter().map(PcId::as_str));
    let nearest = nearest.and_then(|name| name.parse().ok());
    Err(FleetError::UnknownPc {
        pc_id: pc_id.clone(),
        nearest,
        field: Some(field),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcs(names: &[&str]) -> Vec<PcId> {
        names
            .iter()
            .map(|name| PcId::parse(name).unwrap())
            .collect()
    }

    fn group(name: &str) -> GroupId {
        GroupId::parse(name).unwrap()
    }

    #[test]
    fn targets_are_the_union_of_what_is_named_minus_what_is_excluded() {
        let members: Vec<(GroupId, PcId)> = [("lab", "a"), ("lab", "b"), ("old", "b")]
            .map(|(g, pc)| (group(g), PcId::parse(pc).unwrap()))
            .into();
        let targets = Targets {
            groups: vec![group("lab")],
            pcs: pcs(&["c", "d"]),
            not_groups: vec![group("old")],
            not_pcs: pcs(&["d"]),
            ..Targets::default()
        };
        assert_eq!(chosen(&targets, vec![], &members), pcs(&["a", "c"]));
        let all = Targets {
            all: true,
            ..targets
        };
        assert_eq!(
            chosen(&all, pcs(&["x", "a"]), &members),
            pcs(&["a", "c", "x"])
        );
        assert!(!is_everybody(&all));
        assert!(is_everybody(&Targets {
            all: true,
            ..Targets::default()
        }));
    }
}

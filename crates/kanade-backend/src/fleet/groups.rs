//! Static groups: named sets of PCs.
//!
//! A PC may be a member before it is enrolled. Agents learn of their groups by their desired
//! documents, which the publisher makes from the same tables.

use kanade_shared::api::Page;
use kanade_shared::api::catalogue::{Applied, Change, GroupView, GroupWrite, NameQuery};
use kanade_shared::id::GroupId;
use serde_json::json;

use super::{Fleet, FleetError, FleetResult, Operator, page};
use crate::store::Tx;
use crate::store::page::Order;

/// Most members of one group.
const MEMBERS_MAX: usize = 50_000;
/// Most characters of a description.
const DESCRIPTION_MAX: usize = 1_000;

impl Fleet {
    /// Groups, one page, by name.
    ///
    /// # Errors
    /// [`FleetError::Invalid`] for a page or cursor that there is not.
    pub async fn groups_list(&self, query: &NameQuery) -> FleetResult<Page<GroupView>> {
        let slice = page::slice(query.limit, query.cursor.as_deref(), "group_id", Order::Up)?;
        let (groups, count) = self
            .store
            .groups_list(query.search.as_deref(), &slice)
            .await?;
        let key = |group: &GroupView| group.group_id.to_string();
        Ok(page::page(groups, count, slice.limit, "group_id", key))
    }

    /// One group with its members.
    ///
    /// # Errors
    /// [`FleetError::UnknownGroup`] when there is none.
    pub async fn group_fetch(&self, group_id: &GroupId) -> FleetResult<GroupView> {
        match self.store.group_find(group_id).await? {
            Some(group) => Ok(group),
            None => Err(unknown(&mut self.store.begin().await?, group_id, None).await?),
        }
    }

    /// Makes a group what is written; with `if_match` only when it has that revision.
    ///
    /// # Errors
    /// [`FleetError`] for a rule that is broken, or a revision that is another.
    pub async fn group_apply(
        &self,
        group_id: &GroupId,
        write: &GroupWrite,
        if_match: Option<u64>,
        dry_run: bool,
        by: &Operator,
    ) -> FleetResult<Applied> {
        let write = checked(write)?;
        let mut tx = self.store.begin().await?;
        let is = tx.group_find(group_id).await?;
        let revision = is.as_ref().map_or(0, |group| group.revision);
        matches(&format!("group `{group_id}`"), revision, if_match)?;
        let change = match &is {
            None => Change::Created,
            Some(is)
                if is.description == write.description
                    && is.members.as_ref() == Some(&write.members) =>
            {
                return Ok(Applied {
                    change: Change::Unchanged,
                    revision,
                });
            }
            Some(_) => Change::Updated,
        };
        let applied = Applied {
            change,
            revision: revision + 1,
        };
        if dry_run {
            return Ok(applied);
        }
        tx.group_write(group_id, &write, applied.revision).await?;
        let detail = json!({
            "change": change,
            "revision": applied.revision,
            "members": write.members.len(),
        });
        tx.audit_insert(&by.account_id, "group.apply", group_id.as_str(), &detail)
            .await?;
        tx.next_change();
        tx.commit().await?;
        self.publisher.nudge();
        Ok(applied)
    }

    /// Removes a group; its PCs stay.
    ///
    /// # Errors
    /// [`FleetError`] when there is none, or its revision is another.
    pub async fn group_delete(
        &self,
        group_id: &GroupId,
        if_match: Option<u64>,
        by: &Operator,
    ) -> FleetResult<()> {
        let mut tx = self.store.begin().await?;
        let Some(group) = tx.group_find(group_id).await? else {
            return Err(unknown(&mut tx, group_id, None).await?);
        };
        matches(&format!("group `{group_id}`"), group.revision, if_match)?;
        tx.group_delete(group_id).await?;
        let detail = json!({ "revision": group.revision, "members": group.member_count });
        tx.audit_insert(&by.account_id, "group.delete", group_id.as_str(), &detail)
            .await?;
        tx.next_change();
        tx.commit().await?;
        self.publisher.nudge();
        Ok(())
    }
}

/// The error for a group that there is not, with the name that may have been meant.
pub(super) async fn unknown(
    tx: &mut Tx,
    group_id: &GroupId,
    field: Option<&'static str>,
) -> FleetResult<FleetError> {
    let names = tx.group_names().await?;
    let nearest = page::nearest(group_id.as_str(), names.iter().map(String::as_str));
    let nearest = nearest.and_then(|name| name.parse().ok());
    Ok(FleetError::UnknownGroup {
        group_id: group_id.clone(),
        nearest,
        field,
    })
}

/// Refuses a change on top of another one that its maker has not seen.
pub(super) fn matches(object: &str, is: u64, if_match: Option<u64>) -> FleetResult<()> {
    match if_match {
        Some(expected) if expected != is => Err(FleetError::Revision {
            object: object.to_owned(),
            is,
            expected,
        }),
        _ => Ok(()),
    }
}

fn checked(write: &GroupWrite) -> FleetResult<GroupWrite> {
    let mut members = write.members.clone();
    members.sort();
    members.dedup();
    if members.len() > MEMBERS_MAX {
        let what = format!(
            "has {} PCs; at most {MEMBERS_MAX} are allowed",
            members.len()
        );
        return Err(FleetError::invalid("members", what));
    }
    let long = |text: &String| text.chars().count() > DESCRIPTION_MAX;
    if write.description.as_ref().is_some_and(long) {
        let what = format!("is over {DESCRIPTION_MAX} characters");
        return Err(FleetError::invalid("description", what));
    }
    Ok(GroupWrite {
        description: write.description.clone(),
        members,
    })
}

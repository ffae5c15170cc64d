//! What operators ask of the backend itself.

use kanade_shared::api::Page;
use kanade_shared::api::system::{AuditRow, DeadLetterView, GapView, SystemQuery};
use uuid::Uuid;

use super::{Fleet, FleetError, FleetResult, page};
use crate::store::page::Order;

impl Fleet {
    /// Audit rows, one page, newest first.
    ///
    /// # Errors
    /// [`FleetError::Invalid`] for a page or cursor that there is not.
    pub async fn audit_list(&self, query: &SystemQuery) -> FleetResult<Page<AuditRow>> {
        let slice = page::slice::<Uuid>(query.limit, query.cursor.as_deref(), "-at", Order::Down)?;
        let (rows, count) = self.store.audit_list(&slice).await?;
        Ok(page::page(rows, count, slice.limit, "-at", |row| {
            row.audit_id.clone()
        }))
    }

    /// Messages that could not be read, one page, newest first.
    ///
    /// # Errors
    /// [`FleetError::Invalid`] for a page or cursor that there is not.
    pub async fn dead_letters_list(
        &self,
        query: &SystemQuery,
    ) -> FleetResult<Page<DeadLetterView>> {
        let slice = page::slice(query.limit, query.cursor.as_deref(), "-at", Order::Down)?;
        let (rows, count) = self.store.dead_letters_list(&slice).await?;
        Ok(page::page(rows, count, slice.limit, "-at", |row| {
            row.dead_letter_id
        }))
    }

    /// Stretches of streams that were lost, one page, newest first.
    ///
    /// # Errors
    /// [`FleetError::Invalid`] for a page or cursor that there is not.
    pub async fn gaps_list(&self, query: &SystemQuery) -> FleetResult<Page<GapView>> {
        let slice = page::slice(query.limit, query.cursor.as_deref(), "-at", Order::Down)?;
        let (rows, count) = self.store.gaps_list(&slice).await?;
        let numbered = page::page(rows, count, slice.limit, "-at", |(number, _)| *number);
        let items = numbered.items.into_iter().map(|(_, gap)| gap).collect();
        Ok(Page {
            items,
            next: numbered.next,
            count,
        })
    }

    /// PCs, PCs that are online, and execs that have not ended.
    ///
    /// # Errors
    /// [`FleetError::Store`] when the database does not answer.
    pub async fn system_counts(&self) -> FleetResult<(u64, u64, u64)> {
        let (agents, online) = self.store.agents_count().await?;
        Ok((agents, online, self.store.execs_running().await?))
    }

    /// The encrypted bytes of a script.
    ///
    /// # Errors
    /// [`FleetError::UnknownBody`] when there are none.
    pub async fn body_fetch(&self, sha256: &str) -> FleetResult<Vec<u8>> {
        let bytes = self.store.body_bytes(sha256).await?;
        bytes.ok_or_else(|| FleetError::UnknownBody {
            sha256: sha256.chars().take(80).collect(),
        })
    }
}

//! Copies audit rows to the stream AUDIT, from which a database that was lost takes them back.

use chrono::Utc;
use kanade_shared::subject;

use super::PublishError;
use super::kept::{self, Outgoing};
use crate::flow::Flow;

/// Rows that are copied together.
const AT_ONCE: u32 = 500;

/// Copies every row that was not copied yet.
///
/// # Errors
/// [`PublishError`] when broker or database do not answer; a row may be copied twice, under the
/// same id.
pub async fn reconcile(flow: &Flow) -> Result<(), PublishError> {
    loop {
        let rows = flow.store.audit_unpublished(AT_ONCE).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut messages = Vec::with_capacity(rows.len());
        for (_, row) in &rows {
            let payload =
                serde_json::to_vec(row).map_err(|source| PublishError::Encode { source })?;
            messages.push(Outgoing {
                id: Some(row.audit_id.clone()),
                ..Outgoing::plain(subject::audit(&row.actor), payload)
            });
        }
        kept::publish(&flow.js, &messages, Utc::now()).await?;
        let ids: Vec<Vec<u8>> = rows.into_iter().map(|(id, _)| id).collect();
        let mut tx = flow.store.begin().await?;
        tx.audit_published(&ids).await?;
        tx.commit().await?;
        flow.counters.audit_copied.add(ids.len() as u64);
    }
}

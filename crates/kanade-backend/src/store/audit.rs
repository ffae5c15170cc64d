//! The audit log: rows are written in the transaction of the change they tell of.

use chrono::{DateTime, Utc};
use kanade_shared::api::Count;
use kanade_shared::api::system::AuditRow;
use uuid::Uuid;

use super::convert::{json, ms, time, to_json};
use super::page::{Slice, count_of, counted};
use super::sql::{self, QueryBuilder, Row};
use super::{Store, StoreError, Tx, failed};

impl Tx {
    /// Adds a row of this transaction's time, to be published.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn audit_insert(
        &mut self,
        actor: &str,
        action: &str,
        object: &str,
        detail: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let now = self.now();
        sql::query(
            "INSERT INTO audit (audit_id, at, actor, action, object, detail)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(audit_id(now).as_bytes().to_vec())
        .bind(ms(now))
        .bind(actor)
        .bind(action)
        .bind(object)
        .bind(to_json("audit.detail", detail)?)
        .execute(self)
        .await
        .map_err(failed("store an audit row"))?;
        Ok(())
    }
}

impl Store {
    /// Audit rows by id, with how many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn audit_list(
        &self,
        slice: &Slice<Uuid>,
    ) -> Result<(Vec<AuditRow>, Count), StoreError> {
        let mut conn = self.read().await?;
        let (compare, word) = (slice.order.after(), slice.order.word());
        let mut select = QueryBuilder::new(format!(
            "SELECT audit_id, at, actor, action, object, detail FROM audit WHERE audit_id {compare} "
        ));
        select.push_bind(slice.after.unwrap_or(Uuid::max()).as_bytes().to_vec());
        select
            .push(format_args!(" ORDER BY audit_id {word} LIMIT "))
            .push_bind(slice.rows());
        let rows = select
            .build()
            .fetch_all(&mut conn)
            .await
            .map_err(failed("list audit rows"))?;
        let rows = rows.iter().map(audit_row).collect::<Result<_, _>>()?;
        Ok((rows, counted(&mut conn, count_of("audit")).await?))
    }
}

/// A UUIDv7 of the database's clock.
fn audit_id(now: DateTime<Utc>) -> Uuid {
    let mut random = [0; 10];
    random.copy_from_slice(&Uuid::now_v7().as_bytes()[6..]);
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

fn audit_row(row: &Row) -> Result<AuditRow, StoreError> {
    let id: Vec<u8> = row.get("audit_id");
    Ok(AuditRow {
        audit_id: hex::encode(id),
        at: time(row.get("at")),
        actor: row.get("actor"),
        action: row.get("action"),
        object: row.get("object"),
        detail: json("audit.detail", row.get("detail"))?,
    })
}

//! What the backend could not read, what it lost, and the scripts it keeps for agents.

use kanade_shared::api::Count;
use kanade_shared::api::system::{DeadLetterView, GapView};

use super::convert::{count, time};
use super::page::{Slice, count_of, counted};
use super::sql::{QueryBuilder, Row};
use super::{Store, StoreError, failed};

impl Store {
    /// Dead letters by number, newest first, with how many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn dead_letters_list(
        &self,
        slice: &Slice<i64>,
    ) -> Result<(Vec<DeadLetterView>, Count), StoreError> {
        let mut conn = self.read().await?;
        let mut select = QueryBuilder::new(
            "SELECT dead_letter_id, stream, sequence, subject, reason, payload_head, size_bytes, at
             FROM dead_letters WHERE dead_letter_id < ",
        );
        select.push_bind(slice.after.unwrap_or(i64::MAX));
        select
            .push(" ORDER BY dead_letter_id DESC LIMIT ")
            .push_bind(slice.rows());
        let rows = select
            .build()
            .fetch_all(&mut conn)
            .await
            .map_err(failed("list dead letters"))?;
        let view = |row: &Row| DeadLetterView {
            dead_letter_id: row.get("dead_letter_id"),
            stream: row.get("stream"),
            sequence: count(row.get("sequence")),
            subject: row.get("subject"),
            reason: row.get("reason"),
            payload_head: row.get("payload_head"),
            size_bytes: count(row.get("size_bytes")),
            at: time(row.get("at")),
        };
        let rows = rows.iter().map(view).collect();
        Ok((rows, counted(&mut conn, count_of("dead_letters")).await?))
    }

    /// Gaps by number, each with it, newest first, with how many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn gaps_list(
        &self,
        slice: &Slice<i64>,
    ) -> Result<(Vec<(i64, GapView)>, Count), StoreError> {
        let mut conn = self.read().await?;
        let mut select =
            QueryBuilder::new("SELECT gap_id, stream, first, last, at FROM gaps WHERE gap_id < ");
        select.push_bind(slice.after.unwrap_or(i64::MAX));
        select
            .push(" ORDER BY gap_id DESC LIMIT ")
            .push_bind(slice.rows());
        let rows = select
            .build()
            .fetch_all(&mut conn)
            .await
            .map_err(failed("list gaps"))?;
        let view = |row: &Row| {
            let gap = GapView {
                stream: row.get("stream"),
                first: count(row.get("first")),
                last: count(row.get("last")),
                at: time(row.get("at")),
            };
            (row.get("gap_id"), gap)
        };
        let rows = rows.iter().map(view).collect();
        Ok((rows, counted(&mut conn, count_of("gaps")).await?))
    }
}

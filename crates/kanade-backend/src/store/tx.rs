//! The one transaction that may write, with the database's clock and the number of the change.
//!
//! **Invariant:** [`Tx::now`] is later than that of every transaction that was committed before,
//! whatever the system's clock does, so 'enrolled before it was issued' is never a tie.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::{PgPool, SqlitePool};

use super::convert::time;
use super::lease::Lease;
use super::sql::{self, Conn};
use super::{StoreError, failed};

const CLOCK: &str = "clock";
const CHANGE_NO: &str = "change_no";

/// A transaction; dropping it undoes what it did.
pub struct Tx {
    inner: Conn,
    lease: Option<Arc<Lease>>,
    now_ms: i64,
    last_change: u64,
    drew_change: bool,
}

impl Tx {
    pub(super) async fn begin_sqlite(writer: &SqlitePool) -> Result<Self, StoreError> {
        let inner = writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed("begin a transaction"))?;
        Self::begun(Conn::SqliteTx(inner), None).await
    }

    pub(super) async fn begin_postgres(
        writer: &PgPool,
        lease: &Arc<Lease>,
    ) -> Result<Self, StoreError> {
        let inner = writer
            .begin()
            .await
            .map_err(failed("begin a transaction"))?;
        let mut inner = Conn::PostgresTx(inner);
        lease.check(&mut inner).await?;
        // A statement of its own: one that had to wait for the lease saw the state before.
        Self::begun(inner, Some(lease.clone())).await
    }

    async fn begun(mut inner: Conn, lease: Option<Arc<Lease>>) -> Result<Self, StoreError> {
        let rows = sql::query("SELECT key, value FROM meta WHERE key IN ($1, $2)")
            .bind(CLOCK)
            .bind(CHANGE_NO)
            .fetch_all(&mut inner)
            .await
            .map_err(failed("begin a transaction"))?;
        let (mut clock, mut last_change) = (0, 0);
        for row in rows {
            let n = parsed(row.get("value"))?;
            match row.get("key") {
                CLOCK => clock = n,
                _ => last_change = u64::try_from(n).unwrap_or(0),
            }
        }
        Ok(Self {
            inner,
            lease,
            now_ms: Utc::now().timestamp_millis().max(clock + 1),
            last_change,
            drew_change: false,
        })
    }

    /// The database's clock, to the millisecond; the same in the whole transaction.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        time(self.now_ms)
    }

    /// The number of this transaction's change.
    pub fn next_change(&mut self) -> u64 {
        self.drew_change = true;
        self.last_change + 1
    }

    /// Makes what the transaction did lasting: on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored; then nothing of it is.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let change = self.last_change + u64::from(self.drew_change);
        sql::query(
            "INSERT INTO meta (key, value) VALUES ($1, $2), ($3, $4)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(CLOCK)
        .bind(self.now_ms.to_string())
        .bind(CHANGE_NO)
        .bind(change.to_string())
        .execute(&mut self.inner)
        .await
        .map_err(failed("store a change"))?;
        self.renew().await
    }

    /// Commits, with the lease's end moved on if there is one and it is time to; the clock and
    /// the number of the change stay as they are.
    pub(super) async fn renew(mut self) -> Result<(), StoreError> {
        if let Some(lease) = &self.lease {
            lease.renew(&mut self.inner).await?;
        }
        self.inner.commit().await.map_err(failed("store a change"))
    }

    /// The value of this key of `meta`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn meta(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        meta(&mut self.inner, key).await
    }

    /// Sets a key of `meta`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO meta (key, value) VALUES ($1, $2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(&mut self.inner)
        .await
        .map_err(failed("store a setting of its own"))?;
        Ok(())
    }

    /// Removes a key of `meta`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn clear_meta(&mut self, key: &str) -> Result<(), StoreError> {
        sql::query("DELETE FROM meta WHERE key = $1")
            .bind(key)
            .execute(&mut self.inner)
            .await
            .map_err(failed("remove a setting of its own"))?;
        Ok(())
    }
}

impl Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.inner
    }
}

/// The value of a key of `meta`.
pub(crate) async fn meta(conn: &mut Conn, key: &str) -> Result<Option<String>, StoreError> {
    sql::query_scalar("SELECT value FROM meta WHERE key = $1")
        .bind(key)
        .fetch_optional(conn)
        .await
        .map_err(failed("read a setting of its own"))
}

async fn number(conn: &mut Conn, key: &'static str) -> Result<i64, StoreError> {
    let Some(text) = meta(conn, key).await? else {
        return Ok(0);
    };
    parsed(&text)
}

fn parsed(text: &str) -> Result<i64, StoreError> {
    text.parse()
        .map_err(|_| StoreError::value("meta.value", text))
}

pub(super) async fn last_change(conn: &mut Conn) -> Result<u64, StoreError> {
    Ok(u64::try_from(number(conn, CHANGE_NO).await?).unwrap_or(0))
}

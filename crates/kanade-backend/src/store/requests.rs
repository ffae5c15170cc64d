//! What makes a request safe to send again: idempotency keys, previews, and scripts' bodies.

use chrono::{DateTime, Utc};
use kanade_shared::id::{ExecId, PcId};

use super::convert::{exec_bytes, exec_id, json, ms, to_json};
use super::sql;
use super::{StoreError, Tx, failed};

/// A preview that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// SHA-256 of the request that it was of.
    pub request_hash: Vec<u8>,
    /// The PCs that it showed, sorted.
    pub pcs: Vec<PcId>,
}

impl Tx {
    /// What the key was used for: the hash of the request, and the exec that came of it.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn idempotency_find(
        &mut self,
        key: &str,
    ) -> Result<Option<(Vec<u8>, ExecId)>, StoreError> {
        let row = sql::query("SELECT request_hash, exec_id FROM idempotency WHERE key = $1")
            .bind(key)
            .fetch_optional(self)
            .await
            .map_err(failed("look for an idempotency key"))?;
        row.map(|row| Ok((row.get("request_hash"), exec_id(row.get("exec_id"))?)))
            .transpose()
    }

    /// Notes what a key was used for.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn idempotency_insert(
        &mut self,
        key: &str,
        request_hash: &[u8],
        exec_id: ExecId,
    ) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO idempotency (key, request_hash, exec_id, at) VALUES ($1, $2, $3, $4)",
        )
        .bind(key)
        .bind(request_hash)
        .bind(exec_bytes(exec_id))
        .bind(ms(self.now()))
        .execute(self)
        .await
        .map_err(failed("store an idempotency key"))?;
        Ok(())
    }

    /// A preview that has not expired.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn preview_find(&mut self, token: &str) -> Result<Option<Preview>, StoreError> {
        let row = sql::query(
            "SELECT request_hash, pcs FROM previews WHERE token = $1 AND expires_at > $2",
        )
        .bind(token)
        .bind(ms(self.now()))
        .fetch_optional(self)
        .await
        .map_err(failed("look for a preview"))?;
        let Some(row) = row else { return Ok(None) };
        let pcs = json("previews.pcs", row.get("pcs"))?;
        Ok(Some(Preview {
            request_hash: row.get("request_hash"),
            pcs,
        }))
    }

    /// Keeps a preview.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn preview_insert(
        &mut self,
        token: &str,
        preview: &Preview,
        expires_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO previews (token, request_hash, pcs, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(token)
        .bind(&preview.request_hash)
        .bind(to_json("previews.pcs", &preview.pcs)?)
        .bind(ms(expires_at))
        .execute(self)
        .await
        .map_err(failed("store a preview"))?;
        Ok(())
    }

    /// Keeps the encrypted bytes of a script until `expires_at`.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn body_insert(
        &mut self,
        sha256: &str,
        bytes: &[u8],
        expires_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO bodies (sha256, bytes, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (sha256) DO NOTHING",
        )
        .bind(sha256)
        .bind(bytes)
        .bind(ms(expires_at))
        .execute(self)
        .await
        .map_err(failed("store a script"))?;
        Ok(())
    }

    /// Keeps a script longer; `false` when it is not there.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn body_keep(
        &mut self,
        sha256: &str,
        until: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let kept = sql::query(
            "UPDATE bodies SET expires_at = CASE WHEN expires_at > $2 THEN expires_at ELSE $2 END
             WHERE sha256 = $1",
        )
        .bind(sha256)
        .bind(ms(until))
        .execute(self)
        .await
        .map_err(failed("keep a script"))?;
        Ok(kept.rows_affected() > 0)
    }
}

//! Sign-in links and sessions of the dashboard, by the hashes of their secrets.
//!
//! **Invariant:** no secret is here: a code or token is known by its SHA-256 only.

use chrono::{DateTime, Utc};

use super::convert::{count, ms, time};
use super::sql;
use super::{Store, StoreError, Tx, failed};

/// SHA-256 of a code or of a session's token.
pub type SecretHash = [u8; 32];

/// A sign-in link that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// Whom it signs in.
    pub account_id: String,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// Whether a session came of it already.
    pub used: bool,
}

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Whose it is.
    pub account_id: String,
    /// When it began.
    pub signed_in_at: DateTime<Utc>,
    /// When it ends unless it is used before.
    pub expires_at: DateTime<Utc>,
}

impl Store {
    /// The link of this code, also one that is used or expired.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn signin_link_find(&self, code: &SecretHash) -> Result<Option<LinkRow>, StoreError> {
        let row = sql::query(
            "SELECT account_id, expires_at, used_at FROM signin_links WHERE code_hash = $1",
        )
        .bind(code.as_slice())
        .fetch_optional(&mut *self.read().await?)
        .await
        .map_err(failed("look for a sign-in link"))?;
        Ok(row.map(|row| LinkRow {
            account_id: row.get("account_id"),
            expires_at: time(row.get("expires_at")),
            used: row.get::<Option<i64>, _>("used_at").is_some(),
        }))
    }

    /// The session of this token, also one that has expired.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn session_find(&self, token: &SecretHash) -> Result<Option<SessionRow>, StoreError> {
        let row = sql::query(
            "SELECT account_id, signed_in_at, expires_at FROM sessions WHERE token_hash = $1",
        )
        .bind(token.as_slice())
        .fetch_optional(&mut *self.read().await?)
        .await
        .map_err(failed("look for a session"))?;
        Ok(row.map(|row| SessionRow {
            account_id: row.get("account_id"),
            signed_in_at: time(row.get("signed_in_at")),
            expires_at: time(row.get("expires_at")),
        }))
    }
}

impl Tx {
    /// Keeps a link.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn signin_link_insert(
        &mut self,
        code: &SecretHash,
        account_id: &str,
        expires_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO signin_links (code_hash, account_id, expires_at) VALUES ($1, $2, $3)",
        )
        .bind(code.as_slice())
        .bind(account_id)
        .bind(ms(expires_at))
        .execute(self)
        .await
        .map_err(failed("store a sign-in link"))?;
        Ok(())
    }

    /// Links that can still be used.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn signin_links_open(&mut self) -> Result<u64, StoreError> {
        let open: i64 = sql::query_scalar(
            "SELECT COUNT(*) FROM signin_links WHERE used_at IS NULL AND expires_at > $1",
        )
        .bind(ms(self.now()))
        .fetch_one(self)
        .await
        .map_err(failed("count sign-in links"))?;
        Ok(count(open))
    }

    /// Uses a link up; `false` when somebody else was first.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn signin_link_use(&mut self, code: &SecretHash) -> Result<bool, StoreError> {
        let used = sql::query(
            "UPDATE signin_links SET used_at = $2 WHERE code_hash = $1 AND used_at IS NULL",
        )
        .bind(code.as_slice())
        .bind(ms(self.now()))
        .execute(self)
        .await
        .map_err(failed("use a sign-in link"))?;
        Ok(used.rows_affected() > 0)
    }

    /// Keeps a session.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn session_insert(
        &mut self,
        token: &SecretHash,
        session: &SessionRow,
    ) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO sessions (token_hash, account_id, signed_in_at, expires_at)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(token.as_slice())
        .bind(&session.account_id)
        .bind(ms(session.signed_in_at))
        .bind(ms(session.expires_at))
        .execute(self)
        .await
        .map_err(failed("store a session"))?;
        Ok(())
    }

    /// Lets a session last until `expires_at`; one that was ended stays ended.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn session_extend(
        &mut self,
        token: &SecretHash,
        expires_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sql::query("UPDATE sessions SET expires_at = $2 WHERE token_hash = $1 AND expires_at < $2")
            .bind(token.as_slice())
            .bind(ms(expires_at))
            .execute(self)
            .await
            .map_err(failed("extend a session"))?;
        Ok(())
    }

    /// Ends a session; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn session_delete(&mut self, token: &SecretHash) -> Result<bool, StoreError> {
        let ended = sql::query("DELETE FROM sessions WHERE token_hash = $1")
            .bind(token.as_slice())
            .execute(self)
            .await
            .map_err(failed("end a session"))?;
        Ok(ended.rows_affected() > 0)
    }

    /// Deletes links and sessions that ended before `before`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn sessions_prune(&mut self, before: DateTime<Utc>) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM signin_links WHERE expires_at < $1",
            "DELETE FROM sessions WHERE expires_at < $1",
        ] {
            sql::query(statement)
                .bind(ms(before))
                .execute(self)
                .await
                .map_err(failed("delete old sessions"))?;
        }
        Ok(())
    }
}

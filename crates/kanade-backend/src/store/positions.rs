//! How far each stream was stored, what was evicted before, and what could not be read.
//!
//! **Invariant:** a position is written in the transaction that stores what came before it.

use chrono::{DateTime, Utc};

use super::convert::{count, integer, ms};
use super::sql::{self, QueryBuilder};
use super::{ROWS_PER_STATEMENT, StoreError, Tx, failed};

/// Bytes of a dead letter's payload that are kept.
const HEAD_BYTES: usize = 1024;

/// The last message of a stream that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Its sequence.
    pub sequence: u64,
    /// When the broker stored it, in nanoseconds of unix time.
    pub at_ns: i64,
    /// SHA-256 of its payload.
    pub hash: Vec<u8>,
}

/// A message that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its stream; empty for a core subject.
    pub stream: &'static str,
    /// Its sequence there.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// Why it could not be read: one sentence.
    pub reason: String,
    /// The beginning of its payload, as text.
    pub payload_head: String,
    /// Size of its payload, in bytes.
    pub size_bytes: u64,
}

impl DeadLetter {
    /// The record of a message that cannot be read for this reason.
    #[must_use]
    pub fn new(
        stream: &'static str,
        sequence: u64,
        subject: &str,
        reason: impl Into<String>,
        payload: &[u8],
    ) -> Self {
        let head = payload.get(..HEAD_BYTES).unwrap_or(payload);
        Self {
            stream,
            sequence,
            subject: subject.chars().take(256).collect(),
            reason: reason.into(),
            payload_head: String::from_utf8_lossy(head).into_owned(),
            size_bytes: payload.len() as u64,
        }
    }
}

impl Tx {
    /// How far `stream` was stored.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn position_find(&mut self, stream: &str) -> Result<Option<Position>, StoreError> {
        let row = sql::query("SELECT sequence, at, hash FROM positions WHERE stream = $1")
            .bind(stream)
            .fetch_optional(self)
            .await
            .map_err(failed("read a position"))?;
        Ok(row.map(|row| Position {
            sequence: count(row.get("sequence")),
            at_ns: row.get("at"),
            hash: row.get("hash"),
        }))
    }

    /// Notes how far `stream` is stored.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn position_set(
        &mut self,
        stream: &str,
        position: &Position,
    ) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO positions (stream, sequence, at, hash) VALUES ($1, $2, $3, $4)
             ON CONFLICT (stream) DO UPDATE
             SET sequence = excluded.sequence, at = excluded.at, hash = excluded.hash",
        )
        .bind(stream)
        .bind(integer(position.sequence))
        .bind(position.at_ns)
        .bind(&position.hash)
        .execute(self)
        .await
        .map_err(failed("store a position"))?;
        Ok(())
    }

    /// Forgets how far `stream` was stored, so that it is read again from its first message,
    /// which is `first`; dead letters that will be found again go.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn position_clear(&mut self, stream: &str, first: u64) -> Result<(), StoreError> {
        sql::query("DELETE FROM dead_letters WHERE stream = $1 AND sequence >= $2")
            .bind(stream)
            .bind(integer(first))
            .execute(self)
            .await
            .map_err(failed("clear a position"))?;
        sql::query("DELETE FROM positions WHERE stream = $1")
            .bind(stream)
            .execute(self)
            .await
            .map_err(failed("clear a position"))?;
        Ok(())
    }

    /// Records that messages `first` to `last` of `stream` were evicted before they were stored.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn gap_insert(
        &mut self,
        stream: &str,
        first: u64,
        last: u64,
    ) -> Result<(), StoreError> {
        let at = ms(self.now());
        sql::query("INSERT INTO gaps (stream, first, last, at) VALUES ($1, $2, $3, $4)")
            .bind(stream)
            .bind(integer(first))
            .bind(integer(last))
            .bind(at)
            .execute(self)
            .await
            .map_err(failed("record a gap"))?;
        Ok(())
    }

    /// Puts messages aside that could not be read.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn dead_letters_insert(&mut self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let at = ms(self.now());
        for letters in letters.chunks(ROWS_PER_STATEMENT) {
            let mut insert = QueryBuilder::new(
                "INSERT INTO dead_letters
                 (stream, sequence, subject, reason, payload_head, size_bytes, at) ",
            );
            insert.push_values(letters, |mut row, letter| {
                row.push_bind(letter.stream)
                    .push_bind(integer(letter.sequence))
                    .push_bind(letter.subject.clone())
                    .push_bind(letter.reason.clone())
                    .push_bind(letter.payload_head.clone())
                    .push_bind(integer(letter.size_bytes))
                    .push_bind(at);
            });
            insert
                .build()
                .execute(self)
                .await
                .map_err(failed("put a message aside"))?;
        }
        Ok(())
    }

    /// Deletes dead letters and gaps from before `before`, and dead letters beyond the newest
    /// `keep`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn dead_letters_prune(
        &mut self,
        before: DateTime<Utc>,
        keep: u32,
    ) -> Result<u64, StoreError> {
        let pruned = sql::query(
            "DELETE FROM dead_letters WHERE dead_letter_id <=
               (SELECT MAX(dead_letter_id) FROM dead_letters) - $1 OR at < $2",
        )
        .bind(keep)
        .bind(ms(before))
        .execute(self)
        .await
        .map_err(failed("prune dead letters"))?;
        sql::query("DELETE FROM gaps WHERE at < $1")
            .bind(ms(before))
            .execute(self)
            .await
            .map_err(failed("prune gaps"))?;
        Ok(pruned.rows_affected())
    }
}

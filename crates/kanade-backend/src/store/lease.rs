//! The lease: which backend may write to a PostgreSQL that several can reach.
//!
//! One row says who holds it, with a token that grows with every change of hands, and until when,
//! by the database's own clock. Every writing transaction first locks that row and compares the
//! token with its own ([`Lease::check`]), so writes of a backend that was overtaken are refused
//! however long it slept; the lock makes one who takes over wait for a transaction in progress.
//! The end is moved on by [`Lease::renew`], in every transaction that comes a while after the last.
//!
//! A backend that was killed and comes back takes its own lease at once: it is known by a name in
//! its data folder, which a lock keeps for one process.
//!
//! **Invariant:** a token never comes twice, so a backend that lost the lease knows it for sure.
//! **Invariant:** an end that has passed takes nothing away: only somebody else's token does.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::sql::{self, Conn};
use super::{StoreError, failed};

/// How long it is held without a renewal.
const TTL: Duration = Duration::from_secs(10);

/// How often it is renewed by itself.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(3);

/// Most time between two looks at a lease that somebody else has.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Who this backend is, and that it is the only one of its data folder.
pub(super) struct Identity {
    id: String,
    file: File,
}

impl Identity {
    /// Reads or makes the name in this folder, and locks it.
    pub(super) fn of(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("backend.id");
        let open = |source: std::io::Error| StoreError::Open {
            database: path.display().to_string(),
            source: Box::new(source),
        };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(open)?;
        super::take_lock(&file, &path.display().to_string())?;
        let mut id = String::new();
        file.read_to_string(&mut id).map_err(open)?;
        if id.trim().is_empty() {
            id = uuid::Uuid::now_v7().simple().to_string();
            file.rewind().map_err(open)?;
            file.write_all(id.as_bytes()).map_err(open)?;
            file.sync_all().map_err(open)?;
        }
        let id = id.trim().to_owned();
        Ok(Self { id, file })
    }
}

/// The lease that this backend took.
pub(super) struct Lease {
    token: i64,
    began: Instant,
    /// Milliseconds after `began` of the last renewal.
    renewed_ms: AtomicI64,
    lost: CancellationToken,
    /// Who has it now, once it is lost.
    taken_by: OnceLock<String>,
    _lock: File,
}

impl Lease {
    /// Takes it; waits while somebody else holds it.
    pub(super) async fn take(writer: &PgPool, identity: Identity) -> Result<Self, StoreError> {
        let place = format!(
            "{}, process {}",
            sysinfo::System::host_name().unwrap_or_else(|_| "an unnamed machine".to_owned()),
            std::process::id()
        );
        let mut told = false;
        loop {
            // One that is locked is in use by a transaction, which the server ends when it hangs.
            let token: Option<i64> = sqlx::query_scalar(
                "UPDATE lease SET holder = $1, place = $2, token = token + 1,
                   expires_at = clock_timestamp() + $3 * interval '1 millisecond'
                 WHERE only_row = (SELECT only_row FROM lease
                   WHERE expires_at < clock_timestamp() OR holder = $1
                   FOR UPDATE SKIP LOCKED) RETURNING token",
            )
            .bind(&identity.id)
            .bind(&place)
            .bind(millis(TTL))
            .fetch_optional(writer)
            .await
            .map_err(failed("take the lease"))?;
            if let Some(token) = token {
                tracing::info!(token, "this backend has the lease of the database");
                return Ok(Self {
                    token,
                    began: Instant::now(),
                    renewed_ms: AtomicI64::new(0),
                    lost: CancellationToken::new(),
                    taken_by: OnceLock::new(),
                    _lock: identity.file,
                });
            }
            if !told {
                let holder = holder(writer).await?;
                tracing::warn!(
                    holder,
                    "another backend has the lease of the database; this one waits for it"
                );
                told = true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Locks the lease for this transaction.
    pub(super) async fn check(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let row = sql::query("SELECT token, place FROM lease FOR UPDATE")
            .fetch_one(conn)
            .await
            .map_err(failed("look at the lease"))?;
        if row.get::<i64, _>("token") == self.token {
            return Ok(());
        }
        let holder: String = row.get("place");
        self.taken_by.set(holder.clone()).ok();
        self.lost.cancel();
        Err(StoreError::TakenOver { holder })
    }

    /// Why this backend may not write any more, when another one has taken over.
    pub(super) fn taken_over(&self) -> Option<StoreError> {
        let holder = self.taken_by.get()?.clone();
        Some(StoreError::TakenOver { holder })
    }

    /// Moves its end on, in a transaction that has it locked, when it is time to.
    pub(super) async fn renew(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let at = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        if at - self.renewed_ms.load(Ordering::Relaxed) < millis(RENEW_EVERY) / 2 {
            return Ok(());
        }
        sql::query(
            "UPDATE lease SET expires_at = clock_timestamp() + $1 * interval '1 millisecond'",
        )
        .bind(millis(TTL))
        .execute(conn)
        .await
        .map_err(failed("renew the lease"))?;
        self.renewed_ms.store(at, Ordering::Relaxed);
        Ok(())
    }

    /// Lets the next one have it at once.
    pub(super) async fn give_back(&self, writer: &PgPool) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE lease SET expires_at = '-infinity' WHERE token = $1")
            .bind(self.token)
            .execute(writer)
            .await?;
        Ok(())
    }

    /// Cancelled when it is known that another backend has it.
    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }
}

async fn holder(writer: &PgPool) -> Result<String, StoreError> {
    sqlx::query_scalar("SELECT place FROM lease")
        .fetch_one(writer)
        .await
        .map_err(failed("look at the lease"))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

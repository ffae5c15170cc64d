//! The database: the only place with SQL.
//!
//! SQLite in one file, or PostgreSQL; there is one copy of each statement (see [`sql`]). Writes go
//! through one connection ([`Store::begin`]), reads through a small pool that sees the last
//! committed state. A resource has the same file name here as in `fleet/`; a method says the noun
//! first. Methods of [`Store`] read the last committed state, methods of [`Tx`] work inside the
//! caller's transaction.
//!
//! **Invariant:** no rule of the fleet is in SQL; statements select, insert, update and delete.
//! **Invariant:** whatever is done for many rows is a statement of many rows.
//! **Invariant:** one backend writes: a lock file beside SQLite's refuses the second, and a lease
//! in PostgreSQL lets it wait (see [`lease`]).

pub mod agents;
pub mod audit;
pub mod commands;
pub mod convert;
mod error;
pub mod execs;
pub mod groups;
pub mod intake;
pub mod jobs;
pub mod joins;
mod lease;
pub mod page;
pub mod positions;
mod postgres;
pub mod presence;
pub mod published;
pub mod queue;
pub mod received;
pub mod recovery;
pub mod requests;
pub mod results;
pub mod scopes;
pub mod sessions;
mod sql;
mod sqlite;
pub mod sweep;
pub mod system;
pub mod targets;
mod tx;

use std::fmt;
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::{PgPool, SqlitePool};
use tokio_util::sync::CancellationToken;

pub use error::StoreError;
pub(crate) use error::failed;
pub use postgres::PostgresPlace;
pub use sql::Conn;
pub use tx::Tx;

use lease::Lease;

/// For the log's filter: what a server says by the way, such as that a table is there already.
pub const SMALL_TALK: &str = "sqlx::postgres::notice=warn";

/// Connections that only read.
const READERS: u32 = 4;
/// Rows that one statement of many rows has at most, so that its variables stay under SQLite's
/// limit of 32,766 and it is worth keeping prepared.
pub(crate) const ROWS_PER_STATEMENT: usize = 500;

/// Which database, and where.
#[derive(Debug, Clone)]
pub enum Place {
    /// SQLite in this file.
    Sqlite(PathBuf),
    /// A PostgreSQL.
    Postgres(Box<PostgresPlace>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(place) => write!(f, "{place}"),
        }
    }
}

/// The database; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    pools: Pools,
    what: String,
}

enum Pools {
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
        /// Held as long as the store lives.
        _lock: File,
    },
    Postgres {
        writer: PgPool,
        readers: PgPool,
        lease: Arc<Lease>,
    },
}

/// A connection that reads the last committed state.
pub(crate) struct Reader(Conn);

impl Deref for Reader {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}

impl Store {
    /// Opens the SQLite database in this file, makes it where there is none, and brings it up to
    /// date.
    ///
    /// # Errors
    /// [`StoreError`] says whether another backend has it, it cannot be opened, or a migration
    /// failed.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_at(&Place::Sqlite(path.to_owned())).await
    }

    /// Opens a database, makes what is missing in it, and brings it up to date. While another
    /// backend has the lease of a PostgreSQL, this waits.
    ///
    /// # Errors
    /// [`StoreError`] says whether another backend has it, it cannot be opened, or a migration
    /// failed.
    pub async fn open_at(place: &Place) -> Result<Self, StoreError> {
        let (pools, what) = match place {
            Place::Sqlite(path) => {
                let opened = sqlite::open(path).await?;
                let pools = Pools::Sqlite {
                    writer: opened.writer,
                    readers: opened.readers,
                    _lock: opened.lock,
                };
                (pools, format!("SQLite, {place}"))
            }
            Place::Postgres(postgres) => {
                let opened = postgres::open(postgres).await?;
                let what = format!("PostgreSQL {}, {place}", opened.version);
                let pools = Pools::Postgres {
                    writer: opened.writer,
                    readers: opened.readers,
                    lease: Arc::new(opened.lease),
                };
                (pools, what)
            }
        };
        let store = Self(Arc::new(Inner { pools, what }));
        store.identify().await?;
        Ok(store)
    }

    /// Begins the one transaction that may write; waits for the one before it.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer, or another backend has taken over.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        match &self.0.pools {
            Pools::Sqlite { writer, .. } => Tx::begin_sqlite(writer).await,
            Pools::Postgres { writer, lease, .. } => Tx::begin_postgres(writer, lease).await,
        }
    }

    /// A connection that reads the last committed state.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub(crate) async fn read(&self) -> Result<Reader, StoreError> {
        let conn = match &self.0.pools {
            Pools::Sqlite { readers, .. } => readers.acquire().await.map(Conn::Sqlite),
            Pools::Postgres { readers, .. } => readers.acquire().await.map(Conn::Postgres),
        };
        conn.map(Reader).map_err(failed("read"))
    }

    /// Which database this is, and where, for people: `SQLite, /var/lib/kanade/kanade.db`.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Number of the last committed change.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn last_change(&self) -> Result<u64, StoreError> {
        let mut conn = self.read().await?;
        tx::last_change(&mut conn).await
    }

    /// Keeps the right to write; returns when another backend has taken it over. There is nothing
    /// to keep with SQLite.
    pub async fn keep_lease(&self) {
        let Pools::Postgres { lease, .. } = &self.0.pools else {
            return std::future::pending().await;
        };
        let lost = lease.lost();
        let mut told = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(lease::RENEW_EVERY) => {}
                () = lost.cancelled() => return,
            }
            match self.renew().await {
                Ok(()) if told => {
                    tracing::info!("the database answers again");
                    told = false;
                }
                Err(error) if !told && !lost.is_cancelled() => {
                    let error = crate::tasks::chain(&error);
                    tracing::warn!(error, "the lease of the database could not be renewed");
                    told = true;
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    async fn renew(&self) -> Result<(), StoreError> {
        self.begin().await?.renew().await
    }

    /// Cancelled when another backend has taken over the right to write: then this one has to end.
    #[must_use]
    pub fn lost(&self) -> CancellationToken {
        match &self.0.pools {
            Pools::Sqlite { .. } => CancellationToken::new(),
            Pools::Postgres { lease, .. } => lease.lost(),
        }
    }

    /// Why this backend may not write any more, when another one has taken over.
    #[must_use]
    pub fn taken_over(&self) -> Option<StoreError> {
        match &self.0.pools {
            Pools::Sqlite { .. } => None,
            Pools::Postgres { lease, .. } => lease.taken_over(),
        }
    }

    /// Closes all connections, after their statements have ended.
    pub async fn close(&self) {
        match &self.0.pools {
            Pools::Sqlite {
                writer, readers, ..
            } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres {
                writer,
                readers,
                lease,
            } => postgres::close(writer, readers, lease).await,
        }
    }

    /// Gives a new database a name of its own.
    async fn identify(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if tx.meta("store_id").await?.is_none() {
            let id = uuid::Uuid::now_v7().simple().to_string();
            tx.set_meta("store_id", &id).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Locks a file for this process, however it ends.
fn take_lock(file: &File, database: &str) -> Result<(), StoreError> {
    let database = database.to_owned();
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse { database }),
        Err(std::fs::TryLockError::Error(source)) => Err(StoreError::Open {
            database,
            source: Box::new(source),
        }),
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! The database: the only place with SQL.
//!
//! One file, SQLite in WAL mode with `synchronous = FULL`. Writes go through one connection
//! ([`Store::begin`]), reads through a small pool that sees the last committed state. A resource
//! has the same file name here as in `fleet/`; a method says the noun first. Methods of [`Store`]
//! read the last committed state, methods of [`Tx`] work inside the caller's transaction.
//!
//! **Invariant:** no rule of the fleet is in SQL; statements select, insert, update and delete.
//! **Invariant:** whatever is done for many rows is a statement of many rows.
//! **Invariant:** one backend per file; a lock file beside it refuses the second.

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
pub mod page;
pub mod positions;
pub mod presence;
pub mod published;
pub mod received;
pub mod recovery;
pub mod requests;
pub mod results;
pub mod scopes;
pub mod sessions;
pub mod sweep;
pub mod system;
pub mod targets;
mod tx;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{Connection, Sqlite};

pub use error::StoreError;
pub(crate) use error::failed;
pub use tx::Tx;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// Connections that only read.
const READERS: u32 = 4;
/// Rows that one statement of many rows has at most, so that its variables stay under SQLite's
/// limit of 32,766 and it is worth keeping prepared.
pub(crate) const ROWS_PER_STATEMENT: usize = 500;

/// The database; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    writer: SqlitePool,
    readers: SqlitePool,
    path: PathBuf,
    /// Held as long as the store lives.
    _lock: File,
}

impl Store {
    /// Opens the database in this file, makes it where there is none, and brings it up to date.
    ///
    /// # Errors
    /// [`StoreError`] says whether another backend has it, it cannot be opened, or a migration
    /// failed.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let open = |source: sqlx::Error| StoreError::Open {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(200)
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", "-32768");
        let writer = pool(1)
            .before_acquire(|connection, _| {
                // SQLite itself undoes a transaction that finds no room; the library then counts
                // it as open for ever, so the connection is of no more use.
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            })
            .connect_with(options.clone())
            .await
            .map_err(open)?;
        MIGRATIONS
            .run(&writer)
            .await
            .map_err(|source| StoreError::Migrate {
                path: path.to_owned(),
                source: Box::new(source),
            })?;
        let reading = options
            .read_only(true)
            .create_if_missing(false)
            .pragma("cache_size", "-8192");
        let readers = pool(READERS).connect_with(reading).await.map_err(open)?;
        let store = Self(Arc::new(Inner {
            writer,
            readers,
            path: path.to_owned(),
            _lock: lock,
        }));
        store.identify().await?;
        Ok(store)
    }

    /// Begins the one transaction that may write; waits for the one before it.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Tx::begin(&self.0.writer).await
    }

    /// A connection that reads the last committed state.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn read(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.0.readers.acquire().await.map_err(failed("read"))
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Number of the last committed change.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn last_change(&self) -> Result<u64, StoreError> {
        let mut conn = self.read().await?;
        tx::last_change(&mut conn).await
    }

    /// Closes all connections, after their statements have ended.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
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

fn pool(connections: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(30))
        .test_before_acquire(false)
}

/// Takes the lock file beside the database; the lock goes with the process, however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let open = |source: std::io::Error| StoreError::Open {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse {
            path: path.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(source)) => Err(open(source)),
    }
}

#[cfg(test)]
mod tests;

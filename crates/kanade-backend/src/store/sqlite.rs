//! Opening SQLite: one file in WAL mode, synced at every commit, and locked for one backend.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use sqlx::Sqlite;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};

use super::{READERS, StoreError};

pub(super) static MIGRATIONS: sqlx::migrate::Migrator =
    sqlx::migrate!("src/store/migrations/sqlite");

/// What is open of a SQLite.
pub(super) struct Opened {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    pub(super) lock: File,
}

/// Opens the database in this file, makes it where there is none, and brings it up to date.
pub(super) async fn open(path: &Path) -> Result<Opened, StoreError> {
    let lock = lock(path)?;
    let open = |source: sqlx::Error| StoreError::Open {
        database: path.display().to_string(),
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
            let usable = !sqlx::Connection::is_in_transaction(connection);
            Box::pin(async move { Ok(usable) })
        })
        .connect_with(options.clone())
        .await
        .map_err(open)?;
    MIGRATIONS
        .run(&writer)
        .await
        .map_err(|source| StoreError::Migrate {
            database: path.display().to_string(),
            source: Box::new(source),
        })?;
    let reading = options
        .read_only(true)
        .create_if_missing(false)
        .pragma("cache_size", "-8192");
    let readers = pool(READERS).connect_with(reading).await.map_err(open)?;
    Ok(Opened {
        writer,
        readers,
        lock,
    })
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
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(|source| StoreError::Open {
            database: path.display().to_string(),
            source: Box::new(source),
        })?;
    super::take_lock(&file, &path.display().to_string())?;
    Ok(file)
}

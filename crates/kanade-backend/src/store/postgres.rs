//! Opening PostgreSQL: where it is, how it is reached, its version, its migrations, its lease.
//!
//! A server on this machine is reached with TLS where it offers it; one elsewhere must prove with
//! a certificate that it is the one, unless the address says otherwise by `sslmode`.
//!
//! **Invariant:** a password is in no text that anybody sees.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgSslMode};
use sqlx::{Connection as _, Executor as _, Postgres};

use super::lease::Lease;
use super::{READERS, StoreError, failed};

pub(super) static MIGRATIONS: sqlx::migrate::Migrator =
    sqlx::migrate!("src/store/migrations/postgres");

/// Oldest version that is tested: 14.
const OLDEST: i32 = 140_000;

/// How long a start waits for a server that does not answer.
const START_TIME: Duration = Duration::from_secs(30);

/// Said to the server on every connection. A transaction whose backend is gone must end, since
/// another waits for what it has locked. Statements as short as ours are not worth compiling, and
/// which index is best depends on what is looked for.
const SESSION: &str = "SET idle_in_transaction_session_timeout = '15s'; SET jit = off; \
     SET plan_cache_mode = force_custom_plan";

/// Where a PostgreSQL is, and as whom it is opened.
#[derive(Clone)]
pub struct PostgresPlace {
    options: PgConnectOptions,
    shown: String,
    folder: PathBuf,
}

impl PostgresPlace {
    /// Reads `postgres://user@host:port/database`; `password` counts more than one in the
    /// address. `folder` is of this backend alone: it keeps there who it is.
    ///
    /// # Errors
    /// What is wrong with the address, as the end of a sentence.
    pub fn parse(url: &str, password: Option<&str>, folder: &Path) -> Result<Self, String> {
        let mut options = PgConnectOptions::from_str(url)
            .map_err(|error| format!("is no address of a database: {error}"))?
            .application_name("kanade-backend")
            .statement_cache_capacity(300);
        if let Some(password) = password {
            options = options.password(password);
        }
        if options.get_database().is_none() {
            return Err("names no database; it is like `postgres://user@host/database`".to_owned());
        }
        if !url.contains("sslmode=") && !url.contains("ssl-mode=") {
            let here = options.get_socket().is_some() || is_this_machine(options.get_host());
            options = options.ssl_mode(if here {
                PgSslMode::Prefer
            } else {
                PgSslMode::VerifyFull
            });
        }
        let shown = format!(
            "postgres://{}@{}:{}/{}",
            options.get_username(),
            options.get_socket().map_or_else(
                || options.get_host().to_owned(),
                |path| path.display().to_string()
            ),
            options.get_port(),
            options.get_database().unwrap_or_default(),
        );
        Ok(Self {
            options,
            shown,
            folder: folder.to_owned(),
        })
    }

    /// How it is connected to.
    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Folder of this backend alone.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl fmt::Display for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// What is open of a PostgreSQL.
pub(super) struct Opened {
    pub(super) writer: PgPool,
    pub(super) readers: PgPool,
    pub(super) lease: Lease,
    pub(super) version: String,
}

/// Connects, waits for the lease, and brings the database up to date.
pub(super) async fn open(place: &PostgresPlace) -> Result<Opened, StoreError> {
    let open = |source: sqlx::Error| StoreError::Open {
        database: place.to_string(),
        source: Box::new(source),
    };
    let identity = super::lease::Identity::of(place.folder())?;
    reach(place).await.map_err(open)?;
    let writer = pool(1, Duration::from_secs(30))
        .connect_with(place.options())
        .await
        .map_err(open)?;
    let (number, version): (i32, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
    )
    .fetch_one(&writer)
    .await
    .map_err(open)?;
    if number < OLDEST {
        return Err(StoreError::Old {
            database: place.to_string(),
            version,
        });
    }
    // Whoever has the lease of a database that is there may be at work in it.
    let made: bool = sqlx::query_scalar("SELECT to_regclass('lease') IS NOT NULL")
        .fetch_one(&writer)
        .await
        .map_err(open)?;
    let migrate = async || {
        MIGRATIONS
            .run(&writer)
            .await
            .map_err(|source| StoreError::Migrate {
                database: place.to_string(),
                source: Box::new(source),
            })
    };
    if !made {
        migrate().await?;
    }
    let lease = Lease::take(&writer, identity).await?;
    if made {
        migrate().await?;
    }
    let readers = pool(2 * READERS, Duration::from_secs(5))
        .connect_with(place.options())
        .await
        .map_err(open)?;
    Ok(Opened {
        writer,
        readers,
        lease,
        version,
    })
}

/// Waits a while for a server that is not up yet, such as when the machine starts.
async fn reach(place: &PostgresPlace) -> Result<(), sqlx::Error> {
    let end = tokio::time::Instant::now() + START_TIME;
    let mut told = false;
    loop {
        let error = match PgConnection::connect_with(&place.options).await {
            Ok(connection) => return connection.close().await,
            Err(error) => error,
        };
        let starting = super::error::is_away(&error) && !matches!(error, sqlx::Error::Tls(_));
        if !starting || tokio::time::Instant::now() >= end {
            return Err(error);
        }
        if !told {
            tracing::warn!(%error, database = %place, "the database does not answer yet");
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A connection that the server has closed is found out before it is given to anybody.
fn pool(connections: u32, wait: Duration) -> PoolOptions<Postgres> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(wait)
        .test_before_acquire(true)
        .after_connect(|connection: &mut PgConnection, _| {
            Box::pin(async move {
                connection.execute(SESSION).await?;
                Ok(())
            })
        })
}

/// Gives the lease back, so that whoever waits need not wait for its end.
pub(super) async fn close(writer: &PgPool, readers: &PgPool, lease: &Lease) {
    if let Err(error) = lease
        .give_back(writer)
        .await
        .map_err(failed("give back the lease"))
    {
        tracing::debug!(%error, "the next backend waits until the lease has ended");
    }
    readers.close().await;
    writer.close().await;
}

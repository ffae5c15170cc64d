//! What can go wrong with the database.
//!
//! A text names the operation; what the database itself said is the source. A full disk has a
//! variant of its own, since it is the one that passes when somebody makes room.

/// The database could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be opened.
    #[error("could not open the database {database}")]
    Open {
        /// Where it is.
        database: String,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another backend has it.
    #[error("the database {database} is in use by another backend")]
    InUse {
        /// Where it is.
        database: String,
    },
    /// A PostgreSQL that is older than any that was tried.
    #[error("the database {database} is PostgreSQL {version}, which is older than 14")]
    Old {
        /// Where it is.
        database: String,
        /// Its version.
        version: String,
    },
    /// Another backend holds the lease now; nothing was stored.
    #[error("the database was taken over by another backend ({holder})")]
    TakenOver {
        /// Machine and process of the other one.
        holder: String,
    },
    /// It was made by a newer backend, or a migration failed.
    #[error("could not bring the database {database} up to date")]
    Migrate {
        /// Where it is.
        database: String,
        /// What the database said.
        #[source]
        source: Box<sqlx::migrate::MigrateError>,
    },
    /// There is no room for the change; nothing of it was stored.
    #[error("could not {operation}: the disk of the database is full")]
    Full {
        /// What was tried.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// The database cannot be reached, or went away; whether a commit that was on its way was
    /// stored is not known.
    #[error("could not {operation}: the database does not answer")]
    Away {
        /// What was tried.
        operation: &'static str,
        /// What the connection said.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// Anything else that the database said.
    #[error("could not {operation} in the database")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// A value in the database is not one that this version writes.
    #[error("column {column} of the database holds `{value}`, which this version cannot read")]
    Value {
        /// Table and column.
        column: &'static str,
        /// What is there, cut for display.
        value: String,
    },
}

/// No room, in SQLite's words: SQLITE_FULL, and a write, a truncation or a flush that failed; then
/// in PostgreSQL's.
const NO_ROOM: [&str; 5] = ["13", "778", "1034", "1546", "53100"];

/// PostgreSQL ends the connection: it stops, starts, was told to, or has too many of them.
const AWAY: [&str; 7] = [
    "57P01", "57P02", "57P03", "57P05", "25P03", "53300", "08006",
];

impl StoreError {
    /// Stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "store.open",
            Self::InUse { .. } => "store.in_use",
            Self::Old { .. } => "store.old",
            Self::TakenOver { .. } => "store.taken_over",
            Self::Migrate { .. } => "store.migrate",
            Self::Full { .. } => "store.full",
            Self::Away { .. } => "store.away",
            Self::Failed { .. } => "store.failed",
            Self::Value { .. } => "store.value",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::InUse { .. } => Some("stop the other backend, or use another data folder"),
            Self::Old { .. } => Some("use PostgreSQL 14 or newer"),
            Self::TakenOver { .. } => Some(
                "nothing, if another one is meant to serve: this one ends, and waits for its \
                 turn when it is started again",
            ),
            Self::Full { .. } => Some("make room on the disk; what waits goes on by itself"),
            Self::Away { .. } => Some("start the database; what waits goes on by itself"),
            Self::Migrate { .. } => Some("start the version of kanade-backend that made it"),
            Self::Open { source, .. } => Some(help_to_open(source.downcast_ref())),
            Self::Failed { .. } | Self::Value { .. } => None,
        }
    }

    /// Whether SQLite says that the file is none of its own, or is broken.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        let source = match self {
            Self::Open { source, .. } => source.downcast_ref::<sqlx::Error>(),
            Self::Migrate { source, .. } => {
                if let Execute(source) | ExecuteMigration(source, _) = &**source {
                    Some(source)
                } else {
                    None
                }
            }
            Self::Full { source, .. } | Self::Away { source, .. } | Self::Failed { source, .. } => {
                Some(&**source)
            }
            Self::InUse { .. } | Self::Old { .. } | Self::TakenOver { .. } | Self::Value { .. } => {
                None
            }
        };
        let code = source
            .and_then(code)
            .and_then(|code| code.parse::<u32>().ok());
        // SQLITE_CORRUPT and SQLITE_NOTADB; what is above the low byte says more of the same.
        // PostgreSQL's codes have five digits.
        code.is_some_and(|code| code < 10_000 && matches!(code & 0xff, 11 | 26))
    }

    /// Whether the same may work a while later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Full { .. } | Self::Away { .. } | Self::TakenOver { .. }
        )
    }

    /// A column that cannot be read.
    pub(crate) fn value(column: &'static str, value: impl std::fmt::Display) -> Self {
        let value = value.to_string().chars().take(80).collect();
        Self::Value { column, value }
    }
}

/// What to do about a database that cannot be opened.
fn help_to_open(source: Option<&sqlx::Error>) -> &'static str {
    match source {
        Some(sqlx::Error::Tls(_)) => {
            "name the server's authority by `sslrootcert=FILE` in `database.url`, or lower \
             `sslmode` where the network is trusted"
        }
        Some(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => {
            "start the database, or set `database.url` to where it is"
        }
        Some(error) => match code(error).as_deref() {
            Some("28P01" | "28000") => {
                "check the user in `database.url`, and set `database.password_file` or \
                 KANADE_DATABASE__PASSWORD"
            }
            Some("3D000") => "make it: `CREATE DATABASE kanade OWNER kanade`",
            Some("42501") => "make the user the owner of the database",
            _ => "check that the folder exists and may be written",
        },
        None => "check that the folder exists and may be written",
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the database is not there, or not now.
pub(super) fn is_away(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Tls};
    matches!(error, Io(_) | PoolClosed | PoolTimedOut | Tls(_))
        || code(error).is_some_and(|code| AWAY.contains(&code.as_str()))
}

/// Names the operation of an error: `.map_err(failed("list agents"))`.
pub(crate) fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| {
        let full = code(&source).is_some_and(|code| NO_ROOM.contains(&code.as_str()));
        let away = is_away(&source);
        let source = Box::new(source);
        if full {
            StoreError::Full { operation, source }
        } else if away {
            StoreError::Away { operation, source }
        } else {
            StoreError::Failed { operation, source }
        }
    }
}

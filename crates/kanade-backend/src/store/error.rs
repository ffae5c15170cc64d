//! What can go wrong with the database.
//!
//! A text names the operation; what the database itself said is the source. A full disk has a
//! variant of its own, since it is the one that passes when somebody makes room.

use std::path::PathBuf;

/// The database could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be opened.
    #[error("could not open the database {path}")]
    Open {
        /// Its file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another backend has it.
    #[error("the database {path} is in use by another backend")]
    InUse {
        /// Its file.
        path: PathBuf,
    },
    /// It was made by a newer backend, or a migration failed.
    #[error("could not bring the database {path} up to date")]
    Migrate {
        /// Its file.
        path: PathBuf,
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

/// No room, in SQLite's words: SQLITE_FULL, and a write, a truncation or a flush that failed.
const NO_ROOM: [&str; 4] = ["13", "778", "1034", "1546"];

impl StoreError {
    /// Stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "store.open",
            Self::InUse { .. } => "store.in_use",
            Self::Migrate { .. } => "store.migrate",
            Self::Full { .. } => "store.full",
            Self::Failed { .. } => "store.failed",
            Self::Value { .. } => "store.value",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::InUse { .. } => Some("stop the other backend, or use another data folder"),
            Self::Full { .. } => Some("make room on the disk; what waits goes on by itself"),
            Self::Migrate { .. } => Some("start the version of kanade-backend that made it"),
            Self::Open { .. } => Some("check that the folder exists and may be written"),
            Self::Failed { .. } | Self::Value { .. } => None,
        }
    }

    /// A column that cannot be read.
    pub(crate) fn value(column: &'static str, value: impl std::fmt::Display) -> Self {
        let value = value.to_string().chars().take(80).collect();
        Self::Value { column, value }
    }
}

/// Names the operation of an error: `.map_err(failed("list agents"))`.
pub(crate) fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| {
        let code = source.as_database_error().and_then(|error| error.code());
        let full = code.is_some_and(|code| NO_ROOM.contains(&code.as_ref()));
        let source = Box::new(source);
        if full {
            StoreError::Full { operation, source }
        } else {
            StoreError::Failed { operation, source }
        }
    }
}

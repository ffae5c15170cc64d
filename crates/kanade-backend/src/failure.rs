//! What the program says when it cannot go on, and the code it ends with.
//!
//! One sentence, its causes, and what to do: `error: …`, `  why: …`, `  try: …`.

use std::error::Error;
use std::process::ExitCode;

use crate::api::{ListenError, causes};
use crate::broker::BrokerError;
use crate::config::ConfigError;
use crate::secrets::SecretsError;
use crate::store::StoreError;
use kanade_shared::bootstrap::BootstrapError;

/// Why the program ends.
#[derive(Debug)]
pub struct Failure {
    error: Box<dyn Error + Send + Sync>,
    help: Option<String>,
    exit: u8,
}

/// It did not work.
const FAILED: u8 = 1;
/// What was given cannot be used.
const USAGE: u8 = 2;
/// The broker cannot be reached.
const UNREACHABLE: u8 = 6;
/// What is there differs from what should be.
pub(crate) const DIFFERS: u8 = 7;

impl Failure {
    pub(crate) fn new(
        error: impl Into<Box<dyn Error + Send + Sync>>,
        help: Option<String>,
    ) -> Self {
        Self {
            error: error.into(),
            help,
            exit: FAILED,
        }
    }

    /// The code that the shell sees.
    #[must_use]
    pub fn exit(&self) -> ExitCode {
        ExitCode::from(self.exit)
    }

    /// Everything to say, for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("error: {}", self.error);
        for cause in causes(&*self.error) {
            text.push_str(&format!("\n  why: {cause}"));
        }
        if let Some(help) = &self.help {
            text.push_str(&format!("\n  try: {help}"));
        }
        text
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self {
            exit: USAGE,
            ..Self::new(error, None)
        }
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        let help = error.help().to_owned();
        Self::new(error, Some(help))
    }
}

impl From<SecretsError> for Failure {
    fn from(error: SecretsError) -> Self {
        let help = error.help().to_owned();
        Self::new(error, Some(help))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let help = match error.is_damaged() {
            true => Some(DAMAGED_DATABASE),
            false => error.help(),
        };
        let help = help.map(str::to_owned);
        Self::new(error, help)
    }
}

/// The next step with a database that SQLite cannot read.
const DAMAGED_DATABASE: &str = "put the file back from a backup, or move it away with its `-wal` \
     and `-shm`: a new one takes over what the broker still has";

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        let help = error.help().to_owned();
        Self::new(error, Some(help))
    }
}

impl From<BootstrapError> for Failure {
    fn from(error: BootstrapError) -> Self {
        let unreachable = matches!(error, BootstrapError::Unreachable { .. });
        let exit = if unreachable { UNREACHABLE } else { FAILED };
        let help = error.help();
        Self {
            exit,
            ..Self::new(error, Some(help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_file_that_is_no_database_is_to_be_put_back_or_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kanade.db");
        std::fs::write(
            &file,
            "not a database, and long enough to be read ".repeat(100),
        )
        .unwrap();
        let error = Store::open(&file).await.err().unwrap();
        let text = Failure::from(error).text();
        assert!(
            text.contains("try: put the file back from a backup"),
            "{text}"
        );

        let error = Store::open(&folder.path().join("no/such/kanade.db")).await;
        let text = Failure::from(error.err().unwrap()).text();
        assert!(text.contains("try: check that the folder exists"), "{text}");
    }
}

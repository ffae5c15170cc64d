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
        let help = error.help().map(str::to_owned);
        Self::new(error, help)
    }
}

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

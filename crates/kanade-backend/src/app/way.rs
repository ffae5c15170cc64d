//! The way to the broker: a child of ours, or somebody else's.

use std::path::PathBuf;

use async_nats::Client;
use kanade_shared::bootstrap::catalogue::Loss;
use kanade_shared::bootstrap::{BootstrapError, Credentials, Retry, connect};
use tokio::sync::watch;

use crate::broker::bootstrap::Sizing;
use crate::broker::{BrokerConfig, BrokerHealth, EmbeddedBroker, connect_external};
use crate::config::Config;
use crate::failure::Failure;

/// What the broker lists this program as.
const NAME: &str = "kanade-backend";

/// Which broker, and as whom.
pub(super) enum Way {
    /// A child of this process.
    Embedded(EmbeddedBroker),
    /// Somebody else's.
    External {
        /// Where.
        url: String,
        /// As whom, and how large its resources may be.
        settings: BrokerConfig,
    },
}

impl Way {
    /// Starts the child, unless the settings name another broker.
    pub(super) async fn open(config: &Config) -> Result<Self, Failure> {
        let settings = config.broker();
        if let Some(url) = settings.url.clone() {
            return Ok(Self::External { url, settings });
        }
        Ok(Self::Embedded(
            EmbeddedBroker::start(&settings, &config.data_dir).await?,
        ))
    }

    pub(super) fn url(&self) -> &str {
        match self {
            Self::Embedded(broker) => broker.client_url(),
            Self::External { url, .. } => url,
        }
    }

    /// Connects as the backend.
    pub(super) async fn connect(&self) -> Result<Client, BootstrapError> {
        match self {
            Self::Embedded(broker) => broker.connect(NAME).await,
            Self::External { url, settings } => {
                connect_external(url, &settings.credentials, NAME).await
            }
        }
    }

    /// Connects to the system account, which hears of connects and disconnects; only the child
    /// has one that we know.
    pub(super) async fn system(&self) -> Result<Option<Client>, BootstrapError> {
        match self {
            Self::Embedded(broker) => {
                let (url, who) = (broker.client_url(), broker.system_credentials());
                let name = "kanade-backend presence";
                Ok(Some(connect(url, &who, name, Retry::default()).await?))
            }
            Self::External { .. } => Ok(None),
        }
    }

    /// User and password that agents on this machine connect with.
    pub(super) fn agent(&self) -> Option<(String, String)> {
        let credentials = match self {
            Self::Embedded(broker) => broker.agent_credentials(),
            Self::External { settings, .. } => settings.credentials.clone(),
        };
        match credentials {
            Credentials::Password { user, password } => Some((user, password)),
            Credentials::None => Some((String::new(), String::new())),
        }
    }

    /// How large the broker's resources are to be.
    pub(super) fn sizing(&self, pcs: u64) -> Sizing {
        let cap_scale = match self {
            Self::Embedded(broker) => broker.cap_scale(),
            Self::External { settings, .. } => settings.cap_scale.unwrap_or(1.0),
        };
        Sizing {
            cap_scale,
            pcs,
            loss: Loss::Refused,
        }
    }

    /// Where the child keeps everything.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Embedded(broker) => Some(broker.folder().to_owned()),
            Self::External { .. } => None,
        }
    }

    /// How the child is.
    pub(super) fn health(&self) -> Option<watch::Receiver<BrokerHealth>> {
        match self {
            Self::Embedded(broker) => Some(broker.health()),
            Self::External { .. } => None,
        }
    }

    /// Stops the child.
    pub(super) async fn close(self) {
        match self {
            Self::Embedded(broker) => broker.stop().await,
            Self::External { .. } => {}
        }
    }
}

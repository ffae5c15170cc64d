//! `kanade-backend bootstrap plan|apply`: the reconcile on the broker itself, for a first start
//! or an external cluster. A running backend shows the same over its API.

use async_nats::Client;
use kanade_shared::bootstrap::{Loss, Plan, Report};

use crate::broker::bootstrap::Sizing;
use crate::broker::{self, BrokerError, EmbeddedBroker};
use crate::config::Config;
use crate::failure::Failure;

/// What would be done; `loss` says whether messages that are held may go.
///
/// # Errors
/// [`Failure`] when the broker cannot be started, reached or read.
pub async fn plan(config: &Config, loss: Loss) -> Result<Plan, Failure> {
    on_broker(config, async |client, sizing| {
        Ok(broker::bootstrap::plan(&client, Sizing { loss, ..sizing }).await?)
    })
    .await
}

/// Does it; `loss` says whether messages that are held may go.
///
/// # Errors
/// [`Failure`] when the broker cannot be started, reached or read, or something cannot be made.
pub async fn apply(config: &Config, loss: Loss) -> Result<Report, Failure> {
    on_broker(config, async |client, sizing| {
        Ok(broker::bootstrap::apply(&client, Sizing { loss, ..sizing }).await?)
    })
    .await
}

/// Calls `act` with the broker that the settings name; an embedded one is started for it.
async fn on_broker<T>(
    config: &Config,
    act: impl AsyncFnOnce(Client, Sizing) -> Result<T, Failure>,
) -> Result<T, Failure> {
    const NAME: &str = "kanade-backend bootstrap";
    let settings = config.broker();
    if let Some(url) = &settings.url {
        let client = broker::connect_external(url, &settings.credentials, NAME).await?;
        let cap_scale = settings.cap_scale.unwrap_or(1.0);
        return act(
            client,
            Sizing {
                cap_scale,
                ..Sizing::default()
            },
        )
        .await;
    }
    let embedded = EmbeddedBroker::start(&settings, &config.data_dir)
        .await
        .map_err(running)?;
    let sizing = Sizing {
        cap_scale: embedded.cap_scale(),
        ..Sizing::default()
    };
    let done = match embedded.connect(NAME).await {
        Ok(client) => act(client, sizing).await,
        Err(error) => Err(error.into()),
    };
    embedded.stop().await;
    done
}

fn running(error: BrokerError) -> Failure {
    if matches!(error, BrokerError::InUse { .. }) {
        let help = "ask the backend that runs: `kanade bootstrap plan`, `kanade bootstrap apply`";
        return Failure::new(error, Some(help.to_owned()));
    }
    error.into()
}

//! What the API asks of those who talk to the broker.

use async_nats::Client;
use axum::http::StatusCode;
use futures::FutureExt;
use futures::future::BoxFuture;
use kanade_shared::bootstrap::{BootstrapError, Plan, Report};
use kanade_shared::id::RequestId;

use crate::api::{Answer, ApiError, BrokerDoor};
use crate::broker::bootstrap::{self, Sizing};

/// The broker, as far as the API may use it.
pub(super) struct Door {
    client: Client,
    sizing: Sizing,
}

impl Door {
    pub(super) fn new(client: Client, sizing: Sizing) -> Self {
        Self { client, sizing }
    }
}

impl BrokerDoor for Door {
    fn tail(&self, run: RequestId) -> BoxFuture<'_, Answer<()>> {
        async move {
            let title = format!("run {run} cannot be watched live");
            Err(ApiError::new(StatusCode::NOT_FOUND, "run.unknown", title))
        }
        .boxed()
    }

    fn plan(&self) -> BoxFuture<'_, Answer<Plan>> {
        bootstrap::plan(&self.client, self.sizing)
            .map(|plan| plan.map_err(told))
            .boxed()
    }

    fn apply(&self) -> BoxFuture<'_, Answer<Report>> {
        bootstrap::apply(&self.client, self.sizing)
            .map(|done| done.map_err(told))
            .boxed()
    }
}

fn told(error: BootstrapError) -> ApiError {
    let mut told = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        error.code(),
        error.to_string(),
    );
    let source = std::error::Error::source(&error);
    told.0.causes = source
        .map(|source| source.to_string())
        .into_iter()
        .collect();
    told.help(error.help())
}

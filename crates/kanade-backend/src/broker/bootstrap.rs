//! The broker's resources, as `kanade-backend bootstrap` and the backend's start see them.

use async_nats::{Client, jetstream};
use kanade_shared::bootstrap::catalogue::Loss;
use kanade_shared::bootstrap::{
    BootstrapError, Options, Plan, Report, catalogue, ensure_resources, plan_resources,
    replicas_for,
};

/// What decides how large the resources are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizing {
    /// By what every cap is multiplied: the embedded broker's, or `broker.cap_scale`, or 1.
    pub cap_scale: f64,
    /// PCs that are enrolled.
    pub pcs: u64,
    /// Whether an operator said that stored messages may go.
    pub loss: Loss,
}

impl Default for Sizing {
    fn default() -> Self {
        Self {
            cap_scale: 1.0,
            pcs: 0,
            loss: Loss::Refused,
        }
    }
}

/// What [`apply`] would do now; changes nothing.
///
/// # Errors
/// [`BootstrapError`] when the broker can't be read.
pub async fn plan(client: &Client, sizing: Sizing) -> Result<Plan, BootstrapError> {
    let js = jetstream::new(client.clone());
    let options = options(&js, sizing);
    plan_resources(&js, &catalogue(&options), &options).await
}

/// Makes the broker have all that kanade needs.
///
/// # Errors
/// [`BootstrapError`] when something is not there and can't be made.
pub async fn apply(client: &Client, sizing: Sizing) -> Result<Report, BootstrapError> {
    let js = jetstream::new(client.clone());
    let options = options(&js, sizing);
    ensure_resources(&js, &catalogue(&options), &options).await
}

fn options(js: &jetstream::Context, sizing: Sizing) -> Options {
    Options {
        cap_scale: sizing.cap_scale,
        replicas: replicas_for(js),
        pcs: sizing.pcs,
        loss: sizing.loss,
    }
}

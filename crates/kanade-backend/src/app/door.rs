//! What the API asks of those who talk to the broker.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use futures::FutureExt;
use futures::future::BoxFuture;
use kanade_shared::bootstrap::{BootstrapError, Outcome, Plan, Report};
use kanade_shared::id::RequestId;

use crate::api::{Answer, ApiError, BrokerDoor, causes};
use crate::broker::bootstrap::{self, Sizing};
use crate::fleet::{FleetError, Operator};
use crate::flow::Flow;
use crate::services::{TailError, Tails};
use crate::store::StoreError;

/// The broker, as far as the API may use it.
pub(super) struct Door {
    flow: Flow,
    tails: Tails,
    sizing: Sizing,
}

impl Door {
    pub(super) fn new(flow: Flow, tails: Tails, sizing: Sizing) -> Self {
        Self {
            flow,
            tails,
            sizing,
        }
    }
}

impl BrokerDoor for Door {
    fn tail(&self, run: RequestId) -> BoxFuture<'_, Answer<()>> {
        self.tails
            .tail_open(&self.flow, run)
            .map(|opened| opened.map_err(untailed))
            .boxed()
    }

    fn plan(&self) -> BoxFuture<'_, Answer<Plan>> {
        bootstrap::plan(&self.flow.client, self.sizing)
            .map(|plan| plan.map_err(told))
            .boxed()
    }

    fn apply(&self, by: Operator) -> BoxFuture<'_, Answer<Report>> {
        async move {
            let report = bootstrap::apply(&self.flow.client, self.sizing)
                .await
                .map_err(told)?;
            if !report.is_unchanged() {
                self.note(&by, &report).await.map_err(FleetError::from)?;
            }
            Ok(report)
        }
        .boxed()
    }
}

impl Door {
    /// The audit row of a reconcile that changed something.
    async fn note(&self, by: &Operator, report: &Report) -> Result<(), StoreError> {
        let changed: BTreeMap<_, _> = report
            .resources
            .iter()
            .filter(|(_, outcome)| **outcome != Outcome::Kept)
            .collect();
        let detail = serde_json::json!({ "resources": changed });
        let mut tx = self.flow.store.begin().await?;
        tx.audit_insert(&by.account_id, "bootstrap.apply", "broker", &detail)
            .await?;
        tx.commit().await?;
        self.flow.publisher.nudge();
        Ok(())
    }
}

fn told(error: BootstrapError) -> ApiError {
    let mut told = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        error.code(),
        error.to_string(),
    );
    told.0.causes = causes(&error);
    told.help(error.help())
}

fn untailed(error: TailError) -> ApiError {
    let status = match &error {
        TailError::UnknownRun(_) => StatusCode::NOT_FOUND,
        TailError::NoAnswer { .. } | TailError::Gone { .. } => StatusCode::CONFLICT,
        TailError::Store { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut told = ApiError::new(status, error.code(), error.to_string());
    told.0.causes = causes(&error);
    match error {
        TailError::UnknownRun(_) => told.help("`kanade describe exec EXEC` names its runs"),
        TailError::NoAnswer { .. } => told.help("wait until the PC is online again"),
        TailError::Gone { .. } => told.help("`kanade logs` shows what was stored"),
        TailError::Store { .. } => told,
    }
}

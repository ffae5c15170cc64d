//! The backend itself: its system page, audit, dead letters, gaps, the broker's plan, and what
//! machines ask: `/healthz`, `/readyz`, `/metrics`.

use axum::Json as Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kanade_shared::api::Page;
use kanade_shared::api::system::{
    AuditRow, DeadLetterView, Finding, GapView, Level, SystemQuery, SystemView,
};
use kanade_shared::bootstrap::{Plan, Report};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::Query;
use super::problem::Answer;
use crate::fleet::Operator;
use crate::metrics;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(system_fetch))
        .routes(routes!(audit_list))
        .routes(routes!(dead_letter_list))
        .routes(routes!(gap_list))
        .routes(routes!(bootstrap_plan, bootstrap_apply))
}

pub(super) fn metrics_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(metrics_fetch))
}

/// Routes that need no token.
pub(super) fn open_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(health_fetch))
        .routes(routes!(ready_fetch))
}

/// How the backend is: what was looked at, streams, tasks, counts.
#[utoipa::path(
    get, path = "/system", tag = "system",
    responses((status = 200, description = "How it is", body = SystemView))
)]
async fn system_fetch(State(state): State<ApiState>) -> Answer<Body<SystemView>> {
    let (agents, agents_online, execs_running) = state.fleet.system_counts().await?;
    Ok(Body(SystemView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: state.health.started_at(),
        findings: state.health.findings().await,
        streams: state.health.streams(),
        tasks: state.health.tasks(),
        agents,
        agents_online,
        execs_running,
    }))
}

/// A page of the audit log, newest first.
#[utoipa::path(
    get, path = "/audit", tag = "system", params(SystemQuery),
    responses((status = 200, description = "A page of audit rows", body = Page<AuditRow>))
)]
async fn audit_list(
    State(state): State<ApiState>,
    Query(query): Query<SystemQuery>,
) -> Answer<Body<Page<AuditRow>>> {
    Ok(Body(state.fleet.audit_list(&query).await?))
}

/// A page of messages that could not be read, newest first.
#[utoipa::path(
    get, path = "/dead-letters", tag = "system", params(SystemQuery),
    responses((status = 200, description = "A page of dead letters", body = Page<DeadLetterView>))
)]
async fn dead_letter_list(
    State(state): State<ApiState>,
    Query(query): Query<SystemQuery>,
) -> Answer<Body<Page<DeadLetterView>>> {
    Ok(Body(state.fleet.dead_letters_list(&query).await?))
}

/// A page of stretches that were evicted before they were read, newest first.
#[utoipa::path(
    get, path = "/gaps", tag = "system", params(SystemQuery),
    responses((status = 200, description = "A page of gaps", body = Page<GapView>))
)]
async fn gap_list(
    State(state): State<ApiState>,
    Query(query): Query<SystemQuery>,
) -> Answer<Body<Page<GapView>>> {
    Ok(Body(state.fleet.gaps_list(&query).await?))
}

/// What a reconcile of the broker's resources would do; with `Accept: text/plain` as a diff.
#[utoipa::path(
    get, path = "/bootstrap", tag = "system",
    responses((
        status = 200, description = "The plan",
        content((Plan = "application/json"), (String = "text/plain")),
    ))
)]
async fn bootstrap_plan(State(state): State<ApiState>, headers: HeaderMap) -> Answer<Response> {
    let plan = state.broker.plan().await?;
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/plain")) {
        return Ok(plan.to_string().into_response());
    }
    Ok(Body(plan).into_response())
}

/// Makes the broker have what it should.
#[utoipa::path(
    post, path = "/bootstrap", tag = "system",
    responses((status = 200, description = "What was done", body = Report))
)]
async fn bootstrap_apply(
    State(state): State<ApiState>,
    operator: Operator,
) -> Answer<Body<Report>> {
    Ok(Body(state.broker.apply(operator).await?))
}

/// All numbers, as OpenMetrics text.
#[utoipa::path(
    get, path = "/metrics", tag = "machine",
    responses((status = 200, description = "The numbers", content_type = "application/openmetrics-text", body = String))
)]
async fn metrics_fetch(State(state): State<ApiState>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        state.metrics.text(),
    )
}

/// 200 while the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "machine",
    responses((status = 200, description = "It lives", body = String, content_type = "text/plain"))
)]
async fn health_fetch() -> &'static str {
    "ok\n"
}

/// What `/readyz` answers.
#[derive(Serialize, utoipa::ToSchema)]
struct Readiness {
    /// Whether database, broker, publisher and projector serve.
    ready: bool,
    /// What is not as it should be; with `ready`, somebody should look all the same.
    findings: Vec<Finding>,
}

/// 200 when database, broker, publisher and projector serve.
#[utoipa::path(
    get, path = "/readyz", tag = "machine",
    responses(
        (status = 200, description = "All serve; findings are warnings", body = Readiness),
        (status = 503, description = "Some do not", body = Readiness),
    )
)]
async fn ready_fetch(State(state): State<ApiState>) -> Response {
    let mut findings = state.health.findings().await;
    findings.retain(|finding| finding.level != Level::Ok);
    let ready = findings.iter().all(|finding| finding.level != Level::Error);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Body(Readiness { ready, findings })).into_response()
}

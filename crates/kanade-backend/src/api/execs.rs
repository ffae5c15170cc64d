//! `/api/v1/execs`: issuing, watching, stopping and retrying fan-outs.
//!
//! Where an exec is named, a unique beginning of its id (4 hex digits or more) does.

use axum::Json as Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kanade_shared::api::Page;
use kanade_shared::api::execs::{
    ExecPreview, ExecQuery, ExecRequest, ExecView, RetryRequest, StopRequest, StopView,
    TargetQuery, TargetView,
};
use kanade_shared::id::ExecId;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{DryRun, Json, Path, Query};
use super::problem::{Answer, ApiError};
use crate::fleet::Operator;

/// Longest idempotency key, in characters.
const KEY_MAX: usize = 128;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(exec_list, exec_issue))
        .routes(routes!(exec_fetch))
        .routes(routes!(target_list))
        .routes(routes!(exec_stop))
        .routes(routes!(exec_retry))
}

/// A page of execs, newest first.
#[utoipa::path(
    get, path = "/execs", tag = "execs", params(ExecQuery),
    responses((status = 200, description = "A page of execs", body = Page<ExecView>))
)]
async fn exec_list(
    State(state): State<ApiState>,
    Query(query): Query<ExecQuery>,
) -> Answer<Body<Page<ExecView>>> {
    Ok(Body(state.fleet.execs_list(&query).await?))
}

/// The answer to a POST: the exec, or what a dry run found.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "describes the two forms; handlers answer with one or the other"
)]
enum ExecAnswer {
    /// Of a dry run.
    Preview(ExecPreview),
    /// Of a real one.
    Exec(Box<ExecView>),
}

/// Issues an exec, or says what it would hit.
///
/// With an `Idempotency-Key` the same request sent twice is one exec.
#[utoipa::path(
    post, path = "/execs", tag = "execs", request_body = ExecRequest,
    params(
        DryRun,
        ("Idempotency-Key" = Option<String>, Header, description = "Makes sending again safe"),
    ),
    responses(
        (status = 201, description = "It was issued", body = ExecView),
        (status = 200, description = "A preview, or an exec that this key issued before", body = ExecAnswer),
    )
)]
async fn exec_issue(
    State(state): State<ApiState>,
    operator: Operator,
    Query(DryRun { dry_run }): Query<DryRun>,
    headers: HeaderMap,
    Json(request): Json<ExecRequest>,
) -> Answer<Response> {
    if dry_run {
        let preview = state.fleet.exec_preview(&request, &operator).await?;
        return Ok(Body(preview).into_response());
    }
    let key = idempotency_key(&headers)?;
    let (exec, existed) = state.fleet.exec_issue(&request, key, &operator).await?;
    let status = if existed {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let location = format!("{}/execs/{}", kanade_shared::api::PREFIX, exec.exec_id);
    Ok((status, [(header::LOCATION, location)], Body(exec)).into_response())
}

fn idempotency_key(headers: &HeaderMap) -> Answer<Option<&str>> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .ok()
        .filter(|text| (1..=KEY_MAX).contains(&text.len()));
    text.map(Some).ok_or_else(|| {
        let title = format!("the idempotency key is not 1 to {KEY_MAX} plain characters");
        ApiError::invalid("idempotency_key.invalid", title).help("use a UUID")
    })
}

/// The exec that an id or a unique beginning of one names.
async fn resolve(state: &ApiState, text: &str) -> Answer<ExecId> {
    if let Ok(id) = ExecId::parse(text) {
        return Ok(id);
    }
    Ok(state.fleet.exec_resolve(text).await?)
}

/// One exec.
#[utoipa::path(
    get, path = "/execs/{exec_id}", tag = "execs",
    params(("exec_id" = String, Path, description = "Its id, or a unique beginning of it")),
    responses((status = 200, description = "The exec", body = ExecView))
)]
async fn exec_fetch(
    State(state): State<ApiState>,
    Path(text): Path<String>,
) -> Answer<Body<ExecView>> {
    let id = resolve(&state, &text).await?;
    Ok(Body(state.fleet.exec_fetch(id).await?))
}

/// A page of an exec's PCs, each with how far it is and why.
#[utoipa::path(
    get, path = "/execs/{exec_id}/targets", tag = "execs",
    params(("exec_id" = String, Path, description = "Its id, or a unique beginning of it"), TargetQuery),
    responses((status = 200, description = "A page of targets", body = Page<TargetView>))
)]
async fn target_list(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    Query(query): Query<TargetQuery>,
) -> Answer<Body<Page<TargetView>>> {
    let id = resolve(&state, &text).await?;
    Ok(Body(state.fleet.targets_list(id, &query).await?))
}

/// Withdraws an exec (nothing more starts) or kills it (what runs is ended, too).
#[utoipa::path(
    post, path = "/execs/{exec_id}/stop", tag = "execs", request_body = StopRequest,
    params(("exec_id" = String, Path, description = "Its id, or a unique beginning of it")),
    responses((status = 200, description = "What the stop met", body = StopView))
)]
async fn exec_stop(
    State(state): State<ApiState>,
    operator: Operator,
    Path(text): Path<String>,
    Json(request): Json<StopRequest>,
) -> Answer<Body<StopView>> {
    let id = resolve(&state, &text).await?;
    Ok(Body(state.fleet.exec_stop(id, &request, &operator).await?))
}

/// Runs an exec again on PCs that did not end well.
///
/// With an `Idempotency-Key` the same request sent twice is one retry.
#[utoipa::path(
    post, path = "/execs/{exec_id}/retry", tag = "execs", request_body = RetryRequest,
    params(
        ("exec_id" = String, Path, description = "Its id, or a unique beginning of it"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes sending again safe"),
    ),
    responses((status = 200, description = "The exec as it is now", body = ExecView))
)]
async fn exec_retry(
    State(state): State<ApiState>,
    operator: Operator,
    Path(text): Path<String>,
    headers: HeaderMap,
    Json(request): Json<RetryRequest>,
) -> Answer<Body<ExecView>> {
    let key = idempotency_key(&headers)?;
    let id = resolve(&state, &text).await?;
    let retried = state.fleet.exec_retry(id, &request, key, &operator).await?;
    Ok(Body(retried))
}

//! `/api/v1/results`: what runs left behind, and their output, in pages and live.

use axum::Json as Body;
use axum::extract::State;
use axum::http::StatusCode;
use kanade_shared::api::Page;
use kanade_shared::api::results::{OutputPage, OutputQuery, ResultQuery, ResultView};
use kanade_shared::id::RequestId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{Path, Query};
use super::problem::Answer;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(result_list))
        .routes(routes!(result_fetch))
        .routes(routes!(result_output))
        .routes(routes!(result_tail))
}

/// A page of results, newest first.
#[utoipa::path(
    get, path = "/results", tag = "results", params(ResultQuery),
    responses((status = 200, description = "A page of results", body = Page<ResultView>))
)]
async fn result_list(
    State(state): State<ApiState>,
    Query(query): Query<ResultQuery>,
) -> Answer<Body<Page<ResultView>>> {
    Ok(Body(state.fleet.results_list(&query).await?))
}

/// One result.
#[utoipa::path(
    get, path = "/results/{request_id}", tag = "results",
    params(("request_id" = String, Path, description = "The run")),
    responses((status = 200, description = "The result", body = ResultView))
)]
async fn result_fetch(
    State(state): State<ApiState>,
    Path(id): Path<RequestId>,
) -> Answer<Body<ResultView>> {
    Ok(Body(state.fleet.result_fetch(id).await?))
}

/// A page of a result's output.
#[utoipa::path(
    get, path = "/results/{request_id}/output", tag = "results",
    params(("request_id" = String, Path, description = "The run"), OutputQuery),
    responses((status = 200, description = "A page of output", body = OutputPage))
)]
async fn result_output(
    State(state): State<ApiState>,
    Path(id): Path<RequestId>,
    Query(query): Query<OutputQuery>,
) -> Answer<Body<OutputPage>> {
    Ok(Body(state.fleet.result_output(id, &query).await?))
}

/// Asks the PC for the output of a run while it runs; it comes as `tail:<request_id>` events.
///
/// It goes on for a minute; whoever watches longer asks again.
#[utoipa::path(
    post, path = "/results/{request_id}/tail", tag = "results",
    params(("request_id" = String, Path, description = "The run")),
    responses((status = 202, description = "The PC was asked"))
)]
async fn result_tail(
    State(state): State<ApiState>,
    Path(id): Path<RequestId>,
) -> Answer<StatusCode> {
    state.broker.tail(id).await?;
    Ok(StatusCode::ACCEPTED)
}

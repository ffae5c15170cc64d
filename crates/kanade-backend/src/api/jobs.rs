//! `/api/v1/jobs`: definitions of jobs, written and read as the operator's YAML.

use axum::Json as Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kanade_shared::api::Page;
use kanade_shared::api::catalogue::{Applied, JobView, NameQuery};
use kanade_shared::id::JobId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{DryRun, Path, Query, Yaml, applied, etag, if_match};
use super::problem::Answer;
use crate::fleet::Operator;

const YAML: &str = "application/yaml";

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(job_list))
        .routes(routes!(job_fetch, job_apply, job_delete))
}

/// A page of jobs, by name.
#[utoipa::path(
    get, path = "/jobs", tag = "jobs", params(NameQuery),
    responses((status = 200, description = "A page of jobs", body = Page<JobView>))
)]
async fn job_list(
    State(state): State<ApiState>,
    Query(query): Query<NameQuery>,
) -> Answer<Body<Page<JobView>>> {
    Ok(Body(state.fleet.jobs_list(&query).await?))
}

/// One job; with `Accept: application/yaml` the operator's YAML, byte for byte.
#[utoipa::path(
    get, path = "/jobs/{job_id}", tag = "jobs",
    params(("job_id" = String, Path, description = "Its name")),
    responses((
        status = 200, description = "The job",
        content((JobView = "application/json"), (String = "application/yaml")),
        headers(("ETag" = String, description = "Its revision, for `If-Match`")),
    ))
)]
async fn job_fetch(
    State(state): State<ApiState>,
    Path(id): Path<JobId>,
    headers: HeaderMap,
) -> Answer<Response> {
    let job = state.fleet.job_fetch(&id).await?;
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("yaml")) {
        let yaml = job.yaml.unwrap_or_default();
        return Ok((etag(job.revision), [(header::CONTENT_TYPE, YAML)], yaml).into_response());
    }
    Ok((etag(job.revision), Body(job)).into_response())
}

/// Makes a job what the YAML says.
#[utoipa::path(
    put, path = "/jobs/{job_id}", tag = "jobs",
    request_body(content = String, content_type = "application/yaml"),
    params(
        ("job_id" = String, Path, description = "Its name, the same as in the YAML"), DryRun,
        ("If-Match" = Option<String>, Header, description = "ETag of the revision that was edited"),
    ),
    responses(
        (status = 200, description = "It is so now, or was already", body = Applied),
        (status = 201, description = "It is new", body = Applied),
    )
)]
async fn job_apply(
    State(state): State<ApiState>,
    operator: Operator,
    Path(id): Path<JobId>,
    Query(DryRun { dry_run }): Query<DryRun>,
    headers: HeaderMap,
    Yaml(yaml): Yaml,
) -> Answer<Response> {
    let seen = if_match(&headers)?;
    let change = state
        .fleet
        .job_apply(&id, &yaml, seen, dry_run, &operator)
        .await?;
    Ok(applied(change, dry_run))
}

/// Deletes a job; what it issued stays.
#[utoipa::path(
    delete, path = "/jobs/{job_id}", tag = "jobs",
    params(
        ("job_id" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "ETag of the revision that was seen"),
    ),
    responses((status = 204, description = "It is gone"))
)]
async fn job_delete(
    State(state): State<ApiState>,
    operator: Operator,
    Path(id): Path<JobId>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    state
        .fleet
        .job_delete(&id, if_match(&headers)?, &operator)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

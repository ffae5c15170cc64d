//! `/api/v1/groups`: sets of PCs.

use axum::Json as Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use kanade_shared::api::Page;
use kanade_shared::api::catalogue::{Applied, GroupView, GroupWrite, NameQuery};
use kanade_shared::id::GroupId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{DryRun, Json, Path, Query, applied, etag, if_match};
use super::problem::Answer;
use crate::fleet::Operator;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(group_list))
        .routes(routes!(group_fetch, group_apply, group_delete))
}

/// A page of groups, by name.
#[utoipa::path(
    get, path = "/groups", tag = "groups", params(NameQuery),
    responses((status = 200, description = "A page of groups", body = Page<GroupView>))
)]
async fn group_list(
    State(state): State<ApiState>,
    Query(query): Query<NameQuery>,
) -> Answer<Body<Page<GroupView>>> {
    Ok(Body(state.fleet.groups_list(&query).await?))
}

/// One group, with its members.
#[utoipa::path(
    get, path = "/groups/{group_id}", tag = "groups",
    params(("group_id" = String, Path, description = "Its name")),
    responses((
        status = 200, description = "The group", body = GroupView,
        headers(("ETag" = String, description = "Its revision, for `If-Match`")),
    ))
)]
async fn group_fetch(State(state): State<ApiState>, Path(id): Path<GroupId>) -> Answer<Response> {
    let group = state.fleet.group_fetch(&id).await?;
    Ok((etag(group.revision), Body(group)).into_response())
}

/// Makes a group what the body says.
#[utoipa::path(
    put, path = "/groups/{group_id}", tag = "groups", request_body = GroupWrite,
    params(
        ("group_id" = String, Path, description = "Its name"), DryRun,
        ("If-Match" = Option<String>, Header, description = "ETag of the revision that was edited"),
    ),
    responses(
        (status = 200, description = "It is so now, or was already", body = Applied),
        (status = 201, description = "It is new", body = Applied),
    )
)]
async fn group_apply(
    State(state): State<ApiState>,
    operator: Operator,
    Path(id): Path<GroupId>,
    Query(DryRun { dry_run }): Query<DryRun>,
    headers: HeaderMap,
    Json(group): Json<GroupWrite>,
) -> Answer<Response> {
    let seen = if_match(&headers)?;
    let change = state
        .fleet
        .group_apply(&id, &group, seen, dry_run, &operator)
        .await?;
    Ok(applied(change, dry_run))
}

/// Deletes a group; its PCs stay.
#[utoipa::path(
    delete, path = "/groups/{group_id}", tag = "groups",
    params(
        ("group_id" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "ETag of the revision that was seen"),
    ),
    responses((status = 204, description = "It is gone"))
)]
async fn group_delete(
    State(state): State<ApiState>,
    operator: Operator,
    Path(id): Path<GroupId>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    state
        .fleet
        .group_delete(&id, if_match(&headers)?, &operator)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

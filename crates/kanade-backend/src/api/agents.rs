//! `/api/v1/agents`: PCs and their agents.

use axum::Json as Body;
use axum::extract::State;
use kanade_shared::api::Page;
use kanade_shared::api::agents::{AgentQuery, AgentView};
use kanade_shared::api::queue::QueuedView;
use kanade_shared::id::PcId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{Path, Query};
use super::problem::Answer;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(agent_list))
        .routes(routes!(agent_fetch))
        .routes(routes!(agent_queue))
}

/// A page of the fleet's agents.
#[utoipa::path(
    get, path = "/agents", tag = "agents", params(AgentQuery),
    responses((status = 200, description = "A page of agents", body = Page<AgentView>))
)]
async fn agent_list(
    State(state): State<ApiState>,
    Query(query): Query<AgentQuery>,
) -> Answer<Body<Page<AgentView>>> {
    Ok(Body(state.fleet.agents_list(&query).await?))
}

/// One agent, with its hardware.
#[utoipa::path(
    get, path = "/agents/{pc_id}", tag = "agents",
    params(("pc_id" = String, Path, description = "The PC")),
    responses((status = 200, description = "The agent", body = AgentView))
)]
async fn agent_fetch(
    State(state): State<ApiState>,
    Path(pc_id): Path<PcId>,
) -> Answer<Body<AgentView>> {
    Ok(Body(state.fleet.agent_fetch(&pc_id).await?))
}

/// What one agent has not ended, oldest first; at most 500.
#[utoipa::path(
    get, path = "/agents/{pc_id}/queue", tag = "agents",
    params(("pc_id" = String, Path, description = "The PC")),
    responses((status = 200, description = "Its queue", body = Vec<QueuedView>))
)]
async fn agent_queue(
    State(state): State<ApiState>,
    Path(pc_id): Path<PcId>,
) -> Answer<Body<Vec<QueuedView>>> {
    Ok(Body(state.fleet.agent_queue(&pc_id).await?))
}

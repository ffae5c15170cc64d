//! `/agent/v1`: what goes between agent and backend by HTTP since it is larger than a message.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use futures::TryStreamExt;
use kanade_shared::api::results::Stream as OutputStream;
use kanade_shared::id::{PcId, RequestId};
use serde::Deserialize;
use tokio_util::io::StreamReader;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::extract::{Path, Query, too_large};
use super::problem::{Answer, ApiError};
use crate::fleet::OUTPUT_MAX_BYTES;

/// Header with the SHA-256 of an upload, in hex.
const SHA256: &str = "kanade-sha256";

pub(super) fn bodies() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(body_fetch))
}

pub(super) fn uploads() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(output_put))
}

/// A script's encrypted text.
#[utoipa::path(
    get, path = "/bodies/{sha256}", tag = "agent",
    params(("sha256" = String, Path, description = "SHA-256 of the bytes, in hex")),
    responses((status = 200, description = "The bytes", content_type = "application/octet-stream", body = Vec<u8>))
)]
async fn body_fetch(
    State(state): State<ApiState>,
    Path(sha256): Path<String>,
) -> Answer<([(header::HeaderName, &'static str); 1], Vec<u8>)> {
    let bytes = state.fleet.body_fetch(&sha256).await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UploadQuery {
    /// The PC that ran it.
    pc_id: PcId,
}

/// Takes a stream of output that is too large for its result.
#[utoipa::path(
    put, path = "/results/{request_id}/{stream}", tag = "agent",
    params(
        ("request_id" = String, Path, description = "The run"),
        ("stream" = String, Path, description = "`stdout` or `stderr`"),
        ("Kanade-Sha256" = String, Header, description = "SHA-256 of the body, in hex"),
        UploadQuery,
    ),
    request_body(content = Vec<u8>, content_type = "text/plain"),
    responses((status = 204, description = "It is stored"))
)]
async fn output_put(
    State(state): State<ApiState>,
    Path((run, stream)): Path<(RequestId, OutputStream)>,
    Query(UploadQuery { pc_id }): Query<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer<StatusCode> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    if announced
        .and_then(|text| text.parse().ok())
        .is_some_and(|n: u64| n > OUTPUT_MAX_BYTES)
    {
        return Err(too_large());
    }
    let sha256 = sha256(&headers)?;
    let pieces = body.into_data_stream().map_err(io::Error::other);
    let reader = StreamReader::new(pieces);
    state
        .fleet
        .output_store(run, stream, &pc_id, &sha256, reader)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn sha256(headers: &HeaderMap) -> Answer<String> {
    let text = headers
        .get(SHA256)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if text.len() == 64 && hex::decode(text).is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    Err(ApiError::invalid(
        "output.sha256",
        "the header `Kanade-Sha256` is not 64 hex digits",
    ))
}

//! What handlers take from a request, read so that a refusal is a problem like every other.

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use kanade_shared::api::catalogue::{Applied, Change};
use serde::de::DeserializeOwned;

use super::problem::{Answer, ApiError};

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        media_type(request.headers(), &["application/json"])?;
        let bytes = body(request, state).await?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let (path, inner) = (error.path().to_string(), error.into_inner());
            let invalid = ApiError::invalid("body.invalid", told(&inner.to_string()));
            if matches!(path.as_str(), "." | "?") {
                invalid
            } else {
                invalid.field(path)
            }
        })?;
        reader.end().map_err(|_| {
            ApiError::invalid("body.invalid", "the body goes on after its JSON value")
        })?;
        Ok(Self(value))
    }
}

/// The parser's words without its "at line 1 column 9" of a body that nobody typed.
fn told(error: &str) -> String {
    let text = error.split(" at line ").next().unwrap_or(error);
    format!("the body cannot be used: {text}")
}

/// A YAML body, byte for byte.
pub(super) struct Yaml(pub(super) String);

impl<S: Send + Sync> FromRequest<S> for Yaml {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        const TYPES: [&str; 4] = [
            "application/yaml",
            "application/x-yaml",
            "text/yaml",
            "text/plain",
        ];
        media_type(request.headers(), &TYPES)?;
        let bytes = body(request, state).await?;
        let text = String::from_utf8(bytes.into())
            .map_err(|_| ApiError::invalid("body.invalid", "the body is not UTF-8 text"))?;
        Ok(Self(text))
    }
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Answer<Bytes> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection: BytesRejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                too_large()
            } else {
                ApiError::invalid("body.unreadable", "the body ended early")
            }
        })
}

/// Answer to a body over its limit.
pub(super) fn too_large() -> ApiError {
    let title = "the body is larger than this address takes";
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body.too_large", title)
        .help("`limits.body_bytes` of the backend's configuration sets the limit")
}

fn media_type(headers: &HeaderMap, allowed: &[&str]) -> Answer<()> {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = text
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if allowed.iter().any(|one| essence.eq_ignore_ascii_case(one)) {
        return Ok(());
    }
    let title = if essence.is_empty() {
        "the body has no content type".to_owned()
    } else {
        format!("the body is `{essence}`, which this address does not take")
    };
    Err(
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "body.media_type", title)
            .help(format!("send `Content-Type: {}`", allowed[0])),
    )
}

/// The query of an address.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let query = axum::extract::Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text
                .rsplit_once("query string: ")
                .map_or(text.as_str(), |(_, why)| why);
            ApiError::invalid("query.invalid", format!("the query cannot be used: {text}"))
        })?;
        Ok(Self(query.0))
    }
}

/// The variable parts of an address.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text
                .split_once("Invalid URL: ")
                .map_or(text.as_str(), |(_, why)| why);
            ApiError::invalid("id.invalid", format!("the address cannot be used: {text}"))
        })
    }
}

/// `?dry_run=true`: shows what would be done.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DryRun {
    /// Say what would be done, and do nothing.
    pub(super) dry_run: bool,
}

/// The revision that an editor saw, from `If-Match`.
///
/// # Errors
/// A problem when it is not one entity tag of ours.
pub(super) fn if_match(headers: &HeaderMap) -> Answer<Option<u64>> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let revision = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let revision = revision.and_then(|text| text.parse().ok());
    revision.map(Some).ok_or_else(|| {
        ApiError::invalid(
            "if_match.invalid",
            format!("`If-Match: {text}` is no ETag of ours"),
        )
        .help("give the ETag that a GET answered with, quotes and all")
    })
}

/// A revision as an entity tag.
pub(super) fn etag(revision: u64) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{revision}\""))]
}

/// The answer to a write of a definition: 201 where it is new.
pub(super) fn applied(applied: Applied, dry_run: bool) -> Response {
    let created = applied.change == Change::Created && !dry_run;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    (status, etag(applied.revision), axum::Json(applied)).into_response()
}

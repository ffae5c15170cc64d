//! The description of the API: `/api/v1/openapi.json` for programs, `/api/v1/docs` for people.
//!
//! The page is ours and needs nothing from elsewhere. Both are open to everybody: they say
//! nothing about a fleet.

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::OpenApi;

use super::ApiState;

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/page.js");
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
                      style-src 'unsafe-inline'; frame-ancestors 'none'";

pub(super) fn routes(document: &OpenApi) -> Router<ApiState> {
    // Made of our own types: strings, numbers, maps.
    let json = Bytes::from(document.to_json().unwrap_or_default());
    let serve = move || {
        let json = json.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], json) }
    };
    Router::new()
        .route("/api/v1/openapi.json", get(serve))
        .route("/api/v1/docs", get(page))
        .route("/api/v1/docs/page.js", get(script))
}

async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, PAGE)
}

async fn script() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        SCRIPT,
    )
}

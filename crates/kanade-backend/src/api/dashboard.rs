//! The dashboard: static files at `/`, from the program itself.
//!
//! A path that is a file gives the file; one that has no dot in its last part is a page of the
//! dashboard and gives `index.html`, whose program reads the path; all else is a 404. Files come
//! compressed as they were at the build. What is below `assets/` has its hash in its name and is
//! kept by browsers for ever; everything else is asked for again by its tag.
//!
//! **Invariant:** no script runs here but those that were built: the policy allows none inline
//! and none from elsewhere.

mod encoding;
mod files;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::ApiState;
use super::problem;
use files::File;

pub use files::Dashboard;

/// What a page may load and do.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// Of a name that changes with its content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Kept, and asked for again each time.
const ASK_AGAIN: &str = "no-cache";
/// Where machines ask; no page of the dashboard is there.
const MACHINES: [&str; 2] = ["/api", super::AGENT_PREFIX];
/// What is shown by a program that was built without the dashboard.
const MISSING: &str = include_str!("dashboard/missing.html");

/// Everything that no other route is for.
pub(super) async fn serve(State(state): State<ApiState>, request: Request) -> Response {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads || is_for_machines(path) {
        return problem::no_such_path(path).into_response();
    }
    if let Some(file) = state.dashboard.file(path.trim_start_matches('/')) {
        return answer(file, path, request.headers());
    }
    if names_a_file(path) {
        return problem::no_such_path(path).into_response();
    }
    match state.dashboard.file("index.html") {
        Some(index) => answer(index, "/", request.headers()),
        None => missing(),
    }
}

fn is_for_machines(path: &str) -> bool {
    MACHINES.iter().any(|prefix| {
        let rest = path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// No page of the dashboard has a dot in its address.
fn names_a_file(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.contains('.') || path.starts_with("/assets/")
}

fn answer(file: &File, path: &str, asked: &HeaderMap) -> Response {
    let lasting = path.starts_with("/assets/");
    let kept = if lasting { FOR_EVER } else { ASK_AGAIN };
    let mut headers = HeaderMap::new();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CACHE_CONTROL, kept);
    set(header::VARY, "Accept-Encoding");
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::ETAG, file.tag.clone());
    if knows(asked, &file.tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(file.media_type),
    );
    let accepted = asked.get_all(header::ACCEPT_ENCODING);
    let accepted = accepted.iter().filter_map(|value| value.to_str().ok());
    let encoding = encoding::choose(accepted, |encoding| file.encoded(encoding).is_some());
    if let Some(name) = encoding.name() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    let bytes = file.encoded(encoding).unwrap_or(&file.plain).clone();
    (headers, bytes).into_response()
}

/// Whether the browser has the file of this tag.
fn knows(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    asked.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let (Ok(value), Ok(tag)) = (value.to_str(), tag.to_str()) else {
            return false;
        };
        value
            .split(',')
            .any(|one| one.trim() == tag || one.trim() == "*")
    })
}

fn missing() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (StatusCode::NOT_FOUND, headers, MISSING).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_files_and_from_the_api() {
        for page in ["/", "/agents", "/agents/pc-1/runs", "/apis", "/agent"] {
            assert!(!names_a_file(page) && !is_for_machines(page), "{page}");
        }
        for file in ["/favicon.ico", "/assets/gone-1a2b.js", "/assets/gone"] {
            assert!(names_a_file(file), "{file}");
        }
        for machine in ["/api", "/api/v1/nothing", "/agent/v1", "/agent/v1/x"] {
            assert!(is_for_machines(machine), "{machine}");
        }
    }
}

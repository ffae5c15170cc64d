//! Everything that goes wrong, as problem+json: the one place where a kind becomes a status.
//!
//! A handler returns [`ApiError`]; what axum, a limit or a panic answers becomes one, too, so
//! that a client reads one shape only. An error of ours is told in full; one inside the program
//! is logged in full and told by its sentence.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kanade_shared::api::Problem;

use crate::fleet::{FleetError, FleetStatus};

/// Media type of every error.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// An error on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError(pub Box<Problem>);

/// What a handler returns.
pub type Answer<T> = Result<T, ApiError>;

impl ApiError {
    /// With no more than a status, a code and a sentence.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, title: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(status.as_u16(), code, title)))
    }

    /// A request that cannot be understood.
    #[must_use]
    pub fn invalid(code: &str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, title)
    }

    /// With the next step for the person.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// With the input at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        // A problem is strings and a number.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<FleetError> for ApiError {
    fn from(error: FleetError) -> Self {
        let status = status(&error);
        if status.is_server_error() {
            let chain = crate::tasks::chain(&error);
            tracing::error!(code = error.code(), error = chain, "a request failed");
        }
        let mut problem = Problem::new(status.as_u16(), error.code(), error.to_string());
        problem.causes = causes(&error);
        problem.field = error.field().map(str::to_owned);
        problem.help = error.help();
        Self(Box::new(problem))
    }
}

fn status(error: &FleetError) -> StatusCode {
    // The one conflict that the client foresaw, by a header.
    if matches!(error, FleetError::Revision { .. }) {
        return StatusCode::PRECONDITION_FAILED;
    }
    match error.status() {
        FleetStatus::NotFound => StatusCode::NOT_FOUND,
        FleetStatus::Invalid => StatusCode::BAD_REQUEST,
        FleetStatus::Conflict | FleetStatus::Refused => StatusCode::CONFLICT,
        FleetStatus::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        FleetStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        FleetStatus::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The causes of an error, outermost first.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        // Some libraries repeat a cause in their own text.
        if causes.last().is_none_or(|said| !said.ends_with(&text)) {
            causes.push(text);
        }
        cause = next.source();
    }
    causes
}

/// Answer to a path that nothing lives at.
pub(super) fn no_such_path(path: &str) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "path.unknown",
        format!("nothing lives at `{path}`"),
    )
    .help("the API is described at /api/v1/docs")
}

/// Answer to a path that exists, asked with another method.
pub(super) fn no_such_method(method: &str, path: &str) -> ApiError {
    let title = format!("`{path}` does not take {method}");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method.unknown", title)
        .help("the API is described at /api/v1/docs")
}

/// Answer when the code that makes answers broke; the panic itself is in the log.
pub(super) fn broke() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the backend failed to make an answer",
    )
    .help("the backend's log has the reason; please report it")
}

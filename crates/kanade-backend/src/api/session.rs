//! `/api/v1/signin-links` and `/api/v1/session`: how a browser is signed in and out.

use axum::Json as Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kanade_shared::api::session::{SessionRequest, SessionView, SigninLink};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{self, Proof};
use super::extract::Json;
use super::problem::{Answer, ApiError};
use crate::fleet::{Operator, SESSION_LONGEST, Session, SessionError};

/// Largest body of a request to sign in, in bytes.
const CODE_BODY: usize = 4 * 1024;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(signin_link_issue))
        .routes(routes!(session_fetch, session_end))
}

/// Signing in needs no token: that is what it is for.
pub(super) fn open_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(session_open))
        .layer(DefaultBodyLimit::max(CODE_BODY))
}

/// Makes a link that signs one browser in, once, within ten minutes.
///
/// Only for the token: a session that could make links would have no end.
#[utoipa::path(
    post, path = "/signin-links", tag = "session",
    responses((status = 200, description = "The link", body = SigninLink))
)]
async fn signin_link_issue(
    State(state): State<ApiState>,
    operator: Operator,
    proof: Proof,
    headers: HeaderMap,
) -> Answer<Body<SigninLink>> {
    if proof != Proof::Token {
        let title = "a sign-in link is made with the token, not by one who is signed in";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "signin.token", title)
            .help("`kanade signin` prints a link"));
    }
    let site = match state.dashboard.url() {
        Some(url) => url.to_owned(),
        None => asked_at(&headers)?,
    };
    let (code, expires_at) = state.fleet.signin_link_issue(&operator).await?;
    Ok(Body(SigninLink {
        url: format!("{site}/?signin={code}"),
        code,
        expires_at,
    }))
}

/// Signs in: the cookie `kanade_session` stands for the token from then on.
///
/// It lasts twelve hours after its last use, seven days at most.
#[utoipa::path(
    post, path = "/session", tag = "session", request_body = SessionRequest,
    responses((
        status = 200, description = "Signed in", body = SessionView,
        headers(("Set-Cookie" = String, description = "The session; no script can read it")),
    ))
)]
async fn session_open(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Json(request): Json<SessionRequest>,
) -> Answer<Response> {
    if !auth::may_be_own_page(&headers, state.dashboard.url()) {
        return Err(auth::other_origin());
    }
    let (token, session) = match state.fleet.session_open(&request.code).await {
        Ok(opened) => opened,
        Err(SessionError::Fleet(error)) => return Err(error.into()),
        Err(refused) => {
            // Only what fails counts, so that guesses cannot keep the operator out.
            state.guesses.admit("nobody")?;
            return Err(refused.into());
        }
    };
    let cookie = cookie(&state, token.reveal(), SESSION_LONGEST.num_seconds());
    Ok(([(header::SET_COOKIE, cookie)], Body(view(session))).into_response())
}

/// Who asks, and until when.
#[utoipa::path(
    get, path = "/session", tag = "session",
    responses((status = 200, description = "Who it is", body = SessionView))
)]
async fn session_fetch(operator: Operator, proof: Proof) -> Body<SessionView> {
    Body(SessionView {
        operator: operator.account_id,
        expires_at: match proof {
            Proof::Token => None,
            Proof::Session { expires_at, .. } => Some(expires_at),
        },
    })
}

/// Signs out.
#[utoipa::path(
    delete, path = "/session", tag = "session",
    responses((status = 204, description = "Signed out"))
)]
async fn session_end(
    State(state): State<ApiState>,
    operator: Operator,
    proof: Proof,
) -> Answer<Response> {
    let Proof::Session { key, .. } = proof else {
        let title = "a token is no session that could end";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "session.none", title));
    };
    state.fleet.session_end(&key, &operator).await?;
    state.signed_out.notify_waiters();
    let gone = cookie(&state, "", 0);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

fn view(session: Session) -> SessionView {
    SessionView {
        operator: session.operator.account_id,
        expires_at: Some(session.expires_at),
    }
}

/// Sent by the browser only to us, only from our own pages, and shown to no script.
fn cookie(state: &ApiState, token: &str, max_age_s: i64) -> HeaderValue {
    let tls = state
        .dashboard
        .url()
        .is_some_and(|url| url.starts_with("https:"));
    let secure = if tls { "; Secure" } else { "" };
    let name = auth::COOKIE;
    let text =
        format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}");
    // Hex digits and words of ours.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// The address that the client used, which a browser beside it can use, too.
fn asked_at(headers: &HeaderMap) -> Answer<String> {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<axum::http::uri::Authority>().ok());
    let authority = authority.ok_or_else(|| {
        ApiError::invalid(
            "host.missing",
            "the request does not say at which address it asks",
        )
        .help("send `Host`, or set `dashboard.url` in the backend's configuration")
    })?;
    Ok(format!("http://{authority}"))
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        let status = match error {
            SessionError::Fleet(error) => return error.into(),
            SessionError::TooManyLinks => StatusCode::CONFLICT,
            SessionError::UnknownCode
            | SessionError::UsedCode
            | SessionError::ExpiredCode { .. } => StatusCode::FORBIDDEN,
        };
        let told = Self::new(status, error.code(), error.to_string());
        match error.help() {
            Some(help) => told.help(help),
            None => told,
        }
    }
}

//! Who asks: the bearer token or the cookie of a session at the door, and the [`Operator`] that
//! handlers take.
//!
//! One token stands for the account `local`; a session stands for the account whose token made
//! its link. A browser adds the cookie to whatever page asks, so with a cookie only our own pages
//! may change anything. A handler that takes an [`Operator`] cannot be reached without one.
//!
//! **Invariant:** a request with a token is judged by the token alone, and agents have no cookie.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::ApiState;
use super::problem::{Answer, ApiError};
use crate::fleet::{Operator, SessionKey};

/// The account that the generated token stands for.
pub(crate) const LOCAL: &str = "local";
/// The cookie of a session.
pub(super) const COOKIE: &str = "kanade_session";

/// How a request proved who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// By the token.
    Token,
    /// By the cookie of a session.
    Session {
        /// Which one.
        key: SessionKey,
        /// When it ends unless it is used before.
        expires_at: DateTime<Utc>,
    },
}

/// What is kept of the token: enough to know it again.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The token that is good.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Takes as long for every wrong token: what is compared are hashes, which nobody can
    /// approach byte by byte.
    fn is(&self, text: &str) -> bool {
        let other: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        self.0
            .iter()
            .zip(other)
            .fold(0, |different, (a, b)| different | (a ^ b))
            == 0
    }
}

/// Lets a request through that has the token or a session, with its operator and at its rate.
pub(super) async fn require_operator(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Answer<Response> {
    let of_agent = request.uri().path().starts_with(super::AGENT_PREFIX);
    let Some((operator, proof)) = who(&state, request.headers(), of_agent).await? else {
        // Guesses have a rate of their own, so that they cannot use up the operator's.
        state.guesses.admit("nobody")?;
        return Err(unauthorized(request.headers()));
    };
    match (of_agent, proof) {
        // A fleet that fetches a script all at once must not lock its operator out.
        (true, _) => state.agents.admit("agents")?,
        (false, Proof::Token) => state.rate.admit(LOCAL)?,
        (false, Proof::Session { .. }) => state.rate.admit("browsers")?,
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if proof != Proof::Token && !reads && !is_own_page(request.headers(), state.dashboard.url()) {
        return Err(other_origin());
    }
    request.extensions_mut().insert(operator);
    request.extensions_mut().insert(proof);
    Ok(next.run(request).await)
}

async fn who(
    state: &ApiState,
    headers: &HeaderMap,
    of_agent: bool,
) -> Answer<Option<(Operator, Proof)>> {
    if headers.contains_key(header::AUTHORIZATION) {
        let known = bearer(headers).is_some_and(|token| state.token.is(token));
        return Ok(known.then(|| (Operator::local(), Proof::Token)));
    }
    let Some(key) = session_key(headers).filter(|_| !of_agent) else {
        return Ok(None);
    };
    let session = state.fleet.session_find(&key, Utc::now()).await?;
    Ok(session.map(|session| {
        let expires_at = session.expires_at;
        (session.operator, Proof::Session { key, expires_at })
    }))
}

/// Whether one who was let in would be let in again, for answers that have no end.
pub(super) async fn still_holds(state: &ApiState, proof: Proof) -> bool {
    let Proof::Session { key, .. } = proof else {
        return true;
    };
    // A database that does not answer says nothing of who is signed in.
    let found = state.fleet.session_find(&key, Utc::now()).await;
    !matches!(found, Ok(None))
}

fn session_key(headers: &HeaderMap) -> Option<SessionKey> {
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .find_map(|(_, value)| SessionKey::of_cookie(value))
}

/// Whether a page of ours asks, as the browser says; `own` is where the dashboard is, when that is
/// not where the request came to.
pub(super) fn is_own_page(headers: &HeaderMap, own: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Browsers leave it out only in clear text from another machine.
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else {
        return false;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    let here = text(header::HOST.as_str());
    own.is_some_and(|own| own.eq_ignore_ascii_case(origin))
        || host.is_some_and(|host| here.is_some_and(|here| here.eq_ignore_ascii_case(host)))
}

/// As [`is_own_page`], for programs, too, which say nothing of pages.
pub(super) fn may_be_own_page(headers: &HeaderMap, own: Option<&str>) -> bool {
    let says = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    !says || is_own_page(headers, own)
}

/// Answer to a page of somebody else that uses an operator's cookie.
pub(super) fn other_origin() -> ApiError {
    let title = "a page of another origin asks in the name of one who is signed in here";
    ApiError::new(StatusCode::FORBIDDEN, "origin.other", title)
        .help("programs send `Authorization: Bearer TOKEN` instead of a cookie")
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn unauthorized(headers: &HeaderMap) -> ApiError {
    let title = if headers.contains_key(header::AUTHORIZATION) {
        "the token is not known here"
    } else if session_key(headers).is_some() {
        return ApiError::new(
            StatusCode::UNAUTHORIZED,
            "auth.session",
            "the session has ended",
        )
        .help("`kanade signin` prints a link that signs in again");
    } else {
        "a token is needed"
    };
    ApiError::new(StatusCode::UNAUTHORIZED, "auth.token", title).help(
        "send `Authorization: Bearer TOKEN`; the token is in `secrets/api-token` of the \
         backend's data folder, and `kanade login` keeps it",
    )
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let operator = parts.extensions.get::<Self>().cloned();
        operator.ok_or_else(|| unauthorized(&parts.headers))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Proof {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let proof = parts.extensions.get::<Self>().copied();
        proof.ok_or_else(|| unauthorized(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token::new("abc");
        assert!(token.is("abc"));
        for wrong in ["", "ab", "abcd", "ABC"] {
            assert!(!token.is(wrong), "{wrong}");
        }
    }
    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            let value = axum::http::HeaderValue::from_static(value);
            (axum::http::HeaderName::from_static(name), value)
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn only_our_own_pages_are_our_own() {
        let here = ("host", "127.0.0.1:8443");
        let own = |lines: &[(&'static str, &'static str)]| {
            is_own_page(&headers(lines), Some("https://kanade.example"))
        };
        assert!(own(&[here, ("sec-fetch-site", "same-origin")]));
        assert!(own(&[here, ("origin", "http://127.0.0.1:8443")]));
        assert!(own(&[here, ("origin", "https://kanade.example")]));
        for site in ["same-site", "cross-site", "none"] {
            let lines = [
                here,
                ("sec-fetch-site", site),
                ("origin", "http://127.0.0.1:8443"),
            ];
            assert!(!own(&lines), "{site}");
        }
        for origin in ["http://127.0.0.1:9", "http://evil.example", "null", ""] {
            assert!(!own(&[here, ("origin", origin)]), "{origin}");
        }
        assert!(!own(&[here]), "a browser always says one of them");
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let value =
            "kanade_session=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let line: &'static str = format!("theme=dark; {value}; x=y").leak();
        assert!(session_key(&headers(&[("cookie", line)])).is_some());
        for other in [
            "",
            "kanade_session",
            "kanade_session=",
            "not_kanade_session=00",
        ] {
            assert!(
                session_key(&headers(&[("cookie", other)])).is_none(),
                "{other}"
            );
        }
    }
}

//! Who asks: the bearer token at the door, and the [`Operator`] that handlers take.
//!
//! One token stands for the account `local`. A handler that takes an [`Operator`] cannot be
//! reached without one.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::ApiState;
use super::problem::{Answer, ApiError};
use crate::fleet::Operator;

/// The account that the generated token stands for.
pub(crate) const LOCAL: &str = "local";

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

/// Lets a request through that has the token, with its operator and at its rate.
pub(super) async fn require_token(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Answer<Response> {
    let known = bearer(request.headers()).is_some_and(|token| state.token.is(token));
    // Guesses have a rate of their own, so that they cannot use up the operator's.
    let of_agent = request.uri().path().starts_with(super::AGENT_PREFIX);
    let (limit, who) = match (known, of_agent) {
        (true, false) => (&state.rate, LOCAL),
        // A fleet that fetches a script all at once must not lock its operator out.
        (true, true) => (&state.agents, "agents"),
        (false, _) => (&state.guesses, "nobody"),
    };
    limit.admit(who)?;
    if !known {
        return Err(unauthorized(request.headers()));
    }
    request.extensions_mut().insert(Operator::local());
    Ok(next.run(request).await)
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
}

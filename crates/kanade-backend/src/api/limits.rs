//! How much one may ask: requests a second, and seconds an answer may take.
//!
//! The rate is a leaky bucket per caller: so many a second, twice as many at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Answer, ApiError};

/// A rate for each of several callers.
pub(super) struct Rate {
    /// Time that one request takes off a caller's allowance.
    cost: Duration,
    /// Allowance of a caller who was quiet.
    burst: Duration,
    /// Until when each caller has used its allowance.
    used_until: Mutex<HashMap<&'static str, Instant>>,
}

/// A caller is over its rate until this has passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany(Duration);

impl Rate {
    /// So many requests a second, and twice as many at once.
    pub(super) fn new(per_second: u32) -> Self {
        let cost = Duration::from_secs(1) / per_second.max(1);
        Self {
            cost,
            burst: Duration::from_secs(2),
            used_until: Mutex::default(),
        }
    }

    /// Counts a request of `who`.
    pub(super) fn admit(&self, who: &'static str) -> Result<(), TooMany> {
        self.admit_at(who, Instant::now())
    }

    fn admit_at(&self, who: &'static str, now: Instant) -> Result<(), TooMany> {
        let mut all = self
            .used_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let used_until = all.entry(who).or_insert(now);
        let then = (*used_until).max(now) + self.cost;
        if then > now + self.burst {
            return Err(TooMany(then - now - self.burst));
        }
        *used_until = then;
        Ok(())
    }
}

impl From<TooMany> for ApiError {
    fn from(TooMany(wait): TooMany) -> Self {
        let title = "too many requests in a short time";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate.exceeded", title)
            .help(format!("try again in {} ms", wait.as_millis() + 1))
    }
}

/// How long the answers of some addresses may take.
#[derive(Clone, Copy)]
pub(super) struct Longest(pub(super) Duration);

/// Answers 408 when a handler has not answered in time; what it was doing is given up.
pub(super) async fn in_time(
    State(Longest(limit)): State<Longest>,
    request: Request,
    next: Next,
) -> Answer<Response> {
    tokio::time::timeout(limit, next.run(request))
        .await
        .map_err(|_| {
            let title = format!("the request was not done after {} s", limit.as_secs());
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "request.timeout", title)
                .help("try again; a change with an `Idempotency-Key` is safe to send twice")
        })
}

/// Headers that every answer has, and `Retry-After` where there is one to give.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await.into_response();
    let status = response.status();
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        headers
            .entry(header::RETRY_AFTER)
            .or_insert(HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_twice_its_rate_at_once_and_then_its_rate() {
        let (rate, now) = (Rate::new(200), Instant::now());
        let admitted = |at: Instant| {
            (0..1000)
                .take_while(|_| rate.admit_at("a", at).is_ok())
                .count()
        };
        assert_eq!(admitted(now), 400);
        assert_eq!(admitted(now + Duration::from_secs(1)), 200);
        assert!(
            rate.admit_at("b", now).is_ok(),
            "another caller has its own"
        );
    }
}

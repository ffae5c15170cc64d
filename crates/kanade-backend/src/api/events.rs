//! `/api/v1/events`: live changes as server-sent events.
//!
//! They go on as long as the client wants them, but not longer than the session that asked.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{self, Proof};
use super::extract::Query;
use super::problem::{Answer, ApiError};
use crate::changes::{Listener, Topic, TopicError};

/// Silence that is broken by a comment, so that both ends notice a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Listeners at once.
const LISTENERS: usize = 1_000;
/// Topics of one listener.
const TOPICS: usize = 100;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(event_stream))
}

/// What to listen to.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct EventQuery {
    /// `agents`, `execs`, `exec:<exec_id>`, `tail:<request_id>`, separated by commas.
    topics: String,
    /// The id seen last, for clients that cannot send `Last-Event-ID`.
    last_event_id: Option<u64>,
}

/// Live changes, as server-sent events.
///
/// The `id` of an event is the number of the change; `event` is its topic; `data` is JSON with a
/// `kind` of `agent`, `exec`, `target`, `result`, `tail`, `resumed` or `reset`. The first event is
/// `resumed` when everything after `Last-Event-ID` follows; `reset` when it does not, or none was
/// given: then read the lists again, and go on from its id.
#[utoipa::path(
    get, path = "/events", tag = "events",
    params(
        EventQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The id seen last"),
    ),
    responses((status = 200, description = "Events until the client ends it", content_type = "text/event-stream", body = String))
)]
async fn event_stream(
    State(state): State<ApiState>,
    Query(query): Query<EventQuery>,
    proof: Proof,
    headers: HeaderMap,
) -> Answer<Response> {
    let topics = topics(&query.topics)?;
    if state.changes.listeners() >= LISTENERS {
        let title = format!("{LISTENERS} listen already");
        return Err(
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "events.too_many", title)
                .help("close some dashboards or watches, and try again"),
        );
    }
    let listener = state
        .changes
        .listen(topics, last_seen(&headers).or(query.last_event_id));
    let follower = Follower {
        listener,
        state,
        proof,
        asked: Instant::now(),
    };
    let stream = futures::stream::unfold(follower, next);
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Of reverse proxies that would hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// One who listens.
struct Follower {
    listener: Listener,
    state: ApiState,
    proof: Proof,
    /// When it was last looked whether the proof still holds.
    asked: Instant,
}

type Step = Option<(Result<Bytes, Infallible>, Follower)>;

async fn next(mut follower: Follower) -> Step {
    loop {
        if follower.asked.elapsed() >= HEARTBEAT && !follower.still_may().await {
            return None;
        }
        let text = tokio::select! {
            biased;
            () = follower.state.stop.cancelled() => return None,
            () = follower.state.signed_out.notified() => {
                if !follower.still_may().await {
                    return None;
                }
                continue;
            }
            next = tokio::time::timeout(HEARTBEAT, follower.listener.next()) => next,
        };
        let text = text.unwrap_or_else(|_| ":\n\n".to_owned());
        return Some((Ok(Bytes::from(text)), follower));
    }
}

impl Follower {
    async fn still_may(&mut self) -> bool {
        self.asked = Instant::now();
        auth::still_holds(&self.state, self.proof).await
    }
}

fn topics(text: &str) -> Answer<Vec<Topic>> {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let topics: Result<Vec<Topic>, TopicError> = parts.map(str::parse).collect();
    let mut topics = topics
        .map_err(|error| ApiError::invalid("events.topic", error.to_string()).field("topics"))?;
    topics.sort_unstable();
    topics.dedup();
    if topics.is_empty() || topics.len() > TOPICS {
        let title = format!("{} topics are named; 1 to {TOPICS} can be", topics.len());
        return Err(ApiError::invalid("events.topic", title)
            .field("topics")
            .help("add `?topics=agents,execs`, for example"));
    }
    Ok(topics)
}

/// One that is not ours is as good as none: the listener gets a reset.
fn last_seen(headers: &HeaderMap) -> Option<u64> {
    headers
        .get("last-event-id")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

//! HTTP in and out, and nothing else: a file per resource, each a router of thin handlers.
//!
//! The routers carry their own description, from which the OpenAPI document is made, so a route
//! that is served is described. Around them, from the outside in: headers and counting, panics,
//! compression, then (but for health, signing in, the document and its page) the token or a session,
//! the rate, and the time limit. What no route is for is the dashboard's.
//!
//! **Invariant:** axum's types stop here; rules are in `fleet/`.
//! **Invariant:** every error that leaves is problem+json.

mod agents;
mod auth;
mod blobs;
mod dashboard;
mod docs;
mod events;
mod execs;
mod extract;
mod groups;
mod jobs;
mod limits;
mod openapi;
mod problem;
mod results;
mod serve;
mod session;
mod system;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use kanade_shared::bootstrap::{Plan, Report};
use kanade_shared::id::RequestId;
use tokio::sync::Notify;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::changes::Changes;
use crate::config::Limits;
use crate::fleet::{Fleet, Operator};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::tasks::Stop;

pub use auth::Token;
pub use dashboard::Dashboard;
pub use openapi::document;
pub use problem::{Answer, ApiError, causes};
pub use serve::{ListenError, listen, serve};

/// Jobs and scripts may be this many times as large as other bodies.
const SCRIPT_TIMES: u64 = 6;
/// All agents together may ask this many times as often as one operator.
const AGENTS_TIMES: u32 = 10;
/// Where agents ask.
const AGENT_PREFIX: &str = "/agent/v1";
/// An upload of output goes on as long as an agent's link needs.
const UPLOAD_TIME: Duration = Duration::from_secs(600);

/// What the API asks of those who talk to the broker.
pub trait BrokerDoor: Send + Sync {
    /// Asks the PC of this run for its output; it comes as live changes.
    fn tail(&self, run: RequestId) -> BoxFuture<'_, Answer<()>>;
    /// What a reconcile of the broker's resources would do.
    fn plan(&self) -> BoxFuture<'_, Answer<Plan>>;
    /// Does it, in the name of `by`.
    fn apply(&self, by: Operator) -> BoxFuture<'_, Answer<Report>>;
}

/// What the API needs of the backend.
pub struct Parts {
    /// The rules.
    pub fleet: Fleet,
    /// Live changes.
    pub changes: Changes,
    /// Numbers.
    pub metrics: Metrics,
    /// Whether all serve.
    pub health: Health,
    /// What only the broker can answer.
    pub broker: Arc<dyn BrokerDoor>,
    /// Who may ask.
    pub token: Token,
    /// The files for browsers.
    pub dashboard: Dashboard,
    /// How much.
    pub limits: Limits,
    /// Ends live events, which would never end by themselves.
    pub stop: Stop,
}

/// [`Parts`] as handlers share them.
#[derive(Clone)]
pub(crate) struct ApiState(Arc<Shared>);

pub(crate) struct Shared {
    parts: Parts,
    rate: limits::Rate,
    agents: limits::Rate,
    guesses: limits::Rate,
    /// Tells live events to look whether their session is still there.
    signed_out: Notify,
}

impl std::ops::Deref for ApiState {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl std::ops::Deref for Shared {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// Everything below `/api/v1` that needs an operator, with its description.
fn v1(limits: &Limits) -> OpenApiRouter<ApiState> {
    let scripts = DefaultBodyLimit::max(bytes(limits.body_bytes * SCRIPT_TIMES));
    OpenApiRouter::new()
        .merge(execs::routes().layer(scripts))
        .merge(jobs::routes().layer(scripts))
        .merge(agents::routes())
        .merge(results::routes())
        .merge(groups::routes())
        .merge(session::routes())
        .merge(system::routes())
        .merge(events::routes())
}

/// Routes by what is around them, and the description of all.
struct Pieces {
    guarded: Router<ApiState>,
    uploads: Router<ApiState>,
    open: Router<ApiState>,
    document: OpenApi,
}

fn pieces(limits: &Limits) -> Pieces {
    let (guarded, mut document) = OpenApiRouter::with_openapi(openapi::head())
        .nest(kanade_shared::api::PREFIX, v1(limits))
        .nest(AGENT_PREFIX, blobs::bodies())
        .merge(system::metrics_routes())
        .split_for_parts();
    let uploads = OpenApiRouter::new().nest(AGENT_PREFIX, blobs::uploads());
    let (uploads, of_uploads) = uploads.split_for_parts();
    let (open, of_open) = OpenApiRouter::new()
        .nest(kanade_shared::api::PREFIX, session::open_routes())
        .merge(system::open_routes())
        .split_for_parts();
    document.merge(of_uploads);
    Pieces {
        guarded,
        uploads,
        open,
        document: openapi::finish(document, of_open),
    }
}

/// The whole API.
pub fn router(parts: Parts) -> Router {
    let Pieces {
        guarded,
        uploads,
        open,
        document,
    } = pieces(&parts.limits);
    let rate = parts.limits.requests_per_second;
    let longest = Duration::from_secs(parts.limits.request_timeout_s.into());
    let in_time =
        |longest| middleware::from_fn_with_state(limits::Longest(longest), limits::in_time);
    let guarded = guarded
        .layer(DefaultBodyLimit::max(bytes(parts.limits.body_bytes)))
        .layer(in_time(longest));
    let metrics = parts.metrics.clone();
    let state = ApiState(Arc::new(Shared {
        parts,
        rate: limits::Rate::new(rate),
        agents: limits::Rate::new(rate.saturating_mul(AGENTS_TIMES)),
        guesses: limits::Rate::new(rate),
        signed_out: Notify::new(),
    }));
    guarded
        .merge(uploads.layer(in_time(UPLOAD_TIME)))
        .route_layer(middleware::from_fn_with_state(
            state.clone(),
            auth::require_operator,
        ))
        .merge(open.layer(in_time(longest)))
        .merge(docs::routes(&document))
        .fallback(dashboard::serve)
        .method_not_allowed_fallback(unknown_method)
        .layer(CompressionLayer::new().gzip(true))
        .layer(CatchPanicLayer::custom(|_panic| {
            problem::broke().into_response()
        }))
        .layer(middleware::from_fn_with_state(metrics, count))
        .layer(middleware::from_fn(limits::headers))
        .with_state(state)
}

fn bytes(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

async fn unknown_method(request: Request) -> ApiError {
    problem::no_such_method(request.method().as_str(), request.uri().path())
}

/// Counts the answer under the route's pattern.
async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("unknown", |path| path.as_str()).to_owned();
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), began.elapsed());
    metrics.answered(known(&method), &route, status, took.as_secs_f64());
    tracing::debug!(%method, route, status, ?took, "answered");
    response
}

/// A method that a client made up must not become a label.
fn known(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

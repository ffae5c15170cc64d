//! What is answered while this backend waits for its turn at the database.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::api::{self, ApiError};
use crate::tasks::Stop;

/// A start that takes no longer answers nothing until it is done: whoever asks meanwhile waits.
const SOON: Duration = Duration::from_secs(1);

/// Answers until `stop`: alive, and not ready.
pub(super) async fn serve(listener: Arc<TcpListener>, stop: Stop) {
    tokio::select! {
        () = tokio::time::sleep(SOON) => {}
        () = stop.cancelled() => return,
    }
    let router = Router::new()
        .route("/healthz", get(async || StatusCode::OK))
        .fallback(async || waiting());
    api::serve(listener, router, stop).await;
}

fn waiting() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "store.waiting",
        "this backend waits for the database",
    )
    .help(
        "ask the backend that holds the lease of the database; its log and this one's say which. \
         If there is none, start the database",
    )
}

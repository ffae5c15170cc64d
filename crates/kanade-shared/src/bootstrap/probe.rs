//! Finds out whether a broker has room before anything is made.
//!
//! A broker reserves a stream's cap when it makes the stream, and doesn't tell an account
//! how much the *server* may reserve. So one stream with the whole sum is made and removed
//! again: either the sum fits and the rest will follow, or nothing was made.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, Info};
use async_nats::jetstream::{self, Context, ErrorCode};
use tracing::debug;

use super::observe::unanswered;

/// Streams of this name hold nothing and are gone in a moment.
const PREFIX: &str = "KANADE_ROOM_";
/// A probe that is older was left by a backend that died in between.
const STALE: Duration = Duration::from_secs(60);
/// How finely the room is told when it is too small.
const STEP: u64 = 64 << 20;

/// A broker's answer to a request that changes a stream.
pub(super) enum Refusal {
    /// It said why.
    Told(jetstream::Error),
    /// It did not answer.
    Unanswered,
    /// The request could not be made or its answer not be read.
    Other(String),
}

/// Creates or updates (`verb` is the API's) the stream of `config`.
pub(super) async fn request(js: &Context, verb: &str, config: &Config) -> Result<(), Refusal> {
    let subject = format!("STREAM.{verb}.{}", config.name);
    match js.request::<_, _, Response<Info>>(subject, config).await {
        Ok(Response::Ok(_)) => Ok(()),
        Ok(Response::Err { error }) => Err(Refusal::Told(error)),
        Err(error) if unanswered(error.kind()) => Err(Refusal::Unanswered),
        Err(error) => Err(Refusal::Other(error.to_string())),
    }
}

/// Whether the broker would reserve `bytes` on each of `replicas` servers. What it refuses
/// for another reason counts as room: making the resources will tell that reason better.
pub(super) async fn has_room(js: &Context, bytes: u64, replicas: usize) -> bool {
    let name = format!("{PREFIX}{}", uuid::Uuid::now_v7().simple());
    let config = Config {
        name: name.clone(),
        max_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        num_replicas: replicas,
        description: Some("asks for room and is removed at once".into()),
        ..Config::default()
    };
    match request(js, "CREATE", &config).await {
        Ok(()) => {
            remove(js, &name).await;
            true
        }
        Err(Refusal::Told(error)) => error.error_code() != ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        Err(Refusal::Unanswered | Refusal::Other(_)) => true,
    }
}

/// How much of `bytes` the broker would reserve, to within 64 MiB below.
pub(super) async fn room_below(js: &Context, bytes: u64, replicas: usize) -> u64 {
    let (mut fits, mut not) = (0, bytes / STEP + 1);
    while not - fits > 1 {
        let middle = fits + (not - fits) / 2;
        if has_room(js, middle * STEP, replicas).await {
            fits = middle;
        } else {
            not = middle;
        }
    }
    fits * STEP
}

/// Whether a stream is a probe that somebody left behind.
pub(super) fn is_stale(info: &Info, now: SystemTime) -> bool {
    info.config.name.starts_with(PREFIX)
        && now
            .duration_since(info.created.into())
            .is_ok_and(|age| age > STALE)
}

/// Removes a probe; one that stays is removed by a later start.
pub(super) async fn remove(js: &Context, probe: &str) {
    if let Err(error) = js.delete_stream(probe).await {
        debug!(probe, %error, "could not remove the stream that asked for room");
    }
}

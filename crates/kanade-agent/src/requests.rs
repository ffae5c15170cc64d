//! Requests to this agent (`agent.P.…`): questions, and a hint to read again. None changes
//! anything.
//!
//! One answer each; more of a run's output follows on `tail.P.R`, for as long as it was asked for.

use std::time::Duration;

use kanade_shared::id::{PcId, RequestId};
use kanade_shared::subject;
use kanade_shared::wire::agent::{Ack, LogsRequest, ResultsRequest, TailChunk, TailRequest};
use serde::Serialize;
use tokio::time::Instant;

use crate::exec::{TailBuffer, TailPiece, TailPosition};

/// `kick` is heard at most once in this time.
const KICK_EVERY: Duration = Duration::from_secs(5);
/// A tail is followed this long at most, in seconds; whoever watches longer asks again.
const FOLLOW_MAX_S: u32 = 60;
/// Live output in one message, per stream, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// Pieces of live output come at most this often.
const CHUNK_EVERY: Duration = Duration::from_millis(100);
/// Largest request that is read, in bytes.
const REQUEST_MAX_BYTES: usize = 64 * 1024;

/// A request that was understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Are you there?
    Ping,
    /// Read again now.
    Kick,
    /// The output of a run so far, and what follows.
    Tail(TailRequest),
    /// A page of the agent's own log.
    Logs(LogsRequest),
    /// Results that the backend lacks.
    Results(ResultsRequest),
    /// Something else, and why it is not done.
    Unknown(String),
}

/// Reads a request.
pub fn parse(verb: &str, payload: &[u8]) -> Request {
    if payload.len() > REQUEST_MAX_BYTES {
        return Request::Unknown(format!("the request has {} bytes", payload.len()));
    }
    let wrong = |error: serde_json::Error| Request::Unknown(format!("`{verb}`: {error}"));
    match verb {
        "ping" => Request::Ping,
        "kick" => Request::Kick,
        "tail" => serde_json::from_slice(payload).map_or_else(wrong, Request::Tail),
        "logs" => serde_json::from_slice(payload).map_or_else(wrong, Request::Logs),
        "results" => serde_json::from_slice(payload).map_or_else(wrong, Request::Results),
        _ => Request::Unknown(format!("this agent does not know `{verb}`")),
    }
}

/// Lets a kick through at most once in [`KICK_EVERY`].
#[derive(Debug, Default)]
pub struct KickGate {
    last: Option<Instant>,
}

impl KickGate {
    /// Whether this one counts.
    pub fn admits(&mut self, now: Instant) -> bool {
        let admitted = self
            .last
            .is_none_or(|last| now.duration_since(last) >= KICK_EVERY);
        if admitted {
            self.last = Some(now);
        }
        admitted
    }
}

/// Done.
pub fn yes() -> Ack {
    Ack {
        ok: true,
        reason: None,
    }
}

/// Not done, and why.
pub fn no(reason: impl Into<String>) -> Ack {
    Ack {
        ok: false,
        reason: Some(reason.into()),
    }
}

/// Answers a request; nobody who waits for it any more is no failure.
pub async fn reply(client: &async_nats::Client, to: async_nats::Subject, with: &impl Serialize) {
    if let Ok(payload) = serde_json::to_vec(with) {
        let sent = client.publish(to, payload.into()).await;
        let _ = sent.inspect_err(|error| tracing::debug!(%error, "reply not sent"));
    }
}

/// The answer for a run that has no live output here: not this PC's, or over.
pub fn no_tail(request_id: RequestId, found: bool) -> TailChunk {
    TailChunk {
        request_id,
        found,
        running: false,
        stdout_offset: 0,
        stdout: String::new(),
        stderr_offset: 0,
        stderr: String::new(),
    }
}

/// Answers with what a run wrote so far, then sends what follows.
pub(crate) async fn follow(
    client: async_nats::Client,
    pc_id: PcId,
    request: TailRequest,
    tail: TailBuffer,
    to: async_nats::Subject,
) {
    let request_id = request.request_id;
    let first = tail.read(TailPosition::default(), CHUNK_BYTES);
    reply(&client, to, &chunk(request_id, first.clone())).await;
    let mut reader = tail.subscribe_from(first.next);
    let follow_s = request.follow_s.min(FOLLOW_MAX_S);
    let until = Instant::now() + Duration::from_secs(u64::from(follow_s));
    while let Ok(Some(piece)) = tokio::time::timeout_at(until, reader.next(CHUNK_BYTES)).await {
        reply(
            &client,
            subject::tail(&pc_id, request_id).into(),
            &chunk(request_id, piece),
        )
        .await;
        tokio::time::sleep(CHUNK_EVERY).await;
    }
}

fn chunk(request_id: RequestId, piece: TailPiece) -> TailChunk {
    TailChunk {
        request_id,
        found: true,
        running: !piece.ended,
        stdout_offset: piece.stdout_offset,
        stdout: piece.stdout,
        stderr_offset: piece.stderr_offset,
        stderr: piece.stderr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kicks_in_a_row_count_once() {
        let start = Instant::now();
        let mut gate = KickGate::default();
        assert!(gate.admits(start));
        assert!(!gate.admits(start + Duration::from_secs(4)));
        assert!(gate.admits(start + Duration::from_secs(5)));
    }

    #[test]
    fn rubbish_is_answered_with_a_reason() {
        for (verb, payload) in [
            ("tail", &b"{"[..]),
            ("results", b"[]"),
            ("format", b""),
            ("tail", &[0; 70_000]),
        ] {
            assert!(
                matches!(parse(verb, payload), Request::Unknown(_)),
                "{verb}"
            );
        }
        assert_eq!(parse("ping", b"anything"), Request::Ping);
    }
}

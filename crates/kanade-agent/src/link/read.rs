//! Reads what was missed, by Direct Get of exact subjects and by requests to the backend.
//!
//! Every question is asked again until it has an answer; that there is nothing is an answer, a
//! silence is none. Whoever asked drops the future when the link is gone.

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::Request;
use async_nats::{HeaderMap, Message, RequestErrorKind, StatusCode};
use bytes::Bytes;
use kanade_agent_core::{Mono, Read};
use kanade_shared::id::{JournalId, PcId, RequestId};
use kanade_shared::subject::{self, Scope};
use kanade_shared::wire::HEADER_SIGNATURE;
use kanade_shared::wire::agent::{TimeReply, TimeRequest};

use super::document::{self, OpenCommands, Refused};
use super::{LinkEvent, Sink};
use crate::{clock, random};

const ASK_TIMEOUT: Duration = Duration::from_secs(3);
const FIRST_WAIT_MS: u64 = 100;
const LONGEST_WAIT_MS: u64 = 5_000;

/// A message as it is stored in a stream.
#[derive(Debug)]
pub struct Stored {
    /// Its bytes.
    pub payload: Bytes,
    /// Its headers, with the stream's own.
    pub headers: HeaderMap,
}

/// Reads everything that decides what this PC does, and tells each answer as it comes.
pub async fn all(
    client: async_nats::Client,
    pc_id: PcId,
    journal_id: JournalId,
    documents: Arc<dyn OpenCommands>,
    events: impl Sink,
) {
    let own = Scope::Pc(pc_id.clone());
    let commands = async |scope: &Scope| {
        let read = commands(&client, scope, &*documents).await;
        events.tell(LinkEvent::Read(read)).await;
    };
    tokio::join!(
        commands(&Scope::All),
        commands(&own),
        async {
            let read = desired(&client, &pc_id).await;
            events.tell(LinkEvent::Read(read)).await;
        },
        async {
            let read = brake(&client).await;
            events.tell(LinkEvent::Read(read)).await;
        },
        async {
            let (reply, asked, answered) = time(&client, &pc_id, journal_id).await;
            let told = LinkEvent::Time {
                reply,
                asked,
                answered,
            };
            events.tell(told).await;
        },
    );
}

async fn commands(
    client: &async_nats::Client,
    scope: &Scope,
    documents: &dyn OpenCommands,
) -> Read {
    let subject = scope.commands();
    let stored = newest(client, subject::EXEC_STREAM, &subject).await;
    let document = stored.and_then(|stored| {
        let opened = documents.open(scope, &stored.payload, signature(&stored.headers));
        taken(&subject, opened)
    });
    Read::Commands(scope.clone(), document)
}

async fn desired(client: &async_nats::Client, pc_id: &PcId) -> Read {
    let subject = subject::desired(pc_id);
    let stored = newest(client, subject::DESIRED_STREAM, &subject).await;
    Read::Desired(stored.and_then(|stored| {
        taken(
            &subject,
            document::desired(pc_id, &stored.payload, signature(&stored.headers)),
        )
    }))
}

async fn brake(client: &async_nats::Client) -> Read {
    let stored = newest(client, subject::FLEET_STREAM, subject::BRAKE).await;
    Read::Brake(stored.and_then(|stored| {
        taken(
            subject::BRAKE,
            document::brake(&stored.payload, signature(&stored.headers)),
        )
    }))
}

/// The signature that came with a document.
pub(super) fn signature(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(HEADER_SIGNATURE)
        .map(async_nats::HeaderValue::as_str)
}

/// What was refused is told and is as good as nothing.
pub(super) fn taken<T>(subject: &str, opened: Result<T, Refused>) -> Option<T> {
    opened
        .inspect_err(|why| tracing::warn!(subject, %why, "document refused"))
        .ok()
}

/// The newest message on a subject of a stream, or that there is none.
async fn newest(client: &async_nats::Client, stream: &str, subject: &str) -> Option<Stored> {
    let mut failures = 0;
    loop {
        match try_newest(client, stream, subject).await {
            Some(answer) => return answer,
            None => wait(&mut failures).await,
        }
    }
}

/// One try: `None` when there was no answer.
pub async fn try_newest(
    client: &async_nats::Client,
    stream: &str,
    subject: &str,
) -> Option<Option<Stored>> {
    let request = Request::new().timeout(Some(ASK_TIMEOUT));
    match client
        .send_request(subject::direct_get(stream, subject), request)
        .await
    {
        Ok(message) => answer(message),
        Err(error) => {
            let silent = error.kind() == RequestErrorKind::NoResponders;
            tracing::debug!(subject, silent, %error, "direct get not answered");
            None
        }
    }
}

fn answer(message: Message) -> Option<Option<Stored>> {
    match message.status {
        Some(StatusCode::NOT_FOUND) => Some(None),
        Some(StatusCode::OK) | None => {
            let headers = message.headers?;
            // Without these it was not the stream that answered.
            headers.get("Nats-Sequence")?;
            let stored = Stored {
                payload: message.payload,
                headers,
            };
            Some(if is_marker(&stored.headers) {
                None
            } else {
                Some(stored)
            })
        }
        Some(_) => None,
    }
}

/// Whether a message only says that what was there is deleted or has expired.
pub(super) fn is_marker(headers: &HeaderMap) -> bool {
    let deleted = headers
        .get("KV-Operation")
        .is_some_and(|op| op.as_str() != "PUT");
    deleted || headers.get("Nats-Marker-Reason").is_some()
}

/// The fleet's time, with the times of the question and of the answer. While another agent holds
/// the id there is none, so this one does not go live.
async fn time(
    client: &async_nats::Client,
    pc_id: &PcId,
    journal_id: JournalId,
) -> (TimeReply, Mono, Mono) {
    let mut failures = 0;
    let mut told = None;
    loop {
        let asked = clock::mono();
        if let Some(reply) = try_time(client, pc_id, journal_id, &[]).await {
            match &reply.refused {
                None => return (reply, asked, clock::mono()),
                Some(why) if told.as_ref() != Some(why) => {
                    tracing::error!("{why}; nothing runs here until then");
                    told = Some(why.clone());
                }
                Some(_) => {}
            }
        }
        wait(&mut failures).await;
    }
}

/// One try at the fleet's time and what the backend heard of these runs.
pub async fn try_time(
    client: &async_nats::Client,
    pc_id: &PcId,
    journal_id: JournalId,
    ask: &[RequestId],
) -> Option<TimeReply> {
    let nonce = uuid::Uuid::now_v7().simple().to_string();
    let question = TimeRequest {
        nonce: nonce.clone(),
        journal_id: Some(journal_id),
        ask: ask.to_vec(),
    };
    let payload = serde_json::to_vec(&question).ok()?;
    let request = Request::new()
        .payload(payload.into())
        .timeout(Some(ASK_TIMEOUT));
    let answer = client
        .send_request(subject::service("time", pc_id), request)
        .await
        .ok()?;
    let reply: TimeReply = serde_json::from_slice(&answer.payload).ok()?;
    (reply.nonce == nonce).then_some(reply)
}

async fn wait(failures: &mut u32) {
    *failures += 1;
    let ms = kanade_agent_core::backoff::delay_ms(
        *failures,
        FIRST_WAIT_MS,
        LONGEST_WAIT_MS,
        random::byte(),
    );
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

//! What a stream keeps by subject, and publishing many messages with their acknowledgements in
//! flight together.

use std::collections::BTreeSet;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::DirectGetErrorKind;
use async_nats::jetstream::{self, message::StreamMessage};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};

/// Reads that are in flight together.
const READS_IN_FLIGHT: usize = 256;
/// Publishes that are in flight together.
const PUBLISHES_IN_FLIGHT: usize = 1024;

/// The newest message on a subject.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its subject.
    pub subject: String,
    /// Its sequence.
    pub sequence: u64,
    /// Its payload.
    pub payload: Bytes,
    /// When the broker lets go of it, where the message says so itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it only marks that what was there is deleted or has expired.
    pub deleted: bool,
}

impl Kept {
    fn from_message(message: StreamMessage) -> Self {
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str());
        let stored_at = DateTime::from_timestamp_nanos(nanos(message.time.unix_timestamp_nanos()));
        let ttl = header("Nats-TTL").and_then(seconds);
        Self {
            expires_at: ttl.and_then(|ttl| stored_at.checked_add_signed(ttl)),
            deleted: header("KV-Operation").is_some_and(|word| word != "PUT")
                || header("Nats-Marker-Reason").is_some(),
            subject: message.subject.to_string(),
            sequence: message.sequence,
            payload: message.payload,
        }
    }
}

fn nanos(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// Reads `3600` or `3600s`.
fn seconds(text: &str) -> Option<chrono::Duration> {
    let number = text.strip_suffix('s').unwrap_or(text);
    chrono::Duration::try_seconds(number.parse().ok()?)
}

/// The newest message on this subject.
///
/// # Errors
/// What the broker or the connection said, other than that there is none.
pub async fn last(
    js: &jetstream::Context,
    stream: &str,
    subject: &str,
) -> Result<Option<Kept>, async_nats::Error> {
    let stream = js.get_stream_no_info(stream).await?;
    match stream.direct_get_last_for_subject(subject).await {
        Ok(message) => Ok(Some(Kept::from_message(message))),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The newest message on each of these subjects, in their order.
///
/// # Errors
/// What the broker or the connection said.
pub async fn last_of_each(
    js: &jetstream::Context,
    stream: &str,
    subjects: Vec<String>,
) -> Result<Vec<Option<Kept>>, async_nats::Error> {
    futures::stream::iter(subjects)
        .map(|subject| async move { last(js, stream, &subject).await })
        .buffered(READS_IN_FLIGHT)
        .try_collect()
        .await
}

/// Every subject of a stream under this filter that has a message.
///
/// # Errors
/// What the broker or the connection said.
pub async fn subjects(
    js: &jetstream::Context,
    stream: &str,
    filter: &str,
) -> Result<BTreeSet<String>, async_nats::Error> {
    let stream = js.get_stream_no_info(stream).await?;
    let mut listed = stream.info_with_subjects(filter).await?;
    let mut subjects = BTreeSet::new();
    while let Some((subject, _)) = listed.try_next().await? {
        subjects.insert(subject);
    }
    Ok(subjects)
}

/// The newest message on every subject under this filter.
///
/// # Errors
/// What the broker or the connection said.
pub async fn all(
    js: &jetstream::Context,
    stream: &str,
    filter: &str,
) -> Result<Vec<Kept>, async_nats::Error> {
    let subjects = subjects(js, stream, filter).await?;
    let found = last_of_each(js, stream, subjects.into_iter().collect()).await?;
    Ok(found.into_iter().flatten().collect())
}

/// A message to publish.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Where to.
    pub subject: String,
    /// What.
    pub payload: Bytes,
    /// Only when this is still the last sequence on the subject; 0: when there is none.
    pub expected: Option<u64>,
    /// When the broker may let go of it.
    pub expires_at: Option<DateTime<Utc>>,
    /// The same id is stored once.
    pub id: Option<String>,
}

impl Outgoing {
    /// A message without conditions.
    #[must_use]
    pub fn plain(subject: String, payload: impl Into<Bytes>) -> Self {
        Self {
            subject,
            payload: payload.into(),
            expected: None,
            expires_at: None,
            id: None,
        }
    }

    fn headers(&self, now: DateTime<Utc>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(expected) = self.expected {
            headers.insert(
                "Nats-Expected-Last-Subject-Sequence",
                expected.to_string().as_str(),
            );
        }
        if let Some(expires_at) = self.expires_at {
            let ttl = (expires_at - now).num_seconds().max(1);
            headers.insert("Nats-TTL", format!("{ttl}s").as_str());
        }
        if let Some(id) = &self.id {
            headers.insert("Nats-Msg-Id", id.as_str());
        }
        headers
    }
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Stored under this sequence.
    Stored(u64),
    /// Somebody else published on the subject meanwhile.
    Conflict,
}

/// Publishes all of them, some at the same time; the answers are in the order of the messages.
///
/// Each message waits for its own acknowledgement before it counts as done. The context gives out
/// a limited number of places for acknowledgements, so one who took many places and waited for
/// more would stand in the way of others who do the same, for ever.
///
/// # Errors
/// The first thing that the broker or the connection said, other than a conflict. Others may
/// have been stored.
pub async fn publish(
    js: &jetstream::Context,
    messages: &[Outgoing],
    now: DateTime<Utc>,
) -> Result<Vec<Published>, PublishError> {
    futures::stream::iter(messages.to_vec())
        .map(|message| publish_one(js.clone(), message, now))
        .buffered(PUBLISHES_IN_FLIGHT)
        .try_collect()
        .await
}

async fn publish_one(
    js: jetstream::Context,
    message: Outgoing,
    now: DateTime<Utc>,
) -> Result<Published, PublishError> {
    let headers = message.headers(now);
    let sent = js.publish_with_headers(message.subject, headers, message.payload);
    match sent.await?.await {
        Ok(ack) => Ok(Published::Stored(ack.sequence)),
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
            Ok(Published::Conflict)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_read_as_it_is_written() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let message = Outgoing {
            expires_at: Some(now + chrono::Duration::seconds(3600)),
            ..Outgoing::plain("a".into(), "")
        };
        let headers = message.headers(now);
        let ttl = headers.get("Nats-TTL").unwrap().as_str();
        assert_eq!(seconds(ttl), chrono::Duration::try_seconds(3600));
        assert_eq!(seconds("never"), None);
        let past = Outgoing {
            expires_at: Some(now - chrono::Duration::seconds(5)),
            ..message
        };
        assert_eq!(past.headers(now).get("Nats-TTL").unwrap().as_str(), "1s");
    }
}

//! Reads one stream in order, from a sequence on, without acknowledging anything.
//!
//! A pull consumer that the broker keeps in memory delivers; credit is given ahead, so that the
//! next messages are here while the last ones are written. A batch ends at [`BATCH_MESSAGES`],
//! [`BATCH_BYTES`] or [`BATCH_WAIT`], and at once when the stream has no more: one message on an
//! idle stream is not kept waiting.
//!
//! **Invariant:** what comes out is contiguous: a message that the connection lost ends the reader
//! with [`ReadError::Broken`], and whoever reads opens a new one from its stored position.
//! **Invariant:** a reader does not outlive a connection: the broker may have been put back to an
//! older state meanwhile, which only [`super::position`] can tell.

use std::time::Duration;

use async_nats::jetstream::{self, consumer};
use async_nats::{Client, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

/// Messages in a batch at most.
pub const BATCH_MESSAGES: usize = 5_000;
/// Bytes in a batch, about, at most.
pub const BATCH_BYTES: usize = 8 << 20;
/// How long a batch waits for more that are on their way.
pub const BATCH_WAIT: Duration = Duration::from_millis(20);

/// How long one piece of credit is good for.
const CREDIT_EXPIRES: Duration = Duration::from_secs(30);
/// How often the broker says that it is there while it has nothing.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(5);
/// Silence after which the consumer is taken for gone.
const SILENCE: Duration = Duration::from_secs(12);
/// How often the connection is looked at while nothing comes.
const LOOK: Duration = Duration::from_millis(250);
/// How long the broker keeps a consumer that nobody asks.
const INACTIVE: Duration = Duration::from_secs(60);

/// One message as the stream keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// When the broker stored it, in nanoseconds of unix time.
    pub at_ns: i64,
    /// Its subject.
    pub subject: String,
    /// Its payload.
    pub payload: Bytes,
}

/// Messages that follow one another.
#[derive(Debug, Default)]
pub struct Batch {
    /// The messages, never empty.
    pub messages: Vec<Stored>,
    /// Messages that the stream still had after the last one.
    pub lag: u64,
}

/// Why a reader has ended.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No consumer could be made.
    #[error("could not read stream {stream} from sequence {from}")]
    Open {
        /// The stream.
        stream: &'static str,
        /// Where to begin.
        from: u64,
        /// What the broker or the connection said.
        #[source]
        source: async_nats::Error,
    },
    /// The connection is a new one, or messages were lost on it.
    #[error("the reading of stream {stream} broke off: {why}")]
    Broken {
        /// The stream.
        stream: &'static str,
        /// What was seen.
        why: String,
    },
}

/// Reads one stream.
pub struct Reader {
    client: Client,
    stream: &'static str,
    credit_subject: String,
    inbox: String,
    messages: Subscriber,
    /// Messages that were asked for and did not come yet.
    credit: u64,
    /// The consumer's count of the last delivery.
    delivered: u64,
    connects: u64,
    heard: Instant,
    lag: u64,
}

impl Reader {
    /// Begins at the first message whose sequence is `from` or more.
    ///
    /// # Errors
    /// [`ReadError::Open`] when the stream or the broker is not there.
    pub async fn open(
        js: &jetstream::Context,
        stream: &'static str,
        from: u64,
    ) -> Result<Self, ReadError> {
        let client = js.client();
        let connects = connects(&client);
        let failed = |source| ReadError::Open {
            stream,
            from,
            source,
        };
        let inbox = client.new_inbox();
        let messages = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| failed(error.into()))?;
        let config = consumer::pull::Config {
            deliver_policy: consumer::DeliverPolicy::ByStartSequence {
                start_sequence: from.max(1),
            },
            ack_policy: consumer::AckPolicy::None,
            inactive_threshold: INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let made = js.create_consumer_on_stream(config, stream).await;
        let made = made.map_err(|error| failed(error.into()))?;
        let name = made.cached_info().name.clone();
        Ok(Self {
            credit_subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"),
            client,
            stream,
            inbox,
            messages,
            credit: 0,
            delivered: 0,
            connects,
            heard: Instant::now(),
            lag: made.cached_info().num_pending,
        })
    }

    /// Messages that the stream had and this reader has not given out, as last heard.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.lag
    }

    /// The next batch; waits for as long as there is nothing.
    ///
    /// Dropping the future loses what it had collected, and with it the reader.
    ///
    /// # Errors
    /// [`ReadError::Broken`]: open a new reader after looking at the position.
    pub async fn next(&mut self) -> Result<Batch, ReadError> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.messages.is_empty() {
            self.ask().await?;
            match tokio::time::timeout(LOOK, self.messages.next()).await {
                Ok(message) => self.take(message, &mut batch, &mut bytes)?,
                Err(_) => self.look()?,
            }
        }
        let until = Instant::now() + BATCH_WAIT;
        while batch.messages.len() < BATCH_MESSAGES && bytes < BATCH_BYTES {
            if let Some(message) = self.messages.next().now_or_never() {
                self.take(message, &mut batch, &mut bytes)?;
                continue;
            }
            if self.lag == 0 {
                break;
            }
            self.ask().await?;
            match tokio::time::timeout_at(until, self.messages.next()).await {
                Ok(message) => self.take(message, &mut batch, &mut bytes)?,
                Err(_) => break,
            }
        }
        self.ask().await?;
        batch.lag = self.lag;
        Ok(batch)
    }

    /// Keeps one to two batches of credit open.
    async fn ask(&mut self) -> Result<(), ReadError> {
        if self.credit > BATCH_MESSAGES as u64 {
            return Ok(());
        }
        let request = format!(
            r#"{{"batch":{BATCH_MESSAGES},"max_bytes":{BATCH_BYTES},"expires":{},"idle_heartbeat":{}}}"#,
            CREDIT_EXPIRES.as_nanos(),
            IDLE_HEARTBEAT.as_nanos()
        );
        let sent = self
            .client
            .publish_with_reply(
                self.credit_subject.clone(),
                self.inbox.clone(),
                request.into(),
            )
            .await;
        sent.map_err(|error| self.broken(error.to_string()))?;
        self.credit += BATCH_MESSAGES as u64;
        Ok(())
    }

    fn take(
        &mut self,
        message: Option<Message>,
        batch: &mut Batch,
        bytes: &mut usize,
    ) -> Result<(), ReadError> {
        let Some(message) = message else {
            return Err(self.broken("the subscription ended"));
        };
        self.heard = Instant::now();
        if let Some(status) = message.status.filter(|status| *status != StatusCode::OK) {
            return self.status(status, &message);
        }
        let info = message.reply.as_deref().and_then(delivery);
        let Some(info) = info else {
            return Err(self.broken("a message came without its sequence"));
        };
        if info.delivered != self.delivered + 1 {
            return Err(self.broken("a message was lost on the way"));
        }
        self.delivered = info.delivered;
        self.credit = self.credit.saturating_sub(1);
        self.lag = info.pending;
        *bytes += message.length;
        batch.messages.push(Stored {
            sequence: info.sequence,
            at_ns: info.at_ns,
            subject: message.subject.to_string(),
            payload: message.payload,
        });
        Ok(())
    }

    fn status(&mut self, status: StatusCode, message: &Message) -> Result<(), ReadError> {
        if status == StatusCode::IDLE_HEARTBEAT {
            return Ok(());
        }
        // The end of one piece of credit, by time or by bytes, says what was left of it.
        let left = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Nats-Pending-Messages"))
            .and_then(|left| left.as_str().parse::<u64>().ok());
        let Some(left) = left else {
            let text = message.description.as_deref().unwrap_or("no description");
            return Err(self.broken(format!("the broker answered {status}: {text}")));
        };
        self.credit = self.credit.saturating_sub(left);
        Ok(())
    }

    fn look(&self) -> Result<(), ReadError> {
        if connects(&self.client) != self.connects {
            return Err(self.broken("the connection is a new one"));
        }
        if self.heard.elapsed() > SILENCE {
            return Err(self.broken("the broker said nothing for too long"));
        }
        Ok(())
    }

    fn broken(&self, why: impl Into<String>) -> ReadError {
        ReadError::Broken {
            stream: self.stream,
            why: why.into(),
        }
    }
}

/// How often this client has connected; grows with each reconnect.
#[must_use]
pub fn connects(client: &Client) -> u64 {
    client
        .statistics()
        .connects
        .load(std::sync::atomic::Ordering::Relaxed)
}

#[derive(Debug, PartialEq, Eq)]
struct Delivery {
    sequence: u64,
    delivered: u64,
    at_ns: i64,
    pending: u64,
}

/// Reads the reply subject of a delivery:
/// `$JS.ACK.<stream>.<consumer>.<tries>.<sequence>.<delivered>.<time>.<pending>`, which newer
/// brokers write with domain and account before the stream, and a token after the end.
fn delivery(reply: &str) -> Option<Delivery> {
    let tokens: Vec<&str> = reply.split('.').collect();
    if tokens.get(..2) != Some(&["$JS", "ACK"]) {
        return None;
    }
    let numbers = match tokens.len() {
        9 => tokens.get(5..9)?,
        11.. => tokens.get(7..11)?,
        _ => return None,
    };
    Some(Delivery {
        sequence: numbers.first()?.parse().ok()?,
        delivered: numbers.get(1)?.parse().ok()?,
        at_ns: numbers.get(2)?.parse().ok()?,
        pending: numbers.get(3)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_read_in_both_forms_that_brokers_write() {
        let expected = Delivery {
            sequence: 42,
            delivered: 7,
            at_ns: 1_700_000_000_000_000_000,
            pending: 3,
        };
        let short = "$JS.ACK.RESULTS.abc.1.42.7.1700000000000000000.3";
        let long = "$JS.ACK._.HASH.RESULTS.abc.1.42.7.1700000000000000000.3";
        let random = "$JS.ACK._.HASH.RESULTS.abc.1.42.7.1700000000000000000.3.xyz";
        for reply in [short, long, random] {
            assert_eq!(delivery(reply).as_ref(), Some(&expected), "{reply}");
        }
        for wrong in ["", "$JS.ACK.RESULTS", "_INBOX.x", "$JS.ACK.a.b.1.x.7.1.3"] {
            assert_eq!(delivery(wrong), None, "{wrong}");
        }
    }
}

//! An outbox in memory: what a real one has on disk, by the same rules of sending.
//!
//! Results are kept without their output, which is a function of the run: it is put in when a
//! result is sent. What was sent stays for as long as the journal remembers the run, as a real
//! agent's copies do.

use std::collections::BTreeMap;

use bytes::Bytes;
use kanade_agent::https::{BlobError, Blobs};
use kanade_agent::outbox::Level;
use kanade_agent::outbox::ack::{self, NotStored};
use kanade_agent::outbox::files::{Stored, Upload};
use kanade_agent::outbox::queue::Queue;
use kanade_shared::id::{PcId, RequestId};
use kanade_shared::subject;
use kanade_shared::wire::INLINE_OUTPUT_MAX_BYTES;
use kanade_shared::wire::result::{Output, RunResult};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// What every result costs besides its output, about, in bytes.
const FRAME_BYTES: u64 = 600;

/// A result without its output, and what that is.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The result.
    pub result: RunResult,
    /// Size of its standard output, in bytes.
    pub stdout_bytes: u64,
    /// Largest output that the job wants kept, in bytes.
    pub cap_bytes: u64,
}

/// All results of one agent.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Queue,
    waiting: BTreeMap<RequestId, Kept>,
    sent: BTreeMap<RequestId, Kept>,
    bytes: u64,
}

impl Outbox {
    /// Takes a result in.
    pub fn store(&mut self, kept: Kept) {
        let stored = kept.stored();
        self.bytes += stored.disk_bytes;
        self.queue.insert(stored);
        self.waiting.insert(stored.request_id, kept);
    }

    /// Lets a result be sent.
    pub fn release(&mut self, request_id: RequestId) {
        self.queue.release(request_id);
    }

    /// Puts a result that was sent back.
    pub fn again(&mut self, request_id: RequestId) {
        if let Some(kept) = self.sent.remove(&request_id) {
            self.store(kept);
        }
    }

    /// Drops the copy of a result that was sent.
    pub fn forget(&mut self, request_id: RequestId) {
        self.sent.remove(&request_id);
    }

    /// There is a new link: everything may be tried at once.
    pub fn reset(&mut self) {
        self.queue.reset();
    }

    /// The next result to send, which counts as on its way from now on.
    pub fn take_next(&mut self, now: Instant) -> Option<&Kept> {
        let stored = self.queue.take_next(now)?;
        self.waiting.get(&stored.request_id)
    }

    /// The broker has it; whether it was waiting.
    pub fn acknowledged(&mut self, request_id: RequestId) -> bool {
        self.queue.remove(request_id);
        let Some(kept) = self.waiting.remove(&request_id) else {
            return false;
        };
        self.bytes -= kept.stored().disk_bytes;
        self.sent.insert(request_id, kept);
        true
    }

    /// It was not acknowledged, and waits its time.
    pub fn failed(&mut self, request_id: RequestId, now: Instant, random: u8) {
        self.queue.failed(request_id, now, random);
    }

    /// When the next one that failed may be tried again.
    #[must_use]
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.queue.next_due(now)
    }

    /// How full it is.
    #[must_use]
    pub fn level(&self) -> Level {
        Level {
            results: self.waiting.len() as u64,
            bytes: self.bytes,
        }
    }

    /// Results that wait, as a restarted agent finds them: none of them released.
    #[must_use]
    pub fn restarted(self) -> (Self, Vec<RunResult>) {
        let results = self.waiting.values().map(|kept| kept.result.clone());
        let results = results.collect();
        let mut outbox = Self {
            sent: self.sent,
            ..Self::default()
        };
        for kept in self.waiting.into_values() {
            outbox.store(kept);
        }
        (outbox, results)
    }
}

impl Kept {
    fn stored(&self) -> Stored {
        let text = self.stdout_bytes.min(self.cap_bytes);
        let uploads = text > INLINE_OUTPUT_MAX_BYTES as u64;
        Stored {
            request_id: self.result.request_id,
            disk_bytes: FRAME_BYTES + text,
            message_bytes: FRAME_BYTES + if uploads { 0 } else { text },
            uploads,
        }
    }
}

/// Why a result was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It has no JSON form.
    #[error("could not encode the result")]
    Encode(#[from] serde_json::Error),
    /// Its output was not taken.
    #[error("could not send the output: {}", .0.sentence())]
    Upload(#[from] BlobError),
    /// Silence.
    #[error("the broker did not answer: {0}")]
    Request(#[from] async_nats::RequestError),
    /// It was refused.
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

/// Where results go.
#[derive(Debug, Clone)]
pub struct Way {
    /// The broker.
    pub client: async_nats::Client,
    /// The backend, for large output.
    pub blobs: Blobs,
}

/// A result with its output, ready to be sent.
#[derive(Debug)]
pub struct Parcel {
    pc_id: PcId,
    request_id: RequestId,
    payload: Bytes,
    upload: Option<(Upload, Bytes)>,
}

impl Parcel {
    /// Packs a result; its text is a part of `text`, over and over.
    ///
    /// # Errors
    /// [`SendError::Encode`].
    pub fn pack(kept: &Kept, text: &str) -> Result<Self, SendError> {
        let mut result = kept.result.clone();
        let stored = kept.stored();
        let shown = usize::try_from(kept.stdout_bytes.min(kept.cap_bytes)).unwrap_or(usize::MAX);
        let mut words = String::with_capacity(shown);
        while words.len() < shown {
            let rest = shown - words.len();
            words.push_str(text.get(..rest).unwrap_or(text));
        }
        result.stdout.total_bytes = kept.stdout_bytes;
        result.stdout.truncated_bytes = kept.stdout_bytes - shown as u64;
        let upload = if stored.uploads {
            let upload = Upload {
                stream: "stdout".to_owned(),
                size_bytes: words.len() as u64,
                sha256: hex(&Sha256::digest(words.as_bytes())),
            };
            result.stdout.stored_as = Some(format!("{}/stdout", stored.request_id));
            Some((upload, Bytes::from(words)))
        } else {
            result.stdout.text = words;
            None
        };
        if result.exit_code.is_some_and(|code| code != 0) {
            result.stderr = Output::whole("simulated failure\n");
        }
        Ok(Self {
            pc_id: result.pc_id.clone(),
            request_id: stored.request_id,
            payload: serde_json::to_vec(&result)?.into(),
            upload,
        })
    }

    /// Sends it, and waits for the broker's word.
    ///
    /// # Errors
    /// [`SendError`]; it can be sent again.
    pub async fn send(self, way: Way) -> Result<(), SendError> {
        if let Some((upload, text)) = self.upload {
            let blobs = &way.blobs;
            blobs
                .put_text(&self.pc_id, self.request_id, &upload, text)
                .await?;
        }
        let subject = subject::result(&self.pc_id, self.request_id);
        stored(&way.client, subject::RESULTS_STREAM, subject, self.payload).await
    }
}

/// Publishes to a stream, and waits for its word.
///
/// # Errors
/// [`SendError`]: it did not answer, or not so.
pub async fn stored(
    client: &async_nats::Client,
    stream: &'static str,
    subject: String,
    payload: Bytes,
) -> Result<(), SendError> {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
    let request = async_nats::client::Request::new()
        .payload(payload)
        .timeout(Some(PATIENCE));
    let answer = client.send_request(subject, request).await?;
    Ok(ack::stored(stream, &answer.payload)?)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

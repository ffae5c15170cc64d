//! Output that was too large for its result, in the object store `result_output`.
//!
//! Agents send it over HTTPS and the backend puts it there. It is stored under its name only when
//! all of it has come and has the hash that was promised, so a broken upload never replaces a
//! good one.

use std::pin::Pin;
use std::task::{Context, Poll};

use async_nats::jetstream;
use async_nats::jetstream::object_store::ObjectStore;
use kanade_shared::api::results::Stream;
use kanade_shared::id::{PcId, RequestId};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::{Fleet, FleetError, FleetResult};

/// The object store.
const BUCKET: &str = "result_output";
/// Largest output that is taken, in bytes.
pub const OUTPUT_MAX_BYTES: u64 = 64 << 20;

/// Reads and writes stored output; clones share the connection.
#[derive(Clone)]
pub struct Outputs {
    broker: jetstream::Context,
}

impl Outputs {
    /// Over this connection; nothing is asked of the broker yet.
    #[must_use]
    pub fn new(broker: jetstream::Context) -> Self {
        Self { broker }
    }

    async fn bucket(&self, operation: &'static str, key: &str) -> FleetResult<ObjectStore> {
        let store = self.broker.get_object_store(BUCKET).await;
        store.map_err(|source| failed(operation, key, source))
    }

    /// Bytes of an object from `offset` on, at most `limit`; none when it has gone.
    ///
    /// # Errors
    /// [`FleetError::Objects`] when the broker does not answer.
    pub async fn read(&self, key: &str, offset: u64, limit: u64) -> FleetResult<Vec<u8>> {
        let bucket = self.bucket("read", key).await?;
        let mut object = bucket
            .get(key)
            .await
            .map_err(|source| failed("read", key, source))?;
        // Chunks have no index, so what is before the page is read and dropped.
        let mut before = (&mut object).take(offset);
        tokio::io::copy(&mut before, &mut tokio::io::sink())
            .await
            .map_err(|source| failed("read", key, source))?;
        let mut bytes = Vec::new();
        object
            .take(limit)
            .read_to_end(&mut bytes)
            .await
            .map_err(|source| failed("read", key, source))?;
        Ok(bytes)
    }

    /// Stores what `input` gives under `key`, if it is at most [`OUTPUT_MAX_BYTES`] and has this
    /// SHA-256 (hex).
    ///
    /// # Errors
    /// [`FleetError`] when it is too large, is something else, or the broker does not answer.
    pub async fn put(
        &self,
        key: &str,
        sha256: &str,
        input: impl AsyncRead + Unpin,
    ) -> FleetResult<u64> {
        let bucket = self.bucket("store", key).await?;
        let mut checked = Checked {
            input,
            hash: Sha256::new(),
            bytes: 0,
            expected: sha256.to_ascii_lowercase(),
            refused: None,
        };
        let stored = bucket.put(key, &mut checked).await;
        match (checked.refused, stored) {
            (Some(Refused::TooLarge), _) => Err(FleetError::TooLarge {
                what: format!("the output {key}"),
                bytes: checked.bytes,
                limit_bytes: OUTPUT_MAX_BYTES,
            }),
            (Some(Refused::OtherHash), _) => Err(FleetError::WrongHash {
                object: key.to_owned(),
            }),
            (None, Ok(_)) => Ok(checked.bytes),
            (None, Err(source)) => Err(failed("store", key, source)),
        }
    }
}

impl Fleet {
    /// Where large outputs are.
    pub(super) fn outputs(&self, key: &str) -> FleetResult<&Outputs> {
        let none = || failed("read", key, std::io::Error::other("there is no broker"));
        self.outputs.as_ref().ok_or_else(none)
    }

    /// Takes the output of one of a PC's runs, and gives the key that it is stored under.
    ///
    /// # Errors
    /// [`FleetError`] when the run is not one of the PC's, the output is too large or is not what
    /// its hash says, or the broker does not answer.
    pub async fn output_store(
        &self,
        request_id: RequestId,
        stream: Stream,
        pc_id: &PcId,
        sha256: &str,
        input: impl AsyncRead + Unpin,
    ) -> FleetResult<String> {
        if !self.store.run_is_of(request_id, pc_id).await? {
            return Err(FleetError::UnknownRun {
                request_id,
                pc_id: pc_id.clone(),
            });
        }
        let key = format!("{request_id}/{}", stream.as_str());
        self.outputs(&key)?.put(&key, sha256, input).await?;
        Ok(key)
    }
}

fn failed(
    operation: &'static str,
    key: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> FleetError {
    FleetError::Objects {
        operation,
        object: key.to_owned(),
        source: source.into(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    TooLarge,
    OtherHash,
}

/// Passes bytes on, and fails at the end when they are not what was promised: the object store
/// makes an object visible only after its last byte was read.
struct Checked<R> {
    input: R,
    hash: Sha256,
    bytes: u64,
    expected: String,
    refused: Option<Refused>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Checked<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.input).poll_read(cx, buf);
        if !matches!(polled, Poll::Ready(Ok(()))) {
            return polled;
        }
        let read = buf.filled().get(before..).unwrap_or_default();
        this.bytes += read.len() as u64;
        this.hash.update(read);
        let ended = read.is_empty() && buf.remaining() > 0;
        if this.bytes > OUTPUT_MAX_BYTES {
            this.refused = Some(Refused::TooLarge);
        } else if ended && hex::encode(this.hash.clone().finalize()) != this.expected {
            this.refused = Some(Refused::OtherHash);
        }
        match this.refused {
            Some(_) => Poll::Ready(Err(std::io::Error::other("the upload is refused"))),
            None => polled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pass(bytes: &[u8], expected: &str) -> (std::io::Result<Vec<u8>>, Option<Refused>) {
        let expected = expected.to_owned();
        let mut checked = Checked {
            input: bytes,
            hash: Sha256::new(),
            bytes: 0,
            expected,
            refused: None,
        };
        let mut passed = Vec::new();
        let result = checked.read_to_end(&mut passed).await.map(|_| passed);
        (result, checked.refused)
    }

    #[tokio::test]
    async fn an_upload_ends_only_when_it_has_the_promised_hash() {
        let bytes = vec![7; 300_000];
        let hash = hex::encode(Sha256::digest(&bytes));
        let (passed, refused) = pass(&bytes, &hash).await;
        assert_eq!((passed.unwrap(), refused), (bytes.clone(), None));
        let (passed, refused) = pass(&bytes[1..], &hash).await;
        assert!(passed.is_err());
        assert_eq!(refused, Some(Refused::OtherHash));
    }
}

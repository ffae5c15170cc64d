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
/// Bytes that go to the broker at once.
const CHUNK_BYTES: usize = 128 * 1024;

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

    /// Bytes of an object from `offset` on, at most `limit`, and the size of the whole object.
    ///
    /// # Errors
    /// [`FleetError::Objects`] when the object has gone or the broker does not answer.
    pub async fn read(&self, key: &str, offset: u64, limit: u64) -> FleetResult<(Vec<u8>, u64)> {
        let bucket = self.bucket("read", key).await?;
        let mut object = bucket
            .get(key)
            .await
            .map_err(|source| failed("read", key, source))?;
        let size = object.info().size as u64;
        if offset >= size {
            return Ok((Vec::new(), size));
        }
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
        Ok((bytes, size))
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
        let mut checked = Checked::new(input, sha256);
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

/// Passes bytes on in whole chunks, since the object store waits for the broker after each, and
/// fails at the end when they are not what was promised: an object becomes visible only after its
/// last byte was read.
struct Checked<R> {
    input: R,
    /// What was read and not passed on yet.
    chunk: Box<[u8]>,
    filled: usize,
    passed: usize,
    ended: bool,
    hash: Sha256,
    bytes: u64,
    expected: String,
    refused: Option<Refused>,
}

impl<R: AsyncRead + Unpin> Checked<R> {
    fn new(input: R, sha256: &str) -> Self {
        Self {
            input,
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            filled: 0,
            passed: 0,
            ended: false,
            hash: Sha256::new(),
            bytes: 0,
            expected: sha256.to_ascii_lowercase(),
            refused: None,
        }
    }

    /// Reads until the chunk is full or the input has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.ended && self.filled < self.chunk.len() {
            let mut rest = ReadBuf::new(self.chunk.get_mut(self.filled..).unwrap_or_default());
            std::task::ready!(Pin::new(&mut self.input).poll_read(cx, &mut rest))?;
            let read = rest.filled();
            self.hash.update(read);
            self.ended = read.is_empty();
            self.filled += read.len();
            self.bytes += read.len() as u64;
            if self.bytes > OUTPUT_MAX_BYTES {
                self.refused = Some(Refused::TooLarge);
            } else if self.ended && hex::encode(self.hash.clone().finalize()) != self.expected {
                self.refused = Some(Refused::OtherHash);
            }
            if self.refused.is_some() {
                return Poll::Ready(Err(std::io::Error::other("the upload is refused")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Checked<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        if this.passed == this.filled {
            (this.passed, this.filled) = (0, 0);
        }
        if this.passed == 0 {
            std::task::ready!(this.poll_fill(cx))?;
        }
        let waiting = this.chunk.get(this.passed..this.filled).unwrap_or_default();
        let part = waiting.len().min(buf.remaining());
        buf.put_slice(waiting.get(..part).unwrap_or_default());
        this.passed += part;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pass(bytes: &[u8], expected: &str) -> (std::io::Result<Vec<u8>>, Option<Refused>) {
        let mut checked = Checked::new(bytes, expected);
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
        let empty = hex::encode(Sha256::digest([]));
        assert_eq!(pass(&[], &empty).await.0.unwrap(), Vec::<u8>::new());
    }

    #[tokio::test]
    async fn an_upload_over_the_limit_is_refused_before_it_ends() {
        let mut checked = Checked::new(tokio::io::repeat(7), "");
        let passed = tokio::io::copy(&mut checked, &mut tokio::io::sink()).await;
        assert!(passed.is_err());
        assert_eq!(checked.refused, Some(Refused::TooLarge));
        assert!(checked.bytes < OUTPUT_MAX_BYTES + 2 * CHUNK_BYTES as u64);
    }
}

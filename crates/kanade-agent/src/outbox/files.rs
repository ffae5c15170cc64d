//! Results on disk: `outbox/` until the broker has acknowledged them, then `sent/` for as long as
//! the journal remembers the run.
//!
//! `<request_id>.json` is the result; a stream that is too large to ride inside lies beside it as
//! `<request_id>.stdout` or `.stderr`, plain UTF-8, written before it.
//!
//! **Invariant:** a result leaves `outbox/` only by [`OutboxFiles::acknowledged`].
//! **Invariant:** the text of a large stream is not held in memory again after [`OutboxFiles::store`].

use std::fs;
use std::path::PathBuf;

use kanade_shared::id::RequestId;
use kanade_shared::wire::result::{Output, RunResult};
use kanade_shared::wire::{INLINE_OUTPUT_MAX_BYTES, RESULT_MAX_BYTES};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::{DataError, DataFolder, Found, record};
use crate::exec::OutputStream;
use crate::platform;

const OUTBOX: &str = "outbox";
const SENT: &str = "sent";

/// Copies of large streams that were sent are kept up to this size, in bytes.
const COPIES_MAX_BYTES: u64 = 128 * 1024 * 1024;

/// A result as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What is sent.
    pub result: RunResult,
    /// Streams that go by HTTPS first.
    #[serde(default)]
    pub uploads: Vec<Upload>,
}

/// A stream that lies beside its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Size of the text, in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the text, hex.
    pub sha256: String,
}

/// What the sender needs to know of a result without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The run.
    pub request_id: RequestId,
    /// Size on disk, with its streams, in bytes.
    pub disk_bytes: u64,
    /// Size of what is sent over the broker, about, in bytes.
    pub message_bytes: u64,
    /// Whether streams go by HTTPS first.
    pub uploads: bool,
}

/// The folders of the outbox. Everything here blocks.
#[derive(Debug, Clone)]
pub struct OutboxFiles {
    data: DataFolder,
    copies_max_bytes: u64,
}

impl OutboxFiles {
    /// The outbox in a data folder.
    #[must_use]
    pub fn new(data: DataFolder) -> Self {
        Self {
            data,
            copies_max_bytes: COPIES_MAX_BYTES,
        }
    }

    /// What waits to be sent, the results without their output; what is damaged is set aside, and
    /// streams without a result go.
    ///
    /// # Errors
    /// The folder can't be listed, or a damaged file can't be moved.
    pub fn load(&self) -> Result<Vec<(Stored, RunResult)>, DataError> {
        let folder = self.data.path(OUTBOX);
        let mut waiting: Vec<(Stored, RunResult)> = Vec::new();
        for path in record::files(&folder)? {
            if let Some(request_id) = id_of(&path, "json") {
                match record::read::<Kept>(self.data.root(), &path)? {
                    Found::Whole(kept) => {
                        let stored = self.stored(request_id, &kept);
                        let empty = Output::default();
                        let result = RunResult {
                            stdout: empty.clone(),
                            stderr: empty,
                            ..kept.result
                        };
                        waiting.push((stored, result));
                    }
                    Found::Nothing | Found::Damaged => {}
                }
            }
        }
        for path in record::files(&folder)? {
            let stream = ["stdout", "stderr"]
                .iter()
                .find_map(|word| id_of(&path, word));
            if stream.is_some_and(|id| waiting.iter().all(|(kept, _)| kept.request_id != id)) {
                record::remove(&path)?;
            }
        }
        waiting.sort_by_key(|(kept, _)| kept.request_id);
        Ok(waiting)
    }

    /// Puts a result on disk; what is too large to ride inside is laid beside it. A result of the
    /// same run that is there already stays as it is: the first one counts.
    ///
    /// # Errors
    /// A file can't be written; then the outbox is as it was.
    pub fn store(&self, mut result: RunResult) -> Result<Stored, DataError> {
        let request_id = result.request_id;
        if let Found::Whole(kept) = self.read(request_id)? {
            return Ok(self.stored(request_id, &kept));
        }
        let mut uploads = Vec::new();
        for (stream, text) in take_large(&mut result)? {
            let path = self.stream_path(OUTBOX, request_id, stream);
            platform::write_private(&path, text.as_bytes())
                .map_err(|e| DataError::write(&path, e))?;
            uploads.push(Upload {
                stream: word(stream).to_owned(),
                size_bytes: text.len() as u64,
                sha256: hex(&Sha256::digest(text.as_bytes())),
            });
        }
        let kept = Kept { result, uploads };
        if let Err(error) = record::write(&self.path(OUTBOX, request_id), &kept) {
            for stream in [OutputStream::Stdout, OutputStream::Stderr] {
                // The streams of a result that was not written help nobody; the next start
                // removes what is left.
                let _ = record::remove(&self.stream_path(OUTBOX, request_id, stream));
            }
            return Err(error);
        }
        Ok(self.stored(request_id, &kept))
    }

    /// The result of a run that waits to be sent.
    ///
    /// # Errors
    /// The file is there and can neither be read nor set aside.
    pub fn read(&self, request_id: RequestId) -> Result<Found<Kept>, DataError> {
        record::read(self.data.root(), &self.path(OUTBOX, request_id))
    }

    /// Where a large stream of a waiting result lies.
    #[must_use]
    pub fn upload_path(&self, request_id: RequestId, upload: &Upload) -> PathBuf {
        self.data
            .path(OUTBOX)
            .join(format!("{request_id}.{}", upload.stream))
    }

    /// The broker has it: moves it to the copies. Not flushed: after a power cut it is sent again.
    ///
    /// # Errors
    /// A file can't be moved.
    pub fn acknowledged(&self, request_id: RequestId) -> Result<(), DataError> {
        self.move_all(request_id, OUTBOX, SENT)?;
        if self
            .stream_path(SENT, request_id, OutputStream::Stdout)
            .exists()
            || self
                .stream_path(SENT, request_id, OutputStream::Stderr)
                .exists()
        {
            self.prune_streams()?;
        }
        Ok(())
    }

    /// Drops the oldest copies of large streams above their cap: the backend has them.
    fn prune_streams(&self) -> Result<(), DataError> {
        let mut streams = Vec::new();
        for path in record::files(&self.data.path(SENT))? {
            let metadata = path
                .metadata()
                .ok()
                .filter(|_| id_of(&path, "json").is_none());
            if let Some(metadata) = metadata {
                streams.push((metadata.modified().ok(), metadata.len(), path));
            }
        }
        streams.sort();
        let mut bytes: u64 = streams.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in streams {
            if bytes <= self.copies_max_bytes {
                break;
            }
            record::remove(&path)?;
            bytes -= size;
        }
        Ok(())
    }

    /// Puts a copy back, to be sent again; `None` when there is none.
    ///
    /// # Errors
    /// A file can't be moved or read.
    pub fn again(&self, request_id: RequestId) -> Result<Option<Stored>, DataError> {
        if self.path(SENT, request_id).exists() {
            self.move_all(request_id, SENT, OUTBOX)?;
        }
        match self.read(request_id)? {
            Found::Whole(kept) => Ok(Some(self.stored(request_id, &kept))),
            Found::Nothing | Found::Damaged => Ok(None),
        }
    }

    /// Removes the copy of a result that was sent; one that was not sent stays.
    ///
    /// # Errors
    /// A file can't be removed.
    pub fn forget(&self, request_id: RequestId) -> Result<(), DataError> {
        record::remove(&self.path(SENT, request_id))?;
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            record::remove(&self.stream_path(SENT, request_id, stream))?;
        }
        Ok(())
    }

    /// Removes copies of runs that the journal does not know any more.
    ///
    /// # Errors
    /// The folder can't be listed or a file can't be removed.
    pub fn forget_all_but(&self, known: impl Fn(RequestId) -> bool) -> Result<(), DataError> {
        for path in record::files(&self.data.path(SENT))? {
            let id = ["json", "stdout", "stderr"]
                .iter()
                .find_map(|word| id_of(&path, word));
            if !id.is_some_and(&known) {
                record::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Streams before the result on the way back, and after it on the way out, so that a result is
    /// never in the outbox without them.
    fn move_all(&self, request_id: RequestId, from: &str, to: &str) -> Result<(), DataError> {
        let json = (self.path(from, request_id), self.path(to, request_id));
        let streams = [OutputStream::Stdout, OutputStream::Stderr].map(|stream| {
            let path = |folder| self.stream_path(folder, request_id, stream);
            (path(from), path(to))
        });
        let (first, last) = if to == OUTBOX {
            (streams.to_vec(), vec![json])
        } else {
            (vec![json], streams.to_vec())
        };
        for (from, to) in first.into_iter().chain(last) {
            match fs::rename(&from, &to) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(DataError::remove(&from, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn stored(&self, request_id: RequestId, kept: &Kept) -> Stored {
        let message_bytes = fs::metadata(self.path(OUTBOX, request_id)).map_or(0, |m| m.len());
        let uploads: u64 = kept.uploads.iter().map(|upload| upload.size_bytes).sum();
        Stored {
            request_id,
            disk_bytes: message_bytes + uploads,
            message_bytes,
            uploads: !kept.uploads.is_empty(),
        }
    }

    fn path(&self, folder: &str, request_id: RequestId) -> PathBuf {
        self.data.path(folder).join(format!("{request_id}.json"))
    }

    fn stream_path(&self, folder: &str, request_id: RequestId, stream: OutputStream) -> PathBuf {
        self.data
            .path(folder)
            .join(format!("{request_id}.{}", word(stream)))
    }
}

fn id_of(path: &std::path::Path, extension: &str) -> Option<RequestId> {
    if path.extension()? != extension {
        return None;
    }
    RequestId::parse(path.file_stem()?.to_str()?).ok()
}

fn word(stream: OutputStream) -> &'static str {
    match stream {
        OutputStream::Stdout => "stdout",
        OutputStream::Stderr => "stderr",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes out of a result what is too large to ride inside: each stream over its limit, then the
/// larger one for as long as the whole is over its own.
fn take_large(result: &mut RunResult) -> Result<Vec<(OutputStream, String)>, DataError> {
    let request_id = result.request_id;
    let mut large = Vec::new();
    let mut take = |stream: OutputStream, output: &mut Output| {
        output.stored_as = Some(format!("{request_id}/{}", word(stream)));
        large.push((stream, std::mem::take(&mut output.text)));
    };
    if result.stdout.text.len() > INLINE_OUTPUT_MAX_BYTES {
        take(OutputStream::Stdout, &mut result.stdout);
    }
    if result.stderr.text.len() > INLINE_OUTPUT_MAX_BYTES {
        take(OutputStream::Stderr, &mut result.stderr);
    }
    while encoded_bytes(result)? > RESULT_MAX_BYTES {
        match (result.stdout.text.len(), result.stderr.text.len()) {
            (0, 0) => break,
            (stdout, stderr) if stdout >= stderr => take(OutputStream::Stdout, &mut result.stdout),
            _ => take(OutputStream::Stderr, &mut result.stderr),
        }
    }
    Ok(large)
}

fn encoded_bytes(result: &RunResult) -> Result<usize, DataError> {
    let bytes = serde_json::to_vec(result).map_err(|source| DataError::Encode { source })?;
    Ok(bytes.len())
}

#[cfg(test)]
mod tests;

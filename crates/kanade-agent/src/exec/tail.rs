//! The live tail of a run: the newest output of both streams, for whoever watches.
//!
//! The run pushes bytes into a [`TailBuffer`]; any number of readers ask it for "all from here
//! on" and wait for more. A reader that is too slow misses the oldest bytes and sees it by the
//! offset; it never slows the run down.
//!
//! **Invariant:** at most [`TAIL_BYTES`] per stream are held, whoever reads.
//! **Invariant:** a piece ends at a character's border while the run goes on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::capture::{broken_start, complete_chars};
use crate::platform;

/// Newest bytes held per stream.
pub const TAIL_BYTES: usize = 128 * 1024;

/// Which of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Shared end of a run's live output; clones show the same run.
#[derive(Debug, Clone)]
pub struct TailBuffer {
    held: Arc<Mutex<Held>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Held {
    stdout: Window,
    stderr: Window,
    ended: bool,
}

/// The newest bytes of one stream.
#[derive(Debug, Default)]
struct Window {
    bytes: VecDeque<u8>,
    /// Offset of the first byte held.
    start: u64,
}

/// Where a reader is, in bytes of each stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TailPosition {
    /// Next byte of standard output.
    pub stdout: u64,
    /// Next byte of standard error.
    pub stderr: u64,
}

/// What both streams hold from a position on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailPiece {
    /// Where `stdout` begins; later than asked for if bytes were missed.
    pub stdout_offset: u64,
    /// Text of standard output.
    pub stdout: String,
    /// Where `stderr` begins; later than asked for if bytes were missed.
    pub stderr_offset: u64,
    /// Text of standard error.
    pub stderr: String,
    /// Where to go on reading.
    pub next: TailPosition,
    /// Whether the run has ended; then this piece is the last one that has text.
    pub ended: bool,
}

impl Default for TailBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl TailBuffer {
    /// An empty one, for a run that is about to start.
    #[must_use]
    pub fn new() -> Self {
        Self {
            held: Arc::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// Takes the next bytes of a stream.
    pub fn push(&self, stream: OutputStream, bytes: &[u8]) {
        self.with(|held| match stream {
            OutputStream::Stdout => held.stdout.push(bytes),
            OutputStream::Stderr => held.stderr.push(bytes),
        });
        self.changes.send_modify(|count| *count += 1);
    }

    /// Says that nothing comes any more; what is held can still be read.
    pub fn end(&self) {
        self.with(|held| held.ended = true);
        self.changes.send_modify(|count| *count += 1);
    }

    /// What is held from `from` on, at most `limit_bytes` of each stream.
    #[must_use]
    pub fn read(&self, from: TailPosition, limit_bytes: usize) -> TailPiece {
        self.with(|held| {
            let (stdout_offset, stdout) = held.stdout.read(from.stdout, limit_bytes, held.ended);
            let (stderr_offset, stderr) = held.stderr.read(from.stderr, limit_bytes, held.ended);
            let next = TailPosition {
                stdout: stdout_offset + stdout.len() as u64,
                stderr: stderr_offset + stderr.len() as u64,
            };
            TailPiece {
                stdout_offset,
                stdout: platform::decode_output(&stdout),
                stderr_offset,
                stderr: platform::decode_output(&stderr),
                next,
                ended: held.ended && next == held.end(),
            }
        })
    }

    /// A reader that starts at the oldest output held.
    #[must_use]
    pub fn subscribe(&self) -> TailReader {
        self.subscribe_from(TailPosition::default())
    }

    /// A reader that starts at `position`.
    #[must_use]
    pub fn subscribe_from(&self, position: TailPosition) -> TailReader {
        TailReader {
            buffer: self.clone(),
            changes: self.changes.subscribe(),
            position,
            done: false,
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        // Each update leaves the buffer whole, so one that a panic cut short is still readable.
        act(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One who watches a run.
#[derive(Debug)]
pub struct TailReader {
    buffer: TailBuffer,
    changes: watch::Receiver<u64>,
    position: TailPosition,
    done: bool,
}

impl TailReader {
    /// The next output, at most `limit_bytes` of each stream, as soon as there is some; the last
    /// piece says `ended` and may be empty, and after it there is `None`.
    pub async fn next(&mut self, limit_bytes: usize) -> Option<TailPiece> {
        while !self.done {
            self.changes.borrow_and_update();
            let piece = self.buffer.read(self.position, limit_bytes);
            self.done = piece.ended;
            if piece.ended || piece.next != self.position {
                self.position = piece.next;
                return Some(piece);
            }
            // The reader holds a sender itself (in its buffer), so waiting cannot fail.
            if self.changes.changed().await.is_err() {
                return None;
            }
        }
        None
    }
}

impl Held {
    fn end(&self) -> TailPosition {
        TailPosition {
            stdout: self.stdout.end(),
            stderr: self.stderr.end(),
        }
    }
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.end() + bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let excess = (self.bytes.len() + kept.len()).saturating_sub(TAIL_BYTES);
        self.bytes.drain(..excess);
        self.bytes.extend(kept);
        self.start = end - self.bytes.len() as u64;
    }

    /// Offset and bytes from `from` on; whole characters only, except at the very end.
    fn read(&self, from: u64, limit: usize, ended: bool) -> (u64, Vec<u8>) {
        let offset = from.clamp(self.start, self.end());
        // Fits: the difference is at most the number of bytes held.
        let skip = (offset - self.start) as usize;
        let available = self.bytes.len() - skip;
        let take = available.min(limit.max(4));
        let mut bytes: Vec<u8> = self.bytes.iter().skip(skip).take(take).copied().collect();
        let broken = if offset > from {
            broken_start(&bytes)
        } else {
            0
        };
        bytes.drain(..broken);
        if !ended || take < available {
            bytes.truncate(complete_chars(&bytes));
        }
        (offset + broken as u64, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: TailPosition = TailPosition {
        stdout: 0,
        stderr: 0,
    };

    #[test]
    fn both_streams_are_read_from_where_one_is() {
        let tail = TailBuffer::new();
        tail.push(OutputStream::Stdout, b"one two");
        tail.push(OutputStream::Stderr, b"oh");
        let first = tail.read(START, 1000);
        assert_eq!(
            (first.stdout.as_str(), first.stderr.as_str()),
            ("one two", "oh")
        );
        tail.push(OutputStream::Stdout, b" three");
        let second = tail.read(first.next, 1000);
        assert_eq!(
            (second.stdout_offset, second.stdout.as_str()),
            (7, " three")
        );
        assert_eq!(second.stderr, "");
    }

    #[test]
    fn only_the_newest_bytes_are_held_and_the_offset_shows_it() {
        let tail = TailBuffer::new();
        for _ in 0..40 {
            tail.push(OutputStream::Stdout, &[b'x'; 10_000]);
        }
        tail.push(OutputStream::Stdout, b"end");
        let piece = tail.read(START, usize::MAX);
        assert_eq!(piece.stdout.len(), TAIL_BYTES);
        assert_eq!(piece.stdout_offset, 400_003 - TAIL_BYTES as u64);
        assert!(piece.stdout.ends_with("xend"));
    }

    #[test]
    fn a_single_push_larger_than_the_buffer_keeps_its_end() {
        let tail = TailBuffer::new();
        let mut bytes = vec![b'a'; TAIL_BYTES * 2];
        bytes.extend_from_slice(b"z");
        tail.push(OutputStream::Stderr, &bytes);
        let piece = tail.read(START, usize::MAX);
        assert_eq!(piece.stderr_offset, TAIL_BYTES as u64 + 1);
        assert!(piece.stderr.ends_with("az"));
    }

    #[test]
    fn a_half_character_waits_for_its_other_half() {
        let tail = TailBuffer::new();
        let euro = "€".as_bytes();
        tail.push(OutputStream::Stdout, &[b"a", &euro[..2]].concat());
        let first = tail.read(START, 1000);
        assert_eq!(first.stdout, "a");
        tail.push(OutputStream::Stdout, &euro[2..]);
        assert_eq!(tail.read(first.next, 1000).stdout, "€");
    }

    #[test]
    fn a_half_character_at_the_end_of_the_run_is_not_held_back() {
        let tail = TailBuffer::new();
        tail.push(OutputStream::Stdout, b"a\xE2\x82");
        tail.end();
        let piece = tail.read(START, 1000);
        assert!(piece.stdout.starts_with('a') && piece.stdout.len() > 1);
        assert!(piece.ended);
    }

    #[test]
    fn pieces_are_limited_and_add_up_to_the_whole() {
        let tail = TailBuffer::new();
        tail.push(OutputStream::Stdout, "grüße €".repeat(10).as_bytes());
        tail.end();
        let mut at = START;
        let mut text = String::new();
        loop {
            let piece = tail.read(at, 7);
            assert!(piece.stdout.len() <= 7);
            text.push_str(&piece.stdout);
            at = piece.next;
            if piece.ended {
                break;
            }
        }
        assert_eq!(text, "grüße €".repeat(10));
    }

    #[tokio::test]
    async fn a_reader_gets_what_comes_and_hears_the_end() {
        let tail = TailBuffer::new();
        let mut reader = tail.subscribe();
        let writer = tokio::spawn(async move {
            for word in ["one ", "two ", "three"] {
                tail.push(OutputStream::Stdout, word.as_bytes());
                tokio::task::yield_now().await;
            }
            tail.end();
        });
        let mut text = String::new();
        while let Some(piece) = reader.next(1000).await {
            text.push_str(&piece.stdout);
        }
        writer.await.unwrap();
        assert_eq!(text, "one two three");
    }
}

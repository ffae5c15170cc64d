//! The child's log: forwarded line by line, and its last lines kept for an error.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tracing::{debug, error, warn};

use super::failure::{is_damage, is_failed_write, without_head};

/// Lines that an error shows.
const KEPT: usize = 8;

/// What was read so far; clones see the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    last: VecDeque<String>,
    damage: Option<String>,
    refuses_writes: bool,
}

impl Lines {
    /// The last lines, oldest first.
    pub(super) fn last(&self) -> Vec<String> {
        self.lock().last.iter().cloned().collect()
    }

    /// The first line that told of damage to the store.
    pub(super) fn damage(&self) -> Option<String> {
        self.lock().damage.clone()
    }

    /// Whether a write to the store failed: the server takes nothing more for that stream until it
    /// is started again, whatever room there is.
    pub(super) fn refuses_writes(&self) -> bool {
        self.lock().refuses_writes
    }

    /// Reads `from` to its end.
    pub(super) async fn follow(self, from: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(from).split(b'\n');
        // An error means the same as an end: the child is gone.
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            forward(line);
            self.keep(line);
        }
    }

    fn keep(&self, line: &str) {
        let mut kept = self.lock();
        if kept.damage.is_none() && is_damage(line) {
            kept.damage = Some(line.to_owned());
        }
        kept.refuses_writes |= is_failed_write(line);
        if without_head(line).is_empty() {
            return;
        }
        if kept.last.len() == KEPT {
            kept.last.pop_front();
        }
        kept.last.push_back(line.to_owned());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        // A line is kept or it isn't; a panic in between leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server's own information is for whoever looks into it: the backend says itself what
/// an operator would ask about.
fn forward(line: &str) {
    let text = without_head(line);
    if text.is_empty() {
        return;
    }
    if line.contains("[ERR]") || line.contains("[FTL]") {
        error!(target: "broker", "{text}");
    } else if line.contains("[WRN]") && !text.contains("Plaintext passwords") {
        // The file with the passwords is private, and hashing them slows every connect.
        warn!(target: "broker", "{text}");
    } else {
        debug!(target: "broker", "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_without_empty_ones() {
        let lines = Lines::default();
        let text: String = (0..20)
            .map(|n| format!("[1] 2026/11/23 [INF] line {n}\n\n"))
            .collect();
        lines.clone().follow(text.as_bytes()).await;
        let last = lines.last();
        assert_eq!(KEPT, last.len());
        assert!(last[KEPT - 1].ends_with("line 19"));
        assert_eq!(None, lines.damage());
    }

    #[tokio::test]
    async fn damage_is_remembered_however_much_follows() {
        let lines = Lines::default();
        let mut text = String::from("[1] 2026 [WRN]   Stream metafile \"x\": checksums differ\n");
        text += &"[1] 2026 [INF] more\n".repeat(50);
        lines.clone().follow(text.as_bytes()).await;
        assert!(lines.damage().unwrap().contains("checksums differ"));
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_do_not_end_the_log() {
        let lines = Lines::default();
        lines.clone().follow(&b"\xff\xfe\nafter\n"[..]).await;
        assert_eq!("after", lines.last()[1]);
    }
}

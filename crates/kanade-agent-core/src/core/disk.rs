//! Writes that fail, and room for results.
//!
//! While something that must be on disk is not, nothing new is admitted or started. What was to
//! be admitted is taken back, since its document is still there; everything else is written again
//! in the same order until the disk takes it.

use kanade_shared::id::RequestId;

use super::{Core, Phase};
use crate::clock::Mono;
use crate::effect::Effect;
use crate::journal::{Entry, State};

/// Room that is kept for the result of each admitted command, in bytes.
pub(super) const ROOM_PER_RUN_BYTES: u64 = 1024 * 1024;
const RETRY_MS: u64 = 2_000;

#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Effects that wait for the disk.
    waiting: Vec<Effect>,
    pub(super) retry_at: Option<Mono>,
    pub(super) blocked: Option<String>,
}

impl Disk {
    pub(super) fn stalled(&self) -> bool {
        self.retry_at.is_some()
    }
}

impl Core {
    /// A write failed: `rest` is that effect and all that were to follow it.
    pub fn handle_disk_failed(&mut self, rest: Vec<Effect>, why: &str, now: Mono) {
        let mut taken_back: Vec<RequestId> = Vec::new();
        // What was decided since then stands behind what failed.
        let later = std::mem::take(&mut self.effects);
        for effect in rest.into_iter().chain(later) {
            if let Effect::WriteEntry(entry) = &effect
                && self.only_admitted(entry)
            {
                taken_back.push(entry.request_id);
                continue;
            }
            let fetch = matches!(&effect, Effect::FetchScript(id, _) if taken_back.contains(id));
            if !fetch {
                self.disk.waiting.push(effect);
            }
        }
        for id in taken_back {
            self.entries.remove(&id);
            self.tracks.remove(&id);
            self.queue.retain(|queued| *queued != id);
        }
        self.disk.retry_at = Some(now.plus_ms(RETRY_MS));
        self.disk.blocked = Some(why.to_owned());
        self.effects.push(Effect::Beat);
    }

    fn only_admitted(&self, entry: &Entry) -> bool {
        let phase = self.tracks.get(&entry.request_id).map(|track| &track.phase);
        entry.state == State::Admitted && phase == Some(&Phase::Waiting)
    }

    /// Writes that failed are tried again: in front of what was decided since.
    pub(super) fn retry_disk(&mut self, now: Mono) {
        if self.disk.retry_at.is_some_and(|at| at <= now) {
            let later = std::mem::take(&mut self.effects);
            self.effects = std::mem::take(&mut self.disk.waiting);
            self.effects.extend(later);
            self.disk.retry_at = None;
            self.disk.blocked = None;
            self.beat();
            self.admit_what_was_left(now);
        }
    }

    /// So much room is left for results, in bytes.
    pub fn handle_room(&mut self, bytes: u64, now: Mono) {
        self.room_bytes = bytes;
        let full = self.disk.blocked.is_some() && !self.disk.stalled();
        if full && self.room_left() {
            self.disk.blocked = None;
            self.beat();
            self.admit_what_was_left(now);
            self.start_what_may(now);
        }
    }

    fn room_left(&self) -> bool {
        let open = self.tracks.len() as u64 + 1;
        self.room_bytes >= open * ROOM_PER_RUN_BYTES
    }

    /// Whether one more command may be admitted; if not, the heartbeat says why.
    pub(super) fn has_room(&mut self) -> bool {
        if self.disk.stalled() {
            return false;
        }
        let room = self.room_left();
        if !room && self.disk.blocked.is_none() {
            let left = self.room_bytes / (1024 * 1024);
            self.disk.blocked = Some(format!("no room for more results: {left} MiB left"));
            self.beat();
        }
        room
    }

    fn admit_what_was_left(&mut self, now: Mono) {
        let documents = self.documents.values();
        let found = documents.flat_map(|document| self.undealt(document));
        let found = found.collect();
        self.admit(found, true, now);
    }
}

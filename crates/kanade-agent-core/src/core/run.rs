//! Starts what may start, and ends it.
//!
//! A run goes: 'started' into the journal, one more look at stop, brake and deadline, the processes
//! made but held back, their mark into the journal, and only then does the script begin. It ends:
//! result to the outbox, end to the journal, send.

use kanade_shared::id::RequestId;
use kanade_shared::wire::command::StopAction;
use kanade_shared::wire::result::{Outcome, Reason, RunResult, Started};

use super::admit::withdrawn;
use super::{Core, LinkState, Phase, RunEnd, Script};
use crate::backoff::delay_ms;
use crate::clock::Mono;
use crate::decide::{Refusal, expired, held, jitter_ms, refused};
use crate::effect::Effect;
use crate::journal::{Entry, State};

/// A run that lives longer than this is told of, in milliseconds.
pub(super) const TOLD_AFTER_MS: u64 = 1_000;
/// An entry whose command is not known any more is kept this long: the age of the stream.
const UNKNOWN_KEPT_DAYS: i64 = 7;

enum Turn {
    Start,
    Close(Refusal),
    /// It waits for something of its own and blocks nobody.
    Skip,
    /// It waits, and so do those behind it.
    Block,
}

impl Core {
    /// Takes up what an earlier agent left: ends what it had started, keeps what it had admitted.
    pub(super) fn take_up(&mut self, outbox: Vec<RunResult>, now: Mono) {
        for result in outbox {
            self.outbox.insert(result.request_id);
            let mut entry = self
                .entries
                .remove(&result.request_id)
                .unwrap_or_else(|| entry_of(&result));
            let ended = entry.ended();
            entry.state = State::Ended {
                outcome: result.outcome,
            };
            entry.command = None;
            let id = entry.request_id;
            self.entries.insert(id, entry);
            if !ended {
                self.write_entry(id);
            }
            self.effects.push(Effect::Send(id));
        }
        let left: Vec<Entry> = self
            .entries
            .values()
            .filter(|entry| !entry.ended())
            .cloned()
            .collect();
        for entry in left {
            match (&entry.state, &entry.command) {
                (State::Admitted, Some(command)) => {
                    let jitter = jitter_ms(command.exec_id, &self.pc_id, command.jitter_s);
                    let start_at = command.issued_at + chrono::Duration::milliseconds(jitter);
                    let command = command.clone();
                    self.follow(entry.request_id, &command, start_at);
                }
                (State::Started { mark, .. }, _) => {
                    let mark = mark.clone();
                    self.effects.push(Effect::KillLeftovers {
                        request_id: entry.request_id,
                        mark,
                    });
                    self.interrupt(entry, now);
                }
                (State::Admitted, None) | (State::Ended { .. }, _) => self.interrupt(entry, now),
            }
        }
        self.sort_queue();
    }

    fn interrupt(&mut self, entry: Entry, now: Mono) {
        let text = "the agent stopped while it ran; whether it did its work is not known";
        let reason = Reason::new("agent.interrupted", text);
        let result = self.result_of(&entry, Outcome::Interrupted, Some(reason), now);
        self.store_end(entry, result);
    }

    /// Starts what may start now.
    pub(super) fn start_what_may(&mut self, now: Mono) {
        self.link.seen_at = self.link.seen_at.max(now);
        let Some(fleet) = self.clock.fleet(now) else {
            return;
        };
        if !self.may_start() {
            return;
        }
        let frozen = held(self.brake.as_ref(), fleet).is_some();
        let mut blocked = false;
        for id in self.queue.clone() {
            match self.turn_of(id, frozen, now) {
                Turn::Start if !blocked => self.prepare(id, 1, now),
                Turn::Start | Turn::Skip => {}
                Turn::Block => blocked = true,
                Turn::Close(refusal) => {
                    if let Some(entry) = self.entries.get(&id).cloned() {
                        self.close(entry, refusal, now);
                    }
                }
            }
        }
    }

    /// Whether anything may start at all: not while documents are being read, the disk refuses
    /// writes, or the agent is about to stop.
    pub(super) fn may_start(&self) -> bool {
        self.link.state != LinkState::Syncing && !self.disk.stalled() && !self.stopping
    }

    fn turn_of(&self, id: RequestId, frozen: bool, now: Mono) -> Turn {
        let (Some(entry), Some(track), Some(fleet)) = (
            self.entries.get(&id),
            self.tracks.get(&id),
            self.clock.fleet(now),
        ) else {
            return Turn::Skip;
        };
        let Some(command) = &entry.command else {
            return Turn::Skip;
        };
        let refusal = expired(entry.deadline, fleet)
            .or_else(|| refused(command, self.brake.as_ref(), self.silent_s(now)));
        if let Some(Refusal(outcome, mut reason)) = refusal {
            if let Script::Failed { reason: cause, .. } = &track.script {
                reason.text = format!(
                    "{}; its script could not be fetched: {}",
                    reason.text, cause.text
                );
            }
            return Turn::Close(Refusal(outcome, reason));
        }
        if frozen || fleet < track.start_at {
            return Turn::Skip;
        }
        if entry.backlog && self.asks_before(entry.order()) {
            return Turn::Block;
        }
        match track.script {
            Script::Ready => {}
            Script::Fetching { failures: 0 } if entry.backlog => return Turn::Block,
            Script::Fetching { .. } | Script::Failed { .. } => return Turn::Skip,
        }
        let limit = if entry.backlog {
            1
        } else {
            self.settings().max_concurrent_runs.max(1)
        };
        let occupied = self
            .tracks
            .values()
            .filter(|track| track.phase.occupies())
            .count();
        if occupied < limit as usize {
            Turn::Start
        } else {
            Turn::Block
        }
    }

    fn prepare(&mut self, id: RequestId, tries: u32, now: Mono) {
        let Some(fleet) = self.clock.fleet(now) else {
            return;
        };
        let (Some(entry), Some(track)) = (self.entries.get_mut(&id), self.tracks.get_mut(&id))
        else {
            return;
        };
        let started_at = match &entry.state {
            State::Started { started_at, .. } => *started_at,
            State::Admitted | State::Ended { .. } => fleet,
        };
        entry.state = State::Started {
            started_at,
            tries,
            mark: None,
        };
        track.phase = Phase::Preparing;
        self.queue.retain(|queued| *queued != id);
        self.write_entry(id);
        self.effects.push(Effect::Prepare(id));
        self.beat();
    }

    /// 'Started' is in the journal: one more look before the processes are made.
    pub fn handle_prepared(&mut self, request_id: RequestId, now: Mono) {
        let (Some(entry), Some(track)) = (
            self.entries.get(&request_id).cloned(),
            self.tracks.get_mut(&request_id),
        ) else {
            return;
        };
        let (Some(command), Some(fleet), State::Started { tries, .. }) = (
            entry.command.clone(),
            self.clock.fleet(now),
            entry.state.clone(),
        ) else {
            return;
        };
        let stop = track.stop.map(|_| withdrawn());
        let refusal = stop
            .or_else(|| expired(entry.deadline, fleet))
            .or_else(|| refused(&command, self.brake.as_ref(), self.silent_s(now)));
        if let Some(refusal) = refusal {
            let never_ran = Entry {
                state: State::Admitted,
                ..entry
            };
            return self.close(never_ran, refusal, now);
        }
        if tries == 1 && (self.stopping || held(self.brake.as_ref(), fleet).is_some()) {
            return self.put_back(request_id);
        }
        if let Some(track) = self.tracks.get_mut(&request_id) {
            track.phase = Phase::Spawning;
            self.effects.push(Effect::Spawn(request_id, command));
        }
    }

    fn put_back(&mut self, id: RequestId) {
        if let (Some(entry), Some(track)) = (self.entries.get_mut(&id), self.tracks.get_mut(&id)) {
            entry.state = State::Admitted;
            track.phase = Phase::Waiting;
            self.queue.insert(0, id);
            self.write_entry(id);
        }
    }

    /// The processes exist and are held back; `mark` is how they are found again.
    pub fn handle_spawned(&mut self, request_id: RequestId, mark: serde_json::Value, now: Mono) {
        let (Some(entry), Some(track)) = (
            self.entries.get_mut(&request_id),
            self.tracks.get_mut(&request_id),
        ) else {
            return;
        };
        if let State::Started { mark: marked, .. } = &mut entry.state {
            *marked = Some(mark);
        }
        let stopped = track.stop.is_some();
        track.phase = if stopped {
            Phase::Killing {
                before_release: true,
            }
        } else {
            Phase::Running {
                since: now,
                told: false,
            }
        };
        self.write_entry(request_id);
        let next = if stopped {
            Effect::Kill(request_id)
        } else {
            Effect::Release(request_id)
        };
        self.effects.push(next);
    }

    /// A try ended, or could not be started.
    pub fn handle_ended(&mut self, request_id: RequestId, end: RunEnd, now: Mono) {
        let (Some(entry), Some(track)) = (
            self.entries.get(&request_id),
            self.tracks.get_mut(&request_id),
        ) else {
            return;
        };
        if track.phase
            == (Phase::Killing {
                before_release: true,
            })
        {
            let never_ran = Entry {
                state: State::Admitted,
                ..entry.clone()
            };
            self.effects.push(Effect::DropOutput(request_id));
            self.close(never_ran, withdrawn(), now);
            return self.start_what_may(now);
        }
        let (State::Started { tries, .. }, Some(command)) = (&entry.state, &entry.command) else {
            return;
        };
        let again = matches!(end.outcome, Outcome::Failed | Outcome::TimedOut)
            && *tries < command.run.tries
            && track.stop.is_none();
        if again {
            let wait_ms = command.run.backoff_before_s(u64::from(*tries)) * 1000;
            track.phase = Phase::BackingOff {
                until: now.plus_ms(wait_ms),
                last: end,
            };
            return self.start_what_may(now);
        }
        self.end_run(request_id, end, now);
        self.start_what_may(now);
    }

    pub(super) fn end_run(&mut self, id: RequestId, end: RunEnd, now: Mono) {
        let Some(entry) = self.entries.get(&id).cloned() else {
            return;
        };
        let mut result = self.result_of(&entry, end.outcome, end.reason, now);
        result.exit_code = end.exit_code;
        self.store_end(entry, result);
        self.beat();
    }

    /// Tries again what waited after a failure; deadline and brake are looked at once more.
    pub(super) fn retry_runs_if_due(&mut self, now: Mono) {
        let due: Vec<(RequestId, RunEnd)> = self
            .tracks
            .iter()
            .filter_map(|(id, track)| match &track.phase {
                Phase::BackingOff { until, last } if *until <= now => Some((*id, last.clone())),
                Phase::BackingOff { .. }
                | Phase::Waiting
                | Phase::Preparing
                | Phase::Spawning
                | Phase::Running { .. }
                | Phase::Killing { .. } => None,
            })
            .collect();
        for (id, last) in due {
            self.retry_run(id, last, now);
        }
    }

    fn retry_run(&mut self, id: RequestId, mut last: RunEnd, now: Mono) {
        let (Some(entry), Some(fleet)) = (self.entries.get(&id), self.clock.fleet(now)) else {
            return;
        };
        let (State::Started { tries, .. }, Some(command)) = (&entry.state, &entry.command) else {
            return;
        };
        let refusal = expired(entry.deadline, fleet)
            .or_else(|| refused(command, self.brake.as_ref(), self.silent_s(now)));
        if let Some(Refusal(_, reason)) = refusal {
            let text = format!("not tried again after {tries}: {}", reason.text);
            last.reason = Some(Reason::new(&reason.code, text));
            return self.end_run(id, last, now);
        }
        let waits = held(self.brake.as_ref(), fleet).is_some() || !self.may_start();
        if waits {
            if let Some(track) = self.tracks.get_mut(&id) {
                track.phase = Phase::BackingOff {
                    until: now.plus_ms(1_000),
                    last,
                };
            }
            return;
        }
        let tries = tries + 1;
        self.effects.push(Effect::DropOutput(id));
        self.prepare(id, tries, now);
    }

    /// The script is on the PC, or why not and whether another try may help.
    pub fn handle_script(
        &mut self,
        request_id: RequestId,
        got: Result<(), (Reason, bool)>,
        now: Mono,
    ) {
        let Some(track) = self.tracks.get_mut(&request_id) else {
            return;
        };
        let Script::Fetching { failures } = track.script else {
            return;
        };
        match got {
            Ok(()) => track.script = Script::Ready,
            Err((reason, true)) => {
                let failures = failures + 1;
                let again = now.plus_ms(delay_ms(failures, 2_000, 60_000, 0));
                track.script = Script::Failed {
                    again,
                    failures,
                    reason,
                };
            }
            Err((reason, false)) => {
                if let Some(entry) = self.entries.get(&request_id).cloned() {
                    self.close(entry, Refusal(Outcome::Failed, reason), now);
                }
            }
        }
        self.start_what_may(now);
    }

    pub(super) fn fetch_again_if_due(&mut self, now: Mono) {
        for (id, track) in &mut self.tracks {
            if let Script::Failed {
                again, failures, ..
            } = &track.script
                && *again <= now
                && let Some(command) = self.entries.get(id).and_then(|entry| entry.command.clone())
            {
                track.script = Script::Fetching {
                    failures: *failures,
                };
                self.effects.push(Effect::FetchScript(*id, command));
            }
        }
    }

    pub(super) fn tell_of_long_runs(&mut self, now: Mono) {
        for (id, track) in &mut self.tracks {
            let Phase::Running { since, told } = &mut track.phase else {
                continue;
            };
            let Some(entry) = self.entries.get(id) else {
                continue;
            };
            if let (State::Started { started_at, .. }, false) = (&entry.state, *told)
                && since.plus_ms(TOLD_AFTER_MS) <= now
            {
                *told = true;
                self.effects.push(Effect::SendStarted(Started {
                    request_id: *id,
                    exec_id: entry.exec_id,
                    attempt: entry.attempt,
                    pc_id: self.pc_id.clone(),
                    started_at: *started_at,
                }));
            }
        }
    }

    /// The agent is about to stop: kills what runs and starts nothing more. The shell ends those
    /// runs as `Interrupted`.
    pub fn handle_stopping(&mut self) {
        self.stopping = true;
        for (id, track) in &mut self.tracks {
            let runs = matches!(track.phase, Phase::Running { .. } | Phase::Spawning);
            if runs {
                track.stop = Some(StopAction::Kill);
                track.phase = Phase::Killing {
                    before_release: false,
                };
                self.effects.push(Effect::Kill(*id));
            }
        }
    }
}

/// The entry of a result whose own entry was not written before a crash.
fn entry_of(result: &RunResult) -> Entry {
    let over_at = result.ended_at + chrono::Duration::days(UNKNOWN_KEPT_DAYS);
    Entry {
        request_id: result.request_id,
        exec_id: result.exec_id,
        attempt: result.attempt,
        scope: result.scope.clone(),
        reach: kanade_shared::wire::command::Reach::Fixed,
        job_id: result.job_id.clone(),
        job_version: result.job_version.clone(),
        issued_at: result.ended_at,
        deadline: over_at,
        over_at,
        state: State::Admitted,
        backlog: false,
        command: None,
        counter: 0,
    }
}

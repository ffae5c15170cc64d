//! Takes documents: their stops, then their commands.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use kanade_shared::id::{Attempt, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::agent::HeardState;
use kanade_shared::wire::command::{Command, Document, ScriptSource, Stop, StopAction};
use kanade_shared::wire::result::{Outcome, Reason, RunResult};

use super::{Asking, Core, HeldDocument, Phase, Script, Track};
use crate::backoff::delay_ms;
use crate::clock::Mono;
use crate::decide::{Doubt, Facts, Refusal, Verdict, decide, doubt, expired, for_me};
use crate::effect::Effect;
use crate::journal::{Entry, State};

/// A command and the scope that it came in.
pub(super) type Found = (Scope, Box<Command>);

impl Core {
    /// Takes one verified document. Its stops count in any case; its commands only when it is
    /// newer than, or the same as, the one that is held.
    pub(super) fn take(
        &mut self,
        scope: &Scope,
        document: Arc<Document>,
        hash: String,
        now: Mono,
    ) -> Vec<Found> {
        let refused = match self.held.get_mut(scope) {
            Some(held) if document.rev < held.rev => true,
            Some(held) if document.rev == held.rev && hash != held.hash => {
                held.twin = true;
                true
            }
            Some(_) | None => false,
        };
        self.stops(scope, &document.stops, now);
        if refused {
            return Vec::new();
        }
        let newer = self
            .held
            .get(scope)
            .is_none_or(|held| held.rev < document.rev);
        if newer {
            self.effects.push(Effect::WriteHeld {
                scope: scope.clone(),
                rev: document.rev,
                hash: hash.clone(),
            });
        }
        self.held.insert(
            scope.clone(),
            HeldDocument {
                rev: document.rev,
                hash,
                twin: false,
            },
        );
        let found = self.undealt(&document);
        self.documents.insert(scope.clone(), document);
        found
    }

    /// Its commands that are in neither the journal nor a question: a copy is made of these only,
    /// since a document lists all that is still to be done.
    pub(super) fn undealt(&self, document: &Document) -> Vec<Found> {
        let new = |command: &&Command| {
            let id = RequestId::derive(command.exec_id, &self.pc_id, command.attempt);
            !(self.entries.contains_key(&id) || self.asks.contains_key(&id))
        };
        let found = document.commands.iter().filter(new);
        found
            .map(|command| (document.scope.clone(), Box::new(command.clone())))
            .collect()
    }

    fn stops(&mut self, scope: &Scope, stops: &[Stop], now: Mono) {
        let Some(fleet) = self.clock.fleet(now) else {
            return;
        };
        for stop in stops.iter().filter(|stop| stop.until >= fleet) {
            let id = RequestId::derive(stop.exec_id, &self.pc_id, stop.attempt);
            if self.entries.contains_key(&id) {
                self.stop_known(id, stop.action, now);
            } else {
                self.stop_unknown(scope, stop, now);
            }
        }
    }

    fn stop_unknown(&mut self, scope: &Scope, stop: &Stop, now: Mono) {
        let Some(enrolled_at) = self.desired.as_ref().map(|desired| desired.enrolled_at) else {
            return;
        };
        if !for_me(scope, stop.reach, stop.issued_at, enrolled_at) {
            return;
        }
        let entry = Entry::of_stop(&self.pc_id, scope, stop);
        self.asks.remove(&entry.request_id);
        if self.in_doubt(stop.issued_at) {
            self.close(entry, journal_gone(), now);
        } else {
            self.close(entry, withdrawn(), now);
        }
    }

    fn in_doubt(&self, issued_at: DateTime<Utc>) -> bool {
        self.meta.doubt_before.is_none_or(|doubt| issued_at < doubt)
    }

    /// Decides about each command that is not dealt with. A backlog goes by exec id, live
    /// commands in the order in which they came.
    pub(super) fn admit(&mut self, mut found: Vec<Found>, backlog: bool, now: Mono) {
        found.sort_by_key(|(_, command)| (command.exec_id, command.attempt));
        for (scope, command) in found {
            self.admit_one(&scope, command, backlog, now);
        }
        if backlog {
            self.sort_queue();
        }
    }

    /// A backlog first, by exec id; then live commands, in the order in which they came.
    pub(super) fn sort_queue(&mut self) {
        let entries = &self.entries;
        self.queue.sort_by_key(|id| {
            let entry = entries.get(id).filter(|entry| entry.backlog);
            entry.map_or((true, None), |entry| (false, Some(entry.order())))
        });
    }

    fn admit_one(&mut self, scope: &Scope, command: Box<Command>, backlog: bool, now: Mono) {
        let (Some(fleet), Some(desired)) = (self.clock.fleet(now), &self.desired) else {
            return;
        };
        let id = RequestId::derive(command.exec_id, &self.pc_id, command.attempt);
        let facts = Facts {
            pc_id: &self.pc_id,
            scope,
            enrolled_at: desired.enrolled_at,
            journaled: self.entries.contains_key(&id) || self.asks.contains_key(&id),
            doubt_before: self
                .meta
                .doubt_before
                .filter(|_| !self.cleared.contains(&id)),
            brake: self.brake.as_ref(),
            silent_s: self.silent_s(now),
            run_as: &self.run_as,
        };
        match decide(&command, &facts, fleet) {
            Verdict::Ignore => {}
            Verdict::Refuse(outcome, reason) => {
                let entry = Entry::of_command(&self.pc_id, scope, &command);
                self.close(entry, Refusal(outcome, reason), now);
            }
            Verdict::Ask => {
                let asking = Asking {
                    scope: scope.clone(),
                    command,
                    failures: 0,
                    again: None,
                    backlog,
                };
                self.asks.insert(id, asking);
                self.effects.push(Effect::Ask(id));
            }
            Verdict::Admit { start_at } => {
                if self.has_room() {
                    self.supersede(&command, now);
                    self.enter(scope, command, start_at, backlog);
                }
            }
        }
    }

    fn enter(
        &mut self,
        scope: &Scope,
        command: Box<Command>,
        start_at: DateTime<Utc>,
        backlog: bool,
    ) {
        let mut entry = Entry::of_command(&self.pc_id, scope, &command);
        entry.backlog = backlog;
        let id = entry.request_id;
        self.entries.insert(id, entry);
        self.write_entry(id);
        self.follow(id, &command, start_at);
    }

    /// Keeps track of an admitted command and gets its script.
    pub(super) fn follow(&mut self, id: RequestId, command: &Command, start_at: DateTime<Utc>) {
        let script = match command.run.script {
            ScriptSource::Inline { .. } => Script::Ready,
            ScriptSource::Body(_) | ScriptSource::Https(_) => {
                self.effects
                    .push(Effect::FetchScript(id, Box::new(command.clone())));
                Script::Fetching { failures: 0 }
            }
        };
        self.tracks.insert(
            id,
            Track {
                start_at,
                script,
                phase: Phase::Waiting,
                stop: None,
            },
        );
        self.queue.push(id);
    }

    /// Ends older commands of the same job that have not started.
    fn supersede(&mut self, by: &Command, now: Mono) {
        let Some(job_id) = by.job_id.as_ref().filter(|_| by.supersede) else {
            return;
        };
        let older = |entry: &&Entry| {
            entry.job_id.as_ref() == Some(job_id)
                && entry.state == State::Admitted
                && entry.order() < (by.exec_id, by.attempt)
        };
        let ids: Vec<RequestId> = self
            .entries
            .values()
            .filter(older)
            .map(|e| e.request_id)
            .collect();
        for id in ids {
            let waiting = self
                .tracks
                .get(&id)
                .is_some_and(|track| track.phase == Phase::Waiting);
            if let Some(entry) = self.entries.get(&id).filter(|_| waiting).cloned() {
                let text = format!("exec {} of the same job took its place", by.exec_id.short());
                let refusal = Refusal(Outcome::Superseded, Reason::new("job.superseded", text));
                self.close(entry, refusal, now);
            }
        }
    }

    /// Ends a command that never ran: result to the outbox, then the end to the journal, then send.
    pub(super) fn close(&mut self, entry: Entry, Refusal(outcome, reason): Refusal, now: Mono) {
        let result = self.result_of(&entry, outcome, Some(reason), now);
        self.store_end(entry, result);
    }

    pub(super) fn result_of(
        &self,
        entry: &Entry,
        outcome: Outcome,
        reason: Option<Reason>,
        now: Mono,
    ) -> RunResult {
        let (started_at, tries) = match &entry.state {
            State::Started {
                started_at, tries, ..
            } => (Some(*started_at), *tries),
            State::Admitted | State::Ended { .. } => (None, 0),
        };
        RunResult {
            request_id: entry.request_id,
            exec_id: entry.exec_id,
            attempt: entry.attempt,
            pc_id: self.pc_id.clone(),
            scope: entry.scope.clone(),
            job_id: entry.job_id.clone(),
            job_version: entry.job_version.clone(),
            outcome,
            reason,
            exit_code: None,
            tries,
            started_at,
            ended_at: self.clock.shown(now),
            stdout: Default::default(),
            stderr: Default::default(),
        }
    }

    pub(super) fn store_end(&mut self, mut entry: Entry, result: RunResult) {
        let id = entry.request_id;
        entry.state = State::Ended {
            outcome: result.outcome,
        };
        entry.command = None;
        self.tracks.remove(&id);
        self.queue.retain(|queued| *queued != id);
        self.entries.insert(id, entry);
        self.outbox.insert(id);
        self.effects.push(Effect::StoreResult(Box::new(result)));
        self.write_entry(id);
        self.effects.push(Effect::Send(id));
    }

    /// Broker and backend said what they know of a run in doubt; `None`: no answer.
    pub fn handle_asked(
        &mut self,
        request_id: RequestId,
        result_found: Option<bool>,
        heard: Option<HeardState>,
        now: Mono,
    ) {
        let Some(asking) = self.asks.get_mut(&request_id) else {
            return;
        };
        let verdict = doubt(result_found, heard);
        if verdict == Doubt::AskAgain {
            asking.failures += 1;
            asking.again = Some(now.plus_ms(delay_ms(asking.failures, 2_000, 60_000, 0)));
            return;
        }
        let Some(asking) = self.asks.remove(&request_id) else {
            return;
        };
        let mut entry = Entry::of_command(&self.pc_id, &asking.scope, &asking.command);
        match verdict {
            Doubt::Run => {
                self.cleared.insert(request_id);
                self.admit(vec![(asking.scope, asking.command)], asking.backlog, now);
            }
            Doubt::Known => {
                entry.state = State::Ended {
                    outcome: Outcome::Unknown,
                };
                entry.command = None;
                self.entries.insert(request_id, entry);
                self.write_entry(request_id);
            }
            Doubt::Lost => self.close(entry, journal_gone(), now),
            Doubt::AskAgain => {}
        }
        self.beat();
        self.start_what_may(now);
    }

    pub(super) fn ask_again_if_due(&mut self, now: Mono) {
        let Some(fleet) = self.clock.fleet(now) else {
            return;
        };
        let mut lost = Vec::new();
        for (id, asking) in &mut self.asks {
            if expired(asking.command.deadline, fleet).is_some() {
                lost.push(*id);
            } else if asking.again.is_some_and(|again| again <= now) {
                asking.again = None;
                self.effects.push(Effect::Ask(*id));
            }
        }
        for id in lost {
            if let Some(asking) = self.asks.remove(&id) {
                let entry = Entry::of_command(&self.pc_id, &asking.scope, &asking.command);
                self.close(entry, journal_gone(), now);
            }
        }
    }

    /// Whether an unanswered question about an older command stands before this one.
    pub(super) fn asks_before(&self, order: (kanade_shared::id::ExecId, Attempt)) -> bool {
        let older = |asking: &Asking| (asking.command.exec_id, asking.command.attempt) < order;
        self.asks
            .values()
            .any(|asking| asking.failures == 0 && older(asking))
    }

    fn stop_known(&mut self, id: RequestId, action: StopAction, now: Mono) {
        let Some(track) = self.tracks.get_mut(&id) else {
            return;
        };
        let stop = track.stop.map_or(action, |before| before.max(action));
        if track.stop == Some(stop) {
            return;
        }
        track.stop = Some(stop);
        match (&track.phase, stop) {
            (Phase::Waiting, _) => {
                if let Some(entry) = self.entries.get(&id).cloned() {
                    self.close(entry, withdrawn(), now);
                }
            }
            (Phase::Running { .. }, StopAction::Kill) => {
                track.phase = Phase::Killing {
                    before_release: false,
                };
                self.effects.push(Effect::Kill(id));
            }
            (Phase::BackingOff { last, .. }, _) => {
                let last = last.clone();
                self.end_run(id, last, now);
            }
            (Phase::Running { .. }, StopAction::Withdraw)
            | (Phase::Preparing | Phase::Spawning | Phase::Killing { .. }, _) => {}
        }
    }
}

pub(super) fn withdrawn() -> Refusal {
    let text = "an operator stopped the exec before it started here";
    Refusal(Outcome::Withdrawn, Reason::new("exec.withdrawn", text))
}

fn journal_gone() -> Refusal {
    let text = "the journal that would know whether it ran is gone";
    Refusal(Outcome::Lost, Reason::new("journal.gone", text))
}

//! What is known of an exec, and whether to wait on; pure.
//!
//! **Invariant:** a target never goes back within one attempt, in whatever order lists and events
//! come.
//! **Invariant:** each result is given to be shown once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use kanade_shared::api::events::LiveEvent;
use kanade_shared::api::execs::{ExecState, ExecView, TargetState, TargetView};
use kanade_shared::api::results::ResultView;
use kanade_shared::id::{Attempt, PcId, RequestId};
use kanade_shared::wire::command::Reach;
use kanade_shared::wire::result::Outcome;

use crate::failure::Exit;

/// A PC that runs something and is offline may be restarting for this long.
const RESTART: TimeDelta = TimeDelta::minutes(3);

/// What to do when only offline PCs are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offline {
    /// Stop waiting: the exec is kept for them.
    Leave,
    /// Wait until the deadline.
    Wait,
}

/// Which PCs' answers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// All.
    All,
    /// Those of the newest attempt.
    NewestAttempt,
}

/// Why waiting is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing of it is left.
    Ended,
    /// Every PC has ended; more may join until the deadline.
    Open,
    /// Those that are left are offline.
    OnlyOffline,
    /// The time that the operator gave is over.
    GaveUp,
    /// The operator pressed Ctrl-C.
    Interrupted,
}

/// What is known of one exec.
#[derive(Debug)]
pub(crate) struct Follow {
    exec: ExecView,
    shows: Shows,
    targets: BTreeMap<PcId, TargetView>,
    results: BTreeMap<RequestId, ResultView>,
    fresh: BTreeSet<RequestId>,
    shown: BTreeSet<RequestId>,
    /// PCs that are offline, and since when.
    offline: BTreeMap<PcId, DateTime<Utc>>,
    read: bool,
    missed: bool,
}

impl Follow {
    /// Knows no more than the exec.
    pub(crate) fn new(exec: ExecView, shows: Shows) -> Self {
        Self {
            exec,
            shows,
            targets: BTreeMap::new(),
            results: BTreeMap::new(),
            fresh: BTreeSet::new(),
            shown: BTreeSet::new(),
            offline: BTreeMap::new(),
            read: false,
            missed: true,
        }
    }

    /// The exec.
    pub(crate) fn exec(&self) -> &ExecView {
        &self.exec
    }

    /// Whether the lists were read.
    pub(crate) fn read(&self) -> bool {
        self.read
    }

    /// Something may have been missed: the lists must be read.
    pub(crate) fn miss(&mut self) {
        self.missed = true;
    }

    /// Whether the lists must be read.
    pub(crate) fn missed(&self) -> bool {
        self.missed
    }

    /// Takes a change.
    pub(crate) fn take(&mut self, event: LiveEvent) {
        match event {
            LiveEvent::Exec { exec } if exec.exec_id == self.exec.exec_id => self.exec = *exec,
            LiveEvent::Target { exec_id, target } if exec_id == self.exec.exec_id => {
                self.take_target(*target);
            }
            LiveEvent::Result { result } => self.take_result(*result),
            LiveEvent::Reset
            | LiveEvent::Agent { .. }
            | LiveEvent::Exec { .. }
            | LiveEvent::Target { .. }
            | LiveEvent::Tail { .. }
            | LiveEvent::Unknown => {}
        }
    }

    /// Takes everything as it was read.
    pub(crate) fn take_lists(
        &mut self,
        exec: ExecView,
        targets: Vec<TargetView>,
        results: Vec<ResultView>,
    ) {
        self.exec = exec;
        (self.read, self.missed) = (true, false);
        targets
            .into_iter()
            .for_each(|target| self.take_target(target));
        results
            .into_iter()
            .for_each(|result| self.take_result(result));
    }

    /// Takes the exec and those targets that had not ended.
    pub(crate) fn take_rest(&mut self, exec: ExecView, rest: Vec<TargetView>) {
        self.exec = exec;
        rest.into_iter().for_each(|target| self.take_target(target));
    }

    /// Takes the PCs that are offline now, and since when.
    pub(crate) fn take_offline(
        &mut self,
        offline: impl IntoIterator<Item = (PcId, DateTime<Utc>)>,
    ) {
        self.offline = offline.into_iter().collect();
    }

    /// Whether some target is in the hands of its PC, so that only the list of PCs says whether
    /// that is offline.
    pub(crate) fn held(&self) -> bool {
        self.left()
            .any(|target| target.state != TargetState::Pending)
    }

    fn take_target(&mut self, target: TargetView) {
        let rank = |target: &TargetView| {
            let final_ = target.state == TargetState::Ended && !target.provisional;
            (target.attempt, target.state, final_)
        };
        match self.targets.get(&target.pc_id) {
            Some(known) if rank(known) > rank(&target) => {}
            Some(_) | None => {
                self.targets.insert(target.pc_id.clone(), target);
            }
        }
    }

    fn take_result(&mut self, result: ResultView) {
        let id = result.request_id;
        if result.exec_id == self.exec.exec_id && self.results.insert(id, result).is_none() {
            self.fresh.insert(id);
        }
    }

    fn attempt_shown(&self) -> Option<Attempt> {
        match self.shows {
            Shows::All => None,
            Shows::NewestAttempt => self.targets.values().map(|target| target.attempt).max(),
        }
    }

    /// The targets that are shown, by PC.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &TargetView> {
        let attempt = self.attempt_shown();
        let chosen = move |target: &&TargetView| attempt.is_none_or(|a| a == target.attempt);
        self.targets.values().filter(chosen)
    }

    /// The result of a target, when it is there.
    pub(crate) fn result(&self, target: &TargetView) -> Option<&ResultView> {
        self.results.get(&target.request_id)
    }

    /// Results that were not given yet, in the order they ended.
    pub(crate) fn fresh(&mut self) -> Vec<(TargetView, ResultView)> {
        if self.fresh.is_empty() {
            return Vec::new();
        }
        let mut fresh: Vec<(TargetView, ResultView)> = self
            .targets()
            .filter(|target| self.fresh.contains(&target.request_id))
            .filter_map(|target| Some((target.clone(), self.result(target)?.clone())))
            .collect();
        for (target, _) in &fresh {
            self.fresh.remove(&target.request_id);
            self.shown.insert(target.request_id);
        }
        fresh.sort_by_key(|(_, result)| result.ended_at);
        fresh
    }

    /// Shown targets whose result was not given: they have not ended, or never ran.
    pub(crate) fn unshown(&self) -> impl Iterator<Item = &TargetView> {
        self.targets()
            .filter(|target| !self.shown.contains(&target.request_id))
    }

    /// Whether a result must be there that is not.
    pub(crate) fn lacks_results(&self) -> bool {
        self.targets().any(|target| {
            target.state != TargetState::Ended
                || (!target.provisional && self.result(target).is_none())
        })
    }

    /// Targets that have not ended.
    pub(crate) fn left(&self) -> impl Iterator<Item = &TargetView> {
        self.targets
            .values()
            .filter(|target| target.state != TargetState::Ended)
    }

    /// Targets that have not ended and are offline.
    pub(crate) fn offline(&self, now: DateTime<Utc>) -> u64 {
        self.left()
            .filter(|target| self.is_offline(target, now))
            .count() as u64
    }

    /// Whether a target waits for its PC to come back. One that runs may be restarting it.
    fn is_offline(&self, target: &TargetView, now: DateTime<Utc>) -> bool {
        let since = self.offline.get(&target.pc_id);
        match target.state {
            TargetState::Pending => {
                since.is_some()
                    || target
                        .why
                        .as_ref()
                        .is_some_and(|why| why.code == "pc.offline")
            }
            TargetState::Admitted => since.is_some(),
            TargetState::Running => since.is_some_and(|since| now - *since > RESTART),
            TargetState::Ended => false,
        }
    }

    /// Whether waiting is over.
    pub(crate) fn verdict(&self, offline: Offline, now: DateTime<Utc>) -> Option<Verdict> {
        if self.exec.state == ExecState::Ended {
            return Some(Verdict::Ended);
        }
        // Counts and targets come from the same transaction, but not always in the same answer.
        let left = self.left().count() as u64;
        if offline == Offline::Wait || left != self.exec.counts.waiting() {
            return None;
        }
        match left {
            0 if self.exec.reach == Reach::Open => Some(Verdict::Open),
            0 => None,
            left if self.offline(now) == left => Some(Verdict::OnlyOffline),
            _ => None,
        }
    }

    /// The exit code for what is known now.
    pub(crate) fn exit(&self) -> Exit {
        let counts = &self.exec.counts;
        let well = counts.of(Outcome::Ok);
        let ended: u64 = counts.ended.values().sum();
        Exit::first([
            if ended > well { Exit::Failed } else { Exit::Ok },
            if counts.waiting() > 0 {
                Exit::Waiting
            } else {
                Exit::Ok
            },
        ])
    }
}

#[cfg(test)]
mod tests;

//! The database and the broker, and what the backend does between them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use kanade_shared::document::{Entry, EntryKey, Revision, ScopeState, foreign, revise};
use kanade_shared::id::{Attempt, ExecId, JournalId, PcId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::agent::HeardState;
use kanade_shared::wire::command::{Command, Document, Reach, Rev, StopAction};
use kanade_shared::wire::result::{Outcome, RunResult};

/// Outcomes that a real result replaces.
pub(crate) fn provisional(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Expired | Outcome::Lost | Outcome::Withdrawn
    )
}

type CommandKey = (ExecId, Attempt, Scope);

#[derive(Debug, Clone)]
pub(crate) struct CommandRow {
    pub(crate) command: Option<Command>,
    pub(crate) key: EntryKey,
    pub(crate) stop: Option<StopAction>,
    pub(crate) adopted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct TargetRow {
    pub(crate) exec_id: ExecId,
    pub(crate) attempt: Attempt,
    pub(crate) pc_id: PcId,
    pub(crate) scope: Scope,
    pub(crate) outcome: Option<Outcome>,
    /// Admitted or started was heard.
    pub(crate) begun: bool,
    pub(crate) listed: Option<Rev>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Database {
    pub(crate) commands: BTreeMap<CommandKey, CommandRow>,
    pub(crate) targets: BTreeMap<RequestId, TargetRow>,
    pub(crate) pcs: BTreeMap<PcId, DateTime<Utc>>,
    pub(crate) journals: BTreeMap<PcId, (JournalId, u64)>,
    pub(crate) recorded: BTreeMap<Scope, Rev>,
    pub(crate) floor: BTreeMap<Scope, Rev>,
    position: (u64, u64),
    pub(crate) results: BTreeMap<RequestId, Outcome>,
    /// When it was put back from a copy, or made anew.
    pub(crate) restored_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Broker {
    sequence: u64,
    pub(crate) documents: BTreeMap<Scope, (u64, Document, DateTime<Utc>)>,
    pub(crate) results: Vec<(u64, u64, RunResult)>,
    result_sequence: u64,
}

impl Broker {
    pub(crate) fn add_result(&mut self, unique: u64, result: RunResult) {
        self.result_sequence += 1;
        self.results.push((self.result_sequence, unique, result));
    }

    pub(crate) fn expire(&mut self, now: DateTime<Utc>) {
        self.documents
            .retain(|_, (_, _, expires_at)| *expires_at > now);
    }
}

/// What a publisher holds between its steps for one scope.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    sequence: u64,
    held: Option<Document>,
    made: Option<(Document, DateTime<Utc>)>,
}

impl Work {
    pub(crate) fn read(broker: &Broker, scope: &Scope) -> Self {
        let there = broker.documents.get(scope);
        Self {
            sequence: there.map_or(0, |(sequence, _, _)| *sequence),
            held: there.map(|(_, document, _)| document.clone()),
            made: None,
        }
    }

    /// One transaction: takes over what is foreign, reserves the rev.
    pub(crate) fn build(&mut self, db: &mut Database, scope: &Scope, now: DateTime<Utc>) {
        let recorded = db.recorded.get(scope).copied().unwrap_or_default();
        if let Some(foreign) = self.held.as_ref().and_then(|held| foreign(held, recorded)) {
            for command in foreign.commands {
                let key = key_of(&command);
                db.adopt(scope, Some(command), key, None);
            }
            for stop in foreign.stops {
                let key = EntryKey {
                    exec_id: stop.exec_id,
                    attempt: stop.attempt,
                    reach: stop.reach,
                    issued_at: stop.issued_at,
                    deadline: stop.deadline,
                    over_at: stop.until,
                };
                db.adopt(scope, None, key, Some(stop.action));
            }
            db.recorded.insert(scope.clone(), foreign.rev);
        }
        let state = db.scope_state(scope);
        if let Revision::Publish(publication) = revise(scope, self.held.as_ref(), &state, now) {
            let rev = publication.document.rev;
            db.recorded.insert(scope.clone(), rev);
            for command in &publication.document.commands {
                for target in db.targets.values_mut() {
                    if (target.exec_id, target.attempt) == (command.exec_id, command.attempt)
                        && target.scope == *scope
                    {
                        target.listed.get_or_insert(rev);
                    }
                }
            }
            self.made = Some((publication.document, publication.expires_at));
        }
    }

    /// Publishes with the sequence that was read; a conflict gives it up.
    pub(crate) fn publish(
        self,
        broker: &mut Broker,
        scope: &Scope,
        now: DateTime<Utc>,
    ) -> Option<Document> {
        let (document, expires_at) = self.made?;
        let there = broker
            .documents
            .get(scope)
            .map_or(0, |(sequence, _, _)| *sequence);
        if there != self.sequence {
            return None;
        }
        broker.sequence += 1;
        // The stream's own age is shorter than some deadlines.
        let expires_at = expires_at.min(now + chrono::Duration::seconds(400));
        broker.documents.insert(
            scope.clone(),
            (broker.sequence, document.clone(), expires_at),
        );
        Some(document)
    }
}

pub(crate) fn key_of(command: &Command) -> EntryKey {
    EntryKey {
        exec_id: command.exec_id,
        attempt: command.attempt,
        reach: command.reach,
        issued_at: command.issued_at,
        deadline: command.deadline,
        over_at: command.over_at(),
    }
}

impl Database {
    pub(crate) fn put(&mut self, pc_id: &PcId, scope: &Scope, command: &Command) {
        let key = (command.exec_id, command.attempt, scope.clone());
        self.commands.entry(key).or_insert_with(|| CommandRow {
            command: Some(command.clone()),
            key: key_of(command),
            stop: None,
            adopted: false,
        });
        self.target(pc_id, scope, command.exec_id, command.attempt);
    }

    fn target(&mut self, pc_id: &PcId, scope: &Scope, exec_id: ExecId, attempt: Attempt) {
        let row = TargetRow {
            exec_id,
            attempt,
            pc_id: pc_id.clone(),
            scope: scope.clone(),
            outcome: None,
            begun: false,
            listed: None,
        };
        let id = RequestId::derive(exec_id, pc_id, attempt);
        let there = self.targets.entry(id).or_insert(row);
        there.scope = scope.clone();
    }

    /// A PC joins the execs that are open, and those that were adopted before it was known again.
    pub(crate) fn enrol(&mut self, pc_id: &PcId, enrolled_at: DateTime<Utc>, now: DateTime<Utc>) {
        self.pcs.insert(pc_id.clone(), enrolled_at);
        let joins = |row: &CommandRow| {
            row.key.deadline > now
                && (row.key.reach == Reach::Open
                    || (row.adopted && enrolled_at < row.key.issued_at))
        };
        let keys: Vec<CommandKey> = self
            .commands
            .iter()
            .filter(|((_, _, scope), row)| *scope == Scope::All && joins(row))
            .map(|(key, _)| key.clone())
            .collect();
        for (exec_id, attempt, scope) in keys {
            self.target(pc_id, &scope, exec_id, attempt);
        }
    }

    fn adopt(
        &mut self,
        scope: &Scope,
        command: Option<Command>,
        key: EntryKey,
        stop: Option<StopAction>,
    ) {
        let row_key = (key.exec_id, key.attempt, scope.clone());
        if let Some(row) = self.commands.get_mut(&row_key) {
            row.stop = row.stop.max(stop);
            return;
        }
        let members: Vec<PcId> = match scope {
            Scope::Pc(pc_id) => vec![pc_id.clone()],
            Scope::All => self
                .pcs
                .iter()
                .filter(|(_, enrolled)| key.reach == Reach::Open || **enrolled < key.issued_at)
                .map(|(pc_id, _)| pc_id.clone())
                .collect(),
        };
        for pc_id in members {
            self.target(&pc_id, scope, key.exec_id, key.attempt);
        }
        self.commands.insert(
            row_key,
            CommandRow {
                command,
                key,
                stop,
                adopted: true,
            },
        );
    }

    pub(crate) fn scope_state(&self, scope: &Scope) -> ScopeState {
        let rows = self.commands.iter().filter(|((_, _, of), _)| of == scope);
        let entries = rows.map(|((exec_id, attempt, _), row)| Entry {
            command: row.command.clone(),
            key: row.key.clone(),
            stop: row.stop,
            targets_left: row.key.reach == Reach::Open
                || self.targets.values().any(|target| {
                    (target.exec_id, target.attempt) == (*exec_id, *attempt)
                        && target.scope == *scope
                        && target.outcome.is_none()
                }),
        });
        ScopeState {
            recorded: self.recorded.get(scope).copied().unwrap_or_default(),
            floor: self.floor.get(scope).copied().unwrap_or_default(),
            entries: entries.collect(),
        }
    }

    pub(crate) fn project(&mut self, broker: &Broker) {
        let (sequence, unique) = self.position;
        let there = broker.results.iter().find(|(s, _, _)| *s == sequence);
        let rewound = sequence > 0 && there.is_none_or(|(_, u, _)| *u != unique);
        let from = if rewound { 0 } else { sequence };
        for (sequence, unique, result) in broker.results.iter().filter(|(s, _, _)| *s > from) {
            self.result(result);
            self.position = (*sequence, *unique);
        }
        if broker.results.is_empty() {
            self.position = (0, 0);
        }
    }

    fn result(&mut self, result: &RunResult) {
        let id = result.request_id;
        if !self.targets.contains_key(&id) {
            self.target(&result.pc_id, &result.scope, result.exec_id, result.attempt);
        }
        let real = !provisional(result.outcome);
        let replaces = |old: Option<&Outcome>| old.is_none_or(|old| provisional(*old) && real);
        if replaces(self.results.get(&id)) {
            self.results.insert(id, result.outcome);
        }
        if let Some(target) = self.targets.get_mut(&id)
            && replaces(target.outcome.as_ref())
        {
            target.outcome = Some(result.outcome);
        }
    }

    /// Ends what is overdue, and gives the runs whose real results are missing.
    pub(crate) fn sweep(&mut self, now: DateTime<Utc>) -> Vec<(PcId, ExecId, Attempt)> {
        let mut missing = Vec::new();
        for target in self.targets.values_mut() {
            if target.outcome.is_some_and(|outcome| !provisional(outcome)) {
                continue;
            }
            let key = (target.exec_id, target.attempt, target.scope.clone());
            if self
                .commands
                .get(&key)
                .is_some_and(|row| now <= row.key.over_at)
            {
                continue;
            }
            target.outcome.get_or_insert(Outcome::Expired);
            missing.push((target.pc_id.clone(), target.exec_id, target.attempt));
        }
        missing
    }

    pub(crate) fn heard(&self, id: RequestId) -> HeardState {
        let Some(target) = self.targets.get(&id) else {
            return HeardState::Unknown;
        };
        let key = (target.exec_id, target.attempt, target.scope.clone());
        let issued_at = self.commands.get(&key).map(|row| row.key.issued_at);
        let enrolled_at = self.pcs.get(&target.pc_id);
        let older = self.restored_at.is_some_and(|at| {
            enrolled_at.is_none_or(|enrolled| *enrolled <= at)
                && issued_at.is_none_or(|issued| issued <= at)
        });
        match (self.results.get(&id), target.begun) {
            (Some(outcome), _) if !provisional(*outcome) => HeardState::Ended,
            (_, true) => HeardState::Begun,
            (_, false) if older => HeardState::Unknown,
            (_, false) => HeardState::Nothing,
        }
    }

    pub(crate) fn execs(&self) -> Vec<ExecId> {
        let ids: BTreeSet<ExecId> = self.commands.keys().map(|(id, _, _)| *id).collect();
        ids.into_iter().collect()
    }
}

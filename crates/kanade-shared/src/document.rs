//! Makes and takes over command documents, without publishing them.
//!
//! The publisher reads the broker's newest document of a scope, then what the database knows of
//! it, and asks here: [`foreign`] says whether the broker knows more than the database (which was
//! restored, or is new), [`revise`] what to publish. Both are right after any crash, because they
//! compare what is stored with what is there.
//!
//! **Invariant:** only a stop withdraws; a command that is not listed is not withdrawn.
//! **Invariant:** a rev is above every rev that anybody was heard to hold, and is reserved in the
//! database before the document is published.
//! **Invariant:** a document is never published just to tidy it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};

use crate::id::{Attempt, ExecId};
use crate::subject::Scope;
use crate::wire::command::{Command, DOCUMENT_VERSION, Document, Reach, Rev, Stop, StopAction};

/// What the database knows of one command of a scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What the PCs are told; `None` when only the stop of a command that was taken over is known.
    pub command: Option<Command>,
    /// What is known of it in any case.
    pub key: EntryKey,
    /// The operator's stop, if there is one.
    pub stop: Option<StopAction>,
    /// Whether targets of this scope have not ended, or may still join.
    pub targets_left: bool,
}

/// Names a command and says how long it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryKey {
    /// The exec.
    pub exec_id: ExecId,
    /// Which try.
    pub attempt: Attempt,
    /// Who takes it.
    pub reach: Reach,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Latest start.
    pub deadline: DateTime<Utc>,
    /// When nothing of it can run any more.
    pub over_at: DateTime<Utc>,
}

/// What the database knows of one scope.
#[derive(Debug, Clone, PartialEq)]
pub struct ScopeState {
    /// Highest rev that the database has reserved.
    pub recorded: Rev,
    /// Highest rev that a PC was heard to hold (one more where it told of a twin).
    pub floor: Rev,
    /// Its commands, oldest first.
    pub entries: Vec<Entry>,
}

/// What a document in the broker holds that the database may lack.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    /// Becomes the recorded rev.
    pub rev: Rev,
    /// Commands to adopt where they are unknown.
    pub commands: Vec<Command>,
    /// Stops to take over in any case.
    pub stops: Vec<Stop>,
}

/// What a verified document in the broker holds beyond the database: everything, when its rev is
/// above the highest that the database has reserved; else `None`.
#[must_use]
pub fn foreign(held: &Document, recorded: Rev) -> Option<Foreign> {
    (held.rev > recorded).then(|| Foreign {
        rev: held.rev,
        commands: held.commands.clone(),
        stops: held.stops.clone(),
    })
}

/// What the broker has on a scope's subject.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum There<'a> {
    /// Nothing.
    Nothing,
    /// Something that is no document of this scope; agents refuse it.
    Unreadable,
    /// A verified document.
    Document(&'a Document),
}

impl<'a> From<Option<&'a Document>> for There<'a> {
    fn from(document: Option<&'a Document>) -> Self {
        document.map_or(Self::Nothing, Self::Document)
    }
}

/// What to do with a scope's subject.
#[derive(Debug, Clone, PartialEq)]
pub enum Revision {
    /// The broker's document says what it should.
    Keep,
    /// Publish this one, after reserving its rev.
    Publish(Box<Publication>),
}

/// A document and how long the broker keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// The document.
    pub document: Document,
    /// When the broker may drop it: an hour after the last command or stop can matter.
    pub expires_at: DateTime<Utc>,
}

type Key = (ExecId, Attempt);

/// Compares what the broker holds of a scope with what the database says, after [`foreign`] was
/// taken over. What is unreadable is replaced also where nothing is wanted: by an empty document.
#[must_use]
pub fn revise<'a>(
    scope: &Scope,
    there: impl Into<There<'a>>,
    state: &ScopeState,
    now: DateTime<Utc>,
) -> Revision {
    let there = there.into();
    let commands: Vec<Command> = wanted(state, now).cloned().collect();
    let stops: Vec<Stop> = state
        .entries
        .iter()
        .filter_map(|entry| stop_of(entry, now))
        .collect();
    let needed = match there {
        There::Nothing => !commands.is_empty() || !stops.is_empty(),
        There::Unreadable => true,
        There::Document(held) => {
            held.rev != state.recorded
                || held.rev < state.floor
                || lacks(held, &commands, &stops)
                || names_what_nobody_wants(held, state, now)
        }
    };
    if !needed {
        return Revision::Keep;
    }
    let held = match there {
        There::Document(held) => held.rev,
        There::Nothing | There::Unreadable => Rev(0),
    };
    let known = state.recorded.max(state.floor).max(held);
    let clock = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    let rev = Rev(clock.max(known.0.saturating_add(1)));
    let last = state
        .entries
        .iter()
        .map(|entry| entry.key.over_at)
        .fold(now, DateTime::max);
    let document = Document {
        v: DOCUMENT_VERSION,
        scope: scope.clone(),
        rev,
        issued_at: now,
        commands,
        stops,
    };
    let expires_at = last.checked_add_signed(Duration::hours(1)).unwrap_or(last);
    Revision::Publish(Box::new(Publication {
        document,
        expires_at,
    }))
}

fn wanted(state: &ScopeState, now: DateTime<Utc>) -> impl Iterator<Item = &Command> {
    state
        .entries
        .iter()
        .filter(move |entry| entry.stop.is_none() && entry.key.deadline > now && entry.targets_left)
        .filter_map(|entry| entry.command.as_ref())
}

/// The stop of an entry, until nothing of it can run any more, whatever its targets say: one of
/// them may have forgotten.
fn stop_of(entry: &Entry, now: DateTime<Utc>) -> Option<Stop> {
    let action = entry.stop.filter(|_| entry.key.over_at >= now)?;
    Some(Stop {
        exec_id: entry.key.exec_id,
        attempt: entry.key.attempt,
        action,
        reach: entry.key.reach,
        issued_at: entry.key.issued_at,
        deadline: entry.key.deadline,
        until: entry.key.over_at,
    })
}

fn lacks(held: &Document, commands: &[Command], stops: &[Stop]) -> bool {
    let listed: BTreeSet<Key> = held
        .commands
        .iter()
        .map(|c| (c.exec_id, c.attempt))
        .collect();
    let stopped: BTreeMap<Key, StopAction> = held
        .stops
        .iter()
        .map(|s| ((s.exec_id, s.attempt), s.action))
        .collect();
    commands
        .iter()
        .any(|c| !listed.contains(&(c.exec_id, c.attempt)))
        || stops
            .iter()
            .any(|s| stopped.get(&(s.exec_id, s.attempt)) < Some(&s.action))
}

/// Whether the document still offers a command to PCs that should not take it: one the database
/// does not know, or knows and stopped. One whose targets have all ended is no reason.
fn names_what_nobody_wants(held: &Document, state: &ScopeState, now: DateTime<Utc>) -> bool {
    held.commands
        .iter()
        .filter(|command| command.deadline > now)
        .any(|command| {
            let known = state
                .entries
                .iter()
                .find(|e| e.key.exec_id == command.exec_id && e.key.attempt == command.attempt);
            known.is_none_or(|entry| entry.stop.is_some())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::command::{Run, RunAs, ScriptSource, Shell, Staleness};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn command(n: u8, deadline: i64) -> Command {
        Command {
            exec_id: ExecId::new(at(i64::from(n)), [n; 10]),
            attempt: Attempt::FIRST,
            job_id: None,
            job_version: None,
            reach: Reach::Fixed,
            issued_at: at(0),
            deadline: at(deadline),
            jitter_s: 0,
            supersede: false,
            staleness: Staleness::Cached,
            run: Run {
                shell: Shell::Sh,
                script: ScriptSource::Inline {
                    text: "true".into(),
                },
                args: vec![],
                env: BTreeMap::new(),
                cwd: None,
                stdin: None,
                timeout_s: 60,
                tries: 1,
                backoff_s: 0,
                run_as: RunAs::System,
                output_cap_bytes: 1024,
            },
        }
    }

    fn entry(command: &Command, stop: Option<StopAction>, targets_left: bool) -> Entry {
        let key = EntryKey {
            exec_id: command.exec_id,
            attempt: command.attempt,
            reach: command.reach,
            issued_at: command.issued_at,
            deadline: command.deadline,
            over_at: command.over_at(),
        };
        Entry {
            command: Some(command.clone()),
            key,
            stop,
            targets_left,
        }
    }

    fn state(recorded: Rev, entries: Vec<Entry>) -> ScopeState {
        ScopeState {
            recorded,
            floor: Rev(0),
            entries,
        }
    }

    fn publish(held: Option<&Document>, state: &ScopeState, now: i64) -> Option<Document> {
        match revise(&Scope::All, held, state, at(now)) {
            Revision::Keep => None,
            Revision::Publish(publication) => Some(publication.document),
        }
    }

    #[test]
    fn what_was_published_is_not_published_again() {
        let mut known = state(Rev(0), vec![entry(&command(1, 100), None, true)]);
        let first = publish(None, &known, 1).unwrap();
        known.recorded = first.rev;
        assert_eq!(publish(Some(&first), &known, 2), None);
    }

    #[test]
    fn a_command_whose_targets_have_ended_does_not_cause_a_publish() {
        let mut known = state(Rev(0), vec![entry(&command(1, 100), None, true)]);
        let first = publish(None, &known, 1).unwrap();
        known.recorded = first.rev;
        known.entries[0].targets_left = false;
        assert_eq!(publish(Some(&first), &known, 2), None);
        known.entries.push(entry(&command(2, 100), None, true));
        let second = publish(Some(&first), &known, 3).unwrap();
        assert_eq!(
            second.commands,
            [command(2, 100)],
            "it leaves at the next revision"
        );
    }

    #[test]
    fn a_stop_stays_until_nothing_of_its_command_can_run() {
        let stopped = entry(&command(1, 100), Some(StopAction::Kill), false);
        let known = state(Rev(0), vec![stopped]);
        let document = publish(None, &known, 159).unwrap();
        assert!(document.commands.is_empty());
        assert_eq!(document.stops[0].until, at(160));
        assert_eq!(publish(None, &known, 161), None);
    }

    #[test]
    fn a_kill_replaces_a_withdrawal() {
        let mut known = state(
            Rev(0),
            vec![entry(&command(1, 100), Some(StopAction::Withdraw), true)],
        );
        let first = publish(None, &known, 1).unwrap();
        known.recorded = first.rev;
        known.entries[0].stop = Some(StopAction::Kill);
        assert_eq!(
            publish(Some(&first), &known, 2).unwrap().stops[0].action,
            StopAction::Kill
        );
    }

    #[test]
    fn a_rev_goes_above_all_that_was_heard_and_never_back_with_the_clock() {
        let known = state(Rev(u64::MAX / 2), vec![entry(&command(1, 100), None, true)]);
        let first = publish(None, &known, 1).unwrap();
        assert_eq!(first.rev, Rev(u64::MAX / 2 + 1));
        let heard = ScopeState {
            recorded: first.rev,
            floor: Rev(u64::MAX / 2 + 9),
            ..known
        };
        assert_eq!(
            publish(Some(&first), &heard, -500).unwrap().rev,
            Rev(u64::MAX / 2 + 10)
        );
    }

    #[test]
    fn what_is_unreadable_is_replaced_also_where_nothing_is_wanted() {
        let known = ScopeState {
            floor: Rev(u64::MAX / 2),
            ..state(Rev(5), vec![])
        };
        assert_eq!(publish(None, &known, 1), None);
        let revision = revise(&Scope::All, There::Unreadable, &known, at(1));
        let Revision::Publish(publication) = revision else {
            panic!("it stays");
        };
        let document = publication.document;
        assert!(document.commands.is_empty() && document.stops.is_empty());
        assert!(document.rev > known.floor);
    }

    #[test]
    fn a_document_that_the_database_did_not_reserve_is_taken_over_then_replaced_if_older() {
        let known = state(Rev(5), vec![entry(&command(1, 100), None, true)]);
        let mut there = publish(None, &known, 1).unwrap();
        assert_eq!(foreign(&there, Rev(5)).map(|f| f.rev), Some(there.rev));
        assert_eq!(foreign(&there, there.rev), None);
        // Reserved, but the process died before the publish: what is there is older.
        there.rev = Rev(4);
        assert!(publish(Some(&there), &known, 1).is_some());
    }
}

//! What comes from the broker: connection, documents, the fleet's time.
//!
//! After each connect everything is read once, and nothing starts before all of it has answered;
//! what is heard meanwhile waits. An absent desired document is no answer, an absent command
//! document or brake is one.

use std::collections::BTreeSet;
use std::sync::Arc;

use kanade_shared::id::{JournalId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::Document;
use kanade_shared::wire::desired::{AgentDesired, Brake};
use sha2::{Digest, Sha256};

use super::Core;
use crate::clock::Mono;
use crate::effect::Effect;

/// Everything is read once more so long after each connect, in milliseconds: a replica that
/// answered first may have lagged.
const REREAD_AFTER_CONNECT_MS: u64 = 5_000;
/// Then every three to five minutes, spread over the PCs.
const REREAD_EVERY_MS: u64 = 180_000;
const REREAD_SPREAD_MS: u64 = 120_000;

/// An entry stays so long after nothing of it can run any more: a backend that lost its result
/// with a broker or a database that was put back from a copy still asks for it.
const KEPT_AFTER_OVER: chrono::Duration = chrono::Duration::hours(24);

/// How far the agent is with its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Without a broker.
    Connecting,
    /// Reads what it missed; nothing starts.
    Syncing,
    /// Acts on what it hears.
    Live,
}

/// The answer to one read.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// The document of a scope and the hash of its bytes, or that there is none.
    Commands(Scope, Option<(Arc<Document>, String)>),
    /// The desired document, or that there is none.
    Desired(Option<AgentDesired>),
    /// The brake, or that there is none.
    Brake(Option<Brake>),
}

/// Something heard live.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// The document of a scope and the hash of its bytes.
    Commands(Scope, Arc<Document>, String),
    /// The desired document.
    Desired(AgentDesired),
    /// The brake.
    Brake(Brake),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    All,
    Own,
    Desired,
    Brake,
    Time,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) state: LinkState,
    awaited: BTreeSet<Awaited>,
    /// Documents that were read, until all reads have answered.
    read: Vec<(Scope, Arc<Document>, String)>,
    /// What was heard meanwhile.
    inbox: Vec<Heard>,
    /// When the broker was lost; `None` while it is there.
    lost_at: Option<Mono>,
    pub(super) reread_at: Option<Mono>,
    /// The last time that was told.
    pub(super) seen_at: Mono,
}

impl Link {
    pub(super) fn new(now: Mono) -> Self {
        Self {
            state: LinkState::Connecting,
            awaited: BTreeSet::new(),
            read: Vec::new(),
            inbox: Vec::new(),
            lost_at: Some(now),
            reread_at: None,
            seen_at: now,
        }
    }
}

impl Core {
    /// The broker is there, and everything live is subscribed.
    pub fn handle_connected(&mut self, now: Mono) {
        use Awaited::{All, Brake, Desired, Own, Time};
        self.link = Link {
            state: LinkState::Syncing,
            awaited: BTreeSet::from([All, Own, Desired, Brake, Time]),
            lost_at: None,
            reread_at: Some(now.plus_ms(REREAD_AFTER_CONNECT_MS)),
            ..Link::new(now)
        };
        self.effects.push(Effect::ReadAll);
        self.beat();
    }

    /// The broker is gone. Runs go on, and what was admitted may start.
    pub fn handle_disconnected(&mut self, now: Mono) {
        if self.link.state != LinkState::Connecting {
            self.link = Link::new(now);
            self.start_what_may(now);
        }
    }

    /// How long the broker was silent, in seconds.
    pub(super) fn silent_s(&self, now: Mono) -> u64 {
        self.link
            .lost_at
            .map_or(0, |lost| now.0.saturating_sub(lost.0) / 1000)
    }

    /// A read was answered.
    pub fn handle_read(&mut self, read: Read, now: Mono) {
        if self.link.state == LinkState::Connecting {
            return;
        }
        match read {
            Read::Commands(scope, document) => {
                let awaited = if scope == Scope::All {
                    Awaited::All
                } else {
                    Awaited::Own
                };
                self.link.awaited.remove(&awaited);
                self.known_scopes.insert(scope.clone());
                match document {
                    Some((document, hash)) if self.link.state == LinkState::Syncing => {
                        self.link.read.push((scope, document, hash));
                    }
                    Some((document, hash)) => self.take_live(&scope, document, hash, now),
                    None => {}
                }
            }
            Read::Desired(None) => {}
            Read::Desired(Some(desired)) => self.take_desired(desired, now),
            Read::Brake(brake) => {
                self.link.awaited.remove(&Awaited::Brake);
                if let Some(brake) = brake {
                    self.take_brake(brake, now);
                }
            }
        }
        self.go_live_if_all_answered(now);
    }

    /// Something was heard live.
    pub fn handle_heard(&mut self, heard: Heard, now: Mono) {
        match heard {
            Heard::Desired(desired) => {
                self.take_desired(desired, now);
                self.go_live_if_all_answered(now);
            }
            Heard::Brake(brake) => self.take_brake(brake, now),
            Heard::Commands(scope, document, hash) => match self.link.state {
                LinkState::Live => self.take_live(&scope, document, hash, now),
                LinkState::Syncing => {
                    self.link.inbox.push(Heard::Commands(scope, document, hash));
                }
                LinkState::Connecting => {}
            },
        }
    }

    /// The backend told the fleet's time, and what it last heard of this PC's journal.
    pub fn handle_time(
        &mut self,
        fleet: chrono::DateTime<chrono::Utc>,
        journal: Option<(JournalId, u64)>,
        asked: Mono,
        answered: Mono,
    ) {
        self.clock.synchronise(fleet, asked, answered);
        let known = match journal {
            None => self.meta.doubt_before.is_some(),
            Some((id, counter)) => {
                id == self.meta.journal_id
                    && counter <= self.meta.counter
                    && self.meta.doubt_before.is_some()
            }
        };
        if !known {
            self.meta.doubt_before = Some(fleet);
            self.effects.push(Effect::WriteMeta(self.meta.clone()));
        }
        self.link.awaited.remove(&Awaited::Time);
        self.go_live_if_all_answered(answered);
    }

    fn take_desired(&mut self, desired: AgentDesired, now: Mono) {
        self.link.awaited.remove(&Awaited::Desired);
        let newer = self
            .desired
            .as_ref()
            .is_none_or(|held| held.rev < desired.rev);
        if desired.pc_id == self.pc_id && newer {
            self.effects
                .push(Effect::WriteDesired(Box::new(desired.clone())));
            self.desired = Some(desired);
            self.beat();
            self.start_what_may(now);
        }
    }

    fn take_brake(&mut self, brake: Brake, now: Mono) {
        if self.brake.as_ref().is_none_or(|held| held.rev < brake.rev) {
            self.effects
                .push(Effect::WriteBrake(Box::new(brake.clone())));
            self.brake = Some(brake);
            self.start_what_may(now);
        }
    }

    fn go_live_if_all_answered(&mut self, now: Mono) {
        let ready = self.link.state == LinkState::Syncing && self.link.awaited.is_empty();
        if !ready || self.desired.is_none() || self.clock.fleet(now).is_none() {
            return;
        }
        self.link.state = LinkState::Live;
        let read = std::mem::take(&mut self.link.read);
        let inbox = std::mem::take(&mut self.link.inbox);
        let mut found = Vec::new();
        for (scope, document, hash) in read {
            found.extend(self.take(&scope, document, hash, now));
        }
        self.admit(found, true, now);
        for heard in inbox {
            self.handle_heard(heard, now);
        }
        self.beat();
        self.start_what_may(now);
    }

    fn take_live(&mut self, scope: &Scope, document: Arc<Document>, hash: String, now: Mono) {
        self.known_scopes.insert(scope.clone());
        let found = self.take(scope, document, hash, now);
        self.admit(found, false, now);
        self.beat();
        self.start_what_may(now);
    }

    pub(super) fn reread_if_due(&mut self, now: Mono) {
        if self.link.reread_at.is_some_and(|at| at <= now) {
            let spread = u64::from(Sha256::digest(self.pc_id.as_str())[0]) * REREAD_SPREAD_MS / 256;
            self.link.reread_at = Some(now.plus_ms(REREAD_EVERY_MS + spread));
            self.effects.push(Effect::ReadAll);
        }
    }

    /// Entries of which nothing can run any more and that no document lists go after a day, once
    /// their results are with the broker.
    pub(super) fn forget_what_is_over(&mut self, now: Mono) {
        let own = Scope::Pc(self.pc_id.clone());
        let all_known = self.known_scopes.contains(&Scope::All) && self.known_scopes.contains(&own);
        let Some(fleet) = self.clock.fleet(now).filter(|_| all_known) else {
            return;
        };
        let listed: BTreeSet<RequestId> = self
            .documents
            .values()
            .flat_map(|document| {
                let commands = document.commands.iter().map(|c| (c.exec_id, c.attempt));
                commands.chain(document.stops.iter().map(|s| (s.exec_id, s.attempt)))
            })
            .map(|(exec_id, attempt)| RequestId::derive(exec_id, &self.pc_id, attempt))
            .collect();
        let over = |id: &RequestId| !listed.contains(id) && !self.outbox.contains(id);
        let gone: Vec<RequestId> = self
            .entries
            .values()
            .filter(|entry| entry.ended() && entry.over_at + KEPT_AFTER_OVER < fleet)
            .map(|entry| entry.request_id)
            .filter(over)
            .collect();
        if gone.is_empty() {
            return;
        }
        for id in gone {
            self.entries.remove(&id);
            self.cleared.remove(&id);
            self.meta.counter += 1;
            self.effects.push(Effect::RemoveEntry(id));
        }
        // The counter must not fall when the entries that carried it are gone.
        self.effects.push(Effect::WriteMeta(self.meta.clone()));
    }
}

//! Two agents with one id: two PCs with one host name, or two data folders with one `--id`.
//!
//! Each agent has a journal with a birth mark of its own. The first that is heard *holds* the id;
//! another is refused, and runs nothing, until the holder is gone: the PC has no other connection
//! than the one that asks, or nothing was heard of the holder for three heartbeats. So a journal
//! that was deleted is followed at once by the new one, and two agents never both run.
//!
//! **Invariant:** an id has one holder at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use kanade_shared::api::system::Finding;
use kanade_shared::id::{JournalId, PcId};

use super::SILENCE;
use crate::health::warning;

/// What an agent is told that asks under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It holds the id.
    Holds,
    /// Another one does, as far as is known by now.
    Held {
        /// Whether the PC has a second connection, which may be the holder's.
        crowded: bool,
    },
}

/// Who holds an id, and who else asked for it.
#[derive(Debug)]
struct Holder {
    journal_id: JournalId,
    heard: DateTime<Utc>,
    rival: Option<DateTime<Utc>>,
}

#[derive(Debug, Default)]
struct State {
    holders: BTreeMap<PcId, Holder>,
    /// PCs with more than one connection; absent while the broker tells of none.
    crowded: Option<BTreeSet<PcId>>,
    /// When the first agent asked.
    first: Option<DateTime<Utc>>,
}

/// Who holds each id.
#[derive(Debug, Default)]
pub struct Collisions(Mutex<State>);

impl Collisions {
    /// Whether the agent with this journal may use the id. `stored` is the journal that the
    /// database last heard of, for the time after a start.
    pub fn claim(
        &self,
        pc_id: &PcId,
        journal_id: JournalId,
        stored: Option<JournalId>,
        now: DateTime<Utc>,
    ) -> Claim {
        let mut state = self.lock();
        let crowded = state.crowded.as_ref();
        let crowded = crowded.is_none_or(|crowded| crowded.contains(pc_id));
        // Who held it before this process began has had no time yet to be heard.
        let early = now - *state.first.get_or_insert(now) <= SILENCE;
        let before = stored.filter(|stored| early && crowded && *stored != journal_id);
        let holder = state.holders.entry(pc_id.clone()).or_insert(Holder {
            journal_id: before.unwrap_or(journal_id),
            heard: now,
            rival: None,
        });
        if holder.journal_id == journal_id {
            holder.heard = now;
            return Claim::Holds;
        }
        if now - holder.heard > SILENCE {
            *holder = Holder {
                journal_id,
                heard: now,
                rival: None,
            };
            return Claim::Holds;
        }
        Claim::Held { crowded }
    }

    /// Gives the id to this journal: its PC has no other connection.
    pub fn hand_over(&self, pc_id: &PcId, journal_id: JournalId, now: DateTime<Utc>) {
        let holder = Holder {
            journal_id,
            heard: now,
            rival: None,
        };
        self.lock().holders.insert(pc_id.clone(), holder);
    }

    /// Notes that an agent was refused, and gives the sentence that it is told.
    pub fn refuse(&self, pc_id: &PcId, now: DateTime<Utc>) -> String {
        let sentence = sentence(pc_id);
        let mut state = self.lock();
        if let Some(holder) = state.holders.get_mut(pc_id) {
            if holder.rival.is_none_or(|rival| now - rival > SILENCE) {
                tracing::error!(%pc_id, "{sentence}");
            }
            holder.rival = Some(now);
        }
        sentence
    }

    /// Whether a heartbeat comes from the id's holder; of nobody's id, its sender becomes it.
    pub fn heard(&self, pc_id: &PcId, journal_id: JournalId, now: DateTime<Utc>) -> bool {
        let mut state = self.lock();
        let holder = state.holders.entry(pc_id.clone()).or_insert(Holder {
            journal_id,
            heard: now,
            rival: None,
        });
        let is = holder.journal_id == journal_id;
        if is {
            holder.heard = now;
        } else {
            holder.rival = Some(now);
        }
        is
    }

    /// What the holder's page should say: that another agent wants its id.
    #[must_use]
    pub fn blocked(&self, pc_id: &PcId, now: DateTime<Utc>) -> Option<String> {
        let state = self.lock();
        let rival = state.holders.get(pc_id)?.rival?;
        (now - rival <= SILENCE).then(|| sentence(pc_id))
    }

    /// The PCs that have more than one connection, now that all connections are known.
    pub fn connections(&self, crowded: BTreeSet<PcId>) {
        self.lock().crowded = Some(crowded);
    }

    /// Whether one PC has more than one connection, after it got or lost one.
    pub fn connection(&self, pc_id: &PcId, more_than_one: bool) {
        if let Some(crowded) = &mut self.lock().crowded {
            if more_than_one {
                crowded.insert(pc_id.clone());
            } else {
                crowded.remove(pc_id);
            }
        }
    }

    /// What people should know at this time.
    #[must_use]
    pub fn findings(&self, now: DateTime<Utc>) -> Vec<Finding> {
        let state = self.lock();
        let wanted = state.holders.iter().filter(|(_, holder)| {
            let rival = holder.rival;
            rival.is_some_and(|rival| now - rival <= SILENCE)
        });
        let help = "the one that came later runs nothing until then";
        wanted
            .map(|(pc_id, _)| warning("pc.collision", sentence(pc_id), help))
            .collect()
    }

    /// Forgets holders that are silent: who comes next may have their ids.
    pub fn forget(&self, now: DateTime<Utc>) {
        let mut state = self.lock();
        state
            .holders
            .retain(|_, holder| now - holder.heard <= SILENCE);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every statement leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sentence(pc_id: &PcId) -> String {
    format!("more than one agent uses the id `{pc_id}`: start all but one with another `--id`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::rules::tests::{at, pc};

    fn journal(n: u8) -> JournalId {
        let text = format!("0000000000008000800000000000000{n}");
        serde_json::from_value(text.into()).unwrap()
    }

    fn crowded(is: &Collisions) {
        is.connections(BTreeSet::from([pc(1)]));
    }

    const HELD: Claim = Claim::Held { crowded: true };

    #[test]
    fn the_second_agent_with_an_id_is_refused_until_the_first_is_silent() {
        let is = Collisions::default();
        assert_eq!(is.claim(&pc(1), journal(1), None, at(0)), Claim::Holds);
        crowded(&is);
        assert_eq!(is.claim(&pc(1), journal(2), None, at(10)), HELD);
        assert!(is.refuse(&pc(1), at(10)).contains("--id"));
        assert_eq!(is.findings(at(11))[0].code, "pc.collision");
        assert!(is.heard(&pc(1), journal(1), at(30)));
        assert!(!is.heard(&pc(1), journal(2), at(31)), "it holds nothing");
        assert!(is.blocked(&pc(1), at(32)).is_some());
        assert_eq!(is.claim(&pc(1), journal(2), None, at(119)), HELD);
        assert_eq!(is.claim(&pc(1), journal(2), None, at(121)), Claim::Holds);
        assert!(is.findings(at(122)).is_empty());
        assert_eq!(is.claim(&pc(1), journal(1), None, at(123)), HELD);
    }

    #[test]
    fn a_journal_that_was_deleted_is_followed_by_the_next_at_once() {
        let is = Collisions::default();
        is.connections(BTreeSet::new());
        is.claim(&pc(1), journal(1), None, at(0));
        let alone = Claim::Held { crowded: false };
        assert_eq!(is.claim(&pc(1), journal(2), None, at(1)), alone);
        is.hand_over(&pc(1), journal(2), at(1));
        assert_eq!(is.claim(&pc(1), journal(2), None, at(2)), Claim::Holds);
        assert!(is.findings(at(2)).is_empty());
    }

    #[test]
    fn after_a_start_the_holder_is_the_one_that_the_database_knows() {
        let is = Collisions::default();
        crowded(&is);
        let stored = Some(journal(1));
        assert_eq!(is.claim(&pc(1), journal(2), stored, at(0)), HELD);
        assert_eq!(is.claim(&pc(1), journal(1), stored, at(1)), Claim::Holds);
        assert_eq!(is.claim(&pc(1), journal(2), stored, at(80)), HELD);
        is.forget(at(100));
        assert_eq!(is.claim(&pc(1), journal(2), stored, at(101)), Claim::Holds);
        // Without a second connection it is gone.
        let is = Collisions::default();
        is.connections(BTreeSet::new());
        assert_eq!(is.claim(&pc(2), journal(2), stored, at(2)), Claim::Holds);
    }

    #[test]
    fn without_word_of_connections_only_silence_hands_over() {
        let is = Collisions::default();
        is.claim(&pc(1), journal(1), None, at(0));
        assert_eq!(is.claim(&pc(1), journal(2), None, at(90)), HELD);
        assert_eq!(is.claim(&pc(1), journal(2), None, at(91)), Claim::Holds);
    }
}

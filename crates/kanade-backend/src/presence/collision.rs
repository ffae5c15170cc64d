//! Two agents with one id: two PCs with one host name, or two data folders with one `--id`.
//!
//! Each agent has a journal with a birth mark of its own. A journal that was deleted is never heard
//! again once the new one is; two agents go on side by side.
//!
//! **Invariant:** only an overlap counts: one journal is heard again well after another's first
//! word.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use kanade_shared::api::system::Finding;
use kanade_shared::id::{JournalId, PcId};

use super::SILENCE;
use crate::health::error;

/// A word of an agent that has ended may be taken in this much later.
const ON_ITS_WAY: Duration = Duration::seconds(5);

/// When a journal was heard.
#[derive(Debug)]
struct Heard {
    journal_id: JournalId,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
}

/// Ids that more than one agent uses.
#[derive(Debug, Default)]
pub struct Collisions(Mutex<BTreeMap<PcId, Vec<Heard>>>);

impl Collisions {
    /// Notes that a PC's journal was heard. While another agent uses the id, it gives a sentence.
    pub fn heard(&self, pc_id: &PcId, journal_id: JournalId, now: DateTime<Utc>) -> Option<String> {
        let mut all = self.lock();
        let journals = all.entry(pc_id.clone()).or_default();
        journals.retain(|one| now - one.last <= SILENCE);
        let before = collide(journals);
        match journals.iter_mut().find(|one| one.journal_id == journal_id) {
            Some(one) => one.last = now,
            None => journals.push(Heard {
                journal_id,
                first: now,
                last: now,
            }),
        }
        let sentence = collide(journals).then(|| sentence(pc_id))?;
        if !before {
            tracing::error!(%pc_id, "{sentence}");
        }
        Some(sentence)
    }

    /// What people should know at this time.
    #[must_use]
    pub fn findings(&self, now: DateTime<Utc>) -> Vec<Finding> {
        let mut all = self.lock();
        all.retain(|_, journals| {
            journals.retain(|one| now - one.last <= SILENCE);
            !journals.is_empty()
        });
        let colliding = all.iter().filter(|(_, journals)| collide(journals));
        colliding
            .map(|(pc_id, _)| error("pc.collision", sentence(pc_id)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PcId, Vec<Heard>>> {
        // Every statement leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one was heard again after another had begun.
fn collide(journals: &[Heard]) -> bool {
    journals.iter().any(|old| {
        let mut others = journals.iter().filter(|one| one.first > old.first);
        others.any(|new| old.last >= new.first + ON_ITS_WAY)
    })
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

    #[test]
    fn agents_that_alternate_collide_until_one_is_silent() {
        let is = Collisions::default();
        assert_eq!(is.heard(&pc(1), journal(1), at(0)), None);
        assert_eq!(is.heard(&pc(1), journal(2), at(10)), None);
        let sentence = is.heard(&pc(1), journal(1), at(30)).unwrap();
        assert!(sentence.contains("--id"), "{sentence}");
        assert!(is.heard(&pc(1), journal(2), at(40)).is_some());
        assert_eq!(is.findings(at(41))[0].code, "pc.collision");
        assert_eq!(is.heard(&pc(1), journal(2), at(121)), None);
        assert!(is.findings(at(122)).is_empty());
    }

    #[test]
    fn a_journal_that_was_deleted_is_no_second_agent() {
        let is = Collisions::default();
        is.heard(&pc(1), journal(1), at(0));
        assert_eq!(is.heard(&pc(1), journal(2), at(1)), None);
        // A last word that was on its way.
        assert_eq!(is.heard(&pc(1), journal(1), at(2)), None);
        assert_eq!(is.heard(&pc(1), journal(2), at(31)), None);
        assert!(is.findings(at(32)).is_empty());
    }
}

//! The journal on disk: a file per entry, and one for the journal as a whole.
//!
//! A journal of which something can't be read counts as a new one: it gets another birth mark, so
//! what was issued before runs only when broker and backend know nothing of it. What is whole of
//! the old journal stays.

use std::path::PathBuf;

use kanade_agent_core::journal::{Entry, Meta};
use kanade_shared::id::RequestId;

use super::{DataError, DataFolder, Found, record};

const META: &str = "meta.json";

/// What a journal held at the start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// `None` for a new journal, and for one of which something was damaged.
    pub meta: Option<Meta>,
    /// Its entries, in the order of their ids.
    pub entries: Vec<Entry>,
}

/// The journal's folder.
#[derive(Debug, Clone)]
pub struct JournalFiles {
    data: DataFolder,
}

impl JournalFiles {
    /// The journal in a data folder.
    #[must_use]
    pub fn new(data: DataFolder) -> Self {
        Self { data }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// The folder can't be listed, or a damaged file can't be set aside.
    pub fn load(&self) -> Result<Loaded, DataError> {
        let mut loaded = Loaded::default();
        let mut damaged = false;
        for path in record::files(&self.data.path("journal"))? {
            if path.file_name().is_some_and(|name| name == META) {
                continue;
            }
            match record::read::<Entry>(self.data.root(), &path)? {
                Found::Whole(entry) if path == self.entry_path(entry.request_id) => {
                    loaded.entries.push(entry);
                }
                Found::Whole(_) => {
                    record::set_aside(self.data.root(), &path, "it has another run's name")?;
                    damaged = true;
                }
                Found::Damaged => damaged = true,
                Found::Nothing => {}
            }
        }
        loaded.entries.sort_by_key(|entry| entry.request_id);
        loaded.meta = match record::read(self.data.root(), &self.meta_path())? {
            Found::Whole(meta) if !damaged => Some(meta),
            Found::Whole(_) | Found::Damaged => {
                tracing::warn!("the journal is damaged; what was issued before is asked about");
                None
            }
            Found::Nothing => None,
        };
        Ok(loaded)
    }

    /// Writes what is known of the journal as a whole.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_meta(&self, meta: &Meta) -> Result<(), DataError> {
        record::write(&self.meta_path(), meta)
    }

    /// Writes one entry, in place of what was there.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_entry(&self, entry: &Entry) -> Result<(), DataError> {
        record::write(&self.entry_path(entry.request_id), entry)
    }

    /// Removes one entry.
    ///
    /// # Errors
    /// The file can't be removed.
    pub fn remove_entry(&self, request_id: RequestId) -> Result<(), DataError> {
        record::remove(&self.entry_path(request_id))
    }

    fn meta_path(&self) -> PathBuf {
        self.data.path("journal").join(META)
    }

    fn entry_path(&self, request_id: RequestId) -> PathBuf {
        self.data.path("journal").join(format!("{request_id}.json"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::DateTime;
    use kanade_agent_core::journal::State;
    use kanade_shared::id::{Attempt, ExecId, JournalId};
    use kanade_shared::subject::Scope;
    use kanade_shared::wire::command::Reach;
    use kanade_shared::wire::result::Outcome;

    use super::*;

    fn entry(n: u8) -> Entry {
        let at = |s: i64| DateTime::from_timestamp(1_800_000_000 + s, 0).unwrap();
        Entry {
            request_id: RequestId::from_uuid(uuid::Uuid::from_bytes([n; 16])),
            exec_id: ExecId::new(at(0), [n; 10]),
            attempt: Attempt::FIRST,
            scope: Scope::All,
            reach: Reach::Fixed,
            job_id: None,
            job_version: None,
            issued_at: at(0),
            deadline: at(10),
            over_at: at(20),
            state: State::Ended {
                outcome: Outcome::Ok,
            },
            backlog: false,
            command: None,
            counter: u64::from(n),
        }
    }

    fn journal(folder: &tempfile::TempDir) -> JournalFiles {
        let journal = JournalFiles::new(DataFolder::open(folder.path()).unwrap());
        journal
            .write_meta(&Meta::new(JournalId::new([1; 16])))
            .unwrap();
        for n in 1..=3 {
            journal.write_entry(&entry(n)).unwrap();
        }
        journal
    }

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder);
        journal.remove_entry(entry(2).request_id).unwrap();
        let loaded = journal.load().unwrap();
        assert_eq!(loaded.entries, [entry(1), entry(3)]);
        assert_eq!(loaded.meta, Some(Meta::new(JournalId::new([1; 16]))));
    }

    #[test]
    fn a_damaged_entry_makes_the_journal_a_new_one_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder);
        let path = journal.entry_path(entry(2).request_id);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let loaded = journal.load().unwrap();
        assert_eq!(loaded.entries, [entry(1), entry(3)]);
        assert_eq!(loaded.meta, None);
    }

    #[test]
    fn an_entry_under_another_runs_name_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder);
        let (from, to) = (entry(1).request_id, RequestId::from_uuid(uuid::Uuid::nil()));
        fs::rename(journal.entry_path(from), journal.entry_path(to)).unwrap();
        assert_eq!(journal.load().unwrap().meta, None);
    }
}

//! The data folder: everything that an agent must remember.
//!
//! | in the folder | what it is | when it is lost |
//! |---|---|---|
//! | `identity.json` | the PC's id, fixed at the first start | it must be given, see [`DataFolder::identity`] |
//! | `journal/` | what was admitted, started and ended | a new journal, see [`journal`] |
//! | `outbox/`, `sent/` | results: not acknowledged, acknowledged | results are lost |
//! | `held/` | newest documents: rev and hash per scope, desired, brake | read again from the broker |
//! | `cache/` | encrypted script bodies by their hash | fetched again |
//! | `damaged/` | files that could not be read, for a person to look at | nothing |
//! | `runs/` | scripts of runs in progress | nothing |
//!
//! **Invariant:** one process has the folder, by a lock on `lock`.
//! **Invariant:** every file is replaced in one step and carries a checksum; one that does not
//! hold what was written is set aside in `damaged/`, never trusted; only a lost identity is fatal.
//!
//! All of this blocks: call it at the start or on the blocking pool.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kanade_shared::id::PcId;
use serde::{Deserialize, Serialize};

use crate::platform;

pub mod held;
pub mod journal;
pub mod record;

pub use record::{DataError, Found};

const FOLDERS: [&str; 7] = [
    "journal", "outbox", "sent", "held", "cache", "damaged", "runs",
];

const IDENTITY: &str = "identity.json";

/// Files set aside in `damaged/` at most; the oldest go.
const DAMAGED_MAX: usize = 100;

/// An agent's data folder, locked; clones share the lock.
#[derive(Debug, Clone)]
pub struct DataFolder {
    root: Arc<Path>,
    /// Held for as long as anybody holds the folder.
    _lock: Arc<File>,
}

/// What stays the same for as long as the folder lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Who this PC is in the fleet.
    pub pc_id: PcId,
}

/// When the agent last had its broker; for `status`, so it need not survive a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastConnect {
    /// By the PC's own clock.
    pub at: chrono::DateTime<chrono::Utc>,
    /// The broker's address, without credentials.
    pub url: String,
}

impl DataFolder {
    /// Makes the folder where it is missing, with rights for the agent alone, locks it and clears
    /// what a crash left half-written.
    ///
    /// # Errors
    /// [`DataError::InUse`] when another agent has it; otherwise what the system refused.
    pub fn open(root: &Path) -> Result<Self, DataError> {
        let root = std::path::absolute(root).map_err(|e| DataError::folder(root, e))?;
        for folder in std::iter::once(root.clone()).chain(FOLDERS.iter().map(|f| root.join(f))) {
            platform::create_private_dir(&folder).map_err(|e| DataError::folder(&folder, e))?;
        }
        let lock = lock(&root)?;
        let data = Self {
            root: root.into(),
            _lock: Arc::new(lock),
        };
        data.sweep()?;
        Ok(data)
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of one of its folders or files.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The identity in the folder; at the first start it becomes `wanted`, or what the host name
    /// gives. A folder that was somebody's never becomes another's: what it ran and has to send
    /// belongs to the PC it was made for, so where its identity is lost only `wanted` gives it back.
    ///
    /// # Errors
    /// [`DataError::OtherIdentity`] when the folder belongs to another id than `wanted`;
    /// [`DataError::LostIdentity`] when it is not known whose the folder is;
    /// [`DataError::NoIdentity`] when the host name gives none; or the file can't be written.
    pub fn identity(&self, wanted: Option<PcId>) -> Result<PcId, DataError> {
        let path = self.path(IDENTITY);
        let known = match record::read::<Identity>(&self.root, &path)? {
            Found::Whole(known) => Some(known.pc_id),
            Found::Nothing | Found::Damaged => None,
        };
        match (known, wanted) {
            (Some(known), Some(wanted)) if wanted != known => Err(DataError::OtherIdentity {
                folder: self.root.to_path_buf(),
                known,
                wanted,
            }),
            (Some(known), _) => Ok(known),
            (None, None) if self.was_used()? => Err(DataError::LostIdentity {
                folder: self.root.to_path_buf(),
            }),
            (None, wanted) => {
                let pc_id = wanted.map_or_else(from_host_name, Ok)?;
                let identity = Identity {
                    pc_id: pc_id.clone(),
                };
                record::write(&path, &identity)?;
                Ok(pc_id)
            }
        }
    }

    /// Whether an agent has lived here: any record of one, whole or set aside.
    fn was_used(&self) -> Result<bool, DataError> {
        for folder in FOLDERS {
            if !record::files(&self.path(folder))?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes a connection for `status`; a failure is of no consequence.
    pub fn note_connect(&self, connect: &LastConnect) {
        if let Ok(bytes) = record::encode(connect) {
            // Not flushed: it is only shown.
            let _ = fs::write(self.path("last_connect.json"), bytes);
        }
    }

    /// Removes temporary files of writes that a crash cut short, and the oldest damaged ones.
    fn sweep(&self) -> Result<(), DataError> {
        for name in FOLDERS.iter().filter(|name| **name != "runs").chain([&""]) {
            let folder = self.path(name);
            for path in record::files(&folder)? {
                if record::is_temporary(&path) {
                    fs::remove_file(&path).map_err(|e| DataError::remove(&path, e))?;
                }
            }
        }
        let mut damaged = record::files(&self.path("damaged"))?;
        // Their names begin with the time they were set aside.
        damaged.sort();
        let excess = damaged.len().saturating_sub(DAMAGED_MAX);
        for path in &damaged[..excess] {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

fn lock(root: &Path) -> Result<File, DataError> {
    let path = root.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| DataError::write(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataError::InUse {
            folder: root.to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(DataError::write(&path, source)),
    }
}

fn from_host_name() -> Result<PcId, DataError> {
    let name = platform::host_name().unwrap_or_default();
    PcId::from_host_name(&name).map_err(|source| DataError::NoIdentity { name, source })
}

/// Reads `identity.json` and `last_connect.json` without the lock, for `status`.
///
/// # Errors
/// The folder can't be read, or what it says of its identity can't.
pub fn peek(root: &Path) -> Result<(Option<Identity>, Option<LastConnect>), DataError> {
    let read = |name: &str| match fs::read(root.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(DataError::read(&root.join(name), e)),
    };
    let identity = match read(IDENTITY)? {
        Some(bytes) => Some(record::decode(&bytes).map_err(|_| DataError::LostIdentity {
            folder: root.to_path_buf(),
        })?),
        None => None,
    };
    let last = read("last_connect.json")?.and_then(|bytes| record::decode(&bytes).ok());
    Ok((identity, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pc(name: &str) -> PcId {
        PcId::parse(name).unwrap()
    }

    #[test]
    fn a_second_agent_is_told_in_one_sentence_that_the_folder_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::open(folder.path()).unwrap();
        let refused = DataFolder::open(folder.path()).unwrap_err();
        assert!(matches!(refused, DataError::InUse { .. }));
        assert!(refused.to_string().contains("another agent"), "{refused}");
        drop(first);
        DataFolder::open(folder.path()).unwrap();
    }

    #[test]
    fn the_id_of_the_first_start_stays() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        assert_eq!(data.identity(Some(pc("pc-1"))).unwrap(), pc("pc-1"));
        assert_eq!(data.identity(None).unwrap(), pc("pc-1"));
        let refused = data.identity(Some(pc("pc-2"))).unwrap_err().to_string();
        assert!(
            refused.contains("`pc-1`") && refused.contains("`pc-2`"),
            "{refused}"
        );
    }

    #[test]
    fn a_folder_whose_identity_is_damaged_is_nobody_elses_until_its_id_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        data.identity(Some(pc("pc-1"))).unwrap();
        fs::write(folder.path().join(IDENTITY), b"{").unwrap();
        // Also at the second start, when the damaged file is set aside already.
        for _ in 0..2 {
            let refused = data.identity(None).unwrap_err();
            assert!(matches!(refused, DataError::LostIdentity { .. }));
            assert!(refused.to_string().contains("`--id`"), "{refused}");
        }
        assert_eq!(data.identity(Some(pc("pc-1"))).unwrap(), pc("pc-1"));
        assert_eq!(data.identity(None).unwrap(), pc("pc-1"));
    }

    #[test]
    fn a_folder_with_a_journal_and_no_identity_asks_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        fs::write(folder.path().join("journal/x.json"), b"{}").unwrap();
        let refused = data.identity(None).unwrap_err();
        assert!(matches!(refused, DataError::LostIdentity { .. }));
    }

    #[test]
    fn half_written_files_of_a_crash_are_gone_after_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataFolder::open(folder.path()).unwrap());
        let rest = folder.path().join("outbox/.x.json.0.tmp");
        fs::write(&rest, b"half").unwrap();
        DataFolder::open(folder.path()).unwrap();
        assert!(!rest.exists());
    }
}

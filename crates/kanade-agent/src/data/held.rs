//! What an agent holds of the fleet's documents, so that it knows after a restart.
//!
//! Per scope the rev and hash of the newest command document, the desired document and the brake.
//! One that is damaged is read again from the broker before anything is decided.

use kanade_shared::subject::Scope;
use kanade_shared::wire::command::Rev;
use kanade_shared::wire::desired::{AgentDesired, Brake};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{DataError, DataFolder, Found, record};

/// The newest command document of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDocument {
    /// Whose document.
    pub scope: Scope,
    /// Its rev.
    pub rev: Rev,
    /// SHA-256 of its bytes, hex.
    pub hash: String,
}

/// All that was held.
#[derive(Debug, Default)]
pub struct Loaded {
    /// One per scope that was heard.
    pub documents: Vec<HeldDocument>,
    /// What this PC should be.
    pub desired: Option<AgentDesired>,
    /// The fleet's brake.
    pub brake: Option<Brake>,
}

/// The folder of what is held.
#[derive(Debug, Clone)]
pub struct HeldFiles {
    data: DataFolder,
}

impl HeldFiles {
    /// What is held in a data folder.
    #[must_use]
    pub fn new(data: DataFolder) -> Self {
        Self { data }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// The folder can't be listed, or a damaged file can't be set aside.
    pub fn load(&self) -> Result<Loaded, DataError> {
        let mut documents = Vec::new();
        for path in record::files(&self.data.path("held"))? {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with("commands.")
                && let Found::Whole(held) = record::read(self.data.root(), &path)?
            {
                documents.push(held);
            }
        }
        Ok(Loaded {
            documents,
            desired: self.one("desired.json")?,
            brake: self.one("brake.json")?,
        })
    }

    fn one<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DataError> {
        match record::read(self.data.root(), &self.data.path("held").join(name))? {
            Found::Whole(value) => Ok(Some(value)),
            Found::Nothing | Found::Damaged => Ok(None),
        }
    }

    /// Remembers the document of a scope.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_document(&self, held: &HeldDocument) -> Result<(), DataError> {
        let name = format!("commands.{}.json", held.scope);
        record::write(&self.data.path("held").join(name), held)
    }

    /// Remembers what this PC should be.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_desired(&self, desired: &AgentDesired) -> Result<(), DataError> {
        record::write(&self.data.path("held").join("desired.json"), desired)
    }

    /// Remembers the brake.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_brake(&self, brake: &Brake) -> Result<(), DataError> {
        record::write(&self.data.path("held").join("brake.json"), brake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_known_after_a_restart_as_far_as_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let files = HeldFiles::new(DataFolder::open(folder.path()).unwrap());
        let held = HeldDocument {
            scope: Scope::All,
            rev: Rev(7),
            hash: "ab".into(),
        };
        files.write_document(&held).unwrap();
        files
            .write_brake(&Brake {
                v: 1,
                rev: Rev(2),
                ..Brake::default()
            })
            .unwrap();
        let loaded = files.load().unwrap();
        assert_eq!(loaded.documents, [held]);
        assert_eq!(loaded.brake.map(|brake| brake.rev), Some(Rev(2)));
        std::fs::write(folder.path().join("held/brake.json"), b"rubbish").unwrap();
        assert_eq!(files.load().unwrap().brake, None);
    }
}

//! What the inputs of a step were when it was last done, as one hash in a file.
//!
//! **Invariant:** a stamp is written after its step has succeeded, so a step that was broken off
//! is done again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// A step's inputs as they are now, and the file that has what they were.
pub(super) struct Stamp {
    file: PathBuf,
    now: String,
}

impl Stamp {
    /// Looks at these files and folders of `root`; what is not there counts as such.
    pub(super) fn of(file: PathBuf, root: &Path, inputs: &[&str]) -> Result<Self> {
        let mut sum = Sha256::new();
        for input in inputs {
            add(&root.join(input), input, &mut sum)?;
        }
        let now = hex::encode(sum.finalize());
        Ok(Self { file, now })
    }

    /// Whether the step was done with the same inputs.
    pub(super) fn is_fresh(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|was| was == self.now)
    }

    /// Notes that the step is done.
    pub(super) fn set(&self) -> Result<()> {
        fs::write(&self.file, &self.now)
            .with_context(|| format!("could not write `{}`", self.file.display()))
    }

    /// The inputs' hash, in hexadecimal.
    pub(super) fn hash(&self) -> &str {
        &self.now
    }
}

fn add(path: &Path, name: &str, sum: &mut Sha256) -> Result<()> {
    let unreadable = || format!("could not read `{}`", path.display());
    if path.is_dir() {
        let entries = fs::read_dir(path).with_context(unreadable)?;
        let entries: Result<Vec<_>, _> = entries.collect();
        let mut entries = entries.with_context(unreadable)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            add(&entry.path(), &name, sum)?;
        }
    } else if path.exists() {
        let bytes = fs::read(path).with_context(unreadable)?;
        // With lengths, so that no two trees read the same.
        sum.update(format!("{} {name} {} ", name.len(), bytes.len()));
        sum.update(bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_new_and_a_renamed_input_make_a_step_stale() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("src/deep")).unwrap();
        fs::write(at("src/deep/a.ts"), "1").unwrap();
        let stamp = || Stamp::of(at("stamp"), root.path(), &["src", "absent.json"]).unwrap();
        assert!(!stamp().is_fresh(), "never done");
        let done = |change: &dyn Fn()| {
            stamp().set().unwrap();
            assert!(stamp().is_fresh());
            change();
            assert!(!stamp().is_fresh());
        };
        done(&|| fs::write(at("src/deep/a.ts"), "2").unwrap());
        done(&|| fs::write(at("src/b.ts"), "").unwrap());
        done(&|| fs::rename(at("src/b.ts"), at("src/c.ts")).unwrap());
        done(&|| fs::write(at("absent.json"), "{}").unwrap());
    }
}

//! The secrets that the child broker and its clients share: made once, kept in a file.
//!
//! **Invariant:** the file and its folder are readable by their owner alone.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Passwords of the broker's users, and its name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Secrets {
    pub(super) server_name: String,
    /// Of the user `sys`, in the system account.
    pub(super) system: String,
    /// Of the user `backend`.
    pub(super) backend: String,
    /// Of the user `agent`, which all agents share.
    pub(super) agent: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// A text of 256 random bits that can be typed, quoted and put into a URL.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_secret() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex::encode(bytes))
}

impl Secrets {
    fn generate() -> io::Result<Self> {
        let name = random_secret()?;
        Ok(Self {
            server_name: format!("kanade-{}", &name[..8]),
            system: random_secret()?,
            backend: random_secret()?,
            agent: random_secret()?,
        })
    }

    /// The secrets in `file`, made at the first call; [`io::ErrorKind::InvalidData`] when it
    /// holds something else.
    pub(super) fn load_or_make(file: &Path) -> io::Result<Self> {
        match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secrets = Self::generate()?;
                let text = serde_json::to_vec_pretty(&secrets).map_err(io::Error::other)?;
                write_private(file, &text)?;
                Ok(secrets)
            }
            Err(error) => Err(error),
        }
    }
}

/// Makes a folder that only its owner can enter, with those above it.
pub(super) fn private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Writes a file that only its owner can read, as a whole or not at all.
pub(super) fn write_private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = file.with_added_extension("part");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut open = options.open(&part)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    fs::rename(&part, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_are_different() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.json");
        let made = Secrets::load_or_make(&file).unwrap();
        assert_eq!(made, Secrets::load_or_make(&file).unwrap());
        assert_ne!(made.backend, made.agent);
        assert_eq!(64, made.system.len());
        assert!(!format!("{made:?}").contains(&made.agent));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("secrets");
        private_folder(&inner).unwrap();
        let file = inner.join("broker.json");
        Secrets::load_or_make(&file).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((0o700, 0o600), (mode(&inner), mode(&file)));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.json");
        fs::write(&file, "{").unwrap();
        let refused = Secrets::load_or_make(&file).unwrap_err();
        assert_eq!(io::ErrorKind::InvalidData, refused.kind());
        assert_eq!("{", fs::read_to_string(&file).unwrap());
    }
}

//! Files that only the backend's own account may read: `secrets/` in the data folder.
//!
//! `api-token` opens the API; `agent.creds.json` is what an agent on this machine joins with.
//! Both are made at the first start; the token stays, the agent's file follows the settings.
//!
//! **Invariant:** a secret's file is complete or not there, and never readable by others, not even
//! while it is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::broker::random_secret;

/// A secret could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The system does not let us.
    #[error("could not {operation} `{}`", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// Which one.
        path: PathBuf,
        /// The system's.
        #[source]
        source: io::Error,
    },
    /// The system has no random bits.
    #[error("the system gave no random bits for a token")]
    Random(#[source] io::Error),
}

impl SecretsError {
    /// What to do next.
    #[must_use]
    pub fn help(&self) -> &'static str {
        "`--data-dir` names a folder that this account may write"
    }
}

/// What an agent on this machine joins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentCredentials {
    /// Address of the broker.
    pub url: String,
    /// Its user for agents.
    pub user: String,
    /// That user's password.
    pub password: String,
    /// Address of the API, for blobs.
    pub api_url: String,
    /// Its token.
    pub api_token: String,
}

/// The folder of secrets.
#[derive(Debug, Clone)]
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// Makes the data folder and the folder of secrets in it, for this account alone.
    ///
    /// # Errors
    /// [`SecretsError`] names the folder that could not be made.
    pub fn open(data_dir: &Path) -> Result<Self, SecretsError> {
        let folder = data_dir.join("secrets");
        private_folder(data_dir)?;
        private_folder(&folder)?;
        Ok(Self { folder })
    }

    /// The API's token, made where there is none.
    ///
    /// # Errors
    /// [`SecretsError`] when it can be neither read nor made.
    pub fn api_token(&self) -> Result<String, SecretsError> {
        let path = self.folder.join("api-token");
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(SecretsError::File {
                    operation: "read",
                    path,
                    source,
                });
            }
        }
        let token = random_secret().map_err(SecretsError::Random)?;
        write(&path, token.as_bytes())?;
        Ok(token)
    }

    /// Writes what an agent on this machine joins with.
    ///
    /// # Errors
    /// [`SecretsError`] when it cannot be written.
    pub fn write_agent(&self, credentials: &AgentCredentials) -> Result<(), SecretsError> {
        let path = self.folder.join("agent.creds.json");
        // Five strings.
        let json = serde_json::to_vec_pretty(credentials).unwrap_or_default();
        write(&path, &json)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), SecretsError> {
    let new = path.with_extension("new");
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| SecretsError::File {
            operation,
            path,
            source,
        }
    };
    let mut file = private_file(&new).map_err(failed("make", &new))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(failed("write", &new))?;
    fs::rename(&new, path).map_err(failed("write", path))
}

fn private_file(path: &Path) -> io::Result<File> {
    // One that was left behind may have other rights.
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn private_folder(path: &Path) -> Result<(), SecretsError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let path = path.to_owned();
    builder.create(&path).map_err(|source| SecretsError::File {
        operation: "make",
        path,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let token = Secrets::open(&data).unwrap().api_token().unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(Secrets::open(&data).unwrap().api_token().unwrap(), token);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&data.join("secrets")), 0o700);
            assert_eq!(mode(&data.join("secrets/api-token")), 0o600);
        }
    }
}

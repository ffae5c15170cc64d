//! One record per file: JSON with the checksum of its content.
//!
//! `{"sha256": "<hex>", "content": …}`, where the hash is over the content's bytes as they stand in
//! the file. A file is written aside, flushed, renamed, and its folder flushed.
//!
//! **Invariant:** what [`read`] gives back is what [`write`] was given, or it is not given back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kanade_shared::id::{IdError, PcId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::platform;

/// Why the data folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Another process has the lock.
    #[error("another agent is running with the data folder `{}`; stop it or give this one its own `--data-dir`", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder was made for another PC.
    #[error("the data folder `{}` belongs to `{known}`, not to `{wanted}`; leave out `--id`, or use another folder", folder.display())]
    OtherIdentity {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        known: PcId,
        /// Who was asked for.
        wanted: PcId,
    },
    /// The folder was somebody's, and no longer says whose.
    #[error("the identity in the data folder `{}` is damaged or missing; give the id that this PC has in the fleet with `--id`", folder.display())]
    LostIdentity {
        /// The folder.
        folder: PathBuf,
    },
    /// The host name is no id.
    #[error("the host name `{name}` gives no pc id; choose one with `--id`")]
    NoIdentity {
        /// The host name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: IdError,
    },
    /// A folder is missing and can't be made, or can't be listed.
    #[error("could not use the folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file can't be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file can't be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file can't be removed or moved.
    #[error("could not remove `{}`", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A value has no JSON form.
    #[error("could not encode a record")]
    Encode {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl DataError {
    pub(crate) fn folder(path: &Path, source: io::Error) -> Self {
        Self::Folder {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn remove(path: &Path, source: io::Error) -> Self {
        Self::Remove {
            path: path.to_path_buf(),
            source,
        }
    }

    /// The whole chain in one line, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

/// What there is under a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// No file.
    Nothing,
    /// What was written.
    Whole(T),
    /// Something else; it is in `damaged/` now.
    Damaged,
}

/// Why bytes are no record.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the envelope, or not this type.
    #[error("it is no record of its kind")]
    Shape(#[from] serde_json::Error),
    /// The content is not what was written.
    #[error("its checksum is wrong")]
    Checksum,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    sha256: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The bytes of a record.
///
/// # Errors
/// The value has no JSON form.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, DataError> {
    let encode = || -> Result<Vec<u8>, serde_json::Error> {
        let content = serde_json::value::to_raw_value(value)?;
        let sha256 = hash(content.get()).into();
        serde_json::to_vec(&Envelope {
            sha256,
            content: &content,
        })
    };
    encode().map_err(|source| DataError::Encode { source })
}

/// The value in the bytes of a record.
///
/// # Errors
/// [`DecodeError`] when they are not what [`encode`] made of a `T`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let envelope: Envelope<'_> = serde_json::from_slice(bytes)?;
    if hash(envelope.content.get()) != envelope.sha256 {
        return Err(DecodeError::Checksum);
    }
    Ok(serde_json::from_str(envelope.content.get())?)
}

/// Puts a record on disk, in one step, flushed.
///
/// # Errors
/// [`DataError::Write`]; then the old record is untouched.
pub fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), DataError> {
    platform::write_private(path, &encode(value)?).map_err(|e| DataError::write(path, e))
}

/// Reads a record; one that is no `T` is moved to `damaged/` under `root`, with a warning.
///
/// # Errors
/// The file is there and can neither be read nor moved away.
pub fn read<T: DeserializeOwned>(root: &Path, path: &Path) -> Result<Found<T>, DataError> {
    let why = match fs::read(path) {
        Ok(bytes) => match decode(&bytes) {
            Ok(value) => return Ok(Found::Whole(value)),
            Err(error) => error.to_string(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => error.to_string(),
    };
    set_aside(root, path, &why)?;
    Ok(Found::Damaged)
}

/// Moves a file to `damaged/` under `root`.
///
/// # Errors
/// [`DataError::Remove`] when it can't be moved.
pub fn set_aside(root: &Path, path: &Path, why: &str) -> Result<(), DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The time in front orders them; its random part keeps two of one name apart.
    let aside = root
        .join("damaged")
        .join(format!("{}-{name}", uuid::Uuid::now_v7().simple()));
    tracing::warn!(file = %path.display(), aside = %aside.display(), why, "damaged file set aside");
    fs::rename(path, &aside).map_err(|e| DataError::remove(path, e))
}

/// Removes a file; that it is not there is fine.
///
/// # Errors
/// [`DataError::Remove`].
pub fn remove(path: &Path) -> Result<(), DataError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DataError::remove(path, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The files in a folder; a folder that is missing has none.
///
/// # Errors
/// [`DataError::Folder`] when it can't be listed.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                paths.push(entry.path());
            }
        }
        Ok(paths)
    };
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|e| DataError::folder(folder, e)),
    }
}

/// Whether a file is the rest of a write that did not come to its end.
#[must_use]
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') && name.ends_with(".tmp")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("damaged")).unwrap();
        folder
    }

    #[test]
    fn what_was_written_is_read_back() {
        let folder = folder();
        let path = folder.path().join("a.json");
        assert_eq!(
            read::<Vec<u8>>(folder.path(), &path).unwrap(),
            Found::Nothing
        );
        write(&path, &vec![1u8, 2]).unwrap();
        assert_eq!(
            read(folder.path(), &path).unwrap(),
            Found::Whole(vec![1u8, 2])
        );
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_then_there_is_nothing() {
        let folder = folder();
        let path = folder.path().join("a.json");
        for bytes in [
            &b""[..],
            b"{}",
            b"\0\0\0\0",
            b"{\"sha256\":\"00\",\"content\":[1]}",
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(
                read::<Vec<u8>>(folder.path(), &path).unwrap(),
                Found::Damaged
            );
            assert_eq!(
                read::<Vec<u8>>(folder.path(), &path).unwrap(),
                Found::Nothing
            );
        }
        assert_eq!(files(&folder.path().join("damaged")).unwrap().len(), 4);
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed_or_of_no_consequence(text in ".{0,40}", at in 0usize..200, to: u8) {
            let mut bytes = encode(&text).unwrap();
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(read) = decode::<String>(&bytes) {
                prop_assert_eq!(read, text);
            }
        }
    }
}

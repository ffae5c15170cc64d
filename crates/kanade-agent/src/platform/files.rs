//! Files that only the agent may read, and writes that survive a power cut.
//!
//! Private means: the agent's own user on Unix (modes 0600 and 0700), SYSTEM and the
//! administrators on Windows (a protected access list on the folder, inherited by what is made in
//! it).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::os;

/// Makes a folder that only the agent may enter, and its parents; an existing one gets its rights
/// corrected.
///
/// # Errors
/// The folder can't be made or its rights can't be set.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
        && !parent.exists()
    {
        fs::create_dir_all(parent)?;
    }
    os::create_private_dir(path)
}

/// Makes a new file that only the agent may read; never follows or replaces what is there.
///
/// # Errors
/// Something of this name exists, or the file can't be made.
pub fn create_private(path: &Path) -> io::Result<File> {
    os::create_private(path)
}

/// Replaces a private file in one step: after a crash or a power cut it holds the old bytes or
/// the new ones, whole. Blocks until both file and folder are on disk.
///
/// # Errors
/// The bytes can't be written (then the old file is untouched), or the folder can't be flushed.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path)?;
    let written = create_private(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; a file that stays behind is swept by its owner.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_dir(folder_of(path))
}

/// Puts a folder's entries on disk, so that a file that was made, renamed or removed in it stays
/// so. On Windows the file system's journal does this.
///
/// # Errors
/// The folder can't be opened or flushed.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    os::sync_dir(path)
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A name beside `path` that no other write uses: `.<name>.<random>.tmp`.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path names no file",
        ));
    };
    let unique = uuid::Uuid::now_v7().simple();
    Ok(path.with_file_name(format!(".{}.{unique}.tmp", name.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole_and_leaves_no_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        write_private(&path, b"old").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("in the way"), b"").unwrap();
        assert!(write_private(&path, b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_what_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        create_private_dir(&inner).unwrap();
        let file = inner.join("secret");
        write_private(&file, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&file)), (0o700, 0o600));
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
        create_private_dir(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_private_file_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(create_private(&link).is_err());
        assert!(!target.exists());
    }
}

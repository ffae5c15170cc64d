//! How much the child broker may store on the disk that is there.

use std::io;
use std::path::Path;

use kanade_shared::bootstrap::catalogue::{Options, catalogue, reserved_bytes, scale_within};
use kanade_shared::bootstrap::plan::human_bytes;

/// Below this nothing starts: a broker without room would lose results within hours.
pub(super) const LEAST_BYTES: u64 = 1 << 30;

/// Below this much room, in bytes, a broker that runs can't be relied on to store anything.
pub(crate) const ROOM_BYTES: u64 = 16 * 1024 * 1024;

/// The disk as the broker finds it, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Disk {
    /// Free for whoever comes first.
    pub(super) free: u64,
    /// Taken by the broker's own store.
    pub(super) held: u64,
}

impl Disk {
    /// What the broker could have in all.
    pub(super) fn room(self) -> u64 {
        self.free.saturating_add(self.held)
    }

    /// Looks at the disk under the broker's folder.
    pub(super) fn look(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            free: fs4::available_space(folder)?,
            held: size_of(folder),
        })
    }
}

/// What the disk allows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fit {
    /// By what every cap is multiplied.
    pub(super) cap_scale: f64,
    /// The most that all streams together may take, bytes.
    pub(super) max_file_store: u64,
    /// The one line about caps that were made smaller.
    pub(super) shrunk: Option<String>,
}

/// Fits the caps into half of the disk's room, unless `asked` says by what to scale them.
/// `None` when there is less room than [`LEAST_BYTES`].
pub(super) fn fit(disk: Disk, asked: Option<f64>, options: &Options) -> Option<Fit> {
    let room = disk.room();
    if room < LEAST_BYTES {
        return None;
    }
    if let Some(cap_scale) = asked {
        return Some(Fit {
            cap_scale,
            max_file_store: room,
            shrunk: None,
        });
    }
    let cap_scale = scale_within(room / 2, options)?;
    let shrunk = (cap_scale < 1.0).then(|| {
        let sum = |cap_scale| {
            reserved_bytes(&catalogue(&Options {
                cap_scale,
                ..*options
            }))
        };
        format!(
            "the broker's caps are scaled by {cap_scale}, to {} instead of {}, to take at most \
             half of the {} that the disk has for them",
            human_bytes(Some(sum(cap_scale))),
            human_bytes(Some(sum(1.0))),
            human_bytes(Some(room)),
        )
    });
    Some(Fit {
        cap_scale,
        max_file_store: room,
        shrunk,
    })
}

/// The size of a folder's files; what can't be read counts as nothing.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn check(free: u64, held: u64, asked: Option<f64>) -> Option<Fit> {
        fit(Disk { free, held }, asked, &Options::default())
    }

    #[test]
    fn a_large_disk_gets_the_full_caps_without_a_word() {
        let fit = check(100 * GIB, 0, None).unwrap();
        assert_eq!((1.0, None), (fit.cap_scale, fit.shrunk));
    }

    #[test]
    fn a_small_disk_scales_the_caps_in_one_line() {
        let fit = check(4 * GIB, 0, None).unwrap();
        insta::assert_snapshot!(fit.shrunk.unwrap(), @"the broker's caps are scaled by 0.125, to 1.4 GiB instead of 10.8 GiB, to take at most half of the 4 GiB that the disk has for them");
    }

    #[test]
    fn what_the_broker_holds_itself_counts_as_room() {
        assert_eq!(
            check(8 * GIB, 0, None).unwrap().cap_scale,
            check(GIB, 7 * GIB, None).unwrap().cap_scale
        );
    }

    #[test]
    fn less_than_a_gib_is_refused_and_a_gib_is_not() {
        assert_eq!(None, check(GIB - 1, 0, None));
        assert_eq!(None, check(GIB - 1, 0, Some(0.01)));
        assert!(check(GIB, 0, None).is_some());
    }

    #[test]
    fn an_asked_scale_is_taken_as_it_is() {
        assert_eq!(0.3, check(2 * GIB, 0, Some(0.3)).unwrap().cap_scale);
    }
}

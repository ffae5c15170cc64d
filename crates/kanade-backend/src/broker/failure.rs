//! Why the child broker is not there, in one sentence, with its last lines.

use std::io;
use std::path::PathBuf;

use kanade_shared::bootstrap::plan::human_bytes;

use super::disk::LEAST_BYTES;

/// Why the broker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// There is no such program.
    #[error("could not run the broker `{}`", binary.display())]
    Missing {
        /// What was looked for.
        binary: PathBuf,
        /// The system's.
        #[source]
        source: io::Error,
    },
    /// The program is another one, or too old.
    #[error("the broker `{}` must be nats-server 2.12 or newer, and says `{says}`", binary.display())]
    Version {
        /// The program.
        binary: PathBuf,
        /// What it says of itself.
        says: String,
    },
    /// A file or folder of the broker's.
    #[error("could not {doing} `{}`", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's.
        #[source]
        source: io::Error,
    },
    /// The file of secrets holds something else.
    #[error("the broker's secrets in `{}` are damaged", path.display())]
    Secrets {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// Another backend runs a broker there.
    #[error("another backend runs the broker in `{}`", folder.display())]
    InUse {
        /// The broker's folder.
        folder: PathBuf,
    },
    /// The disk is too small for anything.
    #[error(
        "the disk of `{}` has {} for the broker, and it needs {} at least",
        folder.display(),
        human_bytes(Some(*room_bytes)),
        human_bytes(Some(LEAST_BYTES))
    )]
    NoRoom {
        /// The broker's folder.
        folder: PathBuf,
        /// Free, with what the broker holds itself.
        room_bytes: u64,
    },
    /// It ended, or it never became ready.
    #[error("the broker won't start: {cause}{}", indented(lines))]
    WontStart {
        /// What its lines mean.
        cause: Cause,
        /// Its last lines.
        lines: Vec<String>,
    },
}

/// What kept a broker from starting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Somebody else listens there.
    #[error("{address} is in use by another program")]
    AddressInUse {
        /// Where it was to listen.
        address: String,
    },
    /// This user may not listen there, or not write there.
    #[error("it is not allowed to: {line}")]
    NotAllowed {
        /// The line that says so.
        line: String,
    },
    /// No room for its files.
    #[error("the disk is full")]
    DiskFull,
    /// Its store can't be read; nothing of it was touched.
    #[error("its store in `{}` is damaged: {line}", store.display())]
    DamagedStore {
        /// The store.
        store: PathBuf,
        /// The first line that says so.
        line: String,
    },
    /// Something else, in the broker's own words.
    #[error("{line}")]
    Other {
        /// The line that says so.
        line: String,
    },
    /// It runs and doesn't answer.
    #[error("it did not answer within {seconds} s")]
    Silent {
        /// How long it had.
        seconds: u64,
    },
}

impl BrokerError {
    /// For programs; never changes.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "broker.missing",
            Self::Version { .. } => "broker.version",
            Self::File { .. } => "broker.file",
            Self::Secrets { .. } => "broker.secrets",
            Self::InUse { .. } => "broker.in_use",
            Self::NoRoom { .. } => "broker.no_room",
            Self::WontStart { .. } => "broker.wont_start",
        }
    }

    /// What to do next.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Missing { .. } | Self::Version { .. } => {
                "install nats-server 2.12 or newer and set `broker.nats_server` (or \
                 KANADE_NATS_SERVER) to it, or set `broker.url` to a broker that runs elsewhere"
            }
            Self::File { .. } => "the backend's user must own its data folder",
            Self::Secrets { .. } => {
                "put it back from a backup, or delete it: a new one is made, and agents need the \
                 new `secrets/agent.creds.json`"
            }
            Self::InUse { .. } => {
                "stop the other backend, or give this one a data folder of its own"
            }
            Self::NoRoom { .. } => "make room, or move the data folder to a larger disk",
            Self::WontStart { cause, .. } => match cause {
                Cause::AddressInUse { .. } => {
                    "stop the other program, or set `broker.port` to a free port"
                }
                Cause::NotAllowed { .. } => {
                    "the backend's user must own its data folder; ports below 1024 need more rights"
                }
                Cause::DiskFull => "make room on the disk of the data folder",
                Cause::DamagedStore { .. } => {
                    "put the store back from a backup, or move it away: commands are published \
                     again from the database, and agents send what they still hold"
                }
                Cause::Other { .. } | Cause::Silent { .. } => {
                    "the lines above are the broker's own"
                }
            },
        }
    }
}

/// What a broker's lines say about why it ended (or must not go on).
pub(super) fn diagnose(lines: &[String], address: &str, store: &std::path::Path) -> Cause {
    let find = |words: &[&str]| {
        lines.iter().find(|line| {
            let line = line.to_lowercase();
            words.iter().any(|word| line.contains(word))
        })
    };
    if find(&["address already in use", "only one usage of each socket"]).is_some() {
        return Cause::AddressInUse {
            address: address.to_owned(),
        };
    }
    if find(&["no space left", "disk full", "not enough space"]).is_some() {
        return Cause::DiskFull;
    }
    if let Some(line) = lines.iter().find(|line| is_damage(line)) {
        return Cause::DamagedStore {
            store: store.to_owned(),
            line: without_head(line).into(),
        };
    }
    if let Some(line) = find(&["permission denied", "access is denied"]) {
        return Cause::NotAllowed {
            line: without_head(line).into(),
        };
    }
    let line = find(&["[ftl]", "[err]"]).or(lines.last());
    Cause::Other {
        line: line.map_or("it ended without a word".into(), |l| without_head(l).into()),
    }
}

/// Whether a line says that a write to the store failed, as it does on a full disk.
pub(super) fn is_failed_write(line: &str) -> bool {
    line.contains("ritical write error")
}

/// Whether a line says that a stored stream could not be read. The server only warns, goes
/// on without the stream, and would let an empty one take its place.
pub(super) fn is_damage(line: &str) -> bool {
    let line = line.to_lowercase();
    [
        "stream metafile",
        "error recreating stream",
        "error recovering",
        "storage directory",
    ]
    .iter()
    .any(|words| line.contains(words))
        && !line.contains("[inf]")
}

/// A line without process id and time.
pub(super) fn without_head(line: &str) -> &str {
    match line.find("] ").filter(|_| line.starts_with('[')) {
        Some(_) => ["[INF] ", "[WRN] ", "[ERR] ", "[FTL] ", "[DBG] ", "[TRC] "]
            .iter()
            .find_map(|level| line.split_once(level))
            .map_or(line, |(_, rest)| rest.trim_start()),
        None => line,
    }
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  {line}")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(line: &str) -> String {
        let lines = [format!("[8] 2026/11/23 22:53:14.026123 {line}")];
        diagnose(&lines, "127.0.0.1:4222", Path::new("/d/store")).to_string()
    }

    #[test]
    fn the_last_lines_become_one_sentence() {
        let told = [
            r#"[FTL] Error listening on port: 127.0.0.1:4222, "listen tcp 127.0.0.1:4222: bind: address already in use""#,
            "[FTL] Can't start JetStream: storage directory is not a directory",
            r#"[WRN]   Stream metafile "/d/store/meta.inf": checksums do not match "a" vs "b""#,
            "[FTL] write /d/x: no space left on device",
            "[FTL] Can't start JetStream: mkdir /d/store: permission denied",
            "[FTL] something new",
        ]
        .map(check)
        .join("\n");
        insta::assert_snapshot!(told, @r#"
        127.0.0.1:4222 is in use by another program
        its store in `/d/store` is damaged: Can't start JetStream: storage directory is not a directory
        its store in `/d/store` is damaged: Stream metafile "/d/store/meta.inf": checksums do not match "a" vs "b"
        the disk is full
        it is not allowed to: Can't start JetStream: mkdir /d/store: permission denied
        something new
        "#);
    }

    #[test]
    fn no_line_at_all_is_told_too() {
        let cause = diagnose(&[], "127.0.0.1:1", Path::new("/d"));
        assert_eq!("it ended without a word", cause.to_string());
    }
}

//! How a reconcile fails, in words and in codes that don't change.

use async_nats::jetstream;

use super::plan::human_bytes;

/// The setting that makes every cap smaller.
const SETTING: &str = "broker.cap_scale";

/// Why the broker could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// Nobody answers there.
    #[error("could not reach the broker at {url} in {attempts} attempts")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// How often.
        attempts: u32,
        /// The last attempt's.
        #[source]
        source: async_nats::ConnectError,
    },
    /// It knows the user or the secret not, or wants one.
    #[error("the broker at {url} refused {who}")]
    Credentials {
        /// Where.
        url: String,
        /// As whom, without the secret.
        who: String,
        /// The broker's.
        #[source]
        source: async_nats::ConnectError,
    },
    /// It serves messages and stores none.
    #[error("JetStream is off {where_off}")]
    JetStreamOff {
        /// For whom.
        where_off: &'static str,
    },
    /// It did not say what it has.
    #[error("could not read the broker's {what}: {reason}")]
    Observe {
        /// Which list.
        what: &'static str,
        /// Its words, or the client's.
        reason: String,
    },
    /// What is to be made does not fit; nothing was made.
    #[error(
        "the broker has no room: {} to reserve, {} free, {SETTING} is {cap_scale}",
        human_bytes(Some(*needed_bytes)),
        human_bytes(Some(*free_bytes))
    )]
    NoRoom {
        /// What the resources that are missing reserve.
        needed_bytes: u64,
        /// What is left.
        free_bytes: u64,
        /// The scale that the caps were computed with.
        cap_scale: f64,
    },
    /// Resources that are not there and can't be made.
    #[error("could not make {}", list(failed))]
    CannotMake {
        /// Each with the reason.
        failed: Vec<Failed>,
    },
}

/// One resource that is not there and could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// `stream RESULTS`.
    pub resource: String,
    /// As a sentence.
    pub reason: String,
}

impl BootstrapError {
    /// For programs; never changes.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "broker.unreachable",
            Self::Credentials { .. } => "broker.credentials",
            Self::JetStreamOff { .. } => "broker.jetstream_off",
            Self::Observe { .. } => "broker.unreadable",
            Self::NoRoom { .. } => "broker.no_room",
            Self::CannotMake { .. } => "broker.cannot_make",
        }
    }

    /// What to do next.
    pub fn help(&self) -> String {
        match self {
            Self::Unreachable { .. } => {
                "start the broker, or correct `broker.url`; the backend starts one of its own \
                 when that is not set"
                    .into()
            }
            Self::Credentials { .. } => "correct `broker.user` and `broker.password`".into(),
            Self::JetStreamOff { .. } => {
                "put `jetstream { store_dir: … }` into the broker's configuration, and \
                 `jetstream: enabled` into the account's where accounts are used"
                    .into()
            }
            Self::Observe { .. } => {
                "the user needs the JetStream API: publish on `$JS.API.>` and its own inbox".into()
            }
            Self::NoRoom {
                needed_bytes,
                free_bytes,
                cap_scale,
            } => {
                // A little below the quotient, for caps are rounded and streams have a least one.
                let scale = cap_scale * *free_bytes as f64 / (*needed_bytes).max(1) as f64 * 0.95;
                format!(
                    "give the account or `max_file_store` more, or set `{SETTING} = {:.3}`",
                    scale.max(0.001)
                )
            }
            Self::CannotMake { .. } => {
                "`kanade-backend bootstrap plan` shows everything that differs".into()
            }
        }
    }
}

fn list(failed: &[Failed]) -> String {
    let each: Vec<_> = failed
        .iter()
        .map(|one| format!("{}: {}", one.resource, one.reason))
        .collect();
    each.join("; ")
}

/// A broker's own error, as it is shown in reasons.
pub(super) fn told(error: &jetstream::Error) -> String {
    let text = error.to_string();
    format!("{text} (broker error {})", error.error_code().0)
}

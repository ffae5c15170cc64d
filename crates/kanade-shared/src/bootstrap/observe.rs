//! Reads from a broker what a plan needs, in two requests.
//!
//! Also the only place that translates between the client's stream configuration and
//! [`Settings`].

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_nats::jetstream::account::{Account, Limits};
use async_nats::jetstream::context::{AccountErrorKind, RequestErrorKind};
use async_nats::jetstream::stream::{
    self, Config, DiscardPolicy, Info, RetentionPolicy, StorageType,
};
use async_nats::jetstream::{Context, ErrorCode};
use futures::TryStreamExt;

use super::catalogue::{Discard, Republish, Retention, Settings, Storage};
use super::error::{BootstrapError, told};
use super::plan::{Held, Observed, ObservedStream, Room};
use super::probe::is_stale;

/// How long a broker that has just started may say that nobody answers for JetStream.
const START_ATTEMPTS: u32 = 20;
const START_WAIT: Duration = Duration::from_millis(100);

/// What a broker has: for the plan, and as the client needs it to write it back.
#[derive(Debug, Default)]
pub(super) struct Observation {
    pub(super) observed: Observed,
    /// By stream name. An update starts from this, so that what kanade doesn't know stays.
    pub(super) configs: BTreeMap<String, Config>,
    /// Left by a backend that died while it asked for room.
    pub(super) stale_probes: Vec<String>,
}

/// What a broker has. Fails with [`BootstrapError::JetStreamOff`] or
/// [`BootstrapError::Observe`].
pub async fn observe(js: &Context, replicas: usize) -> Result<Observed, BootstrapError> {
    Ok(observation(js, replicas).await?.observed)
}

pub(super) async fn observation(
    js: &Context,
    replicas: usize,
) -> Result<Observation, BootstrapError> {
    // One after the other: the account's answer says whether the list can be asked for at all.
    let account = account(js).await?;
    let infos: Vec<Info> =
        js.streams()
            .try_collect()
            .await
            .map_err(|error| BootstrapError::Observe {
                what: "streams",
                reason: error.to_string(),
            })?;
    let now = SystemTime::now();
    let mut observation = Observation::default();
    observation.observed.room = room(&account, replicas);
    for info in infos {
        let name = info.config.name.clone();
        if is_stale(&info, now) {
            observation.stale_probes.push(name.clone());
        }
        observation
            .observed
            .streams
            .insert(name.clone(), observed(&info, now));
        observation.configs.insert(name, info.config);
    }
    Ok(observation)
}

async fn account(js: &Context) -> Result<Account, BootstrapError> {
    if !js.client().server_info().jetstream {
        return Err(BootstrapError::JetStreamOff {
            where_off: "on this broker",
        });
    }
    let mut attempt = 1;
    loop {
        let error = match js.query_account().await {
            Ok(account) => return Ok(account),
            Err(error) => error,
        };
        match error.kind() {
            AccountErrorKind::JetStream(error) if is_off(error.error_code()) => {
                return Err(BootstrapError::JetStreamOff {
                    where_off: "for this account",
                });
            }
            AccountErrorKind::JetStreamUnavailable if attempt >= START_ATTEMPTS => {
                return Err(BootstrapError::JetStreamOff {
                    where_off: "for this account",
                });
            }
            AccountErrorKind::JetStreamUnavailable => {}
            AccountErrorKind::JetStream(error) => return Err(unreadable(told(&error))),
            AccountErrorKind::TimedOut | AccountErrorKind::Other => {
                return Err(unreadable(error.to_string()));
            }
        }
        tokio::time::sleep(START_WAIT).await;
        attempt += 1;
    }
}

fn unreadable(reason: String) -> BootstrapError {
    BootstrapError::Observe {
        what: "account",
        reason,
    }
}

fn is_off(code: ErrorCode) -> bool {
    [
        ErrorCode::JETSTREAM_NOT_ENABLED,
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT,
    ]
    .contains(&code)
}

/// The account's room for files. A tiered account counts per tier, with one tier for each
/// number of replicas; the others count every replica against one limit.
fn room(account: &Account, replicas: usize) -> Option<Room> {
    let of = |limits: &Limits, reserved: u64, used: u64| {
        let limit_bytes = limits
            .max_storage
            .and_then(|limit| u64::try_from(limit).ok())?;
        Some(Room {
            limit_bytes,
            taken_bytes: reserved.max(used),
        })
    };
    match account.tiers.get(&format!("R{replicas}")) {
        Some(tier) => of(&tier.limits, tier.reserved_storage, tier.storage),
        None => of(&account.limits, account.reserved_storage, account.storage),
    }
}

fn observed(info: &Info, now: SystemTime) -> ObservedStream {
    let state = &info.state;
    let oldest = (state.messages > 0)
        .then(|| now.duration_since(state.first_timestamp.into()).ok())
        .flatten();
    ObservedStream {
        settings: settings(&info.config),
        held: Held {
            messages: state.messages,
            bytes: state.bytes,
            subjects: state.subjects_count,
            oldest,
        },
        mirror: info.config.mirror.is_some(),
    }
}

fn settings(config: &Config) -> Settings {
    // On the wire both 0 and -1 are "no limit".
    let limit = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    Settings {
        subjects: config.subjects.clone(),
        storage: match config.storage {
            StorageType::File => Storage::File,
            StorageType::Memory => Storage::Memory,
        },
        retention: match config.retention {
            RetentionPolicy::Limits => Retention::Limits,
            RetentionPolicy::Interest => Retention::Interest,
            RetentionPolicy::WorkQueue => Retention::WorkQueue,
        },
        discard: match config.discard {
            DiscardPolicy::Old => Discard::Old,
            DiscardPolicy::New => Discard::New,
        },
        max_age: Some(config.max_age).filter(|age| !age.is_zero()),
        max_bytes: limit(config.max_bytes),
        max_messages: limit(config.max_messages),
        history: limit(config.max_messages_per_subject),
        allow_direct: config.allow_direct,
        allow_message_ttl: config.allow_message_ttl,
        allow_rollup: config.allow_rollup,
        deny_delete: config.deny_delete,
        deny_purge: config.deny_purge,
        republish: config.republish.as_ref().map(|republish| Republish {
            from: republish.source.clone(),
            to: republish.destination.clone(),
        }),
        replicas: config.num_replicas,
    }
}

/// Puts `settings` into `config` and leaves everything else of it alone.
pub(super) fn write_settings(config: &mut Config, settings: &Settings) {
    let limit = |value: Option<u64>| value.and_then(|v| i64::try_from(v).ok()).unwrap_or(-1);
    config.subjects = settings.subjects.clone();
    config.storage = match settings.storage {
        Storage::File => StorageType::File,
        Storage::Memory => StorageType::Memory,
    };
    config.retention = match settings.retention {
        Retention::Limits => RetentionPolicy::Limits,
        Retention::Interest => RetentionPolicy::Interest,
        Retention::WorkQueue => RetentionPolicy::WorkQueue,
    };
    config.discard = match settings.discard {
        Discard::Old | Discard::OldOrNew => DiscardPolicy::Old,
        Discard::New => DiscardPolicy::New,
    };
    config.max_age = settings.max_age.unwrap_or_default();
    config.max_bytes = limit(settings.max_bytes);
    config.max_messages = limit(settings.max_messages);
    config.max_messages_per_subject = limit(settings.history);
    config.allow_direct = settings.allow_direct;
    config.allow_message_ttl = settings.allow_message_ttl;
    config.allow_rollup = settings.allow_rollup;
    config.deny_delete = settings.deny_delete;
    config.deny_purge = settings.deny_purge;
    config.republish = settings
        .republish
        .as_ref()
        .map(|republish| stream::Republish {
            source: republish.from.clone(),
            destination: republish.to.clone(),
            headers_only: false,
        });
    config.num_replicas = settings.replicas;
    // A broker narrows the window for duplicates with the age and refuses one that is longer.
    if !config.max_age.is_zero() && config.duplicate_window > config.max_age {
        config.duplicate_window = config.max_age;
    }
}

/// Whether a request may be tried again: the broker did not answer.
pub(super) fn unanswered(kind: RequestErrorKind) -> bool {
    matches!(
        kind,
        RequestErrorKind::TimedOut | RequestErrorKind::NoResponders
    )
}

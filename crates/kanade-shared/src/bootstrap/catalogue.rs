//! The list of everything that the broker must have: streams, buckets, object stores.
//!
//! Plain data, so that whoever prints, plans or documents it needs no broker. A bucket is a
//! stream `KV_<name>` and an object store a stream `OBJ_<name>`, with the settings that
//! NATS clients expect of them; so one type, [`Resource`], describes all three.
//!
//! Streams discard their oldest messages at the cap. Buckets and object stores discard the
//! *new* one, as every client makes them: the parts of an object are messages of their own,
//! so an eviction of the oldest would leave objects that are listed and can't be read.
//!
//! **Invariant:** names and subjects here are the wire; renaming one loses what it holds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a command document of one PC may take of EXEC's cap, on average.
const EXEC_BYTES_PER_PC: u64 = 16 * KIB;
/// Caps are whole multiples of this, so that they read well and a small change of scale
/// or fleet changes nothing.
const CAP_STEP: u64 = MIB;

/// What a resource is to those who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanKind))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Messages in order, by subject.
    Stream,
    /// A key-value bucket.
    Bucket,
    /// An object store.
    Store,
}

impl Kind {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Bucket => "bucket",
            Self::Store => "object store",
        }
    }
}

/// What a broker does with a message that finds its stream at the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// The oldest message goes.
    Old,
    /// The new message is refused.
    New,
    /// Made as [`Discard::Old`]; switched at run time by its owner, so neither is drift.
    OldOrNew,
}

/// Where a stream lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// On disk: survives a restart of the broker.
    File,
    /// In memory.
    Memory,
}

/// When a stream lets go of a message, apart from its caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Only at the caps.
    Limits,
    /// When all who asked have it.
    Interest,
    /// When one has it.
    WorkQueue,
}

/// Stored messages that are sent again on other subjects, with their sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Republish {
    /// Which stored messages.
    pub from: String,
    /// The subjects that carry them.
    pub to: String,
}

/// The settings of one stream on the broker; `None` is "no limit".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What it stores.
    pub subjects: Vec<String>,
    /// Where it lives.
    pub storage: Storage,
    /// When it lets go.
    pub retention: Retention,
    /// What happens at the cap.
    pub discard: Discard,
    /// The age at which a message goes.
    pub max_age: Option<Duration>,
    /// The cap in bytes, which the broker reserves.
    pub max_bytes: Option<u64>,
    /// The cap in messages.
    pub max_messages: Option<u64>,
    /// How many messages (revisions) of one subject (key) are kept.
    pub history: Option<u64>,
    /// Whether a message can be had by subject without a consumer (Direct Get).
    pub allow_direct: bool,
    /// Whether a message may carry its own time to live. Can't be taken back.
    pub allow_message_ttl: bool,
    /// Whether a message may replace all before it.
    pub allow_rollup: bool,
    /// Whether single messages can't be deleted. Can't be taken back.
    pub deny_delete: bool,
    /// Whether the stream can't be emptied. Can't be taken back.
    pub deny_purge: bool,
    /// What is sent again when it is stored.
    pub republish: Option<Republish>,
    /// On how many servers of a cluster; more than this is no drift.
    pub replicas: usize,
}

/// One thing that the broker must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Its name, as clients say it.
    pub name: String,
    /// How the stream under it is to be.
    pub settings: Settings,
}

impl Resource {
    /// The name of the stream that holds it.
    pub fn stream_name(&self) -> String {
        match self.kind {
            Kind::Stream => self.name.clone(),
            Kind::Bucket => format!("KV_{}", self.name),
            Kind::Store => format!("OBJ_{}", self.name),
        }
    }
}

/// What the catalogue depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Every cap is multiplied by this (`broker.cap_scale`); what isn't above 0 counts as 1.
    pub cap_scale: f64,
    /// On how many servers each stream is kept; 1 on a single server.
    pub replicas: usize,
    /// PCs in the fleet; EXEC's cap grows with them.
    pub pcs: u64,
    /// May lose what is stored: caps, ages and histories shrink below what is held.
    pub loss: Loss,
}

/// What a reconcile may do to what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing that is stored goes.
    Refused,
    /// An operator said that it may.
    Allowed,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cap_scale: 1.0,
            replicas: 1,
            pcs: 0,
            loss: Loss::Refused,
        }
    }
}

/// Everything that the broker must have.
pub fn catalogue(options: &Options) -> Vec<Resource> {
    let mut all = streams(options.pcs);
    all.extend(buckets());
    all.extend(stores());
    for resource in &mut all {
        let settings = &mut resource.settings;
        settings.max_bytes = settings
            .max_bytes
            .map(|bytes| scaled(bytes, options.cap_scale));
        settings.replicas = options.replicas.max(1);
    }
    all
}

/// Sum of all caps in bytes, before replicas: what a single server reserves.
pub fn reserved_bytes(resources: &[Resource]) -> u64 {
    resources
        .iter()
        .filter_map(|resource| resource.settings.max_bytes)
        .sum()
}

/// The largest scale from a fixed row at which the catalogue reserves at most `bytes`.
///
/// A row and not the exact quotient: free disk differs at every start, and caps that
/// follow it would be changed every time. `None` when even the smallest doesn't fit.
pub fn scale_within(bytes: u64, options: &Options) -> Option<f64> {
    // 1, 3/4, 1/2, 3/8, 1/4, … 1/64.
    let halves = (0..=6).map(|n| 0.5_f64.powi(n));
    halves
        .flat_map(|scale| [scale, scale * 0.75])
        .find(|scale| {
            reserved_bytes(&catalogue(&Options {
                cap_scale: *scale,
                ..*options
            })) <= bytes
        })
}

fn scaled(bytes: u64, scale: f64) -> u64 {
    let scale = if scale.is_finite() && scale > 0.0 {
        scale
    } else {
        1.0
    };
    // Float to integer saturates, and caps are far below the 2^53 where floats get coarse.
    let steps = (bytes as f64 * scale / CAP_STEP as f64).round() as u64;
    steps.max(1).saturating_mul(CAP_STEP)
}

fn streams(pcs: u64) -> Vec<Resource> {
    let exec_cap = (64 * MIB).max(
        pcs.saturating_mul(EXEC_BYTES_PER_PC)
            .next_multiple_of(16 * MIB),
    );
    let exec = Settings {
        history: Some(1),
        allow_direct: true,
        allow_message_ttl: true,
        republish: Some(Republish {
            from: "commands.>".into(),
            to: "live.commands.>".into(),
        }),
        ..stream_settings("commands.>", 7, exec_cap)
    };
    let results = Settings {
        allow_direct: true,
        discard: Discard::OldOrNew,
        ..stream_settings("results.>", 30, 2 * GIB)
    };
    [
        ("INVENTORY", stream_settings("inventory.>", 90, GIB)),
        ("RESULTS", results),
        ("EXEC", exec),
        ("EVENTS", stream_settings("events.>", 7, 256 * MIB)),
        ("AUDIT", stream_settings("audit.>", 90, 512 * MIB)),
        ("OBS_EVENTS", stream_settings("obs.>", 90, 512 * MIB)),
        (
            "NOTIFICATIONS",
            stream_settings("notifications.>", 90, 512 * MIB),
        ),
    ]
    .map(|(name, settings)| Resource {
        kind: Kind::Stream,
        name: name.into(),
        settings,
    })
    .into()
}

fn buckets() -> Vec<Resource> {
    [
        ("script_current", 5, None),
        ("script_status", 5, None),
        ("agents_state", 1, None),
        ("agent_config", 5, None),
        ("agent_groups", 5, None),
        ("agent_desired", 1, Some("live.desired.>")),
        ("group_contacts", 5, None),
        ("schedules", 5, None),
        ("jobs", 5, None),
        ("schedules_yaml", 5, None),
        ("jobs_yaml", 5, None),
        ("fleet_config", 1, Some("live.fleet.>")),
        ("notifications_read", 1, None),
    ]
    .map(|(name, history, live)| bucket(name, history, live))
    .into()
}

fn bucket(name: &str, history: u64, live: Option<&str>) -> Resource {
    let subjects = format!("$KV.{name}.>");
    Resource {
        kind: Kind::Bucket,
        name: name.into(),
        settings: Settings {
            history: Some(history),
            discard: Discard::New,
            allow_direct: true,
            allow_rollup: true,
            deny_delete: true,
            republish: live.map(|to| Republish {
                from: subjects.clone(),
                to: to.into(),
            }),
            ..Settings::uncapped(vec![subjects])
        },
    }
}

fn stores() -> Vec<Resource> {
    [
        ("agent_releases", None, None),
        ("app_packages", None, None),
        ("scripts", None, None),
        ("result_output", Some(30 * DAY), Some(GIB)),
        ("collections", Some(30 * DAY), Some(5 * GIB)),
    ]
    .map(|(name, max_age, max_bytes)| Resource {
        kind: Kind::Store,
        name: name.into(),
        settings: Settings {
            discard: Discard::New,
            max_age,
            max_bytes,
            allow_direct: true,
            allow_rollup: true,
            ..Settings::uncapped(vec![format!("$O.{name}.C.>"), format!("$O.{name}.M.>")])
        },
    })
    .into()
}

fn stream_settings(subjects: &str, days: u32, max_bytes: u64) -> Settings {
    Settings {
        max_age: Some(DAY * days),
        max_bytes: Some(max_bytes),
        ..Settings::uncapped(vec![subjects.to_owned()])
    }
}

impl Settings {
    /// A stream on disk that keeps everything, as a start for more particular ones.
    pub fn uncapped(subjects: Vec<String>) -> Self {
        Self {
            subjects,
            storage: Storage::File,
            retention: Retention::Limits,
            discard: Discard::Old,
            max_age: None,
            max_bytes: None,
            max_messages: None,
            history: None,
            allow_direct: false,
            allow_message_ttl: false,
            allow_rollup: false,
            deny_delete: false,
            deny_purge: false,
            republish: None,
            replicas: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn named(name: &str, options: &Options) -> Settings {
        let all = catalogue(options);
        all.into_iter()
            .find(|resource| resource.name == name)
            .expect("listed")
            .settings
    }

    #[test]
    fn the_catalogue_has_every_resource_once() {
        let all = catalogue(&Options::default());
        let count = |kind| all.iter().filter(|resource| resource.kind == kind).count();
        assert_eq!(
            (7, 13, 5),
            (count(Kind::Stream), count(Kind::Bucket), count(Kind::Store))
        );
        let names: BTreeSet<_> = all.iter().map(Resource::stream_name).collect();
        assert_eq!(all.len(), names.len());
    }

    #[test]
    fn the_room_for_commands_grows_with_the_fleet() {
        let cap = |pcs| {
            named(
                "EXEC",
                &Options {
                    pcs,
                    ..Options::default()
                },
            )
            .max_bytes
        };
        assert_eq!(Some(64 * MIB), cap(0));
        assert_eq!(Some(64 * MIB), cap(4_096));
        assert_eq!(Some(160 * MIB), cap(10_000));
    }

    #[test]
    fn one_setting_scales_every_cap_and_nothing_else() {
        let half = catalogue(&Options {
            cap_scale: 0.5,
            ..Options::default()
        });
        for (full, half) in catalogue(&Options::default()).into_iter().zip(half) {
            assert_eq!(
                full.settings.max_bytes.map(|bytes| bytes / 2),
                half.settings.max_bytes
            );
            let max_bytes = full.settings.max_bytes;
            assert_eq!(
                full.settings,
                Settings {
                    max_bytes,
                    ..half.settings
                }
            );
        }
    }

    #[test]
    fn a_scale_that_makes_no_sense_counts_as_one() {
        for cap_scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let options = Options {
                cap_scale,
                ..Options::default()
            };
            assert_eq!(catalogue(&Options::default()), catalogue(&options));
        }
    }

    #[test]
    fn the_scale_for_a_small_disk_fits_and_does_not_follow_every_byte() {
        let options = Options::default();
        let full = reserved_bytes(&catalogue(&options));
        assert_eq!(Some(1.0), scale_within(full, &options));
        assert_eq!(Some(0.75), scale_within(full - 1, &options));
        assert_eq!(Some(0.75), scale_within(full - 700 * MIB, &options));
        let tiny = scale_within(512 * MIB, &options).expect("half a GiB is enough");
        let reserved = reserved_bytes(&catalogue(&Options {
            cap_scale: tiny,
            ..options
        }));
        assert!(reserved <= 512 * MIB);
        assert_eq!(None, scale_within(16 * MIB, &options));
    }

    #[test]
    fn agents_hear_what_was_stored_for_them() {
        let live = |name| {
            named(name, &Options::default())
                .republish
                .expect("republished")
        };
        assert_eq!(("commands.>", "live.commands.>"), parts(&live("EXEC")));
        assert_eq!(
            ("$KV.agent_desired.>", "live.desired.>"),
            parts(&live("agent_desired"))
        );
        assert_eq!(
            ("$KV.fleet_config.>", "live.fleet.>"),
            parts(&live("fleet_config"))
        );
    }

    fn parts(republish: &Republish) -> (&str, &str) {
        (&republish.from, &republish.to)
    }
}

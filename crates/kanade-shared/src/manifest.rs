//! What people write: jobs.
//!
//! A manifest is YAML with `apiVersion: kanade/v1` and a `kind`. Unknown keys are refused at every
//! level. [`Job::check`] holds the rules that types can't.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::id::JobId;
use crate::wire::command::{RunAs, Shell, Staleness, output_cap};

/// The version of the format.
pub const API_VERSION: &str = "kanade/v1";

/// A job: a script with a name, a version and how to run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Job {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// Always `Job`.
    pub kind: JobKind,
    /// Name in the catalogue.
    pub id: JobId,
    /// Compared for equality only.
    pub version: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What runs.
    pub run: JobRun,
    /// Takes the place of its own commands that have not started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub supersede: bool,
    /// How fresh an agent's knowledge must be.
    #[serde(
        default,
        deserialize_with = "staleness",
        skip_serializing_if = "is_default"
    )]
    pub staleness: Staleness,
}

/// Reads what the wire has, but refuses unknown keys: the wire's own reader ignores them.
fn staleness<'de, D: Deserializer<'de>>(d: D) -> Result<Staleness, D::Error> {
    // Braces on the modes without fields: a bare one of these would ignore keys beside `mode`.
    #[derive(Deserialize)]
    #[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
    enum Written {
        Cached {},
        Strict { max_age_s: u64 },
        Unchecked {},
    }
    Ok(match Written::deserialize(d)? {
        Written::Cached {} => Staleness::Cached,
        Written::Strict { max_age_s } => Staleness::Strict { max_age_s },
        Written::Unchecked {} => Staleness::Unchecked,
    })
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The word `Job`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobKind {
    /// `kind: Job`.
    Job,
}

/// A script and how to run it, as people write it; durations such as `90s` or `10m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct JobRun {
    /// Interpreter.
    pub shell: Shell,
    /// The script.
    pub script: String,
    /// Arguments after the script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Added to the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Limit of each try, such as `10m`; 10 minutes unless said.
    #[serde(default = "ten_minutes", with = "duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub timeout: u32,
    /// Starts are spread over this time, such as `5m`.
    #[serde(default, with = "duration", skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub jitter: u32,
    /// Tries in all, 1 to 11.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub tries: u32,
    /// Wait before the second try; doubles with each.
    #[serde(default, with = "duration", skip_serializing_if = "is_default")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub backoff: u32,
    /// Whose rights it runs with.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run_as: RunAs,
    /// Output kept per stream, in bytes.
    #[serde(default = "output_cap", skip_serializing_if = "is_output_cap")]
    pub output_cap_bytes: u64,
}

fn one() -> u32 {
    1
}

fn ten_minutes() -> u32 {
    600
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_one(n: &u32) -> bool {
    *n == 1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_output_cap(n: &u64) -> bool {
    *n == output_cap()
}

/// A rule that a manifest breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct ManifestError {
    /// Path of the field, such as `run.timeout`.
    pub field: &'static str,
    /// What is wrong and what is expected.
    pub what: String,
}

fn rule(ok: bool, field: &'static str, what: impl Into<String>) -> Option<ManifestError> {
    (!ok).then(|| ManifestError {
        field,
        what: what.into(),
    })
}

impl Job {
    /// Every rule that the types don't hold.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn check(&self) -> Result<(), Vec<ManifestError>> {
        let version = self.version.trim();
        let mut wrong: Vec<ManifestError> = [
            rule(
                self.api_version == API_VERSION,
                "apiVersion",
                format!("is `{}`; expected `{API_VERSION}`", self.api_version),
            ),
            rule(
                !version.is_empty() && version.len() <= 64 && version == self.version,
                "version",
                "must be 1 to 64 characters without blanks around",
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        wrong.extend(self.run.check());
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// Whether a name can stand in the environment of every shell: they drop others without a word.
#[must_use]
pub fn is_env_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

impl JobRun {
    /// Every rule that the types don't hold.
    #[must_use]
    pub fn check(&self) -> Vec<ManifestError> {
        const DAY: u32 = 24 * 3600;
        let env_ok = |name: &String| is_env_name(name);
        let no_nul = |text: &String| !text.contains('\0');
        [
            rule(!self.script.trim().is_empty(), "run.script", "is empty"),
            rule(no_nul(&self.script), "run.script", "has a NUL character"),
            rule(self.script.len() <= 4 << 20, "run.script", "is over 4 MiB"),
            rule(
                self.timeout >= 1 && self.timeout <= 7 * DAY,
                "run.timeout",
                "must be 1s to 7d",
            ),
            rule(self.jitter <= 7 * DAY, "run.jitter", "must be at most 7d"),
            rule(
                (1..=11).contains(&self.tries),
                "run.tries",
                "must be 1 to 11",
            ),
            rule(self.backoff <= 3600, "run.backoff", "must be at most 1h"),
            rule(
                self.env.keys().all(env_ok),
                "run.env",
                "has a name that is not letters, digits and `_`, with no digit first",
            ),
            rule(
                self.env.values().all(no_nul) && self.args.iter().all(no_nul),
                "run",
                "a value of env or args has a NUL character",
            ),
            rule(
                (1024..=64 << 20).contains(&self.output_cap_bytes),
                "run.outputCapBytes",
                "must be 1 KiB to 64 MiB",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Durations as people write them: `90s`, `10m`, `1h 30m`, `2d`; whole seconds.
pub mod duration {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Reads `90s`, `10m`, `1h30m`, `2d`, `1w` into whole seconds; refuses parts of one.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn parse(text: &str) -> Result<u32, String> {
        let wrong = || format!("`{text}` is not a duration; write `90s`, `10m`, `1h 30m` or `2d`");
        let duration = humantime::parse_duration(text.trim()).map_err(|_| wrong())?;
        if duration.subsec_nanos() != 0 {
            return Err(wrong());
        }
        u32::try_from(duration.as_secs()).map_err(|_| wrong())
    }

    /// Seconds as people write them, largest unit first.
    #[must_use]
    pub fn format(seconds: u32) -> String {
        humantime::format_duration(std::time::Duration::from_secs(seconds.into())).to_string()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
        let text = String::deserialize(d)?;
        parse(&text).map_err(serde::de::Error::custom)
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature serde asks for"
    )]
    pub(super) fn serialize<S: Serializer>(seconds: &u32, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format(*seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_read_back_what_they_print() {
        for seconds in [0, 1, 59, 60, 61, 3600, 5400, 86_400, 694_861] {
            assert_eq!(duration::parse(&duration::format(seconds)), Ok(seconds));
        }
        assert_eq!(duration::parse("1h30m"), Ok(5400));
        for bad in ["", "10", "m", "-1s", "10x", "99999999999d"] {
            assert!(duration::parse(bad).is_err(), "{bad}");
        }
    }
}

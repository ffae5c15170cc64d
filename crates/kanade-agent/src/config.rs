//! Settings of the agent itself: a file, then the environment, then flags, in rising strength.
//!
//! What the fleet decides about this PC comes in its desired document, not from here. An unknown
//! key is refused with the nearest known one.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use kanade_shared::id::PcId;
use serde::{Deserialize, Serialize};

/// Prefix of the environment; `__` stands between a table and its key.
const ENV_PREFIX: &str = "KANADE_AGENT_";

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named can't be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A key that no setting has.
    #[error("unknown setting `{key}` in {place}{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key.
        key: String,
        /// The file or the environment.
        place: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A value that does not fit.
    #[error("{0}")]
    Value(String),
    /// A setting that has no default is missing.
    #[error("{0} is not set; give `--{0}`, or set it in agent.toml")]
    Missing(&'static str),
    /// The join file is none.
    #[error("`{}` is not a join file", path.display())]
    Join {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// All settings, as they are in `agent.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the agent remembers everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// File with the way to the fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<PathBuf>,
    /// This PC's id, instead of its host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<PcId>,
    /// The agent's own log.
    pub log: LogConfig,
    /// Results that wait to be sent.
    pub outbox: OutboxConfig,
}

/// `[log]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter by module.
    pub level: String,
    /// File that is appended to, instead of standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

impl Default for LogConfig {
    fn default() -> Self {
        // Of the broker's client only what is unusual: the agent itself tells of connections.
        Self {
            level: "info,async_nats=error".to_owned(),
            file: None,
        }
    }
}

/// `[outbox]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboxConfig {
    /// Results on disk at most, in bytes; a full outbox admits no more commands.
    pub max_bytes: u64,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            max_bytes: 512 * 1024 * 1024,
        }
    }
}

/// The way to the fleet, and what opens its doors.
#[derive(Clone, Deserialize)]
pub struct Join {
    /// The broker's address.
    pub url: String,
    /// Its user.
    pub user: String,
    /// And password.
    pub password: String,
    /// The backend's address.
    pub api_url: String,
    /// And token.
    pub api_token: String,
}

impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            url, user, api_url, ..
        } = self;
        f.debug_struct("Join")
            .field("url", url)
            .field("user", user)
            .field("api_url", api_url)
            .finish_non_exhaustive()
    }
}

/// What flags and files say together.
///
/// # Errors
/// [`ConfigError`] names the file or variable, and what is wrong with it.
pub fn load(file: Option<&Path>, flags: &Config) -> Result<Config, ConfigError> {
    let mut figment = Figment::new();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        // Each source on its own first, so that an error can name it.
        let place = format!("`{}`", path.display());
        check(Figment::from(Toml::string(&text)), &place)?;
        figment = figment.merge(Toml::string(&text));
    }
    let environment = || Env::prefixed(ENV_PREFIX).ignore(&["config"]).split("__");
    check(
        Figment::from(environment()),
        "the environment (`KANADE_AGENT_…`)",
    )?;
    figment = figment.merge(environment());
    let mut config: Config = figment
        .extract()
        .map_err(|error| ConfigError::Value(error.to_string()))?;
    config.data_dir = flags.data_dir.clone().or(config.data_dir);
    config.join = flags.join.clone().or(config.join);
    config.id = flags.id.clone().or(config.id);
    Ok(config)
}

fn check(figment: Figment, place: &str) -> Result<(), ConfigError> {
    let defaults = Figment::from(Serialized::defaults(Config::default()));
    let Err(error) = defaults.merge(figment).extract::<Config>() else {
        return Ok(());
    };
    // The first fault is enough; the next one shows when it is mended.
    if let figment::error::Kind::UnknownField(key, known) = &error.kind {
        return Err(ConfigError::UnknownKey {
            key: key.clone(),
            place: place.to_owned(),
            nearest: nearest(key, known),
        });
    }
    Err(ConfigError::Value(format!("{error}, in {place}")))
}

fn nearest(key: &str, known: &[&str]) -> Option<String> {
    let scored = known
        .iter()
        .map(|name| (strsim::jaro_winkler(key, name), *name));
    scored
        .filter(|(score, _)| *score > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

impl Config {
    /// The data folder.
    ///
    /// # Errors
    /// [`ConfigError::Missing`].
    pub fn data_dir(&self) -> Result<&Path, ConfigError> {
        self.data_dir
            .as_deref()
            .ok_or(ConfigError::Missing("data-dir"))
    }

    /// Reads the join file.
    ///
    /// # Errors
    /// It is not named, not there, or not of the right shape.
    pub fn read_join(&self) -> Result<Join, ConfigError> {
        let path = self.join.as_deref().ok_or(ConfigError::Missing("join"))?;
        let bytes = std::fs::read(path).map_err(|source| ConfigError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        serde_json::from_slice(&bytes).map_err(|source| ConfigError::Join {
            path: path.to_path_buf(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        load(Some(&path), &Config::default())
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let refused = from_file("data-dir = \"/x\"").unwrap_err().to_string();
        assert!(
            refused.contains("`data-dir`") && refused.contains("`data_dir`?"),
            "{refused}"
        );
        let refused = from_file("[outbox]\nmaxbytes = 7").unwrap_err().to_string();
        assert!(refused.contains("`max_bytes`?"), "{refused}");
        assert!(from_file("[outbox]\nmax_bytes = \"much\"").is_err());
    }

    #[test]
    fn flags_are_stronger_than_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, "id = \"from-file\"\ndata_dir = \"/from-file\"").unwrap();
        let flags = Config {
            id: Some(PcId::parse("from-flag").unwrap()),
            ..Config::default()
        };
        let config = load(Some(&path), &flags).unwrap();
        assert_eq!(config.id.unwrap().as_str(), "from-flag");
        assert_eq!(config.data_dir.unwrap(), Path::new("/from-file"));
    }

    #[test]
    fn a_join_file_shows_no_secrets() {
        let join: Join = serde_json::from_str(
            r#"{"url":"nats://x","user":"agent","password":"s3cret","api_url":"http://y","api_token":"t0ken"}"#,
        )
        .unwrap();
        let shown = format!("{join:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"));
    }
}

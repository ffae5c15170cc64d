//! The backend's settings: defaults, then a TOML file, then the environment, then flags.
//!
//! A later source wins, key by key. In the environment a key is `KANADE_` and its path with `__`
//! between the parts: `KANADE_BROKER__PORT=4223` sets `broker.port`; `KANADE_NATS_SERVER` is
//! short for `broker.nats_server`. Variables of the CLI and the agent are not ours.
//!
//! **Invariant:** a [`Config`] is checked: no part of the program looks at a value again.
//! **Invariant:** a secret is never printed, by `Debug` neither.

mod error;
mod values;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use kanade_shared::bootstrap::Credentials;
use serde::{Deserialize, Serialize};

use crate::broker::BrokerConfig;
use crate::store::Place;

pub use error::ConfigError;
pub use values::{Address, LogFormat, Secret};

/// Variables with our prefix that others read.
const NOT_OURS: [&str; 9] = [
    "url",
    "token",
    "token_file",
    "context",
    "config",
    "nats_server",
    "backend_config",
    "postgres",
    "embed_dashboard",
];
/// Beginnings of such variables.
const NOT_OURS_BEGIN: [&str; 4] = ["agent_", "test_", "e2e_", "dev_"];

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of everything the backend keeps.
    pub data_dir: PathBuf,
    /// Address of the API.
    pub listen: SocketAddr,
    /// Allows listeners in clear text that others than this machine can reach.
    pub insecure: bool,
    /// The broker.
    pub broker: Broker,
    /// The database.
    pub database: Database,
    /// The dashboard.
    pub dashboard: DashboardSite,
    /// Limits of the API.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
}

/// The broker: a child of the backend unless `url` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// An external server or cluster, such as `nats://nats-1:4222`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Address that the child listens at.
    pub host: IpAddr,
    /// Port that the child listens at; 0 takes a free one.
    pub port: u16,
    /// The child's program; from PATH unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nats_server: Option<PathBuf>,
    /// Factor on the size of every stream and bucket; fitted to the disk unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_scale: Option<f64>,
    /// User at the external broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// The database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite:<path>` or `postgres://user@host/database`; `kanade.db` in the data folder unless
    /// set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Address>,
    /// Password of PostgreSQL's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// File with that password on its first line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// The dashboard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DashboardSite {
    /// Its address for browsers, such as `https://kanade.example`, where that is not the one that
    /// requests come to; with `https` the cookie of a session is sent over TLS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Limits of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest body of a request, in bytes; jobs and scripts may have six times, outputs
    /// sixty-four times as much.
    pub body_bytes: u64,
    /// Requests a second that one token may make; twice as many at once.
    pub requests_per_second: u32,
    /// Longest time for an answer, in seconds; live events are not limited.
    pub request_timeout_s: u32,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A level, or levels by part: `info,kanade_backend::projector=debug`.
    pub level: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("kanade-data"),
            listen: (Ipv4Addr::LOCALHOST, 8443).into(),
            insecure: false,
            broker: Broker::default(),
            database: Database::default(),
            dashboard: DashboardSite::default(),
            limits: Limits::default(),
            log: Log::default(),
        }
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            url: None,
            host: Ipv4Addr::LOCALHOST.into(),
            port: 4222,
            nats_server: None,
            cap_scale: None,
            user: None,
            password: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            requests_per_second: 200,
            request_timeout_s: 30,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// Settings that have a flag; what is absent was not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Serialize)]
pub struct Flags {
    /// Folder of everything the backend keeps
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Address of the API, such as 127.0.0.1:8443
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Port of the embedded broker; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    #[serde(skip)]
    pub broker_port: Option<u16>,
    /// Program of the embedded broker
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub nats_server: Option<PathBuf>,
    /// How the log is written: text or json
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip)]
    pub log_format: Option<String>,
}

impl Config {
    /// Reads and checks the settings; `file` was named by the operator and must be there.
    ///
    /// # Errors
    /// [`ConfigError`] says which key of which source is wrong, and what would be right.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
                file: file.to_owned(),
                source,
            })?;
            // Read by the parser itself first: it shows the line at fault.
            text.parse::<toml::Table>()
                .map_err(|error| ConfigError::Syntax {
                    file: file.to_owned(),
                    message: error.to_string().trim_end().to_owned(),
                })?;
            figment = figment.merge(Toml::file_exact(file));
        }
        let config: Self = environment(figment)
            .merge(Serialized::globals(flags))
            .merge(flag("broker.port", flags.broker_port.as_ref()))
            .merge(flag("broker.nats_server", flags.nats_server.as_ref()))
            .merge(flag("log.format", flags.log_format.as_ref()))
            .extract()
            .map_err(|error| error::told(&error))?;
        values::check(&config)?;
        Ok(config)
    }

    /// The settings as TOML, secrets left out.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Every field is a string, a number or a table of such.
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// The settings of the broker, as it takes them.
    #[must_use]
    pub fn broker(&self) -> BrokerConfig {
        let Broker {
            url,
            host,
            port,
            nats_server,
            cap_scale,
            user,
            password,
        } = self.broker.clone();
        let credentials = match (user, password) {
            (Some(user), password) => {
                let password = password.as_ref().map_or("", Secret::reveal);
                Credentials::password(user, password)
            }
            (None, _) => Credentials::None,
        };
        BrokerConfig {
            url,
            host,
            port,
            nats_server,
            cap_scale,
            credentials,
        }
    }

    /// Which database, and where; its password is read.
    ///
    /// # Errors
    /// [`ConfigError`] when the address or the file of the password cannot be used.
    pub fn database(&self) -> Result<Place, ConfigError> {
        values::database(self)
    }
}

fn environment(figment: Figment) -> Figment {
    let ours = Env::prefixed("KANADE_").split("__").filter(|key| {
        let key = key.as_str().to_ascii_lowercase();
        let set_elsewhere = NOT_OURS.contains(&key.as_str());
        !set_elsewhere && !NOT_OURS_BEGIN.iter().any(|begin| key.starts_with(begin))
    });
    let short = Env::raw()
        .filter(|key| key == "KANADE_NATS_SERVER")
        .map(|_| "broker.nats_server".into());
    // As they are: a password of digits is no number.
    let user = std::env::var("KANADE_BROKER__USER").ok();
    let password = std::env::var("KANADE_BROKER__PASSWORD").ok();
    let database = std::env::var("KANADE_DATABASE__PASSWORD").ok();
    figment
        .merge(short)
        .merge(ours)
        .merge(flag("broker.user", user.as_ref()))
        .merge(flag("broker.password", password.as_ref()))
        .merge(flag("database.password", database.as_ref()))
}

fn flag<T: Serialize>(key: &'static str, value: Option<&T>) -> Figment {
    value.map_or_else(Figment::new, |value| {
        Figment::new().merge(Serialized::global(key, value))
    })
}

#[cfg(test)]
mod tests;

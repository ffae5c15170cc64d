//! Values of settings, and the rules that each must keep.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

use super::{Config, ConfigError};
use crate::store::{Place, PostgresPlace};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

/// An address that may have a password in it, which is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// All of it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = || {
            let (scheme, rest) = self.0.split_once("://")?;
            let (login, host) = rest.rsplit_once('@')?;
            let (user, _) = login.split_once(':')?;
            Some(format!("{scheme}://{user}:…@{host}"))
        };
        f.write_str(&masked().unwrap_or_else(|| self.0.clone()))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Checks every value that its type alone does not.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let loopback = config.listen.ip().is_loopback();
    require(loopback || config.insecure, "listen", || {
        let at = config.listen;
        format!(
            "is {at}, which others than this machine can reach in clear text; listen on \
             127.0.0.1, or set `insecure = true` where the network is trusted"
        )
    })?;
    broker(config)?;
    database(config)?;
    if let Some(url) = &config.dashboard.url {
        require(is_site(url), "dashboard.url", || {
            format!("is `{url}`; it is like https://kanade.example, without a path")
        })?;
    }
    let limits = &config.limits;
    let sizes = 64 * 1024..=64 * 1024 * 1024;
    require(
        sizes.contains(&limits.body_bytes),
        "limits.body_bytes",
        || {
            format!(
                "is {}; from 64 KiB (65536) to 64 MiB (67108864) can be",
                limits.body_bytes
            )
        },
    )?;
    require(
        limits.requests_per_second > 0,
        "limits.requests_per_second",
        || "is 0, so nobody could ask anything; 200 is the default".to_owned(),
    )?;
    let times = 1..=600;
    require(
        times.contains(&limits.request_timeout_s),
        "limits.request_timeout_s",
        || {
            format!(
                "is {}; from 1 to 600 seconds can be",
                limits.request_timeout_s
            )
        },
    )?;
    require(is_level(&config.log.level), "log.level", || {
        format!(
            "is `{}`; use error, warn, info, debug or trace",
            config.log.level
        )
    })
}

/// A scheme and a host, maybe a port, nothing else.
fn is_site(url: &str) -> bool {
    let Some((scheme, host)) = url.split_once("://") else {
        return false;
    };
    let host = host.strip_suffix('/').unwrap_or(host);
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    matches!(scheme, "http" | "https") && !host.is_empty() && host.chars().all(part)
}

/// The filter would take a word that is no level for the name of a part.
fn is_level(text: &str) -> bool {
    let each = |directive: &str| {
        let level = directive
            .rsplit_once('=')
            .map_or(directive, |(_, level)| level);
        level
            .trim()
            .parse::<tracing_subscriber::filter::LevelFilter>()
            .is_ok()
    };
    text.split(',').all(each) && tracing_subscriber::EnvFilter::builder().parse(text).is_ok()
}

fn broker(config: &Config) -> Result<(), ConfigError> {
    let broker = &config.broker;
    if let Some(scale) = broker.cap_scale {
        require(scale > 0.0 && scale <= 100.0, "broker.cap_scale", || {
            format!("is {scale}; above 0 and up to 100 can be, 1 is the design's sizes")
        })?;
    }
    match &broker.url {
        Some(url) => {
            let scheme = url.starts_with("nats://") || url.starts_with("tls://");
            require(scheme, "broker.url", || {
                format!(
                    "is `{}`; it begins with nats:// or tls://",
                    without_password(url)
                )
            })?;
            require(!url.contains('@'), "broker.url", || {
                "has a password; set `broker.user` and `broker.password` instead".to_owned()
            })
        }
        None => {
            let loopback = broker.host.is_loopback();
            require(loopback || config.insecure, "broker.host", || {
                format!(
                    "is {}, which others than this machine can reach in clear text; use \
                     127.0.0.1, or set `insecure = true` where the network is trusted",
                    broker.host
                )
            })
        }
    }
}

/// Which database, and where; its password is read.
pub(super) fn database(config: &Config) -> Result<Place, ConfigError> {
    let database = &config.database;
    let Some(url) = &database.url else {
        return Ok(Place::Sqlite(config.data_dir.join("kanade.db")));
    };
    if let Some(path) = url.reveal().strip_prefix("sqlite:") {
        return Ok(Place::Sqlite(path.trim_start_matches("//").into()));
    }
    let postgres = ["postgres://", "postgresql://"];
    let known = postgres
        .iter()
        .any(|scheme| url.reveal().starts_with(scheme));
    require(known, "database.url", || {
        format!("is `{url}`; it begins with sqlite: or postgres://")
    })?;
    let twice = database.password.is_some() && database.password_file.is_some();
    require(!twice, "database.password_file", || {
        "is set beside `database.password`; set one of them".to_owned()
    })?;
    let password = match (&database.password, &database.password_file) {
        (Some(password), _) => Some(password.reveal().to_owned()),
        (None, Some(file)) => Some(first_line(file)?),
        (None, None) => None,
    };
    let place = PostgresPlace::parse(url.reveal(), password.as_deref(), &config.data_dir);
    match place {
        Ok(place) => Ok(Place::Postgres(Box::new(place))),
        Err(reason) => Err(ConfigError::Value {
            key: "database.url".to_owned(),
            reason: format!("is `{url}`, which {reason}"),
        }),
    }
}

fn first_line(file: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Value {
        key: "database.password_file".to_owned(),
        reason: format!("is `{}`, which cannot be read: {error}", file.display()),
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn require(holds: bool, key: &str, reason: impl Fn() -> String) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Value {
        key: key.to_owned(),
        reason: reason(),
    })
}

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

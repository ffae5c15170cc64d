//! Connects to a broker, with a bounded number of attempts and a clear line for each.
//!
//! Only the *first* connection is bounded: a client that was connected once reconnects by
//! itself for as long as it lives.

use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use tracing::{debug, info, warn};

use super::error::BootstrapError;

/// As whom to connect.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// As nobody in particular.
    #[default]
    None,
    /// As a user with a password.
    Password {
        /// The user.
        user: String,
        /// The secret.
        password: String,
    },
}

impl Credentials {
    /// A user with a password.
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password {
            user: user.into(),
            password: password.into(),
        }
    }

    /// Who that is, without the secret.
    pub fn who(&self) -> String {
        match self {
            Self::None => "a client without credentials".into(),
            Self::Password { user, .. } => format!("the user `{user}`"),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.who())
    }
}

/// How often to try, and how long to wait in between; the wait doubles up to `longest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least one.
    pub attempts: u32,
    /// The wait after the first.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Retry {
    /// One attempt.
    pub const ONCE: Self = Self {
        attempts: 1,
        first: Duration::ZERO,
        longest: Duration::ZERO,
    };

    /// The wait after attempt `n`, counted from 1.
    pub fn wait(&self, n: u32) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(n.saturating_sub(1)));
        doubled.min(self.longest)
    }
}

impl Default for Retry {
    /// Ten attempts in about half a minute.
    fn default() -> Self {
        Self {
            attempts: 10,
            first: Duration::from_millis(200),
            longest: Duration::from_secs(5),
        }
    }
}

/// Connects to the broker at `url` as `credentials`; `name` is what the broker lists.
///
/// Fails with [`BootstrapError::Credentials`] at once, and with
/// [`BootstrapError::Unreachable`] after the attempts of `retry`.
pub async fn connect(
    url: &str,
    credentials: &Credentials,
    name: &str,
    retry: Retry,
) -> Result<Client, BootstrapError> {
    let attempts = retry.attempts.max(1);
    let mut attempt = 1;
    loop {
        let error = match options(credentials, name).connect(url).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        if matches!(
            error.kind(),
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication
        ) {
            let (url, who) = (url.to_owned(), credentials.who());
            return Err(BootstrapError::Credentials {
                url,
                who,
                source: error,
            });
        }
        // An address that can't be read won't become readable.
        if attempt >= attempts || error.kind() == ConnectErrorKind::ServerParse {
            let url = url.to_owned();
            return Err(BootstrapError::Unreachable {
                url,
                attempts: attempt,
                source: error,
            });
        }
        let wait = retry.wait(attempt);
        warn!(url, attempt, attempts, ?wait, %error, "the broker does not answer; trying again");
        tokio::time::sleep(wait).await;
        attempt += 1;
    }
}

/// A broker that hangs keeps its connections; after two pings without an answer it is left.
const PING_EVERY: Duration = Duration::from_secs(10);

fn options(credentials: &Credentials, name: &str) -> ConnectOptions {
    let options = ConnectOptions::new()
        .name(name)
        .ping_interval(PING_EVERY)
        .event_callback(|event| async move {
            match event {
                Event::Disconnected => warn!("the connection to the broker is lost"),
                Event::Connected => info!("connected to the broker"),
                Event::SlowConsumer(subscription) => {
                    warn!(
                        subscription,
                        "messages were dropped, since they weren't read in time"
                    );
                }
                Event::ServerError(error) => warn!(%error, "the broker refused something"),
                Event::ClientError(error) => debug!(%error, "broker client"),
                Event::LameDuckMode | Event::Draining | Event::Closed => {
                    debug!(%event, "broker client")
                }
            }
        });
    match credentials {
        Credentials::None => options,
        Credentials::Password { user, password } => {
            options.user_and_password(user.clone(), password.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = Retry {
            attempts: 9,
            first: Duration::from_millis(100),
            longest: Duration::from_millis(500),
        };
        let waits: Vec<_> = (1..6).map(|n| retry.wait(n).as_millis()).collect();
        assert_eq!(vec![100, 200, 400, 500, 500], waits);
    }

    #[test]
    fn a_secret_is_never_in_a_text() {
        let credentials = Credentials::password("backend", "hunter2");
        assert!(!format!("{credentials:?} {}", credentials.who()).contains("hunter2"));
    }
}

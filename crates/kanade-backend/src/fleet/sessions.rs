//! Signing in to the dashboard: links that are good once, and the sessions that come of them.
//!
//! A link is made by one who has the token; its code becomes a session within minutes, once. A
//! session lasts while it is used, up to a limit from its beginning. All of it is in the
//! database, so a restart signs nobody out.
//!
//! **Invariant:** codes and tokens leave this module once, when they are made; what is kept is
//! their hash.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::execs::random;
use super::{Fleet, FleetError, Operator};
use crate::store::StoreError;
use crate::store::sessions::{LinkRow, SecretHash, SessionRow};

/// How long a link is good.
const LINK_GOOD: TimeDelta = TimeDelta::minutes(10);
/// Links that can be used at one time.
const LINKS_OPEN: u64 = 1_000;
/// How long a session lasts that is not used.
const IDLE: TimeDelta = TimeDelta::hours(12);
/// How long a session lasts, however much it is used.
pub(crate) const LONGEST: TimeDelta = TimeDelta::days(7);
/// Uses of a session within this time are noted once, so that reading does not write.
const NOTED_EVERY: TimeDelta = TimeDelta::minutes(10);
/// How long it is remembered what became of a link, to say it to one who tries it again.
const REMEMBERED: TimeDelta = TimeDelta::days(1);

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No link has this code.
    #[error("the code of this sign-in link is not known here")]
    UnknownCode,
    /// A session came of it before.
    #[error("this sign-in link was used already")]
    UsedCode,
    /// Its time is over.
    #[error("this sign-in link expired at {}", at.format("%Y-%m-%d %H:%M:%S UTC"))]
    ExpiredCode {
        /// When.
        at: DateTime<Utc>,
    },
    /// More links than anybody needs.
    #[error("{LINKS_OPEN} sign-in links wait to be used")]
    TooManyLinks,
    /// What any rule can fail for.
    #[error(transparent)]
    Fleet(#[from] FleetError),
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Fleet(error.into())
    }
}

impl SessionError {
    /// Stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownCode => "signin.unknown",
            Self::UsedCode => "signin.used",
            Self::ExpiredCode { .. } => "signin.expired",
            Self::TooManyLinks => "signin.too_many",
            Self::Fleet(error) => error.code(),
        }
    }

    /// What to do next.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::UnknownCode | Self::UsedCode | Self::ExpiredCode { .. } => {
                Some("`kanade signin` prints a new link".to_owned())
            }
            Self::TooManyLinks => Some("use one of them, or wait ten minutes".to_owned()),
            Self::Fleet(error) => error.help(),
        }
    }
}

/// The secret of a session, as its browser has it.
pub struct SessionToken(String);

impl SessionToken {
    /// The text of the cookie.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Which session, without its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKey(SecretHash);

impl SessionKey {
    /// The session that this cookie would be of; `None`: it is none of ours.
    #[must_use]
    pub fn of_cookie(text: &str) -> Option<Self> {
        let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| Self(hash(text)))
    }

    /// Enough of it to tell sessions apart in the audit log.
    fn shown(self) -> String {
        format!("session {}", hex::encode(&self.0[..4]))
    }
}

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// In whose name the browser asks.
    pub operator: Operator,
    /// When it ends unless it is used before.
    pub expires_at: DateTime<Utc>,
}

impl Fleet {
    /// A code that signs one browser in as `by`, and until when.
    ///
    /// # Errors
    /// [`SessionError::TooManyLinks`] when nobody uses them.
    pub async fn signin_link_issue(
        &self,
        by: &Operator,
    ) -> Result<(String, DateTime<Utc>), SessionError> {
        let code = hex::encode(random::<16>()?);
        let mut tx = self.store.begin().await?;
        tx.sessions_prune(tx.now() - REMEMBERED).await?;
        if tx.signin_links_open().await? >= LINKS_OPEN {
            return Err(SessionError::TooManyLinks);
        }
        let expires_at = tx.now() + LINK_GOOD;
        tx.signin_link_insert(&hash(&code), &by.account_id, expires_at)
            .await?;
        let detail = json!({ "expires_at": expires_at });
        tx.audit_insert(&by.account_id, "signin.link", &by.account_id, &detail)
            .await?;
        tx.commit().await?;
        self.publisher.nudge();
        Ok((code, expires_at))
    }

    /// Makes a session of a code.
    ///
    /// # Errors
    /// [`SessionError`] says whether the code was used, has expired, or never was.
    pub async fn session_open(&self, code: &str) -> Result<(SessionToken, Session), SessionError> {
        let code = hash(code.trim());
        // Guesses end here, before they could hold up those who write.
        let link = self.store.signin_link_find(&code).await?;
        let link = link.ok_or(SessionError::UnknownCode)?;
        let token = SessionToken(hex::encode(random::<32>()?));
        let key = SessionKey(hash(token.reveal()));
        let mut tx = self.store.begin().await?;
        may_use(&link, tx.now())?;
        if !tx.signin_link_use(&code).await? {
            return Err(SessionError::UsedCode);
        }
        let session = SessionRow {
            account_id: link.account_id,
            signed_in_at: tx.now(),
            expires_at: tx.now() + IDLE,
        };
        tx.session_insert(&key.0, &session).await?;
        let by = &session.account_id;
        tx.audit_insert(by, "session.open", &key.shown(), &json!({}))
            .await?;
        tx.commit().await?;
        self.publisher.nudge();
        Ok((token, view(&session)))
    }

    /// The session of this key while it lasts; being asked for counts as a use.
    ///
    /// # Errors
    /// [`FleetError`] when the database does not answer.
    pub async fn session_find(
        &self,
        key: &SessionKey,
        now: DateTime<Utc>,
    ) -> Result<Option<Session>, FleetError> {
        let Some(mut session) = self.store.session_find(&key.0).await? else {
            return Ok(None);
        };
        if session.expires_at <= now {
            return Ok(None);
        }
        if let Some(expires_at) = extended(&session, now) {
            match self.session_extend(key, expires_at).await {
                Ok(()) => session.expires_at = expires_at,
                // A full disk must not hide the page that tells of it.
                Err(error) => tracing::debug!(%error, "the use of a session was not noted"),
            }
        }
        Ok(Some(view(&session)))
    }

    async fn session_extend(
        &self,
        key: &SessionKey,
        expires_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.session_extend(&key.0, expires_at).await?;
        tx.commit().await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`FleetError`] when it is not stored.
    pub async fn session_end(&self, key: &SessionKey, by: &Operator) -> Result<(), FleetError> {
        let mut tx = self.store.begin().await?;
        if tx.session_delete(&key.0).await? {
            tx.audit_insert(&by.account_id, "session.end", &key.shown(), &json!({}))
                .await?;
            tx.commit().await?;
            self.publisher.nudge();
        }
        Ok(())
    }
}

fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret.as_bytes()).into()
}

fn view(session: &SessionRow) -> Session {
    Session {
        operator: Operator {
            account_id: session.account_id.clone(),
        },
        expires_at: session.expires_at,
    }
}

/// Used comes before expired: it says that somebody else may have had the link.
fn may_use(link: &LinkRow, now: DateTime<Utc>) -> Result<(), SessionError> {
    if link.used {
        return Err(SessionError::UsedCode);
    }
    if link.expires_at <= now {
        return Err(SessionError::ExpiredCode {
            at: link.expires_at,
        });
    }
    Ok(())
}

/// The new end of a session that is used now; `None`: it was noted not long ago, or is at its
/// limit.
fn extended(session: &SessionRow, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let end = (now + IDLE).min(session.signed_in_at + LONGEST);
    (end - session.expires_at >= NOTED_EVERY).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::tests::World;
    use crate::store::tests::database::{Engine, on_both};

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    #[test]
    fn a_link_is_good_once_and_until_its_time() {
        let link = |used| LinkRow {
            account_id: "local".to_owned(),
            expires_at: at(10),
            used,
        };
        assert!(may_use(&link(false), at(9)).is_ok());
        let expired = may_use(&link(false), at(10)).unwrap_err();
        insta::assert_snapshot!(expired, @"this sign-in link expired at 1970-01-01 00:10:00 UTC");
        assert_eq!(
            may_use(&link(true), at(11)).unwrap_err().code(),
            "signin.used"
        );
    }

    #[test]
    fn a_session_that_is_used_lasts_twelve_hours_more_up_to_seven_days() {
        let session = |expires_at| SessionRow {
            account_id: "local".to_owned(),
            signed_in_at: at(0),
            expires_at,
        };
        let (hours, days) = (|n: i64| at(n * 60), |n: i64| at(n * 24 * 60));
        assert_eq!(extended(&session(hours(12)), at(9)), None, "noted just now");
        assert_eq!(extended(&session(hours(12)), hours(3)), Some(hours(15)));
        let last = extended(
            &session(days(7) - TimeDelta::hours(2)),
            days(7) - TimeDelta::hours(3),
        );
        assert_eq!(last, Some(days(7)));
        assert_eq!(
            extended(&session(days(7)), days(7) - TimeDelta::minutes(1)),
            None
        );
    }

    async fn a_session_ends_when_it_was_not_used_for_long_and_after_a_week_in_any_case(
        engine: Engine,
    ) {
        let world = World::on(engine, 0).await;
        let (code, _) = world.fleet.signin_link_issue(&world.by).await.unwrap();
        let (token, session) = world.fleet.session_open(&code).await.unwrap();
        let key = SessionKey::of_cookie(token.reveal()).unwrap();
        let began = session.expires_at - IDLE;
        let found = async |hours: i64| {
            let now = began + TimeDelta::hours(hours);
            world.fleet.session_find(&key, now).await.unwrap()
        };
        assert!(found(12).await.is_none(), "not used for twelve hours");
        for hours in (11..7 * 24).step_by(11) {
            let session = found(hours).await.unwrap();
            assert!(session.expires_at <= began + LONGEST);
        }
        assert!(
            found(7 * 24).await.is_none(),
            "used all the time, for a week"
        );
    }

    async fn a_link_that_expired_makes_no_session_and_is_forgotten_in_the_end(engine: Engine) {
        let world = World::on(engine, 0).await;
        let stale = |age| Utc::now() - age;
        let mut tx = world.store.begin().await.unwrap();
        for (code, age) in [("late", TimeDelta::minutes(1)), ("old", TimeDelta::days(2))] {
            tx.signin_link_insert(&hash(code), "local", stale(age))
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        let refused = async |code: &str| world.fleet.session_open(code).await.err().unwrap().code();
        assert_eq!(refused("late").await, "signin.expired");
        assert_eq!(refused("old").await, "signin.expired");
        world.fleet.signin_link_issue(&world.by).await.unwrap();
        assert_eq!(refused("old").await, "signin.unknown");
        assert_eq!(refused("late").await, "signin.expired");
    }

    #[test]
    fn only_what_we_could_have_given_out_is_looked_for() {
        assert!(SessionKey::of_cookie(&"a1".repeat(32)).is_some());
        for other in ["", "a1", &"zz".repeat(32), &"a1".repeat(33)] {
            assert!(SessionKey::of_cookie(other).is_none(), "{other}");
        }
    }

    on_both!(
        a_session_ends_when_it_was_not_used_for_long_and_after_a_week_in_any_case,
        a_link_that_expired_makes_no_session_and_is_forgotten_in_the_end,
    );
}

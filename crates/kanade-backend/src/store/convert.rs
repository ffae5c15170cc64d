//! Between columns and domain types: times, ids, words.
//!
//! A time is unix milliseconds, an id of 128 bits its 16 bytes, an enum its word on the wire.
//! What another version wrote and this one cannot read is [`StoreError::Value`], never a guess.

use chrono::{DateTime, Utc};
use kanade_shared::api::execs::TargetState;
use kanade_shared::api::results::HEAD_CHARS;
use kanade_shared::id::{ExecId, JournalId, RequestId};
use kanade_shared::wire::command::{Reach, StopAction};
use kanade_shared::wire::heartbeat::AgentState;
use kanade_shared::wire::result::{Outcome, Output};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::StoreError;

/// The time of unix milliseconds; one that is out of range is the nearest end.
#[must_use]
pub fn time(ms: i64) -> DateTime<Utc> {
    let end = if ms < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    };
    DateTime::from_timestamp_millis(ms).unwrap_or(end)
}

/// Unix milliseconds of a time.
#[must_use]
pub fn ms(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}

/// A number that is never negative in the database.
#[must_use]
pub fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// A number as the database takes it; the largest it has stands for larger ones.
#[must_use]
pub fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn uuid(column: &'static str, bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|_| StoreError::value(column, hex::encode(bytes)))
}

macro_rules! uuid_column {
    ($read:ident, $write:ident, $type:ident, $column:literal) => {
        #[doc = concat!("Reads a `", stringify!($type), "` from its bytes.")]
        ///
        /// # Errors
        /// [`StoreError::Value`] when they are not 16.
        pub fn $read(bytes: &[u8]) -> Result<$type, StoreError> {
            uuid($column, bytes).map($type::from_uuid)
        }

        #[doc = concat!("The bytes of a `", stringify!($type), "`.")]
        #[must_use]
        pub fn $write(id: $type) -> Vec<u8> {
            id.uuid().as_bytes().to_vec()
        }
    };
}

uuid_column!(exec_id, exec_bytes, ExecId, "exec_id");
uuid_column!(request_id, request_bytes, RequestId, "request_id");
uuid_column!(journal_id, journal_bytes, JournalId, "journal_id");

/// Reads a name that was checked when it came in.
///
/// # Errors
/// [`StoreError::Value`] when it is no such name.
pub fn name<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::value(column, text))
}

/// Reads the word of an outcome; one of a newer version is [`Outcome::Unknown`].
#[must_use]
pub fn outcome(word: &str) -> Outcome {
    Outcome::parse(word).unwrap_or(Outcome::Unknown)
}

/// The column of `execs` that counts this outcome; one of a newer version counts as a failure.
#[must_use]
pub fn counter(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "n_ok",
        Outcome::Failed | Outcome::Unknown => "n_failed",
        Outcome::TimedOut => "n_timed_out",
        Outcome::Killed => "n_killed",
        Outcome::Skipped => "n_skipped",
        Outcome::Interrupted => "n_interrupted",
        Outcome::Expired => "n_expired",
        Outcome::Withdrawn => "n_withdrawn",
        Outcome::Revoked => "n_revoked",
        Outcome::Superseded => "n_superseded",
        Outcome::Lost => "n_lost",
    }
}

/// Reads the word of a target's state.
///
/// # Errors
/// [`StoreError::Value`] when there is no such state.
pub fn target_state(word: &str) -> Result<TargetState, StoreError> {
    match word {
        "pending" => Ok(TargetState::Pending),
        "admitted" => Ok(TargetState::Admitted),
        "running" => Ok(TargetState::Running),
        "ended" => Ok(TargetState::Ended),
        other => Err(StoreError::value("targets.state", other)),
    }
}

/// The word of a reach.
#[must_use]
pub fn reach_word(reach: Reach) -> &'static str {
    match reach {
        Reach::Fixed => "fixed",
        Reach::Open => "open",
    }
}

/// Reads the word of a reach.
///
/// # Errors
/// [`StoreError::Value`] when there is no such reach.
pub fn reach(word: &str) -> Result<Reach, StoreError> {
    match word {
        "fixed" => Ok(Reach::Fixed),
        "open" => Ok(Reach::Open),
        other => Err(StoreError::value("reach", other)),
    }
}

/// The word of a stop.
#[must_use]
pub fn stop_word(stop: StopAction) -> &'static str {
    match stop {
        StopAction::Withdraw => "withdraw",
        StopAction::Kill => "kill",
    }
}

/// Reads the word of a stop.
///
/// # Errors
/// [`StoreError::Value`] when there is no such stop.
pub fn stop(word: &str) -> Result<StopAction, StoreError> {
    match word {
        "withdraw" => Ok(StopAction::Withdraw),
        "kill" => Ok(StopAction::Kill),
        other => Err(StoreError::value("stop", other)),
    }
}

/// The word of an agent's state.
#[must_use]
pub fn agent_state_word(state: AgentState) -> &'static str {
    match state {
        AgentState::Connecting => "connecting",
        AgentState::Syncing => "syncing",
        AgentState::Live => "live",
        AgentState::Unknown => "unknown",
    }
}

/// Reads the word of an agent's state.
#[must_use]
pub fn agent_state(word: &str) -> AgentState {
    match word {
        "connecting" => AgentState::Connecting,
        "syncing" => AgentState::Syncing,
        "live" => AgentState::Live,
        _ => AgentState::Unknown,
    }
}

/// Reads a column of JSON.
///
/// # Errors
/// [`StoreError::Value`] when it is not what this version writes.
pub fn json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::value(column, text))
}

/// JSON for a column.
///
/// # Errors
/// [`StoreError::Value`] when the value has no JSON, such as a map with keys that are no text.
pub fn to_json<T: Serialize>(column: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::value(column, error))
}

/// One stream of output as the database keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredOutput<'a> {
    /// For the result's row: the text, or its first [`HEAD_CHARS`] characters.
    pub head: &'a str,
    /// For the table `outputs`, when the row does not hold it all.
    pub whole: Option<&'a str>,
    /// SHA-256 of the text, when the row does not hold it all.
    pub hash: Option<[u8; 32]>,
}

/// Splits a stream of output into what a row holds and what goes beside it. A row of PostgreSQL
/// cannot hold a NUL as it is.
#[must_use]
pub fn stored_output(output: &Output) -> StoredOutput<'_> {
    let text = output.text.as_str();
    let cut = text.char_indices().nth(HEAD_CHARS).map(|(end, _)| end);
    if cut.is_none() && !text.contains('\0') {
        return StoredOutput {
            head: text,
            whole: None,
            hash: None,
        };
    }
    StoredOutput {
        head: &text[..cut.unwrap_or(text.len())],
        whole: Some(text),
        hash: Some(Sha256::digest(text.as_bytes()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back() {
        for one in Outcome::ALL {
            assert_eq!(outcome(one.as_str()), one);
        }
        for one in [
            TargetState::Pending,
            TargetState::Admitted,
            TargetState::Running,
            TargetState::Ended,
        ] {
            assert_eq!(target_state(one.as_str()).unwrap(), one);
        }
        for one in [Reach::Fixed, Reach::Open] {
            assert_eq!(reach(reach_word(one)).unwrap(), one);
        }
        for one in [StopAction::Withdraw, StopAction::Kill] {
            assert_eq!(stop(stop_word(one)).unwrap(), one);
        }
        assert!(reach("wide").is_err() && stop("").is_err());
    }

    #[test]
    fn long_output_is_cut_between_characters_and_short_output_is_not_kept_twice() {
        let short = Output::whole("é".repeat(HEAD_CHARS));
        let stored = stored_output(&short);
        assert_eq!((stored.head, stored.whole), (short.text.as_str(), None));
        let long = Output::whole("é".repeat(HEAD_CHARS + 1));
        let stored = stored_output(&long);
        assert_eq!(stored.head, short.text);
        assert_eq!(stored.whole, Some(long.text.as_str()));
        assert!(stored.hash.is_some());
    }
}

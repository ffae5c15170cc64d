//! One type per kind of id, checked where it comes in.
//!
//! A name that people give (a pc, a group, a job) is one subject token: lower-case letters,
//! digits, `-` and `_`, at most 64 of them, so that it can stand in a broker subject, a key and
//! a file name without escaping. Ids that the program draws are UUIDs, written as 32 hex digits.
//!
//! **Invariant:** a value of these types is valid; nothing behind the door checks again.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Longest name that a pc, a group or a job may have, in characters.
pub const NAME_MAX: usize = 64;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("{kind} is empty")]
    Empty {
        /// What the id names.
        kind: &'static str,
    },
    /// Over [`NAME_MAX`] characters.
    #[error("{kind} `{text}` has {length} characters; at most {NAME_MAX} are allowed")]
    TooLong {
        /// What the id names.
        kind: &'static str,
        /// The text given, cut for display.
        text: String,
        /// Its length in characters.
        length: usize,
    },
    /// A character that cannot stand in a subject token.
    #[error("{kind} `{text}` has `{found}`; only a-z, 0-9, `-` and `_` are allowed")]
    Character {
        /// What the id names.
        kind: &'static str,
        /// The text given, cut for display.
        text: String,
        /// The first character that is refused.
        found: char,
    },
    /// Not 32 hex digits.
    #[error("{kind} `{text}` is not an id of 32 hex digits")]
    NotHex {
        /// What the id names.
        kind: &'static str,
        /// The text given, cut for display.
        text: String,
    },
}

impl IdError {
    /// Stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "id.invalid"
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn check_name(kind: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind });
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if let Some(found) = text.chars().find(|&c| !allowed(c)) {
        return Err(IdError::Character {
            kind,
            text: shown(text),
            found,
        });
    }
    let length = text.chars().count();
    if length > NAME_MAX {
        return Err(IdError::TooLong {
            kind,
            text: shown(text),
            length,
        });
    }
    Ok(())
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a text that is a valid name.
            ///
            /// # Errors
            /// [`IdError`] says which character or length is wrong.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check_name($kind, text)?;
                Ok(Self(text.to_owned()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name_id!(
    /// A machine. Made from the host name by [`PcId::from_host_name`].
    PcId,
    "pc id"
);
name_id!(
    /// A set of PCs.
    GroupId,
    "group id"
);
name_id!(
    /// A job in the catalogue.
    JobId,
    "job id"
);

impl PcId {
    /// The id that a host name stands for: lower-cased, dots become `-`.
    ///
    /// # Errors
    /// [`IdError`] when what is left is not a valid name.
    pub fn from_host_name(host_name: &str) -> Result<Self, IdError> {
        Self::parse(&host_name.trim().to_lowercase().replace('.', "-"))
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        pub struct $name(Uuid);

        impl $name {
            /// Takes 32 hex digits, with or without the hyphens of a UUID.
            ///
            /// # Errors
            /// [`IdError::NotHex`] for anything else.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let bare = matches!(text.len(), 32 | 36);
                let id = Uuid::try_parse(text).ok().filter(|_| bare);
                id.map(Self).ok_or_else(|| IdError::NotHex { kind: $kind, text: shown(text) })
            }

            /// The UUID itself.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }

            /// The id of this UUID.
            #[must_use]
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id!(
    /// One fan-out: a script or job sent to its targets. UUIDv7 when a person issues it, so ids
    /// sort by time.
    ExecId,
    "exec id"
);
uuid_id!(
    /// One run on one PC; a function of exec, PC and attempt, so both ends know it.
    RequestId,
    "request id"
);
uuid_id!(
    /// Birth mark of a journal: a new one means that the old journal is gone.
    JournalId,
    "journal id"
);

impl ExecId {
    /// A new id whose order is that of `now`; `random` gives the rest of its bits.
    #[must_use]
    pub fn new(now: DateTime<Utc>, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// When the id was drawn, as far as the id tells (milliseconds); `None` for one whose time
    /// cannot be a date.
    #[must_use]
    pub fn issued_at(self) -> Option<DateTime<Utc>> {
        let millis = self.0.as_u128() >> 80;
        DateTime::from_timestamp_millis(i64::try_from(millis).ok()?)
    }

    /// The first 12 hex digits: the millisecond it was issued in. What people are shown.
    #[must_use]
    pub fn short(self) -> String {
        self.0.simple().to_string()[..12].to_owned()
    }
}

/// Number of an operator's try of one exec. The first is 1; later ones are drawn like a rev
/// (never given twice, not even by a database that was restored), so they are large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = u64))]
#[serde(transparent)]
pub struct Attempt(pub u64);

impl Attempt {
    /// The attempt that an exec starts with.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl RequestId {
    /// The id of the run of `exec_id`, attempt `attempt`, on `pc_id`: UUIDv8 over the first bits
    /// of SHA-256 of a label, the exec's 16 bytes, the PC's name and a zero byte, and the attempt
    /// as 8 bytes, big-endian.
    #[must_use]
    pub fn derive(exec_id: ExecId, pc_id: &PcId, attempt: Attempt) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"kanade/request/1\0");
        hash.update(exec_id.0.as_bytes());
        hash.update(pc_id.as_str().as_bytes());
        hash.update([0]);
        hash.update(attempt.0.to_be_bytes());
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(Uuid::new_v8(bytes))
    }
}

impl JournalId {
    /// A new birth mark from random bits.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(Uuid::new_v8(random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_becomes_one_token() {
        assert_eq!(
            PcId::from_host_name("Lab-31.Example.ORG").unwrap().as_str(),
            "lab-31-example-org"
        );
        assert_eq!(
            PcId::parse("lab 31").unwrap_err().to_string(),
            "pc id `lab 31` has ` `; only a-z, 0-9, `-` and `_` are allowed"
        );
        assert!(PcId::parse("").is_err());
        assert!(PcId::parse(&"x".repeat(65)).is_err());
        assert!(PcId::parse(&"x".repeat(64)).is_ok());
        for bad in ["a.b", "*", ">", "Ä", "a/b", "a\n"] {
            assert!(GroupId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn exec_ids_sort_by_the_time_they_were_drawn_at() {
        let at = |s| DateTime::from_timestamp(s, 0).unwrap();
        let early = ExecId::new(at(1_700_000_000), [0xff; 10]);
        let late = ExecId::new(at(1_700_000_001), [0; 10]);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(late.issued_at(), Some(at(1_700_000_001)));
        assert_eq!(ExecId::parse(&late.to_string()), Ok(late));
    }

    #[test]
    fn a_request_id_is_the_same_at_both_ends_and_different_for_each_run() {
        let exec = ExecId::new(DateTime::from_timestamp(1_700_000_000, 0).unwrap(), [7; 10]);
        let pc = |name| PcId::parse(name).unwrap();
        let id = RequestId::derive(exec, &pc("pc-1"), Attempt::FIRST);
        // Golden: both ends of different versions must agree on it.
        assert_eq!(id, RequestId::derive(exec, &pc("pc-1"), Attempt(1)));
        assert_ne!(id, RequestId::derive(exec, &pc("pc-2"), Attempt(1)));
        assert_ne!(id, RequestId::derive(exec, &pc("pc-1"), Attempt(2)));
    }
}

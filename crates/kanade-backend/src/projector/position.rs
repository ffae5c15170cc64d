//! Where to go on with a stream, and whether it is still the stream that was read.
//!
//! A position is sequence, time and hash of the last message that was stored. When the message at
//! that sequence is another one, or the stream is shorter or younger than the position, the stream
//! was made anew or put back to an older state: then it is read again from its first message, and
//! the unique keys of what was stored absorb what comes twice.

use async_nats::jetstream::stream::RawMessageErrorKind;
use async_nats::jetstream::{self};
use sha2::{Digest, Sha256};

use super::reader::Stored;
use crate::store::positions::Position;

/// A stream as the broker has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState {
    /// When it was made, in nanoseconds of unix time.
    pub created_ns: i64,
    /// Sequence of its first message; one more than `last` while it is empty.
    pub first: u64,
    /// Sequence of its last message; 0 while none was ever stored.
    pub last: u64,
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// From this sequence.
    From(u64),
    /// The stream is not the one that was read: from its first message.
    Rewound {
        /// Its first message.
        first: u64,
    },
}

/// Decides where to go on. `there` is the message at the position's sequence, if it exists.
#[must_use]
pub fn course(
    position: Option<&Position>,
    stream: &StreamState,
    there: Option<&Position>,
) -> Course {
    let Some(position) = position else {
        return Course::From(stream.first.max(1));
    };
    let rewound = Course::Rewound {
        first: stream.first.max(1),
    };
    if stream.created_ns > position.at_ns || position.sequence > stream.last {
        return rewound;
    }
    // Evicted since it was read: nothing can be said, and nothing was put back that far.
    if position.sequence < stream.first || there == Some(position) {
        return Course::From(position.sequence + 1);
    }
    rewound
}

/// The position after this message.
#[must_use]
pub fn after(message: &Stored) -> Position {
    Position {
        sequence: message.sequence,
        at_ns: message.at_ns,
        hash: Sha256::digest(&message.payload).to_vec(),
    }
}

/// Asks the broker how a stream is.
///
/// # Errors
/// What the broker or the connection said.
pub async fn stream_state(
    js: &jetstream::Context,
    stream: &str,
) -> Result<StreamState, async_nats::Error> {
    let stream = js.get_stream(stream).await?;
    let info = stream.cached_info();
    Ok(StreamState {
        created_ns: nanos(info.created.unix_timestamp_nanos()),
        first: info.state.first_sequence,
        last: info.state.last_sequence,
    })
}

/// Asks the broker for the message at this sequence.
///
/// # Errors
/// What the broker or the connection said, other than that there is none.
pub async fn message_at(
    js: &jetstream::Context,
    stream: &str,
    sequence: u64,
) -> Result<Option<Position>, async_nats::Error> {
    let stream = js.get_stream_no_info(stream).await?;
    match stream.get_raw_message(sequence).await {
        Ok(message) => Ok(Some(Position {
            sequence,
            at_ns: nanos(message.time.unix_timestamp_nanos()),
            hash: Sha256::digest(&message.payload).to_vec(),
        })),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The broker counts in 64 bits.
fn nanos(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64) -> Position {
        Position {
            sequence,
            at_ns: 1_000,
            hash: vec![7],
        }
    }

    fn stream(created_ns: i64, first: u64, last: u64) -> StreamState {
        StreamState {
            created_ns,
            first,
            last,
        }
    }

    #[test]
    fn a_stream_that_only_grew_goes_on_after_the_position() {
        let there = at(5);
        let grown = stream(1, 1, 9);
        assert_eq!(course(Some(&at(5)), &grown, Some(&there)), Course::From(6));
        assert_eq!(course(None, &grown, None), Course::From(1));
        let evicted = stream(1, 8, 9);
        assert_eq!(course(Some(&at(5)), &evicted, None), Course::From(6));
        let purged = stream(1, 6, 5);
        assert_eq!(course(Some(&at(5)), &purged, None), Course::From(6));
        assert_eq!(course(None, &stream(1, 0, 0), None), Course::From(1));
    }

    #[test]
    fn a_stream_that_was_put_back_or_made_anew_is_read_from_its_first_message() {
        let rewound = Course::Rewound { first: 1 };
        let shorter = stream(1, 1, 4);
        assert_eq!(course(Some(&at(5)), &shorter, None), rewound);
        let other = Position {
            at_ns: 2_000,
            ..at(5)
        };
        let overwritten = stream(1, 1, 9);
        assert_eq!(course(Some(&at(5)), &overwritten, Some(&other)), rewound);
        let younger = stream(1_001, 1, 9);
        assert_eq!(course(Some(&at(5)), &younger, Some(&at(5))), rewound);
        assert_eq!(course(Some(&at(5)), &stream(1_001, 0, 0), None), rewound);
    }
}

//! The place of signatures in the wire and in the order of decisions.
//!
//! A signed document is its bytes plus two headers. The signature is over a canonical byte string
//! of kind, scope, rev, time and body, so that a signed body cannot be moved to another scope or
//! played again under another rev. Checking comes before parsing.
//!
//! Without keys, [`Verifier::Unsigned`] accepts what has no signature: the broker then has to be
//! on loopback.

/// What a signature is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A command document.
    Commands,
    /// A desired document.
    Desired,
    /// The brake.
    Brake,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Desired => "desired",
            Self::Brake => "brake",
        }
    }
}

/// How a program checks signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verifier {
    /// There are no keys yet: everything passes.
    #[default]
    Unsigned,
}

impl Verifier {
    /// Whether `body`, which came with this `signature`, may be parsed.
    #[must_use]
    pub fn accepts(
        self,
        _kind: Kind,
        _scope: &str,
        _body: &[u8],
        _signature: Option<&str>,
    ) -> bool {
        match self {
            Self::Unsigned => true,
        }
    }
}

/// The bytes that a signature is over: each part with its length in front (u32, big-endian), after
/// a fixed first line, so no two inputs give the same bytes.
#[must_use]
pub fn canonical(kind: Kind, scope: &str, rev: u64, issued_at_ms: i64, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"kanade/signed/1\n".to_vec();
    let (rev, issued_at) = (rev.to_be_bytes(), issued_at_ms.to_be_bytes());
    for part in [
        kind.word().as_bytes(),
        scope.as_bytes(),
        &rev,
        &issued_at,
        body,
    ] {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_cannot_be_moved_into_its_neighbour() {
        let a = canonical(Kind::Commands, "pc.a", 1, 2, b"bc");
        let b = canonical(Kind::Commands, "pc.ab", 1, 2, b"c");
        assert_ne!(a, b);
    }
}

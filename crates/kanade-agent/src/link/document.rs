//! Reads documents from their bytes, and refuses what is not one: pure.
//!
//! The order: size, signature, shape, and that it is for whom its subject says. A refused document
//! is as good as none; it withdraws nothing and admits nothing.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kanade_shared::id::PcId;
use kanade_shared::signing::{Kind, Verifier};
use kanade_shared::subject::Scope;
use kanade_shared::wire::DOCUMENT_MAX_BYTES;
use kanade_shared::wire::command::{DOCUMENT_VERSION, Document};
use kanade_shared::wire::desired::{AgentDesired, Brake, DESIRED_VERSION};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// Why bytes are not taken for a document.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Larger than a document may be.
    #[error("it has {0} bytes; at most {DOCUMENT_MAX_BYTES} are allowed")]
    Size(usize),
    /// Not signed by a key that is trusted.
    #[error("its signature is not valid")]
    Signature,
    /// Not a document.
    #[error("it is not of the right shape: {0}")]
    Shape(#[from] serde_json::Error),
    /// Of a newer backend.
    #[error("its version {0} is newer than this agent knows")]
    Version(u32),
    /// Somebody else's.
    #[error("it is for `{0}`")]
    NotForMe(String),
}

/// A command document that was checked, and the SHA-256 of its bytes in hex.
pub type Opened = (Arc<Document>, String);

/// Checks and reads command documents: for one agent each time, for many in one process perhaps
/// once.
pub trait OpenCommands: fmt::Debug + Send + Sync {
    /// The command document of `scope` in these bytes.
    ///
    /// # Errors
    /// [`Refused`].
    fn open(&self, scope: &Scope, body: &Bytes, signature: Option<&str>)
    -> Result<Opened, Refused>;
}

/// Each document on its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenEach;

impl OpenCommands for OpenEach {
    fn open(
        &self,
        scope: &Scope,
        body: &Bytes,
        signature: Option<&str>,
    ) -> Result<Opened, Refused> {
        let (document, hash) = commands(scope, body, signature)?;
        Ok((Arc::new(document), hash))
    }
}

/// A command document of `scope`, and the SHA-256 of its bytes in hex.
fn commands(
    scope: &Scope,
    body: &[u8],
    signature: Option<&str>,
) -> Result<(Document, String), Refused> {
    let document: Document = open(
        Kind::Commands,
        &scope.to_string(),
        body,
        signature,
        DOCUMENT_VERSION,
    )?;
    if document.scope != *scope {
        return Err(Refused::NotForMe(document.scope.to_string()));
    }
    Ok((document, hex(&Sha256::digest(body))))
}

fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| DIGITS[usize::from(digit)] as char)
        .collect()
}

/// The desired document of this PC.
pub(crate) fn desired(
    pc_id: &PcId,
    body: &[u8],
    signature: Option<&str>,
) -> Result<AgentDesired, Refused> {
    let desired: AgentDesired = open(
        Kind::Desired,
        pc_id.as_str(),
        body,
        signature,
        DESIRED_VERSION,
    )?;
    if desired.pc_id != *pc_id {
        return Err(Refused::NotForMe(desired.pc_id.to_string()));
    }
    Ok(desired)
}

/// The brake of the fleet.
pub(crate) fn brake(body: &[u8], signature: Option<&str>) -> Result<Brake, Refused> {
    open(Kind::Brake, "fleet", body, signature, DESIRED_VERSION)
}

fn open<T: DeserializeOwned>(
    kind: Kind,
    scope: &str,
    body: &[u8],
    signature: Option<&str>,
    known: u32,
) -> Result<T, Refused> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        v: u32,
    }
    if body.len() > DOCUMENT_MAX_BYTES {
        return Err(Refused::Size(body.len()));
    }
    if !Verifier::Unsigned.accepts(kind, scope, body, signature) {
        return Err(Refused::Signature);
    }
    // Its version first: a newer shape may well not parse.
    let version = serde_json::from_slice::<Versioned>(body)?.v;
    if version > known {
        return Err(Refused::Version(version));
    }
    Ok(serde_json::from_slice(body)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DOCUMENT: &str = r#"{"v":1,"scope":"pc.pc-1","rev":7,"issued_at":"2027-01-15T08:00:00Z","commands":[],"stops":[],"later":true}"#;

    fn own() -> Scope {
        Scope::Pc(PcId::parse("pc-1").unwrap())
    }

    #[test]
    fn a_document_is_taken_for_its_own_scope_only() {
        assert_eq!(
            commands(&own(), DOCUMENT.as_bytes(), None).unwrap().0.rev.0,
            7
        );
        let refused = commands(&Scope::All, DOCUMENT.as_bytes(), None).unwrap_err();
        assert_eq!(refused.to_string(), "it is for `pc.pc-1`");
    }

    #[test]
    fn a_newer_shape_and_a_huge_one_are_refused() {
        let newer = DOCUMENT
            .replace("\"v\":1", "\"v\":2")
            .replace("commands", "orders");
        assert!(matches!(
            commands(&own(), newer.as_bytes(), None),
            Err(Refused::Version(2))
        ));
        let huge = vec![b' '; DOCUMENT_MAX_BYTES + 1];
        assert!(matches!(
            commands(&own(), &huge, None),
            Err(Refused::Size(_))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..100, to: u8) {
            let _ = commands(&Scope::All, &bytes, None);
            let _ = brake(&bytes, None);
            let mut changed = DOCUMENT.as_bytes().to_vec();
            changed[at] = to;
            let _ = commands(&own(), &changed, None);
        }
    }
}

//! Scripts that travel encrypted, apart from the command that names them.
//!
//! Whoever holds a credential may ask the broker for a body, so its key is in the command alone,
//! which only its PCs can read. ChaCha20-Poly1305 with a key that is used once, hence a nonce of
//! zeros. The text is compressed by nobody: a body's size says no more than it must.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use sha2::{Digest, Sha256};

use crate::wire::command::BodyRef;

/// Length of a body's key, in bytes.
pub const KEY_BYTES: usize = 32;

/// Why a body cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The bytes are not the ones that were named.
    #[error("body {sha256} has other bytes than its name says")]
    WrongBytes {
        /// Hash in the command.
        sha256: String,
    },
    /// The key does not open it.
    #[error("body {sha256} does not open with the key in its command")]
    WrongKey {
        /// Hash in the command.
        sha256: String,
    },
    /// What was opened is not UTF-8.
    #[error("body {sha256} is not UTF-8 text")]
    NotText {
        /// Hash in the command.
        sha256: String,
    },
}

/// Encrypts `text` under `key`, which must never be used for another text; gives the bytes and
/// their name.
#[must_use]
pub fn seal(text: &str, key: [u8; KEY_BYTES]) -> (Vec<u8>, BodyRef) {
    let cipher = ChaCha20Poly1305::new(&Key::from(key));
    let bytes = cipher
        .encrypt(&Nonce::default(), text.as_bytes())
        .expect("ChaCha20-Poly1305 refuses only texts over 256 GiB");
    let body_ref = BodyRef {
        sha256: hex::encode(Sha256::digest(&bytes)),
        key: STANDARD.encode(key),
        size_bytes: text.len() as u64,
    };
    (bytes, body_ref)
}

/// Opens the bytes of a body.
///
/// # Errors
/// [`BodyError`] when the bytes, the key or the text are not what the command names.
pub fn open(bytes: &[u8], body_ref: &BodyRef) -> Result<String, BodyError> {
    let sha256 = || body_ref.sha256.clone();
    if hex::encode(Sha256::digest(bytes)) != body_ref.sha256 {
        return Err(BodyError::WrongBytes { sha256: sha256() });
    }
    let wrong_key = || BodyError::WrongKey { sha256: sha256() };
    let key = STANDARD.decode(&body_ref.key).map_err(|_| wrong_key())?;
    let key: [u8; KEY_BYTES] = key.try_into().map_err(|_| wrong_key())?;
    let cipher = ChaCha20Poly1305::new(&Key::from(key));
    let text = cipher
        .decrypt(&Nonce::default(), bytes)
        .map_err(|_| wrong_key())?;
    String::from_utf8(text).map_err(|_| BodyError::NotText { sha256: sha256() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_opens_only_with_its_own_key_and_bytes() {
        let (bytes, body_ref) = seal("echo 日本語", [7; 32]);
        assert_eq!(open(&bytes, &body_ref).as_deref(), Ok("echo 日本語"));
        let mut changed = bytes.clone();
        changed[0] ^= 1;
        assert!(matches!(
            open(&changed, &body_ref),
            Err(BodyError::WrongBytes { .. })
        ));
        let other = BodyRef {
            key: seal("", [8; 32]).1.key,
            ..body_ref
        };
        assert!(matches!(
            open(&bytes, &other),
            Err(BodyError::WrongKey { .. })
        ));
    }
}

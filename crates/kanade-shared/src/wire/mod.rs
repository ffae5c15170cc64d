//! Payloads between agent and backend, one file per family.
//!
//! Units are in the names, times are RFC 3339 UTC. A payload grows by optional fields with a
//! default; unknown fields are ignored; an unknown enum value has a named catch-all or is refused
//! on purpose. Golden files in `tests/golden/` hold one sample of each released shape.

pub mod agent;
pub mod command;
pub mod desired;
pub mod heartbeat;
pub mod inventory;
pub mod result;

/// Largest command document, in bytes of JSON.
pub const DOCUMENT_MAX_BYTES: usize = 256 * 1024;
/// Largest stream of output that rides inside a result, in bytes of UTF-8.
pub const INLINE_OUTPUT_MAX_BYTES: usize = 256 * 1024;
/// Largest encoded result; above it the larger stream goes by HTTPS.
pub const RESULT_MAX_BYTES: usize = 640 * 1024;
/// Largest script that rides inside its command, in bytes of UTF-8.
pub const INLINE_SCRIPT_MAX_BYTES: usize = 2 * 1024;
/// A script rides inside only while its document stays at or under this size, in bytes.
pub const INLINE_DOCUMENT_MAX_BYTES: usize = 16 * 1024;
/// A script rides inside only while at most this many documents carry it.
pub const INLINE_DOCUMENTS_MAX: usize = 32;
/// Largest script that goes as a body over the broker, in bytes; above it HTTPS.
pub const BODY_MAX_BYTES: usize = 512 * 1024;

/// Header with the signature of a document.
pub const HEADER_SIGNATURE: &str = "Kanade-Sig";
/// Header that names the signing key.
pub const HEADER_KEY: &str = "Kanade-Kid";

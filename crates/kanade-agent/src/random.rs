//! Random bits for waits, marks and names; none of them a secret.

/// Sixteen bytes that no other call gives, the last ones random.
pub(crate) fn bytes() -> [u8; 16] {
    uuid::Uuid::now_v7().into_bytes()
}

/// One random byte.
pub(crate) fn byte() -> u8 {
    bytes()[15]
}

//! Output that was too large for its result, in the object store `result_output`.

use async_nats::jetstream;

/// Reads and writes stored output; clones share the connection.
#[derive(Clone)]
pub struct Outputs {
    #[expect(dead_code, reason = "reading and writing come next")]
    broker: jetstream::Context,
}

impl Outputs {
    /// Over this connection; nothing is asked of the broker yet.
    #[must_use]
    pub fn new(broker: jetstream::Context) -> Self {
        Self { broker }
    }
}

//! Whether the broker answers, not only whether a connection to it is open.
//!
//! A broker that hangs keeps its connections: only a question tells.
//!
//! **Invariant:** however often it is asked, the broker gets one question in [`FRESH`].

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::jetstream::context::AccountErrorKind;
use kanade_shared::api::system::Finding;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::health::{error, fine};

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(2);

/// Longest time for an answer; less than a check may take.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Asks the broker, and remembers its answer for a moment; clones share it.
#[derive(Clone)]
pub(super) struct Pulse {
    client: Client,
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Pulse {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            last: Arc::default(),
        }
    }

    /// How the broker is.
    pub(super) async fn finding(&self) -> Finding {
        match self.client.connection_state() {
            State::Connected if self.answers().await => fine("broker.serves", "the broker answers"),
            State::Connected => error(
                "broker.silent",
                format!(
                    "the connection to the broker is open, and it did not answer within {} s",
                    ANSWER_TIME.as_secs()
                ),
            ),
            State::Pending | State::Disconnected => error(
                "broker.disconnected",
                "the connection to the broker is lost; it is tried again",
            ),
        }
    }

    async fn answers(&self) -> bool {
        // Who comes while it is asked waits for the same answer.
        let mut last = self.last.lock().await;
        if let Some((at, answered)) = *last
            && at.elapsed() < FRESH
        {
            return answered;
        }
        let js = jetstream::new(self.client.clone());
        let question = tokio::time::timeout(ANSWER_TIME, js.query_account());
        let answered = question.await.is_ok_and(|answer| match answer {
            Ok(_) => true,
            // A refusal is an answer, too.
            Err(error) => matches!(error.kind(), AccountErrorKind::JetStream(_)),
        });
        *last = Some((Instant::now(), answered));
        answered
    }
}

//! The outbox's sender: one task that carries released results to the broker.

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::Request;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kanade_shared::id::{PcId, RequestId};
use kanade_shared::subject;
use kanade_shared::wire::result::Output;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ack::{self, NotStored};
use super::files::{Kept, OutboxFiles};
use super::queue::Queue;
use super::{Inventory, Order};
use crate::data::{DataError, Found};
use crate::https::{BlobError, Blobs};
use crate::{blocking, random};

/// The broker's acknowledgement is waited for this long, then the result is sent again.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// A result that failed this often in a row is worth a warning.
const WARN_AFTER: u32 = 5;

/// What the sender tells the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxEvent {
    /// The broker has the result of this run, and the outbox has its room back.
    Acknowledged(RequestId),
}

/// Why a result was not acknowledged.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{}", .0.sentence())]
    Data(#[from] DataError),
    #[error("{}", .0.sentence())]
    Upload(BlobError),
    #[error("the broker did not answer: {0}")]
    Request(#[from] async_nats::RequestError),
    #[error(transparent)]
    NotStored(#[from] NotStored),
    #[error("could not encode the result")]
    Encode(#[from] serde_json::Error),
}

/// What came of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Acknowledged,
    /// Its file is damaged and was set aside.
    Gone,
}

type Flight = BoxFuture<'static, (RequestId, Result<Sent, SendError>)>;

pub(super) struct Sender {
    files: OutboxFiles,
    pc_id: PcId,
    blobs: Blobs,
    inventory: Arc<Inventory>,
    events: mpsc::UnboundedSender<OutboxEvent>,
    queue: Queue,
    client: Option<async_nats::Client>,
    flights: FuturesUnordered<Flight>,
}

impl Sender {
    pub(super) fn new(
        files: OutboxFiles,
        pc_id: PcId,
        blobs: Blobs,
        inventory: Arc<Inventory>,
        events: mpsc::UnboundedSender<OutboxEvent>,
    ) -> Self {
        let (queue, flights) = (Queue::default(), FuturesUnordered::new());
        Self {
            files,
            pc_id,
            blobs,
            inventory,
            events,
            queue,
            client: None,
            flights,
        }
    }

    /// Works until the agent's end of the outbox is gone.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            self.launch();
            let now = Instant::now();
            let due = self.queue.next_due(now).filter(|_| self.client.is_some());
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.handle_order(order),
                    None => return,
                },
                Some((request_id, outcome)) = self.flights.next() => {
                    self.handle_landed(request_id, outcome).await;
                }
                () = tokio::time::sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            }
        }
    }

    fn handle_order(&mut self, order: Order) {
        match order {
            Order::Stored(stored) => {
                self.queue.insert(stored);
            }
            Order::Release(request_id) => self.queue.release(request_id),
            Order::LinkUp(client) => {
                self.client = Some(client);
                self.flights.clear();
                self.queue.reset();
            }
            Order::LinkDown => {
                self.client = None;
                // A resend is harmless; an answer over the next link would not come.
                self.flights.clear();
            }
        }
    }

    fn launch(&mut self) {
        let Some(client) = &self.client else { return };
        while let Some(stored) = self.queue.take_next(Instant::now()) {
            let (files, blobs) = (self.files.clone(), self.blobs.clone());
            let (client, pc_id) = (client.clone(), self.pc_id.clone());
            let request_id = stored.request_id;
            self.flights.push(Box::pin(async move {
                (
                    request_id,
                    send(&files, &blobs, &client, &pc_id, request_id).await,
                )
            }));
        }
    }

    async fn handle_landed(&mut self, request_id: RequestId, outcome: Result<Sent, SendError>) {
        let kept = match outcome {
            Ok(Sent::Acknowledged) => {
                let files = self.files.clone();
                blocking(move || files.acknowledged(request_id))
                    .await
                    .map_err(SendError::Data)
            }
            Ok(Sent::Gone) => Ok(()),
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => {
                self.queue.remove(request_id);
                self.inventory.remove(request_id);
                // The agent that listens is the one that stops this task.
                let _ = self.events.send(OutboxEvent::Acknowledged(request_id));
            }
            Err(error) => self.handle_failure(request_id, &error),
        }
    }

    fn handle_failure(&mut self, request_id: RequestId, error: &SendError) {
        let failures = self
            .queue
            .failed(request_id, Instant::now(), random::byte());
        if failures == WARN_AFTER {
            tracing::warn!(%request_id, failures, %error, "a result can't be sent; it stays in the outbox");
        } else {
            tracing::debug!(%request_id, failures, %error, "result not acknowledged");
        }
    }
}

/// One try: large streams, then the result, then its acknowledgement.
async fn send(
    files: &OutboxFiles,
    blobs: &Blobs,
    client: &async_nats::Client,
    pc_id: &PcId,
    request_id: RequestId,
) -> Result<Sent, SendError> {
    let reader = files.clone();
    let mut kept = match blocking(move || reader.read(request_id)).await? {
        Found::Whole(kept) => kept,
        Found::Nothing | Found::Damaged => return Ok(Sent::Gone),
    };
    upload(files, blobs, pc_id, &mut kept).await?;
    let payload = serde_json::to_vec(&kept.result)?;
    drop(kept);
    let request = Request::new()
        .payload(payload.into())
        .timeout(Some(ACK_TIMEOUT));
    let answer = client
        .send_request(subject::result(pc_id, request_id), request)
        .await?;
    ack::stored(subject::RESULTS_STREAM, &answer.payload)?;
    Ok(Sent::Acknowledged)
}

async fn upload(
    files: &OutboxFiles,
    blobs: &Blobs,
    pc_id: &PcId,
    kept: &mut Kept,
) -> Result<(), SendError> {
    let request_id = kept.result.request_id;
    for upload in std::mem::take(&mut kept.uploads) {
        let path = files.upload_path(request_id, &upload);
        match blobs.put_output(pc_id, request_id, &upload, &path).await {
            Ok(()) => {}
            // Its copy was dropped after it had been sent once; the backend has it.
            Err(BlobError::File(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) if error.is_final() => {
                tracing::warn!(%request_id, stream = upload.stream, error = error.sentence(), "output refused; the result goes without it");
                let output = match upload.stream.as_str() {
                    "stdout" => &mut kept.result.stdout,
                    _ => &mut kept.result.stderr,
                };
                let total_bytes = output.total_bytes;
                *output = Output {
                    total_bytes,
                    truncated_bytes: total_bytes,
                    ..Output::default()
                };
            }
            Err(error) => return Err(SendError::Upload(error)),
        }
    }
    Ok(())
}

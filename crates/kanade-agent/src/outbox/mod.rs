//! The outbox: results that must reach the broker, whatever happens.
//!
//! The agent's loop stores a result (on disk when the call is back) and, after the journal says
//! that the run ended, releases it. A task of its own sends what is released while there is a
//! link: large streams by HTTPS first, then the result, which leaves the disk only on the broker's
//! acknowledgement. What fails waits, each result on its own; a new link tries all at once.
//!
//! **Invariant:** nothing is sent before it was released, and nothing leaves without a plain
//! acknowledgement of the stream.
//! **Invariant:** at most [`IN_FLIGHT_MAX`] results and about [`IN_FLIGHT_BYTES`] are in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kanade_shared::id::{PcId, RequestId};
use kanade_shared::wire::result::RunResult;
use tokio::sync::mpsc;

use crate::blocking;
use crate::data::DataError;
use crate::https::Blobs;

pub mod ack;
pub mod files;
pub mod queue;
mod send;

use files::{OutboxFiles, Stored};
pub use send::OutboxEvent;

/// Results that are sent at the same time, at most.
pub const IN_FLIGHT_MAX: usize = 64;
/// Their size together, in bytes, unless a single one is larger.
pub const IN_FLIGHT_BYTES: u64 = 2 * 1024 * 1024;

/// How full the outbox is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    /// Results that were not acknowledged.
    pub results: u64,
    /// Their size on disk, in bytes.
    pub bytes: u64,
}

/// What is in the outbox, with its sizes: known at once to whoever stores, and to the sender.
#[derive(Debug, Default)]
struct Inventory {
    sizes: Mutex<(BTreeMap<RequestId, u64>, u64)>,
}

impl Inventory {
    fn add(&self, stored: Stored) {
        self.with(|sizes, bytes| {
            let before = sizes.insert(stored.request_id, stored.disk_bytes);
            *bytes = *bytes + stored.disk_bytes - before.unwrap_or(0);
        });
    }

    fn remove(&self, request_id: RequestId) {
        self.with(|sizes, bytes| *bytes -= sizes.remove(&request_id).unwrap_or(0));
    }

    fn level(&self) -> Level {
        self.with(|sizes, bytes| Level {
            results: sizes.len() as u64,
            bytes: *bytes,
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<RequestId, u64>, &mut u64) -> T) -> T {
        // Each change is whole before anything can panic, so a poisoned lock is still right.
        let mut held = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let (sizes, bytes) = &mut *held;
        act(sizes, bytes)
    }
}

/// What the sender is told.
#[derive(Debug)]
enum Order {
    Stored(Stored),
    Release(RequestId),
    LinkUp(async_nats::Client),
    LinkDown,
}

/// The agent's end of the outbox.
#[derive(Debug)]
pub struct Outbox {
    files: OutboxFiles,
    inventory: Arc<Inventory>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Outbox {
    /// Starts the sender of an outbox, which reports to `events`. What waits from an earlier life
    /// is not released yet.
    #[must_use]
    pub fn start(
        files: OutboxFiles,
        waiting: &[Stored],
        pc_id: PcId,
        blobs: Blobs,
        events: mpsc::UnboundedSender<OutboxEvent>,
    ) -> Self {
        let inventory = Arc::new(Inventory::default());
        let (orders, inbox) = mpsc::unbounded_channel();
        let sender = send::Sender::new(files.clone(), pc_id, blobs, Arc::clone(&inventory), events);
        tokio::spawn(sender.run(inbox));
        let outbox = Self {
            files,
            inventory,
            orders,
        };
        for stored in waiting {
            outbox.took(*stored);
        }
        outbox
    }

    /// Puts a result on disk, after `fill` has put its output in.
    ///
    /// # Errors
    /// It can't be written.
    pub async fn store(
        &self,
        mut result: RunResult,
        fill: impl FnOnce(&mut RunResult) + Send + 'static,
    ) -> Result<(), DataError> {
        let files = self.files.clone();
        let stored = blocking(move || {
            fill(&mut result);
            files.store(result)
        })
        .await?;
        self.took(stored);
        Ok(())
    }

    /// Lets a stored result be sent; one that is not there is ignored.
    pub fn release(&self, request_id: RequestId) {
        self.order(Order::Release(request_id));
    }

    /// Puts a result that was sent back into the outbox; whether there was a copy.
    ///
    /// # Errors
    /// The copy can't be moved.
    pub async fn again(&self, request_id: RequestId) -> Result<bool, DataError> {
        let files = self.files.clone();
        let stored = blocking(move || files.again(request_id)).await?;
        if let Some(stored) = stored {
            self.took(stored);
        }
        Ok(stored.is_some())
    }

    /// Drops the copy of a result that was sent.
    ///
    /// # Errors
    /// It can't be removed.
    pub async fn forget(&self, request_id: RequestId) -> Result<(), DataError> {
        let files = self.files.clone();
        blocking(move || files.forget(request_id)).await
    }

    /// There is a link: everything that was released is tried at once.
    pub fn link_up(&self, client: async_nats::Client) {
        self.order(Order::LinkUp(client));
    }

    /// The link is gone: what is on its way is sent again over the next one.
    pub fn link_down(&self) {
        self.order(Order::LinkDown);
    }

    /// How full it is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.inventory.level()
    }

    fn took(&self, stored: Stored) {
        self.inventory.add(stored);
        self.order(Order::Stored(stored));
    }

    fn order(&self, order: Order) {
        // The sender lives as long as the runtime; after that nothing matters here.
        let _ = self.orders.send(order);
    }
}

//! From the broker's streams into the database: one engine, a file per stream.
//!
//! [`run`] looks at the stored position, reads on from there, and writes batch after batch, each
//! with its new position in one transaction. A message that cannot be read goes to the dead
//! letters with the reason; it never stops the line. A gap in the sequences (evicted before it was
//! read) is recorded.
//!
//! **Invariant:** whatever ends a loop, the next one goes on where the database says: nothing is
//! lost, and nothing counts twice.
//! **Invariant:** a reader lives as long as one connection; after it the position is looked at
//! again, since the broker may have been put back to an older state.

pub mod audit;
pub mod events;
pub mod inventory;
pub mod position;
pub mod pressure;
pub mod reader;
pub mod results;
pub use crate::fleet::rules;

use std::time::Duration;

use crate::counters::StreamCounters;
use crate::flow::{Flow, Live};
use crate::store::positions::DeadLetter;
use crate::store::{StoreError, Tx};
use crate::tasks::Stop;
use position::Course;
use reader::{Batch, ReadError, Reader, Stored};

/// First wait after the broker did not answer; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Longest wait after the broker did not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What a loop is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// RESULTS.
    Results,
    /// EVENTS.
    Events,
    /// INVENTORY.
    Inventory,
    /// AUDIT.
    Audit,
}

impl Projection {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Results, Self::Events, Self::Inventory, Self::Audit];

    /// The stream it reads.
    #[must_use]
    pub fn stream(self) -> &'static str {
        match self {
            Self::Results => results::STREAM,
            Self::Events => events::STREAM,
            Self::Inventory => inventory::STREAM,
            Self::Audit => audit::STREAM,
        }
    }

    /// Name of its task.
    #[must_use]
    pub fn task(self) -> &'static str {
        match self {
            Self::Results => "project results",
            Self::Events => "project events",
            Self::Inventory => "project inventory",
            Self::Audit => "project audit",
        }
    }

    fn counters(self, flow: &Flow) -> &StreamCounters {
        match self {
            Self::Results => &flow.counters.results,
            Self::Events => &flow.counters.events,
            Self::Inventory => &flow.counters.inventory,
            Self::Audit => &flow.counters.audit,
        }
    }
}

/// What a batch did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Messages that cannot be taken.
    pub dead_letters: Vec<DeadLetter>,
    /// What became different.
    pub live: Live,
    /// Rows that the database lacked although it should have made them.
    pub taken_back: u64,
}

/// Why a loop ended.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The database did not take a batch.
    #[error("could not store messages of stream {stream}")]
    Store {
        /// The stream.
        stream: &'static str,
        /// What the database said.
        #[source]
        source: StoreError,
    },
    /// The broker did not answer, or not as it should.
    #[error("could not read stream {stream}")]
    Broker {
        /// The stream.
        stream: &'static str,
        /// What the broker or the connection said.
        #[source]
        source: async_nats::Error,
    },
    /// Reading broke off.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Projects one stream until `stop`.
///
/// # Errors
/// [`ProjectError::Store`]; while the broker is away it waits.
pub async fn run(flow: Flow, projection: Projection, stop: Stop) -> Result<(), ProjectError> {
    // AUDIT comes first: it is part of the taking over.
    if projection != Projection::Audit {
        tokio::select! {
            () = flow.recovered() => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    let mut wait = FIRST_WAIT;
    loop {
        let ended = tokio::select! {
            ended = read_on(&flow, projection, &mut wait, &stop) => ended,
            () = stop.cancelled() => return Ok(()),
        };
        match ended {
            Ok(()) => return Ok(()),
            Err(error @ ProjectError::Store { .. }) => return Err(error),
            Err(error @ (ProjectError::Broker { .. } | ProjectError::Read(_))) => {
                tracing::debug!(
                    stream = projection.stream(),
                    error = crate::tasks::chain(&error),
                    "reads on from its position in a moment"
                );
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return Ok(()),
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Reads and writes for as long as one reader lives. A batch that is being written when `stop`
/// comes is undone, and read again by the next process.
async fn read_on(
    flow: &Flow,
    projection: Projection,
    wait: &mut Duration,
    stop: &Stop,
) -> Result<(), ProjectError> {
    let stream = projection.stream();
    let counters = projection.counters(flow);
    let (from, last) = find_course(flow, projection).await?;
    let mut reader = Reader::open(&flow.js, stream, from).await?;
    counters.lag.set(reader.lag());
    if last < from {
        counters.caught_up.set(1);
    }
    *wait = FIRST_WAIT;
    while !stop.is_cancelled() {
        let batch = reader.next().await?;
        let position = write(flow, projection, &batch).await?;
        counters.lag.set(batch.lag);
        if position >= last {
            counters.caught_up.set(1);
        }
    }
    Ok(())
}

/// Where to go on, and the last sequence that the stream has now.
async fn find_course(flow: &Flow, projection: Projection) -> Result<(u64, u64), ProjectError> {
    let stream = projection.stream();
    let broker = |source| ProjectError::Broker { stream, source };
    let store = |source| ProjectError::Store { stream, source };
    let mut tx = flow.store.begin().await.map_err(store)?;
    let position = tx.position_find(stream).await.map_err(store)?;
    drop(tx);
    let state = position::stream_state(&flow.js, stream)
        .await
        .map_err(broker)?;
    let there = match &position {
        Some(position) => position::message_at(&flow.js, stream, position.sequence)
            .await
            .map_err(broker)?,
        None => None,
    };
    let counters = projection.counters(flow);
    let from = match position::course(position.as_ref(), &state, there.as_ref()) {
        Course::From(from) => from,
        Course::Rewound { first } => {
            tracing::warn!(
                stream,
                "the stream is not the one that was read; it is read again"
            );
            let mut tx = flow.store.begin().await.map_err(store)?;
            tx.position_clear(stream, first).await.map_err(store)?;
            tx.commit().await.map_err(store)?;
            counters.rewinds.add(1);
            first
        }
    };
    counters.position.set(from.saturating_sub(1));
    Ok((from, state.last))
}

/// Writes one batch with its position; gives the position.
async fn write(flow: &Flow, projection: Projection, batch: &Batch) -> Result<u64, ProjectError> {
    let stream = projection.stream();
    let store = |source| ProjectError::Store { stream, source };
    let Some(last) = batch.messages.last() else {
        return Ok(0);
    };
    let facts = match projection {
        Projection::Inventory => {
            let facts = inventory::read(&batch.messages);
            let copied = inventory::copy(&flow.js, &facts).await;
            copied.map_err(|source| ProjectError::Broker { stream, source })?;
            Some(facts)
        }
        Projection::Results | Projection::Events | Projection::Audit => None,
    };
    let mut tx = flow.store.begin().await.map_err(store)?;
    note_gap(&mut tx, flow, projection, &batch.messages)
        .await
        .map_err(store)?;
    let messages = &batch.messages;
    let applied = match (projection, facts) {
        (Projection::Results, _) => results::project(&mut tx, messages).await,
        (Projection::Events, _) => events::project(&mut tx, messages).await,
        (Projection::Audit, _) => audit::project(&mut tx, messages).await,
        (Projection::Inventory, facts) => {
            inventory::project(&mut tx, facts.unwrap_or_default()).await
        }
    };
    let applied = applied.map_err(store)?;
    let change = finish(&mut tx, flow, stream, last, &applied)
        .await
        .map_err(store)?;
    tx.commit().await.map_err(store)?;
    let counters = projection.counters(flow);
    counters.stored.add(messages.len() as u64);
    counters.position.set(last.sequence);
    counters.dead_letters.add(applied.dead_letters.len() as u64);
    if applied.taken_back > 0 {
        flow.counters.recovered.add(applied.taken_back);
        flow.publisher.nudge();
    }
    flow.tell(change, applied.live).await;
    Ok(last.sequence)
}

/// What every batch writes at its end; gives the change number.
async fn finish(
    tx: &mut Tx,
    flow: &Flow,
    stream: &str,
    last: &Stored,
    applied: &Applied,
) -> Result<u64, StoreError> {
    tx.dead_letters_insert(&applied.dead_letters).await?;
    if applied.taken_back > 0 {
        tracing::warn!(
            rows = applied.taken_back,
            "the database is older than the broker"
        );
        tx.behind_mark(flow.agreed_until()).await?;
    }
    tx.position_set(stream, &position::after(last)).await?;
    Ok(tx.next_change())
}

/// Records what was evicted before it was read: between the position and the batch, and inside.
async fn note_gap(
    tx: &mut Tx,
    flow: &Flow,
    projection: Projection,
    messages: &[Stored],
) -> Result<(), StoreError> {
    let stream = projection.stream();
    let mut before = tx.position_find(stream).await?.map(|at| at.sequence);
    for message in messages {
        if let Some(before) = before.filter(|before| message.sequence > before + 1) {
            let (first, last) = (before + 1, message.sequence - 1);
            tracing::warn!(
                stream,
                first,
                last,
                "messages were evicted before they were read"
            );
            tx.gap_insert(stream, first, last).await?;
            projection.counters(flow).gaps.add(1);
        }
        before = Some(message.sequence);
    }
    Ok(())
}

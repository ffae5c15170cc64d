//! From the database to the broker: a reconciler, which compares what is stored with what is
//! there.
//!
//! It runs at its start, at a nudge and by timer. A *deep* pass reads all that the broker has, and
//! takes over what the database lacks, before it publishes anything: at the start and after every
//! reconnect, since the broker may have been put back to an older state. A *full* pass looks
//! whether what live commands need is still there. A *quick* one looks at what changed: new
//! commands, new stops, and what others marked in [`Dirty`].
//!
//! **Invariant:** a nudge carries nothing, so a lost one costs a timer period.
//! **Invariant:** whatever fails is found again by the next pass; nothing is remembered that
//! isn't looked up again.
//! **Invariant:** copies that are refused (definitions, audit) keep nothing else from being
//! published, and make no pass a deep one.

pub mod audit;
pub mod bodies;
pub mod commands;
pub mod definitions;
pub mod desired;
pub mod kept;
pub mod recovery;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::context::PublishError as BrokerRefusal;
use chrono::Utc;
use kanade_shared::id::PcId;
use kanade_shared::subject::{EXEC_STREAM, Scope};
use kanade_shared::wire::command::StopAction;
use tokio::time::Instant;

use crate::flow::Flow;
use crate::projector::reader::connects;
use crate::store::StoreError;
use crate::store::published::Fingerprint;
use crate::store::scopes::{CommandKey, LiveCommand};
use crate::tasks::Stop;

/// Time between passes without a nudge.
const PERIOD: Duration = Duration::from_secs(15);
/// Time between full passes.
const FULL_PERIOD: Duration = Duration::from_secs(60);
/// First wait after the broker did not answer; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Longest wait after the broker did not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long the first pass waits for audit rows to be taken back.
const AUDIT_WAIT: Duration = Duration::from_secs(3);

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The database did not answer.
    #[error("could not read or write what is published")]
    Store(#[from] StoreError),
    /// The broker did not say what it has.
    #[error("could not read what the broker has")]
    Read {
        /// What the broker or the connection said.
        #[source]
        source: async_nats::Error,
    },
    /// The broker did not take a message.
    #[error("could not publish")]
    Publish(#[from] BrokerRefusal),
    /// A document has no JSON.
    #[error("could not write a document as JSON")]
    Encode {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Somebody else publishes all the time.
    #[error("somebody else publishes the documents of {scopes} scopes all the time")]
    Contended {
        /// How many.
        scopes: usize,
    },
}

/// Scopes and PCs that the publisher must look at; clones share them. Losing it costs a full pass.
#[derive(Debug, Clone, Default)]
pub struct Dirty(Arc<Mutex<Marks>>);

#[derive(Debug, Default)]
struct Marks {
    scopes: BTreeSet<Scope>,
    pcs: BTreeSet<PcId>,
}

impl Dirty {
    /// Marks scopes whose documents have to be looked at.
    pub fn scopes(&self, scopes: impl IntoIterator<Item = Scope>) {
        self.lock().scopes.extend(scopes);
    }

    /// Marks PCs whose desired documents have to be looked at.
    pub fn pcs(&self, pcs: impl IntoIterator<Item = PcId>) {
        self.lock().pcs.extend(pcs);
    }

    fn take(&self) -> Marks {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        // Every statement leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was found at the last pass.
#[derive(Default)]
struct Memory {
    /// Connections of the client at the last deep pass; 0 before the first.
    connects: u64,
    full_at: Option<Instant>,
    commands: HashMap<CommandKey, Option<StopAction>>,
    bodies: bodies::Bodies,
    copies: definitions::Copies,
    groups: Option<Fingerprint>,
}

/// How thorough a pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Quick,
    Full,
    Deep,
}

/// Publishes until `stop`.
///
/// # Errors
/// [`PublishError::Store`]; while the broker is away it waits.
pub async fn run(flow: Flow, stop: Stop) -> Result<(), PublishError> {
    let mut memory = Memory::default();
    let mut wait = FIRST_WAIT;
    tokio::select! {
        () = audit_taken_back(&flow) => {}
        () = stop.cancelled() => return Ok(()),
    }
    loop {
        let passed = tokio::select! {
            passed = pass(&flow, &mut memory) => passed,
            () = stop.cancelled() => return Ok(()),
        };
        let (failed, copied) = match &passed {
            Ok(copied) => (None, copied.as_ref().err()),
            Err(error) => (Some(error), None),
        };
        let told = |error: Option<&PublishError>| error.map(|error| crate::tasks::chain(error));
        flow.counters.publishing.note(told(failed), Utc::now());
        flow.counters.copying.note(told(copied), Utc::now());
        let pause = match passed {
            Ok(copied) => {
                wait = FIRST_WAIT;
                if let Err(error) = copied {
                    tracing::warn!(error = crate::tasks::chain(&error), again_in = ?PERIOD, "could not copy definitions or audit rows");
                }
                PERIOD
            }
            Err(error @ PublishError::Store(_)) => return Err(error),
            Err(error) => {
                tracing::warn!(error = crate::tasks::chain(&error), again_in = ?wait, "could not publish");
                // What the broker has is not known any more.
                memory = Memory {
                    copies: memory.copies.unread(),
                    ..Memory::default()
                };
                wait = (wait * 2).min(LONGEST_WAIT);
                wait
            }
        };
        tokio::select! {
            () = flow.publisher.nudged() => {}
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Waits until the rows of AUDIT were read that tell whether the database is older than the
/// broker; not for long, since they may be many, and what they say is not needed to be right.
async fn audit_taken_back(flow: &Flow) {
    let until = Instant::now() + AUDIT_WAIT;
    while flow.counters.audit.caught_up.get() == 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How copying went, in a pass that published what agents need.
type Copied = Result<(), PublishError>;

async fn pass(flow: &Flow, memory: &mut Memory) -> Result<Copied, PublishError> {
    let connects = connects(&flow.client);
    let full_due = memory.full_at.is_none_or(|at| at.elapsed() >= FULL_PERIOD);
    let depth = match connects == memory.connects {
        false => Depth::Deep,
        true if full_due => Depth::Full,
        true => Depth::Quick,
    };
    let marks = flow.dirty.take();
    flow.room.note_pass();
    let published = publish_all(flow, memory, depth, &marks).await;
    let copied = match published {
        Ok(copied) => copied,
        Err(error) => {
            flow.dirty.scopes(marks.scopes);
            flow.dirty.pcs(marks.pcs);
            return Err(error);
        }
    };
    if depth == Depth::Deep {
        memory.connects = connects;
    }
    if depth >= Depth::Full {
        memory.full_at = Some(Instant::now());
        flow.counters.passes.add(1);
        let mut tx = flow.store.begin().await?;
        tx.settled().await?;
        tx.commit().await?;
    }
    let room = commands::note_room(flow).await;
    room.map_err(|source| PublishError::Read { source })?;
    Ok(copied)
}

async fn publish_all(
    flow: &Flow,
    memory: &mut Memory,
    depth: Depth,
    marks: &Marks,
) -> Result<Copied, PublishError> {
    if depth == Depth::Deep {
        recovery::pcs(flow).await?;
        definitions::look(flow, &mut memory.copies).await?;
        commands::take_over(flow, documents_there(flow).await?).await?;
        flow.note_recovered();
    }
    // A scope of which somebody holds a higher rev is found by the pass that looks at all.
    let live = flow.store.commands_live().await?;
    let scopes = scopes(flow, memory, depth, marks, &live).await?;
    if depth == Depth::Deep {
        bodies::look(flow, &live, &mut memory.bodies).await?;
    }
    flow.counters.oversized.set(0);
    bodies::reconcile(flow, &live, &mut memory.bodies).await?;
    commands::reconcile(flow, scopes).await?;
    memory.commands = live
        .iter()
        .map(|c| ((c.exec_id, c.attempt), c.stop))
        .collect();
    let groups = flow.store.groups_fingerprint().await?;
    let whom = match depth {
        Depth::Deep => desired::Whom::AllInBroker,
        Depth::Full => desired::Whom::All,
        Depth::Quick if memory.groups.as_ref() != Some(&groups) => desired::Whom::All,
        Depth::Quick => {
            let mut pcs = marks.pcs.clone();
            pcs.extend(flow.store.pcs_undesired().await?);
            desired::Whom::Some(pcs.into_iter().collect())
        }
    };
    desired::reconcile(flow, whom).await?;
    memory.groups = Some(groups);
    let definitions = definitions::reconcile(flow, &mut memory.copies).await;
    if let Err(error) = &definitions
        && !is_refusal(error)
    {
        return definitions.map(Ok);
    }
    match audit::reconcile(flow).await {
        Err(error) if !is_refusal(&error) => Err(error),
        audit => Ok(definitions.and(audit)),
    }
}

/// Whether the broker answered, and does not want this; anything else may be its silence.
fn is_refusal(error: &PublishError) -> bool {
    use async_nats::jetstream::context::PublishErrorKind::{MaxPayloadExceeded, Other};
    matches!(error, PublishError::Publish(error) if matches!(error.kind(), Other | MaxPayloadExceeded))
        || matches!(error, PublishError::Encode { .. })
}

/// The scopes to reconcile.
async fn scopes(
    flow: &Flow,
    memory: &Memory,
    depth: Depth,
    marks: &Marks,
    live: &[LiveCommand],
) -> Result<BTreeSet<Scope>, PublishError> {
    let mut scopes = marks.scopes.clone();
    let there = if depth == Depth::Quick {
        BTreeSet::new()
    } else {
        documents_there(flow).await?
    };
    if depth >= Depth::Full {
        scopes.insert(Scope::All);
        scopes.extend(flow.store.scopes_overtaken().await?);
    }
    if depth == Depth::Deep {
        scopes.extend(there.iter().cloned());
    }
    for command in live {
        let key = (command.exec_id, command.attempt);
        let seen = memory.commands.get(&key) == Some(&command.stop);
        if seen && depth == Depth::Quick {
            continue;
        }
        if command.wide {
            scopes.insert(Scope::All);
            continue;
        }
        let pcs = flow
            .store
            .command_pcs(key)
            .await?
            .into_iter()
            .map(Scope::Pc);
        // On a full pass, only where the broker lost the document.
        let quiet = seen && depth == Depth::Full;
        scopes.extend(pcs.filter(|scope| !quiet || !there.contains(scope)));
    }
    Ok(scopes)
}

/// Scopes of which the broker has a document.
async fn documents_there(flow: &Flow) -> Result<BTreeSet<Scope>, PublishError> {
    let subjects = kept::subjects(&flow.js, EXEC_STREAM, "commands.>").await;
    let subjects = subjects.map_err(|source| PublishError::Read { source })?;
    let scopes = subjects.iter().filter_map(|subject| {
        let scope = subject.strip_prefix("commands.")?;
        Scope::parse(scope).ok()
    });
    Ok(scopes.collect())
}

//! Makes the command documents in the broker what the database says.
//!
//! Per scope: read the subject's last message and its sequence from the broker; then, in one
//! transaction, take over what is foreign in it, read the scope's commands, and reserve a rev for
//! the new document; then publish it on the condition that the subject is as it was read. Whoever
//! loses that race starts over from the first read.
//!
//! **Invariant:** a rev is in the database before anybody can see the document.

use std::collections::{BTreeSet, HashMap};

use kanade_shared::document::{self, Publication, Revision, ScopeState, There};
use kanade_shared::id::PcId;
use kanade_shared::signing::{Kind, Verifier};
use kanade_shared::subject::{EXEC_STREAM, Scope};
use kanade_shared::wire::DOCUMENT_MAX_BYTES;
use kanade_shared::wire::command::{Document, Rev};

use super::kept::{self, Kept, Outgoing, Published};
use super::{PublishError, recovery};
use crate::flow::{Flow, Live};
use crate::store::Tx;
use crate::store::scopes::{CommandKey, Revs};

/// Scopes that one transaction revises.
const SCOPES_AT_ONCE: usize = 1000;
/// Times that a scope is started over before the next pass takes it up.
const ROUNDS: usize = 20;

/// What the broker has of a scope.
struct Held {
    scope: Scope,
    sequence: u64,
    document: Option<Document>,
    /// There is something that is no document of this scope.
    unreadable: bool,
}

impl Held {
    fn there(&self) -> There<'_> {
        match &self.document {
            None if self.unreadable => There::Unreadable,
            document => There::from(document.as_ref()),
        }
    }
}

/// Reconciles these scopes.
///
/// # Errors
/// [`PublishError`]; what was not published is found again by the next pass.
pub async fn reconcile(flow: &Flow, scopes: BTreeSet<Scope>) -> Result<(), PublishError> {
    let mut scopes: Vec<Scope> = scopes.into_iter().collect();
    for _ in 0..ROUNDS {
        let mut again = Vec::new();
        for scopes in scopes.chunks(SCOPES_AT_ONCE) {
            again.extend(once(flow, scopes).await?);
        }
        if again.is_empty() {
            return Ok(());
        }
        flow.counters.conflicts.add(again.len() as u64);
        scopes = again;
    }
    Err(PublishError::Contended {
        scopes: scopes.len(),
    })
}

/// Takes over what is foreign in the documents of these scopes, and publishes nothing.
///
/// # Errors
/// [`PublishError`] when broker or database do not answer.
pub async fn take_over(flow: &Flow, scopes: BTreeSet<Scope>) -> Result<(), PublishError> {
    let scopes: Vec<Scope> = scopes.into_iter().collect();
    for scopes in scopes.chunks(SCOPES_AT_ONCE) {
        let held = read(flow, scopes).await?;
        let mut tx = flow.store.begin().await?;
        let (_, live) = take_over_in_tx(&mut tx, flow, &held).await?;
        if let Some(live) = live {
            let change = tx.next_change();
            tx.commit().await?;
            flow.tell(change, live).await;
        }
    }
    Ok(())
}

/// One round; gives the scopes of which somebody else published meanwhile.
async fn once(flow: &Flow, scopes: &[Scope]) -> Result<Vec<Scope>, PublishError> {
    let held = read(flow, scopes).await?;
    let mut tx = flow.store.begin().await?;
    let now = tx.now();
    let (documents, live) = revise(&mut tx, flow, &held).await?;
    if documents.is_empty() && live.is_none() {
        return Ok(Vec::new());
    }
    let change = tx.next_change();
    tx.commit().await?;
    flow.tell(change, live.unwrap_or_default()).await;
    let mut messages = Vec::with_capacity(documents.len());
    for (held, publication) in &documents {
        let payload = serde_json::to_vec(&publication.document)
            .map_err(|source| PublishError::Encode { source })?;
        messages.push(Outgoing {
            expected: Some(held.sequence),
            expires_at: Some(publication.expires_at),
            ..Outgoing::plain(held.scope.commands(), payload)
        });
    }
    let answers = kept::publish(&flow.js, &messages, now).await?;
    let mut again = Vec::new();
    for ((held, publication), answer) in documents.iter().zip(answers) {
        match answer {
            Published::Stored(_) => {
                flow.counters.documents.add(1);
                let (scope, rev) = (&held.scope, publication.document.rev.0);
                tracing::debug!(%scope, rev, "published");
                if held.unreadable {
                    tracing::warn!(%scope, rev, "what the broker had was no document of this scope; it is replaced");
                }
            }
            Published::Conflict => again.push(held.scope.clone()),
        }
    }
    Ok(again)
}

async fn read(flow: &Flow, scopes: &[Scope]) -> Result<Vec<Held>, PublishError> {
    let subjects = scopes.iter().map(Scope::commands).collect();
    let found = kept::last_of_each(&flow.js, EXEC_STREAM, subjects).await;
    let found = found.map_err(|source| PublishError::Read { source })?;
    let pairs = scopes.iter().zip(found);
    Ok(pairs.map(|(scope, kept)| held(scope, kept)).collect())
}

fn held(scope: &Scope, kept: Option<Kept>) -> Held {
    let sequence = kept.as_ref().map_or(0, |kept| kept.sequence);
    // A marker says that there is nothing any more.
    let kept = kept.filter(|kept| !kept.deleted);
    let document = kept.as_ref().and_then(|kept| verified(scope, kept));
    Held {
        scope: scope.clone(),
        sequence,
        unreadable: kept.is_some() && document.is_none(),
        document,
    }
}

/// The document in a message, if it is one of this scope. Anything else is replaced.
fn verified(scope: &Scope, kept: &Kept) -> Option<Document> {
    let accepted =
        Verifier::Unsigned.accepts(Kind::Commands, &scope.to_string(), &kept.payload, None);
    let document: Option<Document> = serde_json::from_slice(&kept.payload).ok();
    document.filter(|document| accepted && document.scope == *scope)
}

/// Takes over what is foreign; gives the revs of the scopes, and what became different.
async fn take_over_in_tx(
    tx: &mut Tx,
    flow: &Flow,
    held: &[Held],
) -> Result<(HashMap<Scope, Revs>, Option<Live>), PublishError> {
    let scopes: Vec<Scope> = held.iter().map(|held| held.scope.clone()).collect();
    let mut revs = tx.scopes_revs(&scopes).await?;
    let mut live = None;
    for held in held {
        let recorded = revs.entry(held.scope.clone()).or_default();
        let Some(document) = &held.document else {
            continue;
        };
        if let Some(foreign) = document::foreign(document, recorded.recorded) {
            let adopted = recovery::adopt(tx, flow, &held.scope, &foreign).await?;
            recorded.recorded = foreign.rev;
            tx.scopes_record(&[(held.scope.clone(), foreign.rev)])
                .await?;
            recovery::merge(live.get_or_insert_default(), adopted);
        }
    }
    Ok((revs, live))
}

type Revised<'a> = (Vec<(&'a Held, Publication)>, Option<Live>);

/// Takes over what is foreign, then says what to publish; both in `tx`.
async fn revise<'a>(
    tx: &mut Tx,
    flow: &Flow,
    held: &'a [Held],
) -> Result<Revised<'a>, PublishError> {
    let (revs, live) = take_over_in_tx(tx, flow, held).await?;
    let states = states(tx, held, &revs).await?;
    let now = tx.now();
    let mut documents = Vec::new();
    for (held, state) in held.iter().zip(&states) {
        let revision = document::revise(&held.scope, held.there(), state, now);
        let Revision::Publish(publication) = revision else {
            continue;
        };
        if let Some(publication) = fitted(*publication, held, state, flow) {
            documents.push((held, publication));
        }
    }
    reserve(tx, &documents).await?;
    Ok((documents, live))
}

async fn states(
    tx: &mut Tx,
    held: &[Held],
    revs: &HashMap<Scope, Revs>,
) -> Result<Vec<ScopeState>, PublishError> {
    let mut pcs = Vec::new();
    let mut listed: Vec<(PcId, CommandKey)> = Vec::new();
    for held in held {
        let Scope::Pc(pc_id) = &held.scope else {
            continue;
        };
        pcs.push(pc_id.clone());
        let commands = held.document.iter().flat_map(|document| &document.commands);
        listed.extend(commands.map(|c| (pc_id.clone(), (c.exec_id, c.attempt))));
    }
    let mut own = tx.scope_pc_entries(&pcs, &listed).await?;
    let mut states = Vec::with_capacity(held.len());
    for held in held {
        let revs = revs.get(&held.scope).copied().unwrap_or_default();
        let entries = match &held.scope {
            Scope::All => tx.scope_all_entries().await?,
            Scope::Pc(pc_id) => own.remove(pc_id).unwrap_or_default(),
        };
        states.push(ScopeState {
            recorded: revs.recorded,
            floor: revs.floor,
            entries,
        });
    }
    Ok(states)
}

/// Cuts a document that is too large: the newest commands wait until there is room, since what is
/// not listed is not withdrawn. `None` when that is what the broker has already.
fn fitted(
    mut publication: Publication,
    held: &Held,
    state: &ScopeState,
    flow: &Flow,
) -> Option<Publication> {
    let size = |document: &Document| serde_json::to_vec(document).map_or(0, |json| json.len());
    let document = &mut publication.document;
    if size(document) <= DOCUMENT_MAX_BYTES {
        return Some(publication);
    }
    flow.counters.oversized.add(1);
    while size(document) > DOCUMENT_MAX_BYTES && document.commands.pop().is_some() {}
    tracing::error!(
        scope = %held.scope,
        listed = document.commands.len(),
        "the command document is too large; its newest commands wait"
    );
    let there = held.document.as_ref();
    let same = there.is_some_and(|there| {
        there.commands == document.commands
            && there.stops == document.stops
            && there.rev == state.recorded
            && there.rev >= state.floor
    });
    (!same).then_some(publication)
}

/// Reserves the revs, and notes which commands they list for the first time.
async fn reserve(tx: &mut Tx, documents: &[(&Held, Publication)]) -> Result<(), PublishError> {
    let mut revs = Vec::with_capacity(documents.len());
    let mut listed: Vec<(PcId, CommandKey, Rev)> = Vec::new();
    for (held, publication) in documents {
        let document = &publication.document;
        revs.push((held.scope.clone(), document.rev));
        let keys = document.commands.iter().map(|c| (c.exec_id, c.attempt));
        match &held.scope {
            Scope::All => {
                let keys: Vec<CommandKey> = keys.collect();
                tx.commands_listed(&keys, document.rev).await?;
            }
            Scope::Pc(pc_id) => {
                listed.extend(keys.map(|key| (pc_id.clone(), key, document.rev)));
            }
        }
    }
    tx.targets_listed(&listed).await?;
    tx.scopes_record(&revs).await?;
    Ok(())
}

/// Notes the size of the stream of commands, for those who refuse at its cap.
///
/// # Errors
/// What the broker or the connection said.
pub async fn note_room(flow: &Flow) -> Result<(), async_nats::Error> {
    let stream = flow.js.get_stream(EXEC_STREAM).await?;
    let info = stream.cached_info();
    let cap = u64::try_from(info.config.max_bytes).unwrap_or(0);
    flow.room.note(info.state.bytes, cap);
    Ok(())
}

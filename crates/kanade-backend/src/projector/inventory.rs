//! INVENTORY: the newest hardware of each PC, into the database and the bucket `agents_state`.
//!
//! A PC may send its hardware before its first heartbeat enrols it. So the bucket is written
//! first, and whoever enrols a PC looks there; whichever comes second finds what it needs.

use std::collections::BTreeMap;

use async_nats::jetstream;
use chrono::DateTime;
use kanade_shared::id::{JobId, PcId};
use kanade_shared::wire::inventory::{HARDWARE, Hardware};

use super::Applied;
use super::reader::Stored;
use crate::publisher::kept::{self, Outgoing};
use crate::store::positions::DeadLetter;
use crate::store::{StoreError, Tx};

/// Name of the stream.
pub const STREAM: &str = "INVENTORY";

/// Where the newest hardware of a PC is kept on the broker.
#[must_use]
pub fn bucket_key(pc_id: &PcId) -> String {
    format!("$KV.agents_state.{pc_id}")
}

/// What a batch says: of each PC its newest hardware, with the payload as it came.
#[derive(Debug, Default)]
pub struct Facts<'a> {
    newest: BTreeMap<PcId, (Hardware, &'a Stored)>,
    dead_letters: Vec<DeadLetter>,
}

/// Reads a batch.
#[must_use]
pub fn read(messages: &[Stored]) -> Facts<'_> {
    let mut facts = Facts::default();
    for message in messages {
        match hardware(message) {
            Ok(Some(hardware)) => {
                let pc_id = hardware.pc_id.clone();
                facts.newest.insert(pc_id, (hardware, message));
            }
            Ok(None) => {}
            Err(why) => facts.dead_letters.push(DeadLetter::new(
                STREAM,
                message.sequence,
                &message.subject,
                why,
                &message.payload,
            )),
        }
    }
    facts
}

fn hardware(message: &Stored) -> Result<Option<Hardware>, String> {
    let mut tokens = message.subject.split('.').skip(1);
    let (Some(pc_id), Some(job), None) = (tokens.next(), tokens.next(), tokens.next()) else {
        return Err("its subject is not `inventory.<pc>.<job>`".into());
    };
    let (Ok(pc_id), Ok(_)) = (PcId::parse(pc_id), JobId::parse(job)) else {
        return Err("its subject does not name a PC and a job".into());
    };
    if job != HARDWARE {
        return Ok(None);
    }
    let hardware: Hardware = serde_json::from_slice(&message.payload)
        .map_err(|error| format!("it is not hardware: {error}"))?;
    if hardware.pc_id != pc_id {
        return Err(format!(
            "it says that it is of `{}`, which is not what its subject says",
            hardware.pc_id
        ));
    }
    Ok(Some(hardware))
}

/// Copies what a batch says to the bucket.
///
/// # Errors
/// What the broker or the connection said.
pub async fn copy(js: &jetstream::Context, facts: &Facts<'_>) -> Result<(), async_nats::Error> {
    let newest = facts.newest.iter();
    let copies: Vec<Outgoing> = newest
        .map(|(pc_id, (_, message))| Outgoing::plain(bucket_key(pc_id), message.payload.clone()))
        .collect();
    // None of them has a condition or an expiry, which are what the time is for.
    kept::publish(js, &copies, DateTime::UNIX_EPOCH).await?;
    Ok(())
}

/// Stores a batch in `tx`.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn project(tx: &mut Tx, facts: Facts<'_>) -> Result<Applied, StoreError> {
    let mut applied = Applied {
        dead_letters: facts.dead_letters,
        ..Applied::default()
    };
    let hardware: Vec<Hardware> = facts.newest.into_values().map(|(one, _)| one).collect();
    tx.pcs_hardware(&hardware).await?;
    applied.live.agents = hardware.into_iter().map(|one| one.pc_id).collect();
    Ok(applied)
}

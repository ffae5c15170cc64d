//! AUDIT: takes back rows that an older or empty database lacks.
//!
//! The backend copies its own audit rows to this stream, so a database that is as new as the
//! broker has them all, and reading them does nothing. A row that it lacks says that the database
//! is older than the broker.

use kanade_shared::api::system::AuditRow;
use uuid::Uuid;

use super::Applied;
use super::reader::Stored;
use crate::store::positions::DeadLetter;
use crate::store::{StoreError, Tx};

/// Name of the stream.
pub const STREAM: &str = "AUDIT";

fn read(message: &Stored) -> Result<(Uuid, AuditRow), String> {
    let row: AuditRow = serde_json::from_slice(&message.payload)
        .map_err(|error| format!("it is not an audit row: {error}"))?;
    if message.subject != kanade_shared::subject::audit(&row.actor) {
        return Err("its actor is not the one in its subject".into());
    }
    let id = Uuid::try_parse(&row.audit_id).map_err(|_| "its id is not a UUID".to_owned())?;
    Ok((id, row))
}

/// Stores a batch in `tx`; says how many rows the database lacked.
///
/// # Errors
/// [`StoreError`] when the database does not take it.
pub async fn project(tx: &mut Tx, messages: &[Stored]) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    let mut rows = Vec::with_capacity(messages.len());
    for message in messages {
        match read(message) {
            Ok(row) => rows.push(row),
            Err(why) => applied.dead_letters.push(DeadLetter::new(
                STREAM,
                message.sequence,
                &message.subject,
                why,
                &message.payload,
            )),
        }
    }
    applied.taken_back = tx.audit_take_back(&rows).await?;
    Ok(applied)
}

//! Publishes the encrypted scripts that live commands name, before the documents that name them.
//!
//! A body is on the broker until an hour after the last of its commands can matter, or, when the
//! stream is nearly full, until none of its commands is live. What the broker has is remembered, and
//! looked up when it may have changed.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use kanade_shared::subject::{self, EXEC_STREAM};

use super::PublishError;
use super::kept::{self, Outgoing};
use crate::flow::Flow;
use crate::store::scopes::LiveCommand;

/// Bodies that are read and published together: each may have half a MiB.
const AT_ONCE: usize = 16;

/// Bodies that the broker has, and until when.
pub type Bodies = HashMap<String, DateTime<Utc>>;

/// Names of the bodies that live commands need, each with the time until which they do.
#[must_use]
pub fn needed(commands: &[LiveCommand], now: DateTime<Utc>) -> Bodies {
    let mut needed = Bodies::new();
    for command in commands {
        let Some(sha256) = &command.body_sha256 else {
            continue;
        };
        // After its deadline, a retry inside the run works from what the agent has.
        if command.stop.is_some() || command.deadline <= now {
            continue;
        }
        let until = command.over_at + Duration::hours(1);
        let entry = needed.entry(sha256.clone()).or_insert(until);
        *entry = (*entry).max(until);
    }
    needed
}

/// Publishes what is needed and not there, or not long enough.
///
/// # Errors
/// [`PublishError`] when broker or database do not answer.
pub async fn reconcile(
    flow: &Flow,
    commands: &[LiveCommand],
    there: &mut Bodies,
) -> Result<(), PublishError> {
    let now = Utc::now();
    let needed = needed(commands, now);
    if flow.room.full().is_some() {
        drop_unneeded(flow, &needed, there).await?;
    }
    there.retain(|sha256, until| needed.contains_key(sha256) || *until > now);
    let missing: Vec<(String, DateTime<Utc>)> = needed
        .into_iter()
        .filter(|(sha256, until)| {
            there
                .get(sha256)
                .is_none_or(|have| *have + Duration::minutes(1) < *until)
        })
        .collect();
    for missing in missing.chunks(AT_ONCE) {
        let mut messages = Vec::with_capacity(missing.len());
        for (sha256, until) in missing {
            let Some(bytes) = flow.store.body_bytes(sha256).await? else {
                // Of a command that was taken over: the broker alone has it.
                tracing::debug!(sha256, "the database does not have this body");
                continue;
            };
            messages.push(Outgoing {
                expires_at: Some(*until),
                ..Outgoing::plain(subject::body(sha256), bytes)
            });
        }
        let sent = kept::publish(&flow.js, &messages, now).await?;
        flow.counters.bodies.add(sent.len() as u64);
        there.extend(missing.iter().cloned());
    }
    Ok(())
}

/// Makes room: what no live command names does not wait for its end. Only bodies that this process
/// published or looked up, so never one of a command that the database does not know.
async fn drop_unneeded(
    flow: &Flow,
    needed: &Bodies,
    there: &mut Bodies,
) -> Result<(), PublishError> {
    let read = |source| PublishError::Read { source };
    let unneeded: Vec<String> = there
        .keys()
        .filter(|sha256| !needed.contains_key(*sha256))
        .cloned()
        .collect();
    if unneeded.is_empty() {
        return Ok(());
    }
    let stream = flow.js.get_stream_no_info(EXEC_STREAM).await;
    let stream = stream.map_err(|error| read(error.into()))?;
    for sha256 in unneeded {
        let purged = stream.purge().filter(subject::body(&sha256)).await;
        purged.map_err(|error| read(error.into()))?;
        there.remove(&sha256);
    }
    Ok(())
}

/// Looks up which of the needed bodies the broker has, after it may have lost some.
///
/// # Errors
/// [`PublishError`] when the broker does not answer.
pub async fn look(
    flow: &Flow,
    commands: &[LiveCommand],
    there: &mut Bodies,
) -> Result<(), PublishError> {
    there.clear();
    let names: Vec<String> = needed(commands, Utc::now()).into_keys().collect();
    for names in names.chunks(AT_ONCE) {
        let subjects = names.iter().map(|sha256| subject::body(sha256)).collect();
        let found = kept::last_of_each(&flow.js, EXEC_STREAM, subjects).await;
        let found = found.map_err(|source| PublishError::Read { source })?;
        for (sha256, kept) in names.iter().zip(found) {
            if let Some(expires_at) = kept.and_then(|kept| kept.expires_at) {
                there.insert(sha256.clone(), expires_at);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::rules::tests::{at, exec_id};
    use kanade_shared::id::Attempt;

    #[test]
    fn a_body_is_kept_as_long_as_the_last_command_that_names_it() {
        let command = |n, deadline, stop| LiveCommand {
            exec_id: exec_id(n),
            attempt: Attempt::FIRST,
            wide: true,
            stop,
            body_sha256: Some("aa".into()),
            deadline: at(deadline),
            over_at: at(deadline + 60),
        };
        let both = [command(1, 100, None), command(2, 500, None)];
        assert_eq!(needed(&both, at(0))["aa"], at(560 + 3600));
        assert!(needed(&both, at(500)).is_empty());
        let stopped = [command(
            1,
            100,
            Some(kanade_shared::wire::command::StopAction::Withdraw),
        )];
        assert!(needed(&stopped, at(0)).is_empty());
    }
}

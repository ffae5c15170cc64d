//! Keeps unread results from being evicted: while they fill half of RESULTS, the stream refuses
//! new ones, which then wait in the agents' outboxes; below a quarter it takes them again.
//!
//! A task of its own, since it is needed most when the projector cannot write.

use std::time::Duration;

use async_nats::jetstream::stream::{DiscardPolicy, State};

use super::results::STREAM;
use crate::flow::Flow;
use crate::tasks::Stop;

/// How often the stream is looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// What the stream should do at its cap; `None`: as it does.
#[must_use]
pub fn policy(unread_bytes: u64, cap_bytes: u64, now: DiscardPolicy) -> Option<DiscardPolicy> {
    match now {
        DiscardPolicy::Old if unread_bytes > cap_bytes / 2 => Some(DiscardPolicy::New),
        DiscardPolicy::New if unread_bytes < cap_bytes / 4 => Some(DiscardPolicy::Old),
        DiscardPolicy::Old | DiscardPolicy::New => None,
    }
}

/// Bytes of the messages after `position`, taking all for equally large.
#[must_use]
pub fn unread_bytes(state: &State, position: u64) -> u64 {
    let unread = state.last_sequence.saturating_sub(position);
    let unread = u128::from(unread.min(state.messages));
    let bytes = unread * u128::from(state.bytes) / u128::from(state.messages.max(1));
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Looks at the stream until `stop`.
///
/// # Errors
/// Never; while the broker is away it waits.
pub async fn run(flow: Flow, stop: Stop) -> Result<(), std::convert::Infallible> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = stop.cancelled() => return Ok(()),
        }
        if let Err(error) = look(&flow).await {
            tracing::debug!(
                error = crate::tasks::chain(&*error),
                "could not look at {STREAM}"
            );
        }
    }
}

/// Looks at the stream once.
///
/// # Errors
/// What the broker or the connection said.
pub async fn look(flow: &Flow) -> Result<(), async_nats::Error> {
    let stream = flow.js.get_stream(STREAM).await?;
    let info = stream.cached_info();
    let Some(cap) = u64::try_from(info.config.max_bytes)
        .ok()
        .filter(|cap| *cap > 0)
    else {
        return Ok(());
    };
    let unread = unread_bytes(&info.state, flow.counters.results.position.get());
    let Some(policy) = policy(unread, cap, info.config.discard) else {
        return Ok(());
    };
    let refuses = policy == DiscardPolicy::New;
    tracing::warn!(
        unread,
        cap,
        refuses,
        "results wait unread; the stream changes what it does at its cap"
    );
    let mut config = info.config.clone();
    config.discard = policy;
    flow.js.update_stream(config).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_refuses_at_half_its_cap_and_takes_again_at_a_quarter() {
        use DiscardPolicy::{New, Old};
        assert_eq!(policy(51, 100, Old), Some(New));
        assert_eq!(policy(50, 100, Old), None);
        assert_eq!(policy(25, 100, New), None);
        assert_eq!(policy(24, 100, New), Some(Old));
    }
}

//! Waits for a state, never for a time.

use std::time::Duration;

use tokio::time::Instant;

/// Long enough for a loaded machine; a test that passes never waits for it.
pub const LONG: Duration = Duration::from_secs(30);

const BETWEEN: Duration = Duration::from_millis(10);

/// Waits until `holds` says so, and panics with `what` when it doesn't within `deadline`.
///
/// # Panics
/// When the deadline passes.
pub async fn until<F>(what: &str, deadline: Duration, mut holds: F)
where
    F: AsyncFnMut() -> bool,
{
    let end = Instant::now() + deadline;
    while !holds().await {
        assert!(
            Instant::now() < end,
            "waited {deadline:?} until {what}, and it was never so"
        );
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Waits until `find` finds something, and panics with `what` when it doesn't.
///
/// # Panics
/// When the deadline passes.
pub async fn some<T, F>(what: &str, deadline: Duration, mut find: F) -> T
where
    F: AsyncFnMut() -> Option<T>,
{
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = find().await {
            return found;
        }
        assert!(
            Instant::now() < end,
            "waited {deadline:?} for {what}, and it never came"
        );
        tokio::time::sleep(BETWEEN).await;
    }
}

//! Background tasks that are watched.
//!
//! [`Tasks::spawn`] runs a loop until it is told to stop. One that returns an error or panics is
//! logged, counted and started again with back-off; it is never silently gone. [`Tasks::stop_all`]
//! stops them in the reverse of the order they were spawned in, so what others build upon goes
//! last. [`Nudge`] wakes a reconciler and carries nothing, so a lost one costs a timer period.
//!
//! **Invariant:** a panic in a task ends that task's try, not the process.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kanade_shared::api::system::TaskView;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Told to a task that should finish what it has in hand and return.
pub type Stop = CancellationToken;

/// First wait before a task is started again; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest wait before a task is started again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A task that ran this long starts its back-off over.
const STEADY: Duration = Duration::from_secs(60);
/// How long a task may take to finish after it was told to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Wakes a reconciler. Several nudges before it looks are one.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// A new one, not nudged.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the one who waits, or the next who will.
    pub fn nudge(&self) {
        self.0.notify_one();
    }

    /// Waits for a nudge since the last time it was waited for.
    pub async fn nudged(&self) {
        self.0.notified().await;
    }
}

/// How a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It runs.
    Running,
    /// It failed and waits to be started again.
    Waiting,
    /// It returned, since it was done or was told to stop.
    Ended,
}

#[derive(Debug)]
struct Record {
    name: &'static str,
    state: TaskState,
    restarts: u64,
    last_error: Option<String>,
}

/// The tasks of one backend; clones share them.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Default)]
struct Inner {
    records: Mutex<Vec<Record>>,
    handles: Mutex<Vec<(&'static str, Stop, JoinHandle<()>)>>,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `start(stop)` until it returns `Ok`, again and again after an error or a panic.
    ///
    /// The future should return `Ok(())` soon after `stop` is cancelled; one that doesn't is
    /// dropped after ten seconds.
    pub fn spawn<F, Fut, E>(&self, name: &'static str, start: F)
    where
        F: Fn(Stop) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let index = {
            let mut records = lock(&self.0.records);
            records.push(Record {
                name,
                state: TaskState::Running,
                restarts: 0,
                last_error: None,
            });
            records.len() - 1
        };
        let stop = Stop::new();
        let handle = tokio::spawn(supervise(self.clone(), index, name, stop.clone(), start));
        lock(&self.0.handles).push((name, stop, handle));
    }

    /// All tasks, in the order they were spawned in.
    #[must_use]
    pub fn list(&self) -> Vec<TaskView> {
        let records = lock(&self.0.records);
        records
            .iter()
            .map(|record| TaskView {
                task: record.name.to_owned(),
                restarts: record.restarts,
                last_error: record.last_error.clone(),
            })
            .collect()
    }

    /// Tasks that are not running although nobody stopped them, with what ended each.
    #[must_use]
    pub fn failing(&self) -> Vec<(&'static str, String)> {
        let records = lock(&self.0.records);
        let failing = records
            .iter()
            .filter(|record| record.state == TaskState::Waiting);
        failing
            .map(|r| (r.name, r.last_error.clone().unwrap_or_default()))
            .collect()
    }

    /// How often tasks had to be started again, in all.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        lock(&self.0.records)
            .iter()
            .map(|record| record.restarts)
            .sum()
    }

    /// Stops every task, the last spawned first, each with a limit of ten seconds.
    pub async fn stop_all(&self) {
        let mut handles = std::mem::take(&mut *lock(&self.0.handles));
        while let Some((name, stop, mut handle)) = handles.pop() {
            stop.cancel();
            if tokio::time::timeout(STOP_LIMIT, &mut handle).await.is_err() {
                tracing::warn!(task = name, "did not stop in time and is dropped");
                handle.abort();
            }
        }
    }

    fn note(&self, index: usize, state: TaskState, error: Option<String>) {
        if let Some(record) = lock(&self.0.records).get_mut(index) {
            record.state = state;
            if let Some(error) = error {
                record.restarts += 1;
                record.last_error = Some(error);
            }
        }
    }
}

async fn supervise<F, Fut, E>(tasks: Tasks, index: usize, name: &'static str, stop: Stop, start: F)
where
    F: Fn(Stop) -> Fut,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    let mut wait = FIRST_WAIT;
    loop {
        let began = Instant::now();
        let mut one_try = AbortOnDrop(tokio::spawn(start(stop.clone())));
        let error = match (&mut one_try.0).await {
            Ok(Ok(())) => return tasks.note(index, TaskState::Ended, None),
            Ok(Err(error)) => chain(&*error.into()),
            Err(panic) => format!("panicked: {}", panic_text(panic)),
        };
        if stop.is_cancelled() {
            tracing::warn!(task = name, error, "failed while it stopped");
            return tasks.note(index, TaskState::Ended, None);
        }
        if began.elapsed() >= STEADY {
            wait = FIRST_WAIT;
        }
        tracing::error!(task = name, error, again_in = ?wait, "a task failed");
        tasks.note(index, TaskState::Waiting, Some(error));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return tasks.note(index, TaskState::Ended, None),
        }
        wait = (wait * 2).min(LONGEST_WAIT);
        tasks.note(index, TaskState::Running, None);
    }
}

/// The try must not outlive its supervisor, which is aborted when it overstays a stop.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

fn panic_text(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "cancelled".into();
    };
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".into())
}

/// What is behind these locks is right after every statement, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_or_panics_is_counted_and_started_again() {
        let tasks = Tasks::new();
        let tries = Arc::new(AtomicU32::new(0));
        let (seen, steady) = (tries.clone(), Nudge::new());
        let reached = steady.clone();
        tasks.spawn("projector", move |stop| {
            let (n, reached) = (seen.fetch_add(1, Ordering::SeqCst), reached.clone());
            async move {
                match n {
                    0 => Err(io::Error::other("the disk is full")),
                    1 => panic!("a broken rule"),
                    _ => {
                        reached.nudge();
                        stop.cancelled().await;
                        Ok(())
                    }
                }
            }
        });
        steady.nudged().await;
        let view = &tasks.list()[0];
        assert_eq!((view.restarts, tries.load(Ordering::SeqCst)), (2, 3));
        assert_eq!(view.last_error.as_deref(), Some("panicked: a broken rule"));
        assert!(tasks.failing().is_empty());
        tasks.stop_all().await;
    }

    #[tokio::test]
    async fn tasks_stop_in_the_reverse_of_the_order_they_were_spawned_in() {
        let tasks = Tasks::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        for name in ["store", "projector", "api"] {
            let order = order.clone();
            tasks.spawn(name, move |stop| {
                let order = order.clone();
                async move {
                    stop.cancelled().await;
                    lock(&order).push(name);
                    Ok::<(), io::Error>(())
                }
            });
        }
        tasks.stop_all().await;
        assert_eq!(*lock(&order), ["api", "projector", "store"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_a_stop_is_dropped() {
        struct Told(Nudge);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.nudge();
            }
        }
        let (tasks, dropped) = (Tasks::new(), Nudge::new());
        let told = dropped.clone();
        tasks.spawn("deaf", move |_| {
            let told = Told(told.clone());
            async move {
                let _told = told;
                std::future::pending::<()>().await;
                Ok::<(), io::Error>(())
            }
        });
        tasks.stop_all().await;
        dropped.nudged().await;
    }
}

//! Whether everything serves, for `/readyz`, `kanade doctor` and the system page.
//!
//! Each part gives a check that says what it finds when it is asked; nothing is remembered
//! between questions, so an answer is as things are now.
//!
//! **Invariant:** a check answers soon: one that does not within two seconds is a finding itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, join_all};
use kanade_shared::api::system::{Finding, Level, StreamView, TaskView};

use crate::tasks::Tasks;

/// Longest time for one check.
const CHECK_TIME: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> BoxFuture<'static, Vec<Finding>> + Send + Sync>;
type Streams = Arc<dyn Fn() -> Vec<StreamView> + Send + Sync>;

/// The checks of one backend; clones share them.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    started_at: DateTime<Utc>,
    tasks: Tasks,
    streams: Streams,
    checks: Mutex<Vec<(&'static str, Check)>>,
}

impl Health {
    /// With a check of the tasks; `streams` says how far the projector is.
    #[must_use]
    pub fn new(
        started_at: DateTime<Utc>,
        tasks: Tasks,
        streams: impl Fn() -> Vec<StreamView> + Send + Sync + 'static,
    ) -> Self {
        let checks = Mutex::default();
        Self(Arc::new(Inner {
            started_at,
            tasks,
            streams: Arc::new(streams),
            checks,
        }))
    }

    /// Adds a check of the part `name`.
    pub fn check<F>(&self, name: &'static str, check: F)
    where
        F: Fn() -> BoxFuture<'static, Vec<Finding>> + Send + Sync + 'static,
    {
        let mut checks = self.0.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.push((name, Arc::new(check)));
    }

    /// When the backend started.
    #[must_use]
    pub fn started_at(&self) -> DateTime<Utc> {
        self.0.started_at
    }

    /// How far the projector is with each stream.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamView> {
        (self.0.streams)()
    }

    /// Background tasks.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskView> {
        self.0.tasks.list()
    }

    /// Everything that is looked at, worst first.
    pub async fn findings(&self) -> Vec<Finding> {
        let checks = self
            .0
            .checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let answers = join_all(checks.into_iter().map(|(name, check)| async move {
            let answer = tokio::time::timeout(CHECK_TIME, check()).await;
            answer.unwrap_or_else(|_| vec![silent(name)])
        }));
        let mut findings = answers.await.concat();
        findings.extend(self.0.tasks.failing().into_iter().map(failing));
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        findings
    }
}

fn silent(name: &str) -> Finding {
    let text = format!(
        "the {name} did not answer within {} s",
        CHECK_TIME.as_secs()
    );
    error(&format!("{name}.silent"), text)
}

fn failing((task, why): (&'static str, String)) -> Finding {
    error(
        "task.failing",
        format!("{task} failed and will be started again: {why}"),
    )
}

/// A part that is as it should be.
#[must_use]
pub fn fine(code: &str, text: impl Into<String>) -> Finding {
    Finding {
        level: Level::Ok,
        code: code.to_owned(),
        text: text.into(),
        help: None,
    }
}

/// A part that works, and somebody should look.
#[must_use]
pub fn warning(code: &str, text: impl Into<String>, help: impl Into<String>) -> Finding {
    let help = Some(help.into());
    Finding {
        level: Level::Warn,
        code: code.to_owned(),
        text: text.into(),
        help,
    }
}

/// A part that does not work.
#[must_use]
pub fn error(code: &str, text: impl Into<String>) -> Finding {
    Finding {
        level: Level::Error,
        code: code.to_owned(),
        text: text.into(),
        help: None,
    }
}

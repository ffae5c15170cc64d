//! Keeps the broker running: a task that waits for its end and starts it again.
//!
//! A broker whose store once found no room takes nothing more for that stream. It is stopped and
//! started again as soon as there is room.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::child::{Launch, Running};
use super::disk::ROOM_BYTES;
use super::failure::BrokerError;
use super::log::Lines;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Time between two looks whether a full disk has room again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A broker that served this long had a start that counts as good.
const STEADY: Duration = Duration::from_secs(60);

/// How the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerHealth {
    /// What it does.
    pub state: BrokerState,
    /// Its process id, while it serves.
    pub pid: Option<u32>,
    /// How often it was started again since the backend started.
    pub restarts: u64,
    /// How it ended the last time, or why it did not start.
    pub last_failure: Option<String>,
}

/// What the broker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerState {
    /// It answers.
    Serving,
    /// It ended and is being started again.
    Restarting,
    /// It was stopped.
    Stopped,
}

/// Watches `running` until `stop`.
pub(super) fn spawn(
    launch: Launch,
    running: Running,
    stop: CancellationToken,
) -> (JoinHandle<()>, watch::Receiver<BrokerHealth>) {
    let (health, receiver) = watch::channel(BrokerHealth {
        state: BrokerState::Serving,
        pid: running.pid(),
        restarts: 0,
        last_failure: None,
    });
    (
        tokio::spawn(supervise(launch, running, health, stop)),
        receiver,
    )
}

async fn supervise(
    launch: Launch,
    mut running: Running,
    health: watch::Sender<BrokerHealth>,
    stop: CancellationToken,
) {
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let lines = running.lines();
        let how = tokio::select! {
            how = running.ended() => how,
            () = room_again(&lines, &launch.store) => {
                running.stop().await;
                "its disk was full and has room again".to_owned()
            }
            () = stop.cancelled() => {
                running.stop().await;
                break;
            }
        };
        warn!(how, "the broker ended; starting it again");
        failures = if started.elapsed() >= STEADY {
            0
        } else {
            failures
        };
        health.send_modify(|health| health.fail(how));
        let again = tokio::select! {
            again = start_again(&launch, &mut failures, &health) => again,
            () = stop.cancelled() => break,
        };
        running = again;
        info!(pid = running.pid(), "the broker runs again");
        health.send_modify(|health| health.serve(running.pid()));
    }
    health.send_modify(|health| {
        health.state = BrokerState::Stopped;
        health.pid = None;
    });
}

/// Waits until the broker refuses to write and there is room all the same.
async fn room_again(lines: &Lines, store: &Path) {
    loop {
        sleep(LOOK_EVERY).await;
        if !lines.refuses_writes() {
            continue;
        }
        let store = store.to_owned();
        let look = tokio::task::spawn_blocking(move || fs4::available_space(store));
        if let Ok(Ok(free)) = look.await
            && free >= ROOM_BYTES
        {
            return;
        }
    }
}

async fn start_again(
    launch: &Launch,
    failures: &mut u32,
    health: &watch::Sender<BrokerHealth>,
) -> Running {
    loop {
        sleep(wait(*failures)).await;
        *failures = failures.saturating_add(1);
        match launch.start().await {
            Ok(running) => return running,
            Err(failure) => {
                tell(&failure);
                health.send_modify(|health| health.fail(failure.to_string()));
            }
        }
    }
}

fn tell(failure: &BrokerError) {
    error!(%failure, help = failure.help(), "could not start the broker again; trying on");
}

fn wait(failures: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(LONGEST_WAIT)
}

impl BrokerHealth {
    fn fail(&mut self, how: String) {
        self.state = BrokerState::Restarting;
        self.pid = None;
        self.last_failure = Some(how);
    }

    fn serve(&mut self, pid: Option<u32>) {
        self.state = BrokerState::Serving;
        self.pid = pid;
        self.restarts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_between_starts_double_up_to_the_longest() {
        assert_eq!(Duration::from_millis(100), wait(0));
        assert_eq!(Duration::from_millis(800), wait(3));
        assert_eq!(LONGEST_WAIT, wait(40));
    }
}

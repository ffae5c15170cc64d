//! Ctrl-C and SIGTERM: the first asks for an orderly stop, the second ends the process at once.

use tokio::signal;

use crate::tasks::Stop;

/// Exit code of a process that a signal ended, by convention 128 + 2.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled when somebody wants the backend to stop.
#[must_use]
pub fn stop_requested() -> Stop {
    let stop = Stop::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        let mut signals = Signals::listen();
        signals.next().await;
        tracing::info!("stopping; once more ends it at once");
        asked.cancel();
        signals.next().await;
        tracing::warn!("stopped at once; what was in progress is taken up at the next start");
        std::process::exit(INTERRUPTED);
    });
    stop
}

/// Listens from its making on, so that no signal is lost in between.
struct Signals {
    #[cfg(unix)]
    terminate: Option<signal::unix::Signal>,
}

impl Signals {
    fn listen() -> Self {
        Self {
            #[cfg(unix)]
            terminate: signal::unix::signal(signal::unix::SignalKind::terminate()).ok(),
        }
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        let terminated = async {
            match &mut self.terminate {
                Some(terminate) => {
                    terminate.recv().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = terminated => {}
            _ = signal::ctrl_c() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        signal::ctrl_c().await.ok();
    }
}

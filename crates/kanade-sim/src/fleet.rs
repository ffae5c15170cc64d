//! The fleet as a whole: shards on threads of their own, started and stopped together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use kanade_agent::config::Join;
use kanade_agent::https::Blobs;
use kanade_shared::id::{IdError, PcId};
use tokio_util::sync::CancellationToken;

use crate::agent::Pc;
use crate::behaviour::Behaviour;
use crate::documents::{Bodies, OpenOnce};
use crate::figures::Figures;
use crate::shard::{Shard, Shared};

/// Why a fleet can't start.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Names that PCs can't have.
    #[error("could not name PCs `{prefix}…`")]
    Name {
        /// What they were to begin with.
        prefix: String,
        /// Why.
        #[source]
        source: IdError,
    },
    /// The system gives no thread or runtime.
    #[error("could not start a thread of the fleet")]
    Thread(#[source] std::io::Error),
}

/// Which agents, and how they start.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many.
    pub agents: u32,
    /// Number of the first one.
    pub first: u32,
    /// What their ids begin with.
    pub prefix: String,
    /// Agents that start within a second.
    pub start_rate: u32,
    /// Threads.
    pub threads: u32,
}

impl Plan {
    /// Its PCs, in order.
    ///
    /// # Errors
    /// [`FleetError::Name`].
    pub fn pcs(&self) -> Result<Vec<Pc>, FleetError> {
        let name = |number: u32| {
            let text = format!("{}-{number:05}", self.prefix);
            let pc_id = PcId::parse(&text).map_err(|source| FleetError::Name {
                prefix: self.prefix.clone(),
                source,
            })?;
            Ok(Pc { pc_id, number })
        };
        (self.first..self.first.saturating_add(self.agents))
            .map(name)
            .collect()
    }
}

/// A running fleet; dropping it stops it at once.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    stop: CancellationToken,
    hurry: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Starts all shards; the agents follow at their rate.
    ///
    /// # Errors
    /// [`FleetError`].
    pub fn start(plan: &Plan, join: Join, behaviour: Behaviour) -> Result<Self, FleetError> {
        let blobs = Blobs::new(&join.api_url, &join.api_token);
        let shared = Arc::new(Shared {
            join,
            blobs,
            behaviour,
            figures: Figures::default(),
            documents: Arc::new(OpenOnce::default()),
            bodies: Bodies::default(),
            text: words(),
        });
        let threads = plan.threads.max(1) as usize;
        let mut shares: Vec<Vec<(Pc, u64)>> = vec![Vec::new(); threads];
        for (place, pc) in plan.pcs()?.into_iter().enumerate() {
            let after_ms = place as u64 * 1000 / u64::from(plan.start_rate.max(1));
            shares[place % threads].push((pc, after_ms));
        }
        let mut fleet = Self {
            shared,
            stop: CancellationToken::new(),
            hurry: Arc::default(),
            threads: Vec::new(),
        };
        for pcs in shares {
            fleet.threads.push(fleet.spawn(pcs)?);
        }
        Ok(fleet)
    }

    fn spawn(&self, pcs: Vec<(Pc, u64)>) -> Result<JoinHandle<()>, FleetError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(FleetError::Thread)?;
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        let hurry = Arc::clone(&self.hurry);
        std::thread::Builder::new()
            .name("shard".to_owned())
            .spawn(move || {
                let work = async { Shard::new(shared, pcs).run(stop, &hurry).await };
                runtime.block_on(work);
                runtime.shutdown_background();
            })
            .map_err(FleetError::Thread)
    }

    /// What all agents share, with the figures.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Stops what runs, gives the results a moment to reach the broker, and closes all
    /// connections.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// No moment for anything any more.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
        self.stop.cancel();
    }

    /// Whether every shard has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.hurry();
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// What scripts write: lines that look like a program's, over and over.
fn words() -> String {
    let line = |n: u32| format!("{n:05} simulated output of a script that had a lot to say\n");
    (0..64 * 1024 / 64).map(line).collect()
}

//! The whole backend, wired once: who is made from whom, started in which order, stopped in which.
//!
//! Up: the API's port is taken, secrets, database, broker and its resources, the rules, the loops
//! between broker and database, and then the API answers. Down, in reverse: the API takes no
//! more, the loops finish what they have in hand, the database closes, the broker stops last.
//! What fails on the way up is told in one sentence, and what was up already is stopped all the
//! same.
//!
//! **Invariant:** nothing else in the program makes one of these parts.

mod checks;
mod door;
mod numbers;
mod pulse;
mod standby;
mod way;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use kanade_shared::bootstrap::Report;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::api::{self, Dashboard, Token};
use crate::broker::bootstrap as resources;
use crate::changes::Changes;
use crate::config::Config;
use crate::failure::Failure;
use crate::fleet::{ExecRoom, Fleet, Outputs};
use crate::flow::{self, Flow};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::secrets::{AgentCredentials, Secrets};
use crate::services::Tails;
use crate::signals;
use crate::store::Store;
use crate::tasks::{Nudge, Stop, Tasks};

use door::Door;
use way::Way;

/// Runs until Ctrl-C or SIGTERM, and stops in order.
///
/// # Errors
/// [`Failure`] when a part cannot be started; what was started is stopped.
pub async fn run(config: Config) -> Result<(), Failure> {
    let began = Instant::now();
    let stop = signals::stop_requested();
    // First of all, since a port in use is the commonest reason not to start.
    let listener = Arc::new(api::listen(config.listen).await?);
    let address = listener.local_addr().unwrap_or(config.listen);
    let secrets = Secrets::open(&config.data_dir)?;
    let Some(store) = open(&config, &listener, &stop).await? else {
        return Ok(());
    };
    let end = ends(&store, &stop);
    let kept = tokio::spawn({
        let store = store.clone();
        async move { store.keep_lease().await }
    });
    let done = with_store(&config, &secrets, &store, listener, address, end, began).await;
    kept.abort();
    // What the parts met when they were told to end says less than why they had to.
    let done = match store.taken_over() {
        Some(error) => Err(error.into()),
        None => done,
    };
    store.close().await;
    info!("stopped");
    done
}

/// Opens the database; absent when `stop` came first.
async fn open(
    config: &Config,
    listener: &Arc<TcpListener>,
    stop: &Stop,
) -> Result<Option<Store>, Failure> {
    let place = config.database()?;
    let opened = Stop::new();
    let standby = tokio::spawn(standby::serve(listener.clone(), opened.clone()));
    let store = tokio::select! {
        store = Store::open_at(&place) => Some(store),
        () = stop.cancelled() => None,
    };
    opened.cancel();
    standby.await.ok();
    Ok(store.transpose()?)
}

/// Cancelled by `stop`, and when another backend has taken over the database.
fn ends(store: &Store, stop: &Stop) -> Stop {
    let (end, lost) = (stop.child_token(), store.lost());
    let told = end.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = lost.cancelled() => {
                warn!("another backend has taken over the database; this one ends");
                told.cancel();
            }
            () = told.cancelled() => {}
        }
    });
    end
}

/// Runs all that is above the database.
async fn with_store(
    config: &Config,
    secrets: &Secrets,
    store: &Store,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    end: Stop,
    began: Instant,
) -> Result<(), Failure> {
    let way = tokio::select! {
        way = Way::open(config) => way?,
        () = end.cancelled() => return Ok(()),
    };
    info!(took = ?began.elapsed(), database = store.what(), "the database is open and the broker known");
    // Until it returns, a start has begun nothing that would have to end in order.
    let started = tokio::select! {
        started = start(config, secrets, store, &way, address) => started.map(Some),
        () = end.cancelled() => Ok(None),
    };
    let done = match started {
        Ok(Some(backend)) => {
            backend.serve(listener, end, began).await;
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    way.close().await;
    done
}

/// What runs between a start and a stop.
struct Backend {
    tasks: Tasks,
    /// Of live events, which end before the connections that carry them.
    live: Stop,
    router: axum::Router,
    address: SocketAddr,
}

/// Makes all parts above database and broker, and starts the loops.
async fn start(
    config: &Config,
    secrets: &Secrets,
    store: &Store,
    way: &Way,
    address: SocketAddr,
) -> Result<Backend, Failure> {
    let began = Instant::now();
    let client = way.connect().await?;
    let (pcs, _) = store.agents_count().await?;
    let report = resources::apply(&client, way.sizing(pcs)).await?;
    told(&report, began);

    let token = secrets.api_token()?;
    if let Some((user, password)) = way.agent() {
        let api_url = format!("http://{address}");
        let url = way.url().to_owned();
        let api_token = token.clone();
        secrets.write_agent(&AgentCredentials {
            url,
            user,
            password,
            api_url,
            api_token,
        })?;
    }

    let (tasks, metrics, live) = (Tasks::new(), Metrics::new(), Stop::new());
    let (publisher, room) = (Nudge::new(), ExecRoom::recovering());
    let changes = Changes::new(store.last_change().await?);
    let outputs = Outputs::new(async_nats::jetstream::new(client.clone()));
    let fleet = Fleet::new(
        store.clone(),
        changes.clone(),
        publisher.clone(),
        Some(outputs),
        room.clone(),
    );
    let flow = Flow::new(
        store.clone(),
        fleet.clone(),
        client.clone(),
        changes.clone(),
        publisher,
        room,
    )
    .await?;
    let counters = flow.counters.clone();
    let health = Health::new(Utc::now(), tasks.clone(), move || counters.views());
    checks::add(&health, &flow, way, report.warnings);
    numbers::watch(&metrics, &flow, &tasks, way);
    let tails = Tails::default();
    flow::spawn(&tasks, &flow, &tails, way.system().await?);

    let dashboard = Dashboard::built_in().at(config.dashboard.url.clone());
    if !dashboard.is_there() {
        info!("this program was built without the dashboard");
    }
    let router = api::router(api::Parts {
        fleet,
        changes,
        metrics,
        health,
        broker: Arc::new(Door::new(flow, tails, way.sizing(pcs))),
        token: Token::new(&token),
        dashboard,
        limits: config.limits.clone(),
        stop: live.clone(),
    });
    Ok(Backend {
        tasks,
        live,
        router,
        address,
    })
}

fn told(report: &Report, began: Instant) {
    use kanade_shared::bootstrap::Outcome;
    let (created, updated) = (
        report.count(Outcome::Created),
        report.count(Outcome::Updated),
    );
    let kept = report.count(Outcome::Kept);
    info!(created, updated, kept, took = ?began.elapsed(), "the broker has what it needs");
    for warning in &report.warnings {
        warn!("{warning}");
    }
}

impl Backend {
    /// Answers until `stop`, then ends what it began, the API first.
    async fn serve(self, listener: Arc<TcpListener>, stop: Stop, began: Instant) {
        let (router, live) = (self.router, self.live);
        self.tasks.spawn("api", move |stop| {
            let (listener, router, live) = (listener.clone(), router.clone(), live.clone());
            async move {
                let ends = stop.clone();
                let end_live = async move {
                    ends.cancelled().await;
                    live.cancel();
                };
                tokio::join!(api::serve(listener, router, stop), end_live);
                Ok::<(), std::convert::Infallible>(())
            }
        });
        info!(url = %format_args!("http://{}", self.address), took = ?began.elapsed(), "the API answers");
        stop.cancelled().await;
        self.tasks.stop_all().await;
    }
}

//! The agent's loop: one closed enum of everything that can happen, one thing per tick.
//!
//! Each [`Event`] goes to the core with the time; `effects` performs what comes back, in order. A
//! write that fails is handed back to the core with all that was to follow, so nothing is ever
//! done on the strength of a write that did not happen.
//!
//! A stop (SIGTERM, Ctrl-C) is an event like others: nothing starts any more, what runs is stopped
//! and reported as interrupted, and the loop ends when nothing is left or patience is.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kanade_agent_core::journal::{Entry, Meta};
use kanade_agent_core::{Boot, Core, Effect};
use kanade_shared::id::{JournalId, PcId, RequestId};
use kanade_shared::wire::agent::HeardState;
use kanade_shared::wire::command::RunAs;
use kanade_shared::wire::inventory::Hardware;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::{Config, ConfigError, Join};
use crate::data::held::HeldFiles;
use crate::data::journal::JournalFiles;
use crate::data::{DataError, DataFolder};
use crate::exec::Runner;
use crate::heartbeat::Pulse;
use crate::https::Blobs;
use crate::link::document::OpenEach;
use crate::link::{LinkError, LinkEvent};
use crate::outbox::files::OutboxFiles;
use crate::outbox::{Outbox, OutboxEvent};
use crate::platform::{self, Platform};
use crate::requests::KickGate;
use crate::runs::{RunEvent, Runs};
use crate::scripts::{NotFetched, Scripts};
use crate::telemetry::Telemetry;
use crate::{blocking, clock, link, random};

mod effects;
mod events;

/// Runs in progress get this long to end when the agent is stopped.
const STOP_PATIENCE: Duration = Duration::from_secs(9);
/// Then what they left in the outbox gets this long to reach the broker.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);
/// Hardware is read at the start and then so often.
const HARDWARE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// The first time so long after the start, so that it delays no command.
const HARDWARE_FIRST: Duration = Duration::from_secs(2);
/// Above this size an idle agent gives memory back, in bytes; in use it is about 8 MiB.
const SLIM_ABOVE_BYTES: u64 = 10 * 1024 * 1024;
/// Room on the disk that results never take, in bytes.
const DISK_RESERVE_BYTES: u64 = 16 * 1024 * 1024;

/// Why the agent can't run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its data folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The way to the broker.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The folder for scripts in progress.
    #[error("could not prepare the folder for runs")]
    Runs(#[source] std::io::Error),
    /// The runtime or its signals.
    #[error("could not start")]
    Start(#[source] std::io::Error),
}

/// Everything that can happen.
#[derive(Debug)]
enum Event {
    Link(LinkEvent),
    Run(RunEvent),
    Outbox(OutboxEvent),
    /// A script was fetched, or not.
    Script {
        request_id: RequestId,
        got: Result<(), NotFetched>,
    },
    /// Broker and backend said what they know of a run in doubt.
    Asked {
        request_id: RequestId,
        found: Option<bool>,
        heard: Option<HeardState>,
    },
    /// The PC's hardware was read.
    Hardware(Box<Hardware>),
    /// The core wanted to be woken.
    Timeout,
    /// A heartbeat is due.
    BeatDue,
    /// The hardware is to be read again.
    HardwareDue,
    /// The agent is to end.
    Stop,
}

struct Agent {
    core: Core,
    pc_id: PcId,
    host_name: Option<String>,
    max_outbox_bytes: u64,
    log_file: Option<std::path::PathBuf>,
    url: String,
    data: DataFolder,
    journal: JournalFiles,
    held: HeldFiles,
    outbox: Outbox,
    runs: Runs,
    scripts: Scripts,
    telemetry: Telemetry,
    platform: Arc<dyn Platform>,
    /// The client, while there is a connection.
    client: Option<async_nats::Client>,
    /// The task that reads all documents.
    reader: Option<JoinHandle<()>>,
    effects: VecDeque<Effect>,
    pulse: Pulse,
    hardware_at: Instant,
    kicks: KickGate,
    stop_by: Option<Instant>,
    sources: Sources,
}

/// Where events come from, and the ends that the agent's tasks write to.
struct Sources {
    link: mpsc::Receiver<LinkEvent>,
    link_end: mpsc::Sender<LinkEvent>,
    runs: mpsc::UnboundedReceiver<RunEvent>,
    outbox: mpsc::UnboundedReceiver<OutboxEvent>,
    own: mpsc::UnboundedReceiver<Event>,
    own_end: mpsc::UnboundedSender<Event>,
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// [`AgentError`] when it can't begin; what goes wrong later is dealt with.
pub async fn run(config: &Config) -> Result<(), AgentError> {
    let join = config.read_join()?;
    let data = DataFolder::open(config.data_dir()?)?;
    let pc_id = data.identity(config.id.clone())?;
    tracing::info!(%pc_id, folder = %data.root().display(), url = join.url, version = env!("CARGO_PKG_VERSION"), "agent started");
    let mut agent = Agent::boot(config, &join, data, pc_id).await?;
    // What a crashed agent left running ends before anything new can begin.
    agent.perform_all().await;
    let events = agent.sources.link_end.clone();
    let _link = link::open(&join, &agent.pc_id, Arc::new(OpenEach), events).await?;
    let mut stop = std::pin::pin!(stop_signal().map_err(AgentError::Start)?);
    while !agent.is_over() {
        let event = tokio::select! {
            biased;
            () = &mut stop, if agent.stop_by.is_none() => Event::Stop,
            event = agent.next_event() => event,
        };
        agent.handle(event).await;
        agent.perform_all().await;
    }
    agent.flush().await;
    tracing::info!("agent stopped");
    Ok(())
}

impl Agent {
    async fn boot(
        config: &Config,
        join: &Join,
        data: DataFolder,
        pc_id: PcId,
    ) -> Result<Self, AgentError> {
        let platform = platform::current();
        let blobs = Blobs::new(&join.api_url, &join.api_token);
        let scripts = Scripts::new(data.clone(), blobs.clone());
        let (journal, held) = (
            JournalFiles::new(data.clone()),
            HeldFiles::new(data.clone()),
        );
        let files = OutboxFiles::new(data.clone());
        let left = {
            let (journal, held, files) = (journal.clone(), held.clone(), files.clone());
            let scripts = scripts.clone();
            blocking(move || Left::read(&journal, &held, &files, &scripts)).await?
        };
        let runner = {
            let (platform, folder) = (Arc::clone(&platform), data.path("runs"));
            blocking(move || Runner::open(platform, &folder))
                .await
                .map_err(AgentError::Runs)?
        };
        let (run_end, runs_events) = mpsc::unbounded_channel();
        let (outbox_end, outbox_events) = mpsc::unbounded_channel();
        let (link_end, link_events) = mpsc::channel(64);
        let (own_end, own_events) = mpsc::unbounded_channel();
        let (stored, results): (Vec<_>, Vec<_>) = left.outbox.into_iter().unzip();
        let outbox = Outbox::start(files, &stored, pc_id.clone(), blobs, outbox_end);
        let waiting: u64 = stored.iter().map(|stored| stored.disk_bytes).sum();
        let room_bytes = room_bytes(config.outbox.max_bytes, waiting, data.root());
        let core = Core::new(
            Boot {
                pc_id: pc_id.clone(),
                meta: left.meta,
                entries: left.entries,
                held: left.held,
                desired: left.desired,
                brake: left.brake,
                outbox: results,
                room_bytes,
                run_as: vec![RunAs::System],
                wall: clock::wall(),
            },
            clock::mono(),
        );
        let now = Instant::now();
        let mut agent = Self {
            core,
            host_name: platform::host_name().ok(),
            max_outbox_bytes: config.outbox.max_bytes,
            log_file: config.log.file.clone(),
            url: join.url.clone(),
            runs: Runs::new(runner, scripts.clone(), pc_id.clone(), run_end),
            pc_id,
            data,
            journal,
            held,
            outbox,
            scripts,
            telemetry: Telemetry::start(),
            platform,
            client: None,
            reader: None,
            effects: VecDeque::new(),
            pulse: Pulse::new(now),
            hardware_at: now + HARDWARE_FIRST,
            kicks: KickGate::default(),
            stop_by: None,
            sources: Sources {
                link: link_events,
                link_end,
                runs: runs_events,
                outbox: outbox_events,
                own: own_events,
                own_end,
            },
        };
        agent.effects.extend(agent.core.take_effects());
        Ok(agent)
    }

    /// The next thing that happens. What comes from the broker goes first: a stop must not wait
    /// behind the start that it forbids.
    async fn next_event(&mut self) -> Event {
        let wake = self.wake_in();
        let beat_at = self.pulse.at();
        let (has_link, stop_by) = (self.client.is_some(), self.stop_by);
        let sources = &mut self.sources;
        tokio::select! {
            biased;
            Some(event) = sources.link.recv() => Event::Link(event),
            Some(event) = sources.runs.recv() => Event::Run(event),
            Some(event) = sources.own.recv() => event,
            Some(event) = sources.outbox.recv() => Event::Outbox(event),
            () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => Event::Timeout,
            () = tokio::time::sleep_until(beat_at), if has_link => Event::BeatDue,
            () = tokio::time::sleep_until(self.hardware_at) => Event::HardwareDue,
            () = sleep_until_some(stop_by) => Event::Timeout,
        }
    }

    /// How long until the core wants to be woken.
    fn wake_in(&self) -> Option<Duration> {
        let now = clock::mono();
        let (at, why) = self.core.poll_timeout(now)?;
        tracing::trace!(in_ms = at.0.saturating_sub(now.0), why, "next wake");
        // The clock shows milliseconds: a little later is surely not before.
        Some(Duration::from_millis(at.0.saturating_sub(now.0) + 1))
    }

    /// Whether the agent was told to stop and nothing is left to wait for.
    fn is_over(&self) -> bool {
        self.stop_by
            .is_some_and(|by| self.runs.is_idle() || Instant::now() >= by)
    }

    /// Gives results a moment to reach the broker; they are on disk in any case.
    async fn flush(&mut self) {
        let until = Instant::now() + FLUSH_PATIENCE;
        while self.client.is_some() && self.outbox.level().results > 0 {
            let event = self.sources.outbox.recv();
            if !matches!(tokio::time::timeout_at(until, event).await, Ok(Some(_))) {
                break;
            }
        }
    }
}

/// What an earlier life of the agent left on disk.
struct Left {
    meta: Meta,
    entries: Vec<Entry>,
    held: std::collections::BTreeMap<
        kanade_shared::subject::Scope,
        (kanade_shared::wire::command::Rev, String),
    >,
    desired: Option<kanade_shared::wire::desired::AgentDesired>,
    brake: Option<kanade_shared::wire::desired::Brake>,
    outbox: Vec<(
        crate::outbox::files::Stored,
        kanade_shared::wire::result::RunResult,
    )>,
}

impl Left {
    /// Blocks.
    fn read(
        journal: &JournalFiles,
        held: &HeldFiles,
        outbox: &OutboxFiles,
        scripts: &Scripts,
    ) -> Result<Self, DataError> {
        let journal = journal.load()?;
        let held = held.load()?;
        let entries = journal.entries;
        outbox.forget_all_but(|id| entries.iter().any(|entry| entry.request_id == id))?;
        scripts.sweep(&scripts.paths(open_commands(entries.iter())))?;
        let documents = held.documents.into_iter();
        Ok(Self {
            meta: journal
                .meta
                .unwrap_or_else(|| Meta::new(JournalId::new(random::bytes()))),
            entries,
            held: documents
                .map(|held| (held.scope, (held.rev, held.hash)))
                .collect(),
            desired: held.desired,
            brake: held.brake,
            outbox: outbox.load()?,
        })
    }
}

/// Commands that have not ended.
fn open_commands<'a>(
    entries: impl Iterator<Item = &'a Entry>,
) -> impl Iterator<Item = &'a kanade_shared::wire::command::Command> {
    entries.filter_map(|entry| entry.command.as_deref())
}

/// Room for results: what the cap and the disk leave, whichever is less.
fn room_bytes(max_bytes: u64, waiting: u64, folder: &Path) -> u64 {
    let disk = platform::disk_free(folder)
        .unwrap_or(u64::MAX)
        .saturating_sub(DISK_RESERVE_BYTES);
    max_bytes.saturating_sub(waiting).min(disk)
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(windows)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::windows::{ctrl_c, ctrl_close, ctrl_shutdown};
    let (mut interrupt, mut close, mut shutdown) = (ctrl_c()?, ctrl_close()?, ctrl_shutdown()?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = close.recv() => {}
            _ = shutdown.recv() => {}
        }
    })
}

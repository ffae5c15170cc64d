//! The child nats-server, by default; or the way to somebody else's.
//!
//! [`EmbeddedBroker::start`] finds a nats-server, fits its limits to the disk, writes its
//! configuration and secrets into the data folder, starts it and waits until it answers.
//! From then on a task watches it and starts it again, with back-off, whenever it ends;
//! [`EmbeddedBroker::health`] says how it is. [`EmbeddedBroker::stop`] is the last thing a
//! backend does. With `broker.url` set none of this happens, and [`connect_external`] is used.
//!
//! **Invariant:** one broker per data folder: a lock is held as long as this lives.
//! **Invariant:** it listens on loopback unless told otherwise.
//! **Invariant:** it does not outlive the backend, not even one that is killed.
//! **Invariant:** a store that can't be read is an error; no empty one takes its place.

mod binary;
pub mod bootstrap;
mod child;
mod disk;
mod failure;
mod log;
mod secrets;
mod settings;
mod supervise;
mod watchdog;

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use async_nats::Client;
use kanade_shared::bootstrap::{BootstrapError, Credentials, Options, Retry, connect};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use child::Launch;
use disk::Disk;
pub(crate) use disk::ROOM_BYTES;
pub use failure::{BrokerError, Cause};
use secrets::Secrets;
pub use secrets::random_secret;
use settings::Layout;
pub use supervise::{BrokerHealth, BrokerState};

/// What an operator sets about the broker.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConfig {
    /// An external broker; without it the backend runs one of its own.
    pub url: Option<String>,
    /// The address that the child listens on.
    pub host: IpAddr,
    /// Its port; 0 takes any free one.
    pub port: u16,
    /// The child's program; else KANADE_NATS_SERVER, beside this program, or in PATH.
    pub nats_server: Option<PathBuf>,
    /// By what every cap is multiplied; else fitted to the disk, or 1 for an external broker.
    pub cap_scale: Option<f64>,
    /// As whom to connect to an external broker.
    pub credentials: Credentials,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            url: None,
            host: Ipv4Addr::LOCALHOST.into(),
            port: 4222,
            nats_server: None,
            cap_scale: None,
            credentials: Credentials::None,
        }
    }
}

/// The backend's own broker, supervised.
#[derive(Debug)]
pub struct EmbeddedBroker {
    url: String,
    folder: PathBuf,
    secrets: Secrets,
    cap_scale: f64,
    health: watch::Receiver<BrokerHealth>,
    stop: CancellationToken,
    supervisor: JoinHandle<()>,
    _lock: File,
}

impl EmbeddedBroker {
    /// Starts the broker of the data folder; when this returns, it answers.
    ///
    /// # Errors
    /// [`BrokerError`], in one sentence and with the broker's last lines.
    pub async fn start(config: &BrokerConfig, data_dir: &Path) -> Result<Self, BrokerError> {
        let binary = binary::find(config.nats_server.as_deref()).await?;
        let data_dir =
            std::path::absolute(data_dir).map_err(|source| file_error("find", data_dir, source))?;
        let folder = data_dir.join("broker");
        let secrets = load_secrets(&data_dir, &folder)?;
        let lock = lock(&folder)?;
        let disk = Disk::look(&folder).map_err(|source| file_error("measure", &folder, source))?;
        let fit = disk::fit(disk, config.cap_scale, &Options::default()).ok_or_else(|| {
            BrokerError::NoRoom {
                folder: folder.clone(),
                room_bytes: disk.room(),
            }
        })?;
        if let Some(line) = &fit.shrunk {
            warn!("{line}");
        }
        let address = SocketAddr::new(config.host, free_port(config));
        let launch = launch(binary, &folder, address, &secrets);
        launch.stop_stale().await;
        write_settings(&launch, &folder, address, &secrets, fit.max_file_store)?;
        let url = launch.url.clone();
        let running = launch.start().await?;
        info!(url, pid = running.pid(), "the broker runs");
        let stop = CancellationToken::new();
        let (supervisor, health) = supervise::spawn(launch, running, stop.clone());
        let cap_scale = fit.cap_scale;
        Ok(Self {
            url,
            folder,
            secrets,
            cap_scale,
            health,
            stop,
            supervisor,
            _lock: lock,
        })
    }

    /// Where clients on this machine find it.
    pub fn client_url(&self) -> &str {
        &self.url
    }

    /// The backend's own user.
    pub fn backend_credentials(&self) -> Credentials {
        Credentials::password("backend", &self.secrets.backend)
    }

    /// The user that all agents share.
    pub fn agent_credentials(&self) -> Credentials {
        Credentials::password("agent", &self.secrets.agent)
    }

    /// The user of the system account, which hears of connects and disconnects.
    pub fn system_credentials(&self) -> Credentials {
        Credentials::password("sys", &self.secrets.system)
    }

    /// By what the catalogue's caps are to be multiplied, so that they fit the disk.
    pub fn cap_scale(&self) -> f64 {
        self.cap_scale
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How it is, now and from now on.
    pub fn health(&self) -> watch::Receiver<BrokerHealth> {
        self.health.clone()
    }

    /// Connects as the backend; `name` is what the broker lists.
    ///
    /// # Errors
    /// [`BootstrapError`], after the attempts of [`Retry::default`].
    pub async fn connect(&self, name: &str) -> Result<Client, BootstrapError> {
        connect(
            &self.url,
            &self.backend_credentials(),
            name,
            Retry::default(),
        )
        .await
    }

    /// Stops it, in order, and makes it end when it doesn't within ten seconds.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.supervisor.await {
            warn!(%error, "the task that watched the broker had ended; the broker ends with it");
        }
    }
}

/// Connects to the broker of `broker.url`; `name` is what the broker lists.
///
/// # Errors
/// [`BootstrapError`], after the attempts of [`Retry::default`].
pub async fn connect_external(
    url: &str,
    credentials: &Credentials,
    name: &str,
) -> Result<Client, BootstrapError> {
    connect(url, credentials, name, Retry::default()).await
}

fn load_secrets(data_dir: &Path, folder: &Path) -> Result<Secrets, BrokerError> {
    let secret = data_dir.join("secrets");
    for private in [folder, &secret] {
        secrets::private_folder(private).map_err(|source| file_error("make", private, source))?;
    }
    let file = secret.join("broker.json");
    Secrets::load_or_make(&file).map_err(|source| {
        if source.kind() == ErrorKind::InvalidData {
            let path = file.clone();
            return BrokerError::Secrets { path, source };
        }
        file_error("read or make", &file, source)
    })
}

fn lock(folder: &Path) -> Result<File, BrokerError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|source| file_error("make", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BrokerError::InUse {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(file_error("lock", &path, source)),
    }
}

fn launch(binary: PathBuf, folder: &Path, address: SocketAddr, secrets: &Secrets) -> Launch {
    Launch {
        binary,
        config_file: folder.join("nats-server.conf"),
        pid_file: folder.join("nats-server.pid"),
        store: folder.join("store"),
        address: address.to_string(),
        url: format!(
            "nats://{}",
            SocketAddr::new(reachable(address.ip()), address.port())
        ),
        user: "backend".into(),
        password: secrets.backend.clone(),
        server_name: secrets.server_name.clone(),
    }
}

fn write_settings(
    launch: &Launch,
    folder: &Path,
    address: SocketAddr,
    secrets: &Secrets,
    max_file_store: u64,
) -> Result<(), BrokerError> {
    let (host, port) = (address.ip().to_string(), address.port());
    let text = settings::render(&Layout {
        host: &host,
        port,
        folder,
        secrets,
        max_file_store,
    });
    secrets::write_private(&launch.config_file, text.as_bytes())
        .map_err(|source| file_error("write", &launch.config_file, source))
}

/// The configured port, or one that is free right now. It must stay the same over restarts,
/// so the server isn't left to choose.
fn free_port(config: &BrokerConfig) -> u16 {
    if config.port != 0 {
        return config.port;
    }
    // Without a free port the server will say so better.
    TcpListener::bind((config.host, 0))
        .and_then(|listener| listener.local_addr())
        .map_or(0, |address| address.port())
}

/// The address by which this machine reaches a server that listens on `host`.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => host,
    }
}

fn file_error(doing: &'static str, path: &Path, source: std::io::Error) -> BrokerError {
    BrokerError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

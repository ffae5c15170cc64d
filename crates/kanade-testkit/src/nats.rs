//! A real nats-server for one test: own port, own store, gone at the end.
//!
//! The folder with configuration, log and store is kept when the test fails, and its path
//! is printed. The server chooses its port itself and keeps it over a [`Nats::restart`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use async_nats::Client;
use kanade_shared::bootstrap::{Credentials, Retry, connect};
use tempfile::TempDir;

use crate::wait;

/// Environment variable with the path of a nats-server to use.
pub const BINARY: &str = "KANADE_NATS_SERVER";

/// How a test wants its broker.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Serves messages only.
    pub without_jetstream: bool,
    /// Serves messages only to the account that clients get.
    pub account_disabled: bool,
    /// The most that the *account* may store in files, bytes; accounts are told this.
    pub account_bytes: Option<u64>,
    /// The most that the *server* may store in files, bytes; accounts aren't told this.
    pub server_bytes: Option<u64>,
    /// The one user that may connect, and the password.
    pub login: Option<(String, String)>,
}

/// A running nats-server.
#[derive(Debug)]
pub struct Nats {
    child: Option<Child>,
    folder: Option<TempDir>,
    setup: Setup,
    port: u16,
}

impl Nats {
    /// Starts one with JetStream and without limits.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// Starts one as `setup` says.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start_with(setup: Setup) -> Self {
        let folder = tempfile::Builder::new().prefix("kanade-nats-").tempdir();
        let folder = folder.expect("the temporary folder can be written");
        let mut nats = Self {
            child: None,
            folder: Some(folder),
            setup,
            port: 0,
        };
        nats.spawn().await;
        nats
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As whom a client connects.
    pub fn credentials(&self) -> Credentials {
        match &self.setup.login {
            Some((user, password)) => Credentials::password(user, password),
            None => Credentials::None,
        }
    }

    /// A new connection.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub async fn client(&self) -> Client {
        connect(&self.url(), &self.credentials(), "test", Retry::default())
            .await
            .expect("the test's broker is reachable")
    }

    /// A new connection's JetStream.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub async fn jetstream(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(self.client().await)
    }

    /// The server's process id.
    ///
    /// # Panics
    /// When it isn't running.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the broker runs").id()
    }

    /// Kills it as a power cut would; the store stays as it is.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only for a process that is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it and starts it again on the same port and store.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn restart(&mut self) {
        self.kill9();
        self.spawn().await;
    }

    /// Deletes everything it has stored; it must not be running.
    ///
    /// # Panics
    /// When it is running or the store can't be deleted.
    pub fn wipe_store(&self) {
        assert!(
            self.child.is_none(),
            "kill the broker before its store is wiped"
        );
        if self.store().exists() {
            fs::remove_dir_all(self.store()).expect("the store can be deleted");
        }
    }

    /// Copies everything it has stored to `to`; it must not be running.
    ///
    /// # Panics
    /// When it is running or the copy fails.
    pub fn copy_store(&self, to: &Path) {
        assert!(
            self.child.is_none(),
            "kill the broker before its store is copied"
        );
        copy_folder(&self.store(), to);
    }

    /// Replaces everything it has stored by an earlier copy; it must not be running.
    ///
    /// # Panics
    /// When it is running or the copy fails.
    pub fn restore_store(&self, from: &Path) {
        self.wipe_store();
        copy_folder(from, &self.store());
    }

    /// What it has logged so far.
    ///
    /// # Panics
    /// When there is no log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("nats.log")).expect("the broker writes a log")
    }

    fn store(&self) -> PathBuf {
        self.path("store")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder
            .as_ref()
            .expect("kept until the end")
            .path()
            .join(name)
    }

    async fn spawn(&mut self) {
        let config = self.path("nats.conf");
        fs::write(&config, self.config()).expect("the folder can be written");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("nats.log"));
        let binary = binary();
        let child = Command::new(&binary)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the folder can be written"))
            .spawn()
            .expect("nats-server can be started");
        let name = binary.file_name().unwrap_or_default().to_string_lossy();
        let ports = self.path(&format!("{name}_{}.ports", child.id()));
        self.child = Some(child);
        wait::until("the broker is ready", wait::LONG, async || {
            self.is_ready(&ports)
        })
        .await;
        if self.port == 0 {
            self.port = port_in(&ports);
        }
    }

    /// The file with the ports appears once it listens.
    fn is_ready(&mut self, ports: &Path) -> bool {
        let ended = self
            .child
            .as_mut()
            .and_then(|child| child.try_wait().ok().flatten());
        assert!(
            ended.is_none(),
            "the broker ended with {ended:?}:\n{}",
            self.log()
        );
        fs::read_to_string(ports).is_ok_and(|text| text.trim_end().ends_with('}'))
    }

    fn config(&self) -> String {
        let folder = self
            .folder
            .as_ref()
            .expect("kept until the end")
            .path()
            .display();
        let port = if self.port == 0 {
            -1
        } else {
            i32::from(self.port)
        };
        let mut text = format!("host: \"127.0.0.1\"\nport: {port}\nports_file_dir: \"{folder}\"\n");
        if !self.setup.without_jetstream {
            let room = self.setup.server_bytes.unwrap_or(64 << 30);
            text += &format!(
                "jetstream {{ store_dir: \"{}\", max_file_store: {room}, sync_interval: always }}\n",
                self.store().display()
            );
        }
        let (user, password) = self
            .setup
            .login
            .clone()
            .unwrap_or_else(|| ("test".into(), "test".into()));
        let jetstream = match self.setup.account_bytes {
            Some(bytes) => format!("{{ max_file: {bytes}, max_memory: 64MB }}"),
            None if self.setup.without_jetstream || self.setup.account_disabled => {
                "disabled".into()
            }
            None => "enabled".into(),
        };
        text += &format!(
            "accounts {{ TEST {{ jetstream: {jetstream}\n  users = [ {{ user: \"{user}\", password: \
             \"{password}\" }} ] }} }}\n"
        );
        if self.setup.login.is_none() {
            text += &format!("no_auth_user: \"{user}\"\n");
        }
        text
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("the broker's folder is kept: {}", folder.keep().display());
        }
    }
}

/// The nats-server to use: `KANADE_NATS_SERVER`, else the newest in the workspace's tools
/// folder, else the one in PATH.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os(BINARY).filter(|path| !path.is_empty()) {
        return path.into();
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let tools = workspace
        .map(|root| root.join(".tools"))
        .and_then(|tools| fs::read_dir(tools).ok());
    let name = format!("nats-server{}", std::env::consts::EXE_SUFFIX);
    let mut found: Vec<_> = tools
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("nats-server-")
        })
        .map(|entry| entry.path().join(&name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

fn port_in(ports: &Path) -> u16 {
    let text = fs::read_to_string(ports).expect("the broker wrote its ports");
    let ports: serde_json::Value = serde_json::from_str(&text).expect("the ports are JSON");
    let url = ports["nats"][0]
        .as_str()
        .expect("there is a port for clients");
    url.rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("the address has a port")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("the entry is there").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("the file can be copied");
        }
    }
}

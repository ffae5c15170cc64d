//! A real PostgreSQL for one test: own data, own socket, gone at the end.
//!
//! It listens on a socket in its folder alone, so there is no port that another could take. The
//! data is a copy of a template that is made once beside the program, which takes a tenth of the
//! time of a new one. PostgreSQL refuses to be root: then it runs as `nobody`.
//!
//! The folder is kept when the test fails, and its path is printed.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::wait;

/// Environment variable with the folder of PostgreSQL's programs to use.
pub const BINARIES: &str = "KANADE_POSTGRES";

/// User and group of a server whose test is root.
const NOBODY: u32 = 65_534;

/// A PostgreSQL: running, stopped or killed; its data stays.
#[derive(Debug)]
pub struct Postgres {
    child: Option<Child>,
    folder: Option<TempDir>,
    settings: Vec<String>,
}

impl Postgres {
    /// Starts one with an empty database.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with settings of the server, such as `max_connections=10`.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start_with(settings: &[&str]) -> Self {
        let mut postgres = Self::new(settings);
        postgres.spawn().await;
        postgres
    }

    /// With the data of an empty database.
    fn new(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("kanade-pg-").tempdir();
        let folder = folder.expect("the temporary folder can be written");
        let postgres = Self {
            child: None,
            folder: Some(folder),
            settings: settings.iter().map(ToString::to_string).collect(),
        };
        postgres.begin_anew();
        postgres
    }

    /// Makes the data of an empty database.
    fn begin_anew(&self) {
        run(Command::new("cp")
            .arg("-r")
            .arg(template())
            .arg(self.path("data")));
        if is_root() {
            run(Command::new("chown")
                .args(["-R", &format!("{NOBODY}:{NOBODY}")])
                .arg(self.path("")));
        }
        run(Command::new("chmod").arg("700").arg(self.path("data")));
    }

    /// Starts one that wants this password.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start_with_password(password: &str) -> Self {
        let mut postgres = Self::new(&[]);
        let sql = format!("ALTER USER kanade PASSWORD '{password}';\n");
        let file = postgres.path("password.sql");
        fs::write(&file, sql).expect("a test's own folder can be written");
        // One user without a server: the way to set what is needed to log in.
        run(as_somebody(&binaries().join("postgres"))
            .args(["--single", "-D"])
            .arg(postgres.path("data"))
            .arg("postgres")
            .stdin(fs::File::open(&file).expect("it was just written")));
        fs::write(
            postgres.path("data").join("pg_hba.conf"),
            "local all all scram-sha-256\n",
        )
        .expect("a test's own folder can be written");
        postgres.spawn().await;
        postgres
    }

    /// The address of its database, with a user who may do everything and needs no password.
    pub fn url(&self) -> String {
        format!(
            "postgres://kanade@localhost/postgres?host={}",
            self.path("").display()
        )
    }

    /// The server's process id.
    ///
    /// # Panics
    /// When it isn't running.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Kills it as a power cut would; the data stays as it is.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Its processes would notice, and end what they have in hand, a moment later.
            let served = children(child.id());
            // Both fail only for a process that is gone already.
            let _ = child.kill();
            for process in served {
                crate::process::signal(process, rustix::process::Signal::KILL);
            }
            let _ = child.wait();
        }
    }

    /// Stops it in order, as a service manager would; connections are ended.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            crate::process::signal(child.id(), rustix::process::Signal::INT);
            let _ = child.wait();
        }
    }

    /// Kills it and starts it again on the same data.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn restart(&mut self) {
        self.kill9();
        self.spawn().await;
    }

    /// Starts it on its data.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn spawn(&mut self) {
        // What a killed one left is still ending until nobody has its memory any more.
        wait::until("PostgreSQL is ready", wait::LONG, async || {
            let Some(child) = &mut self.child else {
                self.child = Some(self.begin());
                return false;
            };
            if matches!(child.try_wait(), Ok(None)) {
                return self.is_ready();
            }
            self.child = None;
            assert!(self.ends_still(), "PostgreSQL ended:\n{}", self.log());
            false
        })
        .await;
    }

    fn begin(&self) -> Child {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"));
        let log = log.expect("the folder can be written");
        let mut command = as_somebody(&binaries().join("postgres"));
        command
            .arg("-D")
            .arg(self.path("data"))
            .arg("-k")
            .arg(self.path(""))
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "max_wal_size=256MB",
            ]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "could not start `{}`, which a test of root runs as nobody: {error}",
                    binaries().display()
                )
            })
    }

    fn is_ready(&self) -> bool {
        let id = self.child.as_ref().map(|child| child.id().to_string());
        let text = fs::read_to_string(self.path("data").join("postmaster.pid"));
        let text = text.unwrap_or_default();
        text.lines().next().map(str::to_owned) == id
            && text
                .lines()
                .nth(7)
                .is_some_and(|state| state.trim() == "ready")
    }

    /// Whether it could not start because the one before has not ended altogether.
    fn ends_still(&self) -> bool {
        let log = self.log();
        let last: Vec<&str> = log.lines().rev().take(4).collect();
        last.iter()
            .any(|line| line.contains("still in use") || line.contains("lock file"))
    }

    /// Copies its data; it is stopped meanwhile.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub async fn copy_data(&mut self, to: &Path) {
        self.stop();
        run(Command::new("cp").arg("-a").arg(self.path("data")).arg(to));
        self.spawn().await;
    }

    /// Replaces its data by a copy; it is stopped meanwhile.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub async fn restore_data(&mut self, from: &Path) {
        self.stop();
        fs::remove_dir_all(self.path("data")).expect("a test's own folder can be written");
        run(Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(self.path("data")));
        self.spawn().await;
    }

    /// Replaces its data by an empty database; it is stopped meanwhile.
    ///
    /// # Panics
    /// When it cannot be replaced.
    pub async fn empty(&mut self) {
        self.stop();
        fs::remove_dir_all(self.path("data")).expect("a test's own folder can be written");
        self.begin_anew();
        self.spawn().await;
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        let folder = self.folder.as_ref().expect("kept until the end");
        folder.path().join(name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("PostgreSQL's folder is kept: {}", folder.keep().display());
        }
    }
}

/// The processes that this one has started, where the system tells.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name, which may hold anything: state and parent.
        let parts = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace());
        parts.and_then(|mut parts| parts.nth(1)?.parse().ok()) == Some(parent)
    })
    .collect()
}

/// The folder of PostgreSQL's programs: `KANADE_POSTGRES`, else the newest in the workspace's
/// tools folder.
///
/// # Panics
/// When there is none.
pub fn binaries() -> PathBuf {
    if let Some(path) = std::env::var_os(BINARIES).filter(|path| !path.is_empty()) {
        return path.into();
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let tools = workspace
        .map(|root| root.join(".tools"))
        .and_then(|tools| fs::read_dir(tools).ok());
    let mut found: Vec<_> = tools
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("postgresql-")
        })
        .map(|entry| entry.path().join("bin"))
        .filter(|path| path.join("postgres").is_file())
        .collect();
    found.sort();
    found
        .pop()
        .expect("PostgreSQL is fetched by `cargo xtask tools`, or named by KANADE_POSTGRES")
}

/// New data that servers begin with; made by whoever needs it first.
fn template() -> PathBuf {
    let programs = binaries();
    let own = programs.parent().unwrap_or(&programs);
    let template = own.join("template");
    if template.is_dir() {
        return template;
    }
    let work = tempfile::tempdir().expect("the temporary folder can be written");
    let made = work.path().join("data");
    if is_root() {
        run(Command::new("chown")
            .arg(NOBODY.to_string())
            .arg(work.path()));
    }
    run(as_somebody(&programs.join("initdb"))
        .arg("-D")
        .arg(&made)
        .args([
            "-U",
            "kanade",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ])
        .args(["--no-sync", "--no-instructions", "--wal-segsize=1"]));
    let mine = own.join(format!("template-{}", std::process::id()));
    run(Command::new("cp").arg("-r").arg(&made).arg(&mine));
    // Somebody else may have been faster, with the same.
    if fs::rename(&mine, &template).is_err() {
        fs::remove_dir_all(&mine).ok();
    }
    template
}

/// A command that is not run as root.
fn as_somebody(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env_remove("PGDATA");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

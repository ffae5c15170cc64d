//! A whole fleet for one test: a backend with its broker, agents, and a count of what their
//! scripts really did.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kanade_shared::api::agents::{AgentView, Presence};
use kanade_shared::api::execs::{ExecRequest, ExecView, ExecWhat, Targets};
use kanade_shared::id::PcId;
use kanade_shared::manifest::JobRun;
use kanade_shared::wire::command::{RunAs, Shell, output_cap};
use kanade_shared::wire::heartbeat::AgentState;
use tempfile::TempDir;

use crate::agent::Agent;
use crate::backend::Backend;
#[cfg(unix)]
use crate::database::Engine;
#[cfg(unix)]
use crate::postgres::Postgres;
use crate::wait;

/// See the module. The order of the fields is the order in which they end.
#[derive(Debug)]
pub struct Fleet {
    agents: BTreeMap<String, Agent>,
    /// The backend, which a test may kill and start again.
    pub backend: Backend,
    /// The database where it is no file of the backend's, which a test may kill and start again.
    #[cfg(unix)]
    pub postgres: Option<Postgres>,
    folder: Folder,
}

/// A temporary folder that stays when the test fails.
#[derive(Debug)]
struct Folder(Option<TempDir>);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("kanade-fleet-").tempdir();
        Self(Some(folder.expect("the temporary folder can be written")))
    }

    fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new("."), TempDir::path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take().filter(|_| std::thread::panicking()) {
            eprintln!("the fleet's data is kept in {}", folder.keep().display());
        }
    }
}

impl Fleet {
    /// A backend and no agents.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A backend with more arguments for `kanade-backend run`, and no agents.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self::start_on(|_| arguments).await
    }

    /// A backend and no agents, after `prepare` has done something in the fleet's folder; it gives
    /// more arguments for `kanade-backend run`.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start_on(prepare: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = Folder::new();
        let arguments = prepare(folder.path());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let backend = Backend::start_with(folder.path(), &arguments).await;
        std::fs::create_dir(folder.path().join("ran")).expect("the folder is new");
        Self {
            agents: BTreeMap::new(),
            backend,
            #[cfg(unix)]
            postgres: None,
            folder,
        }
    }

    /// A backend on a database of this kind, and no agents.
    ///
    /// # Panics
    /// When it doesn't start.
    #[cfg(unix)]
    pub async fn start_with_database(engine: Engine) -> Self {
        if engine == Engine::Sqlite {
            return Self::start().await;
        }
        let postgres = Postgres::start().await;
        let url = postgres.url();
        let mut fleet = Self::start_on(|folder| {
            let config = folder.join("backend.toml");
            std::fs::write(&config, format!("[database]\nurl = \"{url}\"\n"))
                .expect("the folder is new");
            vec!["--config".to_owned(), config.display().to_string()]
        })
        .await;
        fleet.postgres = Some(postgres);
        fleet
    }

    /// Copies the database; its backend must not be running.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[cfg(unix)]
    pub async fn copy_database(&mut self, to: &Path) {
        if let Some(postgres) = &mut self.postgres {
            return postgres.copy_data(to).await;
        }
        std::fs::create_dir(to).expect("the copy is new");
        for file in self.database_files().iter().filter(|file| file.exists()) {
            let name = file.file_name().unwrap_or_default();
            std::fs::copy(file, to.join(name)).expect("a file can be copied");
        }
    }

    /// Puts an earlier copy of the database back; its backend must not be running.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[cfg(unix)]
    pub async fn restore_database(&mut self, from: &Path) {
        self.delete_database().await;
        if let Some(postgres) = &mut self.postgres {
            return postgres.restore_data(from).await;
        }
        for file in self.database_files() {
            let copy = from.join(file.file_name().unwrap_or_default());
            if copy.exists() {
                std::fs::copy(copy, file).expect("a file can be copied");
            }
        }
    }

    /// Deletes the database; its backend must not be running.
    ///
    /// # Panics
    /// When it cannot be deleted.
    #[cfg(unix)]
    pub async fn delete_database(&mut self) {
        if let Some(postgres) = &mut self.postgres {
            return postgres.empty().await;
        }
        for file in self.database_files() {
            std::fs::remove_file(file).ok();
        }
    }

    #[cfg(unix)]
    fn database_files(&self) -> [PathBuf; 3] {
        let database = self.backend.database();
        ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", database.display())))
    }

    /// Where everything of the fleet is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts an agent and waits until it acts on what it hears.
    ///
    /// # Panics
    /// When it doesn't come up.
    pub async fn agent(&mut self, pc_id: &str) {
        self.spawn_agent(pc_id);
        self.wait_until_live(&[pc_id]).await;
    }

    /// Starts `count` agents, `pc-1` and so on, and waits until all act on what they hear.
    ///
    /// # Panics
    /// When one doesn't come up.
    pub async fn agents(&mut self, count: usize) {
        let names: Vec<String> = (1..=count).map(|n| format!("pc-{n}")).collect();
        for name in &names {
            self.spawn_agent(name);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.wait_until_live(&names).await;
    }

    /// Starts an agent, or starts it again.
    pub fn spawn_agent(&mut self, pc_id: &str) {
        match self.agents.get_mut(pc_id) {
            Some(agent) => agent.start_again(),
            None => {
                let agent = Agent::start(pc_id, self.folder.path(), &self.backend.join_file());
                self.agents.insert(pc_id.to_owned(), agent);
            }
        }
    }

    /// Starts an agent with more in its environment, now and each time it is started again.
    pub fn spawn_agent_in(&mut self, pc_id: &str, environment: Vec<(OsString, OsString)>) {
        let join_file = self.backend.join_file();
        let agent = Agent::start_in(pc_id, self.folder.path(), &join_file, environment);
        self.agents.insert(pc_id.to_owned(), agent);
    }

    /// One agent.
    ///
    /// # Panics
    /// When it was never started.
    pub fn pc(&mut self, pc_id: &str) -> &mut Agent {
        self.agents
            .get_mut(pc_id)
            .unwrap_or_else(|| panic!("there is no agent `{pc_id}`"))
    }

    /// Waits until these agents are online and live.
    ///
    /// # Panics
    /// When they don't become so.
    pub async fn wait_until_live(&self, pcs: &[&str]) {
        let live = |agent: &AgentView| {
            agent.presence == Presence::Online && agent.state == Some(AgentState::Live)
        };
        wait::until("the agents are live", wait::LONG * 2, async || {
            let agents = self.backend.agents().await;
            let is_live = |pc: &str| agents.iter().any(|a| a.pc_id.as_str() == pc && live(a));
            pcs.iter().copied().all(is_live)
        })
        .await;
    }

    /// Waits until the backend shows a PC as offline.
    ///
    /// # Panics
    /// When it doesn't.
    pub async fn wait_until_offline(&self, pc_id: &str) {
        wait::until("the agent is offline", wait::LONG, async || {
            let agents = self.backend.agents().await;
            agents
                .iter()
                .any(|a| a.pc_id.as_str() == pc_id && a.presence == Presence::Offline)
        })
        .await;
    }

    /// A script that leaves one line for each time it really runs, then does `more`.
    pub fn counted(&self, label: &str, more: &str) -> JobRun {
        let file = self.ran_file(label);
        script(&format!(
            "echo \"$KANADE_PC\" >> '{}'\n{more}",
            file.display()
        ))
    }

    fn ran_file(&self, label: &str) -> PathBuf {
        self.folder.path().join("ran").join(label)
    }

    /// How often the counted script of this label ran on each PC.
    pub fn ran(&self, label: &str) -> BTreeMap<String, usize> {
        let text = std::fs::read_to_string(self.ran_file(label)).unwrap_or_default();
        let mut runs = BTreeMap::new();
        for pc in text.lines() {
            *runs.entry(pc.to_owned()).or_default() += 1;
        }
        runs
    }

    /// Issues a script to PCs (`all` for every one).
    ///
    /// # Panics
    /// When the API refuses it.
    pub async fn run(&self, run: JobRun, pcs: &[&str]) -> ExecView {
        let request = exec(run, targets(pcs));
        let issued = self.backend.issue(&request).await;
        issued.unwrap_or_else(|refused| panic!("the exec was refused: {refused:?}"))
    }
}

/// An `sh` script with a limit of a minute.
pub fn script(text: &str) -> JobRun {
    JobRun {
        shell: Shell::Sh,
        script: text.to_owned(),
        args: vec![],
        env: BTreeMap::new(),
        cwd: None,
        stdin: None,
        timeout: 60,
        jitter: 0,
        tries: 1,
        backoff: 0,
        run_as: RunAs::System,
        output_cap_bytes: output_cap(),
    }
}

/// These PCs, or every one where the first is `all`.
///
/// # Panics
/// When a name is not a PC's.
pub fn targets(pcs: &[&str]) -> Targets {
    if pcs == ["all"] {
        return Targets {
            all: true,
            ..Targets::default()
        };
    }
    let name = |pc: &&str| PcId::parse(pc).expect("a test names PCs that can be");
    Targets {
        pcs: pcs.iter().map(name).collect(),
        ..Targets::default()
    }
}

/// A request to run this on these.
pub fn exec(run: JobRun, targets: Targets) -> ExecRequest {
    ExecRequest {
        what: ExecWhat::Script(run),
        targets,
        deadline_s: None,
        reach: None,
        jitter_s: None,
        reason: None,
        preview: None,
    }
}

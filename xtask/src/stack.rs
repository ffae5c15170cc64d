//! A small fleet on this machine: a backend with its broker, and agents.
//!
//! `up`, `dev` and the dashboard's tests start it from the workspace's own programs. All data is
//! below one folder, `.kanade/` for people, each part's output in `log/<name>.log` in it.
//!
//! **Invariant:** stopping goes agent first, then the backend, which stops its broker last;
//! also when the start fails half-way.

pub(crate) mod service;

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http;
use crate::stack::service::Service;
use crate::tools::OWN_NATS_SERVER;
use crate::workspace::Workspace;

/// How long the backend may take until it is ready; a first start also makes its broker's store.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a part may take to stop before it is killed. The backend waits for its broker.
const AGENT_STOPS_WITHIN: Duration = Duration::from_secs(15);
const BACKEND_STOPS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Programs that the fleet is made of, as cargo names their packages.
pub(crate) const PACKAGES: [&str; 3] = ["kanade-backend", "kanade-agent", "kanade"];

/// Where the fleet listens.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Ports {
    /// Port of the API on 127.0.0.1
    #[arg(long, default_value_t = 8443)]
    port: u16,
    /// Port of the broker on 127.0.0.1
    #[arg(long, default_value_t = 4222)]
    broker_port: u16,
}

impl Ports {
    /// Two that nobody has at this moment.
    pub(crate) fn free() -> Result<Self> {
        // Both at once, so that they differ.
        let take = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (api, broker) = (take(), take());
        let port = |taken: io::Result<TcpListener>| {
            let port = taken.and_then(|taken| taken.local_addr());
            port.map(|address| address.port())
                .context("could not find a free port")
        };
        Ok(Self {
            port: port(api)?,
            broker_port: port(broker)?,
        })
    }
}

/// What a start needs to know.
pub(crate) struct Plan<'a> {
    pub(crate) workspace: &'a Workspace,
    /// Where all data and logs go.
    pub(crate) home: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) release: bool,
    pub(crate) nats_server: PathBuf,
    pub(crate) agents: Vec<AgentPlan>,
}

/// One agent.
pub(crate) struct AgentPlan {
    /// Names its folder and its log.
    pub(crate) name: &'static str,
    /// The PC that it is; this machine's name unless given.
    pub(crate) pc_id: Option<&'static str>,
}

impl AgentPlan {
    /// The agent of this machine.
    pub(crate) const THIS_PC: Self = Self {
        name: "agent",
        pc_id: None,
    };
}

/// The running fleet. The order of the fields is the order in which they stop.
pub(crate) struct Stack {
    agents: Vec<Service>,
    backend: Service,
}

/// Held as long as a fleet of this workspace runs.
pub(crate) struct OnlyOne(#[expect(dead_code, reason = "the lock is what counts")] File);

impl OnlyOne {
    /// Fails when another `up` or `dev` of this workspace is running; stops what a killed one
    /// left behind.
    pub(crate) fn take(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.fleet();
        fs::create_dir_all(&folder)
            .with_context(|| format!("could not make `{}`", folder.display()))?;
        let path = folder.join("up.lock");
        let file =
            File::create(&path).with_context(|| format!("could not make `{}`", path.display()))?;
        match file.try_lock() {
            Ok(()) => {
                stop_leftovers(&workspace.log(), &[AgentPlan::THIS_PC]);
                Ok(Self(file))
            }
            Err(TryLockError::WouldBlock) => bail!(
                "`cargo xtask up` or `dev` is already running in this workspace: use that one, or stop it with Ctrl-C"
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("could not lock `{}`", path.display()))
            }
        }
    }
}

/// Stops what a killed run left behind that had its logs here.
pub(crate) fn stop_leftovers(logs: &Path, agents: &[AgentPlan]) {
    for agent in agents {
        Service::stop_leftover(agent.name, logs, AGENT_STOPS_WITHIN);
    }
    Service::stop_leftover("backend", logs, BACKEND_STOPS_WITHIN);
}

impl Plan<'_> {
    /// Where each part's output is.
    pub(crate) fn logs(&self) -> PathBuf {
        self.home.join("log")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.api())
    }

    /// The token that the CLI shows to the API.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.backend_data().join("secrets").join("api-token")
    }

    fn api(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.port).into()
    }

    fn backend_data(&self) -> PathBuf {
        self.home.join("backend")
    }

    fn backend(&self) -> Command {
        let mut command = Command::new(self.workspace.program("kanade-backend", self.release));
        command
            .arg("run")
            .arg("--data-dir")
            .arg(self.backend_data())
            .args(["--listen", &self.api().to_string()])
            .args(["--broker-port", &self.ports.broker_port.to_string()])
            .env(OWN_NATS_SERVER, &self.nats_server);
        command
    }

    fn agent(&self, agent: &AgentPlan) -> Command {
        let mut command = Command::new(self.workspace.program("kanade-agent", self.release));
        command
            .arg("run")
            .arg("--data-dir")
            .arg(self.home.join(agent.name))
            .arg("--join")
            .arg(self.backend_data().join("secrets").join("agent.creds.json"));
        if let Some(pc_id) = agent.pc_id {
            command.args(["--id", pc_id]);
        }
        command
    }

    /// The operator's CLI, set to this fleet.
    pub(crate) fn cli(&self) -> Command {
        let mut command = Command::new(self.workspace.program("kanade", self.release));
        command
            .env("KANADE_URL", self.url())
            .env("KANADE_TOKEN_FILE", self.token_file())
            // The caller's own would win over the file, or lead to another fleet.
            .env_remove("KANADE_TOKEN")
            .env_remove("KANADE_CONTEXT")
            .current_dir(self.workspace.root());
        command
    }

    /// Starts all parts; returns when the backend is ready and the agent runs.
    pub(crate) fn start(&self) -> Result<Stack> {
        let logs = self.logs();
        fs::create_dir_all(&logs)
            .with_context(|| format!("could not make `{}`", logs.display()))?;
        port_is_free("API", "--port", self.ports.port)?;
        port_is_free("broker", "--broker-port", self.ports.broker_port)?;
        let mut backend =
            Service::start("backend", &mut self.backend(), &logs, BACKEND_STOPS_WITHIN)?;
        self.wait_until_ready(&mut backend)?;
        // The services so far stop in this order, too, when a later one cannot start.
        let mut stack = Stack {
            agents: Vec::new(),
            backend,
        };
        for agent in &self.agents {
            let mut command = self.agent(agent);
            let service = Service::start(agent.name, &mut command, &logs, AGENT_STOPS_WITHIN)?;
            stack.agents.push(service);
        }
        Ok(stack)
    }

    fn wait_until_ready(&self, backend: &mut Service) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            let answer = http::status(self.api(), "/readyz");
            if matches!(answer, Ok(200)) {
                return Ok(());
            }
            backend.must_run()?;
            if Instant::now() > until {
                let state = answer.map_or_else(
                    |error| error.to_string(),
                    |status| format!("{}/readyz says {status}", self.url()),
                );
                bail!(
                    "the backend was not ready within {} s ({state}){}",
                    READY_WITHIN.as_secs(),
                    backend.last_words()
                );
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Stack {
    /// Fails, with the part's last words, when one has ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        self.backend.must_run()?;
        self.agents.iter_mut().try_for_each(Service::must_run)
    }

    /// Stops all in order; true when none had to be killed.
    pub(crate) fn stop(mut self) -> bool {
        // All of them, whatever became of one.
        let ended: Vec<bool> = self.agents.iter_mut().map(Service::stop).collect();
        self.backend.stop() && ended.into_iter().all(|ended| ended)
    }
}

fn port_is_free(who: &str, option: &str, port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
            "port {port} for the {who} is in use by another program: stop that, or choose another port with `{option}`"
        ),
        Err(error) => Err(error).with_context(|| format!("could not listen on port {port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_told_with_the_option_that_changes_it() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = port_is_free("API", "--port", port).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "port {port} for the API is in use by another program: stop that, or choose another port with `--port`"
            )
        );
    }
}

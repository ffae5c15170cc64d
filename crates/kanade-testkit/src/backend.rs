//! A real backend with its embedded broker, and a client of its API.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kanade_shared::api::Page;
use kanade_shared::api::agents::AgentView;
use kanade_shared::api::execs::{
    ExecRequest, ExecState, ExecView, RetryRequest, StopRequest, StopView, TargetView,
};
use kanade_shared::api::results::ResultView;
use kanade_shared::id::ExecId;
use kanade_shared::wire::command::StopAction;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::process::{Process, program};
use crate::{nats, ports, wait};

/// How long a debug build on a loaded machine may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A backend: running, stopped or killed; its data folder stays.
#[derive(Debug)]
pub struct Backend {
    process: Option<Process>,
    folder: PathBuf,
    port: u16,
    broker_port: u16,
    http: reqwest::Client,
    arguments: Vec<String>,
}

/// What the API answered instead of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// The problem's code.
    pub code: String,
    /// Its sentence.
    pub title: String,
}

impl Backend {
    /// Starts one on free ports with its data below `folder`.
    ///
    /// # Panics
    /// When it isn't ready in time.
    pub async fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[]).await
    }

    /// Starts one with more arguments for `kanade-backend run`.
    ///
    /// # Panics
    /// When it isn't ready in time.
    pub async fn start_with(folder: &Path, arguments: &[&str]) -> Self {
        let mut backend = Self {
            process: None,
            folder: folder.to_path_buf(),
            port: ports::free(),
            broker_port: ports::free(),
            http: reqwest::Client::new(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
        };
        backend.start_again().await;
        backend
    }

    /// Starts it again after a stop or a kill, on the same ports and data.
    ///
    /// # Panics
    /// When it isn't ready in time.
    pub async fn start_again(&mut self) {
        self.spawn();
        self.wait_until_ready().await;
    }

    /// Starts it again without waiting until it is ready.
    pub fn spawn(&mut self) {
        let mut command = Command::new(program("kanade-backend"));
        command
            .arg("run")
            .args(["--data-dir".as_ref(), self.data().as_os_str()])
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--broker-port", &self.broker_port.to_string()])
            .args(&self.arguments)
            .env_remove(crate::process::BIN_DIR)
            .env(nats::BINARY, nats::binary());
        self.process = Some(Process::start(
            &mut command,
            &self.folder.join("backend.log"),
        ));
    }

    /// Waits until it serves.
    ///
    /// # Panics
    /// When it doesn't in time, with the end of its log.
    pub async fn wait_until_ready(&mut self) {
        let url = format!("{}/readyz", self.url());
        let http = self.http.clone();
        let process = &mut self.process;
        wait::until("the backend is ready", READY_WITHIN, async || {
            let running = process.as_mut().is_some_and(Process::runs);
            assert!(
                running,
                "the backend ended:\n{}",
                process.as_ref().map_or_else(String::new, Process::log_tail)
            );
            let answer = http.get(&url).send().await;
            answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    }

    /// Waits until it has ended by itself; gives the end of its log.
    ///
    /// # Panics
    /// When it doesn't in time, or does not run.
    pub async fn wait_until_ended(&mut self) -> String {
        let mut process = self.process.take().expect("the backend runs");
        wait::until("the backend has ended", READY_WITHIN, async || {
            !process.runs()
        })
        .await;
        process.log_tail()
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("backend")
    }

    /// Its database.
    pub fn database(&self) -> PathBuf {
        self.data().join("kanade.db")
    }

    /// The broker's data folder.
    pub fn broker_data(&self) -> PathBuf {
        self.data().join("broker")
    }

    /// The file by which a local agent joins.
    pub fn join_file(&self) -> PathBuf {
        self.data().join("secrets").join("agent.creds.json")
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port of its broker.
    pub fn broker_port(&self) -> u16 {
        self.broker_port
    }

    /// The API's token.
    ///
    /// # Panics
    /// When it has never been ready.
    pub fn token(&self) -> String {
        let path = self.token_file();
        let token = std::fs::read_to_string(&path);
        token
            .unwrap_or_else(|error| panic!("could not read `{}`: {error}", path.display()))
            .trim()
            .to_owned()
    }

    /// Where the API's token is.
    pub fn token_file(&self) -> PathBuf {
        self.data().join("secrets").join("api-token")
    }

    /// Where the broker keeps what it stores.
    pub fn broker_store(&self) -> PathBuf {
        self.broker_data().join("store")
    }

    /// A client of its broker with the backend's own rights.
    ///
    /// # Panics
    /// When it can't connect.
    pub async fn broker(&self) -> async_nats::Client {
        let path = self.data().join("secrets").join("broker.json");
        let text =
            std::fs::read_to_string(&path).expect("a started backend has its broker's secrets");
        let secrets: serde_json::Value = serde_json::from_str(&text).expect("the secrets are JSON");
        let password = secrets["backend"].as_str().unwrap_or_default().to_owned();
        let options =
            async_nats::ConnectOptions::with_user_and_password("backend".to_owned(), password);
        let url = format!("nats://127.0.0.1:{}", self.broker_port);
        options
            .connect(url)
            .await
            .expect("the broker takes the backend's password")
    }

    /// Kills the backend alone, as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill9();
        }
    }

    /// Kills the broker alone; the backend starts it again.
    ///
    /// # Panics
    /// When there is none.
    #[cfg(unix)]
    pub fn kill9_broker(&self) {
        crate::process::signal(self.broker_pid(), rustix::process::Signal::KILL);
    }

    /// The backend's process id.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the backend runs").id()
    }

    /// The broker's process id.
    ///
    /// # Panics
    /// When it has never run.
    pub fn broker_pid(&self) -> u32 {
        let path = self.broker_data().join("nats-server.pid");
        let text = std::fs::read_to_string(&path);
        let text =
            text.unwrap_or_else(|error| panic!("could not read `{}`: {error}", path.display()));
        text.trim().parse().expect("a pid file holds a number")
    }

    /// Stops it in order, its broker last.
    ///
    /// # Panics
    /// When it doesn't stop.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// Sends one request.
    ///
    /// # Errors
    /// [`Refused`] with the problem that the API answered.
    ///
    /// # Panics
    /// When there is no answer at all, or not the one that was expected.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, Refused> {
        let url = format!("{}/api/v1/{path}", self.url());
        let mut request = self.http.request(method, &url).bearer_auth(self.token());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let status = answer.status();
        let text = answer
            .text()
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if !status.is_success() {
            let word = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            return Err(Refused {
                status: status.as_u16(),
                code: word("code"),
                title: word("title"),
            });
        }
        Ok(
            serde_json::from_value(value)
                .unwrap_or_else(|error| panic!("{url}: {error} in {text}")),
        )
    }

    /// Reads one resource.
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.call(Method::GET, path, None::<&()>).await;
        answer.unwrap_or_else(|refused| panic!("GET {path}: {refused:?}"))
    }

    /// Issues an exec.
    ///
    /// # Errors
    /// What the API refused.
    pub async fn issue(&self, request: &ExecRequest) -> Result<ExecView, Refused> {
        self.call(Method::POST, "execs", Some(request)).await
    }

    /// One exec as it is now.
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn exec(&self, exec_id: ExecId) -> ExecView {
        self.get(&format!("execs/{exec_id}")).await
    }

    /// Withdraws or kills an exec.
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn stop_exec(&self, exec_id: ExecId, action: StopAction) -> StopView {
        let request = StopRequest {
            action,
            reason: None,
        };
        let path = format!("execs/{exec_id}/stop");
        let answer = self.call(Method::POST, &path, Some(&request)).await;
        answer.unwrap_or_else(|refused| panic!("stop: {refused:?}"))
    }

    /// Tries again where an exec did not end `ok`.
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn retry_exec(&self, exec_id: ExecId) -> ExecView {
        let request = RetryRequest {
            outcomes: vec![],
            deadline_s: None,
            reason: None,
        };
        let path = format!("execs/{exec_id}/retry");
        let answer = self.call(Method::POST, &path, Some(&request)).await;
        answer.unwrap_or_else(|refused| panic!("retry: {refused:?}"))
    }

    /// Waits until an exec has ended.
    ///
    /// # Panics
    /// When it doesn't within `within`, with what is missing.
    pub async fn ended(&self, exec_id: ExecId, within: Duration) -> ExecView {
        let end = tokio::time::Instant::now() + within;
        loop {
            let exec = self.exec(exec_id).await;
            if exec.state == ExecState::Ended {
                return exec;
            }
            if tokio::time::Instant::now() > end {
                let targets: Vec<TargetView> = self.targets(exec_id).await;
                panic!(
                    "exec {exec_id} did not end within {within:?}: {:?}\n{targets:#?}",
                    exec.counts
                );
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Every row of a list.
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn all<T: DeserializeOwned>(&self, path: &str) -> Vec<T> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        let sign = if path.contains('?') { '&' } else { '?' };
        loop {
            let page: Page<T> = self.get(&format!("{path}{sign}limit=500{cursor}")).await;
            rows.extend(page.items);
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }

    /// Every target of an exec.
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn targets(&self, exec_id: ExecId) -> Vec<TargetView> {
        self.all(&format!("execs/{exec_id}/targets")).await
    }

    /// Every result of an exec.
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn results(&self, exec_id: ExecId) -> Vec<ResultView> {
        self.all(&format!("results?exec_id={exec_id}")).await
    }

    /// Every agent.
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn agents(&self) -> Vec<AgentView> {
        self.all("agents").await
    }
}

//! The API as a client meets it: doors, shapes of errors, limits, live events, its description.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use kanade_backend::api::{self, Answer, ApiError, BrokerDoor, Dashboard, Parts, Token};
use kanade_backend::changes::{Changes, Topic};
use kanade_backend::config::Limits;
use kanade_backend::fleet::{ExecRoom, Fleet, Operator};
use kanade_backend::health::{self, Health};
use kanade_backend::metrics::Metrics;
use kanade_backend::store::Store;
use kanade_backend::tasks::{Nudge, Stop, Tasks};
use kanade_shared::api::Problem;
use kanade_shared::api::events::LiveEvent;
use kanade_shared::bootstrap::{Plan, Report};
use kanade_shared::id::RequestId;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;

const TOKEN: &str = "the-token";

/// A broker that is not there.
struct NoBroker;

impl BrokerDoor for NoBroker {
    fn tail(&self, run: RequestId) -> BoxFuture<'_, Answer<()>> {
        if run.uuid().is_nil() {
            // A bug, for the test of panics.
            panic!("a broken rule");
        }
        async { Err(gone()) }.boxed()
    }
    fn plan(&self) -> BoxFuture<'_, Answer<Plan>> {
        // Never answers, for the test of the time limit.
        std::future::pending().boxed()
    }
    fn apply(&self, _: Operator) -> BoxFuture<'_, Answer<Report>> {
        async { Err(gone()) }.boxed()
    }
}

fn gone() -> ApiError {
    ApiError::invalid("broker.gone", "there is no broker")
}

/// A real API on a free port, over an empty database.
pub(crate) struct Server {
    pub(crate) url: String,
    changes: Changes,
    health: Health,
    stop: Stop,
    http: Client,
    _folder: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Self {
        Self::start_for(Dashboard::default(), limits).await
    }

    /// With these files for browsers.
    pub(crate) async fn start_for(dashboard: Dashboard, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("kanade.db")).await.unwrap();
        let changes = Changes::new(store.last_change().await.unwrap());
        let fleet = Fleet::new(store, changes.clone(), Nudge::new(), None, ExecRoom::new());
        let (stop, tasks) = (Stop::new(), Tasks::new());
        let health = Health::new(Utc::now(), tasks, Vec::new);
        let router = api::router(Parts {
            fleet,
            changes: changes.clone(),
            metrics: Metrics::new(),
            health: health.clone(),
            broker: Arc::new(NoBroker),
            token: Token::new(TOKEN),
            dashboard,
            limits,
            stop: stop.clone(),
        });
        let listener = api::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(api::serve(Arc::new(listener), router, stop.clone()));
        Self {
            url,
            changes,
            health,
            stop,
            http: Client::new(),
            _folder: folder,
        }
    }

    /// Without the token.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(TOKEN)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path).send().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Asserts that the answer is a whole problem with this status, and returns its code and sentence.
pub(crate) async fn problem(answer: RequestBuilder, status: u16) -> String {
    let answer = answer.send().await.unwrap();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let is = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    assert_eq!(
        (is, kind.as_str()),
        (status, "application/problem+json"),
        "{text}"
    );
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.status, status);
    let field = problem
        .field
        .map(|field| format!(" [{field}]"))
        .unwrap_or_default();
    format!("{}: {}{field}", problem.code, problem.title)
}

/// Everything that the document lists, with example values in the paths.
async fn operations(server: &Server) -> Vec<(Method, String, bool)> {
    let answer = server
        .bare(Method::GET, "/api/v1/openapi.json")
        .send()
        .await
        .unwrap();
    let document: Value = answer.json().await.unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = "0".repeat(31) + "1";
            let path = path
                .replace("{exec_id}", &id)
                .replace("{request_id}", &id)
                .replace("{stream}", "stdout")
                .replace("{sha256}", &"0".repeat(64))
                .replace("{pc_id}", "pc-1")
                .replace("{job_id}", "job-1")
                .replace("{group_id}", "group-1");
            assert!(!path.contains('{'), "{path} has a part without an example");
            let method = method.to_uppercase().parse().unwrap();
            found.push((method, path, operation["security"].is_array()));
        }
    }
    found
}

#[tokio::test]
async fn nothing_but_health_description_and_signing_in_is_open_to_one_without_the_token() {
    let server = Server::start().await;
    let mut open = BTreeSet::new();
    for (method, path, wants_token) in operations(&server).await {
        if wants_token {
            let bare = server.bare(method.clone(), &path);
            let told = problem(bare, 401).await;
            assert_eq!(told, "auth.token: a token is needed", "{method} {path}");
            let wrong = server.bare(method, &path).bearer_auth("another");
            assert_eq!(
                problem(wrong, 401).await,
                "auth.token: the token is not known here"
            );
        } else {
            open.insert(format!("{method} {path}"));
        }
    }
    // This list may only shrink.
    let allowed = ["GET /healthz", "GET /readyz", "POST /api/v1/session"];
    assert_eq!(open, allowed.map(str::to_owned).into());
}

#[tokio::test]
async fn everything_that_is_described_is_served() {
    let server = Server::start().await;
    for (method, path, _) in operations(&server).await {
        if path.ends_with("/bootstrap") || path.ends_with("/events") {
            continue; // Answers when it is asked properly; other tests do.
        }
        let answer = server.ask(method.clone(), &path).send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert!(status != 405, "{method} {path}");
        assert!(!text.contains("path.unknown"), "{method} {path}: {text}");
    }
}

#[tokio::test]
async fn every_refusal_is_a_problem_that_says_what_to_do() {
    let server = Server::start().await;
    let json = |path: &str, body: &'static str| {
        server
            .ask(Method::POST, path)
            .header("content-type", "application/json")
            .body(body)
    };
    let told = [
        problem(server.ask(Method::GET, "/api/v1/nothing"), 404).await,
        problem(server.ask(Method::DELETE, "/api/v1/agents"), 405).await,
        problem(server.ask(Method::GET, "/api/v1/agents?limt=3"), 400).await,
        problem(server.ask(Method::GET, "/api/v1/agents?limit=many"), 400).await,
        problem(server.ask(Method::GET, "/api/v1/agents/Not%20A%20Pc"), 400).await,
        problem(server.ask(Method::GET, "/api/v1/results/12"), 400).await,
        problem(json("/api/v1/execs", "{"), 400).await,
        problem(
            json(
                "/api/v1/execs",
                r#"{"what":{"job":"x"},"targets":{"pcs":["A B"]}}"#,
            ),
            400,
        )
        .await,
        problem(
            json(
                "/api/v1/execs",
                r#"{"what":{"job":"x"},"targets":{},"colour":1}"#,
            ),
            400,
        )
        .await,
        problem(server.ask(Method::POST, "/api/v1/execs").body("x"), 415).await,
        problem(
            server
                .ask(Method::PUT, "/api/v1/jobs/a")
                .header("content-type", "image/png")
                .body("x"),
            415,
        )
        .await,
        problem(
            server
                .ask(Method::PUT, "/api/v1/jobs/a")
                .header("content-type", "application/yaml")
                .header("if-match", "W/x")
                .body("x"),
            400,
        )
        .await,
        problem(server.ask(Method::GET, "/api/v1/events?topics=jobs"), 400).await,
        problem(server.ask(Method::GET, "/api/v1/events"), 400).await,
        problem(
            server.ask(
                Method::PUT,
                &format!("/agent/v1/results/{:032x}/stdout?pc_id=pc-1", 1),
            ),
            400,
        )
        .await,
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_body_over_its_limit_is_refused_and_a_script_may_be_larger() {
    let server = Server::start().await;
    let send = |method: Method, path: &str, kind: &str, megabytes: usize| {
        let body = "#".repeat(megabytes * 1024 * 1024 + 1);
        server
            .ask(method, path)
            .header("content-type", kind.to_owned())
            .body(body)
    };
    let group = send(Method::PUT, "/api/v1/groups/lab", "application/json", 1);
    insta::assert_snapshot!(problem(group, 413).await, @"body.too_large: the body is larger than this address takes");
    let script = send(Method::POST, "/api/v1/execs", "application/json", 2);
    assert_ne!(script.send().await.unwrap().status(), 413);
    let script = send(Method::POST, "/api/v1/execs", "application/json", 6);
    assert!(problem(script, 413).await.starts_with("body.too_large"));
    let job = send(Method::PUT, "/api/v1/jobs/a", "application/yaml", 2);
    insta::assert_snapshot!(problem(job, 413).await, @"request.too_large: the definition of job `a`, as YAML, would be 2097153 bytes; at most 921600 are allowed");
}

#[tokio::test]
async fn one_who_asks_too_fast_is_told_to_wait() {
    let server = Server::start_with(Limits {
        requests_per_second: 2,
        ..Limits::default()
    })
    .await;
    for _ in 0..4 {
        assert_ne!(server.get("/metrics").await.status(), 429);
    }
    let told = problem(server.ask(Method::GET, "/metrics"), 429).await;
    assert_eq!(told, "rate.exceeded: too many requests in a short time");
    let body = format!("/agent/v1/bodies/{}", "0".repeat(64));
    let agents = problem(server.ask(Method::GET, &body), 404).await;
    assert!(
        agents.starts_with("body.unknown"),
        "agents have their own rate"
    );
    let other = server.bare(Method::GET, "/metrics").bearer_auth("a guess");
    assert!(
        problem(other, 401).await.starts_with("auth.token"),
        "guesses have their own rate"
    );
}

#[tokio::test]
async fn an_answer_that_takes_too_long_and_a_panic_are_problems_too() {
    let server = Server::start_with(Limits {
        request_timeout_s: 1,
        ..Limits::default()
    })
    .await;
    let slow = problem(server.ask(Method::GET, "/api/v1/bootstrap"), 408).await;
    assert_eq!(slow, "request.timeout: the request was not done after 1 s");
    let tail = format!("/api/v1/results/{}/tail", "0".repeat(32));
    let broke = problem(server.ask(Method::POST, &tail), 500).await;
    assert_eq!(broke, "internal: the backend failed to make an answer");
    assert_eq!(server.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn it_is_ready_unless_a_part_does_not_serve() {
    let server = Server::start().await;
    let drift = health::warning("broker.drift", "RESULTS differs", "look at the plan");
    server.health.check("broker", move || {
        let drift = drift.clone();
        async { vec![drift] }.boxed()
    });
    let answer = server.bare(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let ready: Value = answer.json().await.unwrap();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["findings"][0]["code"], "broker.drift");
    server.health.check("database", || {
        async { vec![health::error("store.failed", "it does not answer")] }.boxed()
    });
    let answer = server.bare(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let ready: Value = answer.json().await.unwrap();
    assert_eq!(
        ready["findings"][0]["code"], "store.failed",
        "the worst comes first"
    );
}

#[tokio::test]
async fn answers_are_compressed_and_never_cached_or_guessed_at() {
    let server = Server::start().await;
    let asked = server.bare(Method::GET, "/api/v1/openapi.json");
    let answer = asked
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned())
    };
    assert_eq!(header("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
    let page = server
        .bare(Method::GET, "/api/v1/docs")
        .send()
        .await
        .unwrap();
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.contains("script-src 'self'"), "{policy}");
    assert!(!page.text().await.unwrap().contains("//cdn"));
}

#[tokio::test]
async fn numbers_count_by_route_and_not_by_path() {
    let server = Server::start().await;
    for pc in ["pc-1", "pc-2"] {
        server.get(&format!("/api/v1/agents/{pc}")).await;
    }
    let text = server.get("/metrics").await.text().await.unwrap();
    assert!(text.contains(r#"route="/api/v1/agents/{pc_id}""#), "{text}");
    assert!(!text.contains("pc-1"), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

/// Whole events of a live stream, as text.
struct Live {
    stream: futures::stream::BoxStream<'static, String>,
    text: String,
}

impl Live {
    async fn open(server: &Server, topics: &str, last: Option<u64>) -> Self {
        let mut request = server.ask(Method::GET, &format!("/api/v1/events?topics={topics}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let stream = answer.bytes_stream().map(|bytes| {
            bytes
                .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
                .unwrap_or_default()
        });
        Self {
            stream: stream.boxed(),
            text: String::new(),
        }
    }

    /// The next event, or nothing when the stream has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let piece = tokio::time::timeout(Duration::from_secs(10), self.stream.next());
            self.text
                .push_str(&piece.await.expect("an event or an end comes")?);
        }
    }
}

#[tokio::test]
async fn one_who_lost_the_connection_goes_on_where_it_was_and_others_read_again() {
    let server = Server::start().await;
    let publish = |change| {
        server
            .changes
            .publish(change, vec![(Topic::Agents, LiveEvent::Unknown)]);
    };
    let mut live = Live::open(&server, "agents,execs", None).await;
    assert_eq!(
        live.next().await.unwrap(),
        "id: 0\nevent: reset\ndata: {\"kind\":\"reset\"}"
    );
    publish(1);
    assert!(
        live.next()
            .await
            .unwrap()
            .starts_with("id: 1\nevent: agents\n")
    );
    drop(live);
    publish(2);
    let mut live = Live::open(&server, "agents", Some(1)).await;
    assert!(
        live.next()
            .await
            .unwrap()
            .starts_with("id: 1\nevent: resumed\n")
    );
    assert!(
        live.next()
            .await
            .unwrap()
            .starts_with("id: 2\nevent: agents\n")
    );
    let mut other = Live::open(&server, "agents", Some(99)).await;
    assert!(
        other
            .next()
            .await
            .unwrap()
            .starts_with("id: 2\nevent: reset\n")
    );
}

#[tokio::test]
async fn live_events_end_when_the_backend_stops() {
    let server = Server::start().await;
    let mut live = Live::open(&server, "execs", None).await;
    live.next().await.unwrap();
    server.stop.cancel();
    assert_eq!(live.next().await, None);
}

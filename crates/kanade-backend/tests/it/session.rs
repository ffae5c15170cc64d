//! Signing in to the dashboard as a browser does it: links, cookies, other origins, signing out.

use futures::{FutureExt, StreamExt};
use kanade_backend::api::Dashboard;
use kanade_backend::config::Limits;
use kanade_shared::api::session::{SessionView, SigninLink};
use kanade_testkit::{ports, wait};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;

use crate::api::{Server, problem};
use crate::running::Running;

const GROUP: &str = "/api/v1/groups/lab";

async fn link(server: &Server) -> SigninLink {
    let asked = server.ask(Method::POST, "/api/v1/signin-links");
    asked.send().await.unwrap().json().await.unwrap()
}

fn use_code(server: &Server, code: &str) -> RequestBuilder {
    let asked = server.bare(Method::POST, "/api/v1/session");
    asked.json(&json!({ "code": code }))
}

fn set_cookie(answer: &Response) -> String {
    answer.headers()["set-cookie"].to_str().unwrap().to_owned()
}

/// Signs in, and gives the cookie as a browser sends it back.
async fn sign_in(server: &Server) -> String {
    let code = link(server).await.code;
    let answer = use_code(server, &code).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let cookie = set_cookie(&answer);
    cookie.split(';').next().unwrap().to_owned()
}

/// A request of a page of the dashboard.
fn page(server: &Server, cookie: &str, method: Method, path: &str) -> RequestBuilder {
    let asked = server.bare(method, path).header("cookie", cookie);
    asked.header("sec-fetch-site", "same-origin")
}

fn write_group(asked: RequestBuilder) -> RequestBuilder {
    asked.json(&json!({ "members": [] }))
}

#[tokio::test]
async fn a_link_signs_one_browser_in_once_and_its_session_may_do_what_the_operator_may() {
    let server = Server::start().await;
    let link = link(&server).await;
    assert_eq!(link.url, format!("{}/?signin={}", server.url, link.code));
    let answer = use_code(&server, &link.code).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let cookie = set_cookie(&answer);
    let (pair, rules) = cookie.split_once("; ").unwrap();
    assert_eq!(rules, "Path=/; HttpOnly; SameSite=Strict; Max-Age=604800");
    let view: SessionView = answer.json().await.unwrap();
    assert_eq!(view.operator, "local");

    let asked = page(&server, pair, Method::GET, "/api/v1/session");
    let again: SessionView = asked.send().await.unwrap().json().await.unwrap();
    assert_eq!(again, view);
    let written = write_group(page(&server, pair, Method::PUT, GROUP));
    assert_eq!(written.send().await.unwrap().status(), 201);
    let events = page(&server, pair, Method::GET, "/api/v1/events?topics=agents");
    assert_eq!(events.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_code_that_is_used_or_unknown_says_so_and_how_to_get_another() {
    let server = Server::start().await;
    let code = link(&server).await.code;
    assert_eq!(use_code(&server, &code).send().await.unwrap().status(), 200);
    insta::assert_snapshot!(
        problem(use_code(&server, &code), 403).await,
        @"signin.used: this sign-in link was used already"
    );
    insta::assert_snapshot!(
        problem(use_code(&server, "a guess"), 403).await,
        @"signin.unknown: the code of this sign-in link is not known here"
    );
    let answer = use_code(&server, &code).send().await.unwrap();
    let told: kanade_shared::api::Problem = answer.json().await.unwrap();
    assert_eq!(
        told.help.as_deref(),
        Some("`kanade signin` prints a new link")
    );
}

#[tokio::test]
async fn guesses_are_slowed_down_and_do_not_keep_the_operator_out() {
    let limits = Limits {
        requests_per_second: 2,
        ..Limits::default()
    };
    let server = Server::start_with(limits).await;
    let code = link(&server).await.code;
    for _ in 0..4 {
        problem(use_code(&server, "a guess"), 403).await;
    }
    let told = problem(use_code(&server, "a guess"), 429).await;
    assert!(told.starts_with("rate.exceeded"), "{told}");
    let cookie = format!("kanade_session={}", "0".repeat(64));
    let guess = page(&server, &cookie, Method::GET, "/api/v1/session");
    problem(guess, 429).await;
    assert_eq!(use_code(&server, &code).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing_with_the_cookie() {
    let server = Server::start().await;
    let cookie = sign_in(&server).await;
    let from = |name: &str, value: &str| {
        let asked = server.bare(Method::PUT, GROUP).header("cookie", &cookie);
        write_group(asked.header(name, value))
    };
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://127.0.0.1:1"),
        ("origin", "null"),
        ("x-nothing", "a client that says neither"),
    ] {
        let told = problem(from(name, value), 403).await;
        assert_eq!(
            told,
            "origin.other: a page of another origin asks in the name of one who is signed in here"
        );
    }
    assert_eq!(server.get(GROUP).await.status(), 404, "nothing was written");
    // In clear text from another machine, browsers tell the origin only.
    let own = from("origin", &server.url);
    assert_eq!(own.send().await.unwrap().status(), 201);
    let code = link(&server).await.code;
    let foreign = use_code(&server, &code).header("sec-fetch-site", "cross-site");
    assert!(problem(foreign, 403).await.starts_with("origin.other"));
}

#[tokio::test]
async fn one_who_signs_out_is_out() {
    let server = Server::start().await;
    let cookie = sign_in(&server).await;
    let out = page(&server, &cookie, Method::DELETE, "/api/v1/session");
    let answer = out.send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert!(set_cookie(&answer).starts_with("kanade_session=; "));
    assert!(set_cookie(&answer).contains("Max-Age=0"));
    let told = problem(page(&server, &cookie, Method::GET, "/api/v1/session"), 401).await;
    insta::assert_snapshot!(told, @"auth.session: the session has ended");

    let audit: serde_json::Value = server.get("/api/v1/audit").await.json().await.unwrap();
    let rows = audit["items"].as_array().unwrap();
    let actions: Vec<_> = rows
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["session.end", "session.open", "signin.link"]);
    assert_eq!(rows[0]["object"], rows[1]["object"]);
    let secret = cookie.split_once('=').unwrap().1;
    assert!(!audit.to_string().contains(secret));
}

#[tokio::test]
async fn live_events_end_with_the_session_that_asked_for_them() {
    let server = Server::start().await;
    let (cookie, other) = (sign_in(&server).await, sign_in(&server).await);
    let listen = async |cookie: &str| {
        let asked = page(&server, cookie, Method::GET, "/api/v1/events?topics=agents");
        let mut stream = asked.send().await.unwrap().bytes_stream();
        stream.next().await.unwrap().unwrap();
        stream
    };
    let (mut ended, mut goes_on) = (listen(&cookie).await, listen(&other).await);
    let out = page(&server, &cookie, Method::DELETE, "/api/v1/session");
    assert_eq!(out.send().await.unwrap().status(), 204);
    let end = async { while ended.next().await.is_some() {} };
    let ends = tokio::time::timeout(wait::LONG, end).await;
    assert!(ends.is_ok(), "the events of one who signed out go on");
    let ended = matches!(goes_on.next().now_or_never(), Some(None));
    assert!(!ended, "another session's events go on");
}

#[tokio::test]
async fn links_are_made_by_the_token_alone_and_agents_use_no_cookie() {
    let server = Server::start().await;
    let cookie = sign_in(&server).await;
    let told = problem(
        page(&server, &cookie, Method::POST, "/api/v1/signin-links"),
        403,
    )
    .await;
    assert!(told.starts_with("signin.token"), "{told}");
    let body = format!("/agent/v1/bodies/{}", "0".repeat(64));
    problem(page(&server, &cookie, Method::GET, &body), 401).await;
    // A token beside a cookie is what counts.
    let wrong = page(&server, &cookie, Method::GET, "/api/v1/session").bearer_auth("another");
    let told = problem(wrong, 401).await;
    assert_eq!(told, "auth.token: the token is not known here");
    let token: SessionView = server.get("/api/v1/session").await.json().await.unwrap();
    assert_eq!(token.expires_at, None);
}

#[tokio::test]
async fn behind_tls_the_link_has_the_address_for_browsers_and_the_cookie_stays_on_tls() {
    let dashboard = Dashboard::default().at(Some("https://kanade.example/".to_owned()));
    let server = Server::start_for(dashboard, Limits::default()).await;
    let link = link(&server).await;
    assert_eq!(
        link.url,
        format!("https://kanade.example/?signin={}", link.code)
    );
    let answer = use_code(&server, &link.code).send().await.unwrap();
    assert!(set_cookie(&answer).ends_with("; Secure"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_restart_of_the_backend_signs_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let port = ports::free();
    let first = Running::start(folder.path(), port).await;
    let made = first.ask(Method::POST, "/api/v1/signin-links");
    let link: SigninLink = made.send().await.unwrap().json().await.unwrap();
    let site = format!("http://127.0.0.1:{port}");
    let http = reqwest::Client::new();
    let signed_in = http
        .post(format!("{site}/api/v1/session"))
        .json(&json!({ "code": link.code }));
    let cookie = set_cookie(&signed_in.send().await.unwrap());
    assert!(first.terminate().await);

    let again = Running::start(folder.path(), port).await;
    let asked = http.get(format!("{site}/api/v1/session"));
    let answer = asked.header("cookie", cookie).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(again.terminate().await);
}

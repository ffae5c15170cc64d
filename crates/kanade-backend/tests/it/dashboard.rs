//! The dashboard's files as a browser gets them.

use std::fs;

use kanade_backend::api::Dashboard;
use kanade_backend::config::Limits;
use reqwest::{Method, Response};
use tempfile::TempDir;

use crate::api::{Server, problem};

/// A build of a dashboard, as the front end's tools leave it.
fn built() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("assets")).unwrap();
    for (path, text) in [
        ("index.html", "<!doctype html>the dashboard"),
        ("favicon.svg", "<svg/>"),
        ("assets/index-1a2b.js", "plain"),
        ("assets/index-1a2b.js.br", "as brotli"),
        ("assets/index-1a2b.js.gz", "as gzip"),
    ] {
        fs::write(folder.path().join(path), text).unwrap();
    }
    folder
}

async fn server() -> Server {
    let dashboard = Dashboard::of_folder(built().path());
    Server::start_for(dashboard, Limits::default()).await
}

fn header(answer: &Response, name: &str) -> String {
    let value = answer.headers().get(name);
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

async fn get(server: &Server, path: &str) -> Response {
    server.bare(Method::GET, path).send().await.unwrap()
}

#[tokio::test]
async fn a_page_of_the_dashboard_is_asked_for_again_by_its_tag() {
    let server = server().await;
    let index = get(&server, "/").await;
    assert_eq!(header(&index, "content-type"), "text/html; charset=utf-8");
    assert_eq!(header(&index, "cache-control"), "no-cache");
    let tag = header(&index, "etag");
    assert_eq!(index.text().await.unwrap(), "<!doctype html>the dashboard");
    let page = server.bare(Method::GET, "/agents/pc-1?tab=runs");
    let page = page.header("if-none-match", &tag).send().await.unwrap();
    assert_eq!(page.status(), 304);
    assert_eq!(header(&page, "etag"), tag);
    let other = server
        .bare(Method::GET, "/")
        .header("if-none-match", "W/\"another\"");
    assert_eq!(other.send().await.unwrap().status(), 200);
    let head = server.bare(Method::HEAD, "/").send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), header(&head, "content-length")),
        (200, "28".to_owned())
    );
}

#[tokio::test]
async fn an_asset_comes_as_the_build_compressed_it_and_is_kept_for_ever() {
    let server = server().await;
    let asset = async |encodings: &str| {
        let asked = server.bare(Method::GET, "/assets/index-1a2b.js");
        asked
            .header("accept-encoding", encodings)
            .send()
            .await
            .unwrap()
    };
    for (encodings, encoding, text) in [
        ("gzip, deflate, br", "br", "as brotli"),
        ("gzip", "gzip", "as gzip"),
        ("identity", "", "plain"),
    ] {
        let answer = asset(encodings).await;
        assert_eq!(header(&answer, "content-encoding"), encoding);
        assert_eq!(
            header(&answer, "content-type"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(
            header(&answer, "cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(header(&answer, "vary").to_lowercase(), "accept-encoding");
        assert_eq!(answer.text().await.unwrap(), text);
    }
}

#[tokio::test]
async fn pages_may_load_nothing_from_elsewhere_and_be_shown_in_nothing() {
    let server = server().await;
    for path in ["/", "/assets/index-1a2b.js"] {
        let answer = get(&server, path).await;
        let policy = header(&answer, "content-security-policy");
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
    }
}

#[tokio::test]
async fn what_is_no_page_is_not_found_and_nothing_outside_is_reached() {
    let server = server().await;
    for path in [
        "/api/v1/nothing",
        "/agent/v1/nothing",
        "/assets/gone-1a2b.js",
        "/assets/index-1a2b.js.br",
        "/robots.txt",
        "/..%2f..%2fsecrets.txt",
    ] {
        let told = problem(server.bare(Method::GET, path), 404).await;
        assert!(told.starts_with("path.unknown"), "{told}");
    }
    let told = problem(server.bare(Method::POST, "/agents"), 404).await;
    assert!(told.starts_with("path.unknown"), "{told}");
}

#[tokio::test]
async fn a_backend_without_the_dashboard_says_how_to_build_it() {
    let server = Server::start().await;
    let answer = get(&server, "/agents").await;
    assert_eq!(answer.status(), 404);
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    assert!(answer.text().await.unwrap().contains("cargo xtask web"));
}

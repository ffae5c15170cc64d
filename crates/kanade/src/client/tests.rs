//! The client against a server of a few lines: what it sends, and what it makes of answers.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::events::{Listener, Live};
use super::*;
use kanade_shared::api::events::LiveEvent;

/// Answers each connection in turn with a whole HTTP answer, and gives the requests it read.
async fn server(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                let mut piece = [0; 4096];
                let length = stream.read(&mut piece).await.unwrap();
                request.extend_from_slice(&piece[..length]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            requests.push(String::from_utf8_lossy(&request).to_lowercase());
        }
        requests
    });
    (url, task)
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}

fn client(url: &str) -> Client {
    let endpoint = Endpoint {
        url: url.to_owned(),
        token: Some("secret".into()),
    };
    Client::new(endpoint).unwrap()
}

#[tokio::test]
async fn an_exec_is_posted_again_under_the_same_key_when_the_connection_breaks() {
    let broken = "HTTP/1.1 200 OK\r\n".to_owned();
    let good = answer("201 Created", "application/json", "{\"ok\":true}");
    let (url, requests) = server(vec![broken, good]).await;
    let body = serde_json::json!({});
    let value: serde_json::Value = client(&url)
        .post_once("execs", "key-1", &body)
        .await
        .unwrap();
    assert_eq!(value["ok"], true);
    let requests = requests.await.unwrap();
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert!(request.starts_with("post /api/v1/execs "), "{request}");
        assert!(request.contains("idempotency-key: key-1"), "{request}");
        assert!(
            request.contains("authorization: bearer secret"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_list_is_read_to_its_end_page_by_page() {
    let page = |items: &str, next: &str| {
        let body = format!(r#"{{"items":{items},"count":{{"at_least":3,"exact":true}}{next}}}"#);
        answer("200 OK", "application/json", &body)
    };
    let pages = vec![page("[1,2]", r#","next":"c1""#), page("[3]", "")];
    let (url, requests) = server(pages).await;
    let query = kanade_shared::api::catalogue::NameQuery {
        search: Some("a b".into()),
        ..Default::default()
    };
    let listed: Listed<u32> = list(&client(&url), "jobs", &query, Asking::All)
        .await
        .unwrap();
    assert_eq!(listed.items, [1, 2, 3]);
    let requests = requests.await.unwrap();
    assert!(
        requests[0].contains("search=a+b&limit=500 "),
        "{}",
        requests[0]
    );
    assert!(requests[1].contains("cursor=c1"), "{}", requests[1]);
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_named_with_what_to_check() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = client(&url).get::<u32, _>("system", &()).await.unwrap_err();
    assert_eq!(failure.exit().code(), 6);
    assert_eq!(
        failure.title(),
        format!("could not reach the backend at {url}")
    );
    assert!(failure.to_string().contains("try: is the backend running"));
}

#[tokio::test]
async fn a_listener_comes_back_where_it_was_and_says_when_to_read_again() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let tail = r#"{"kind":"from_the_future","x":1}"#;
    let (url, requests) = server(vec![
        format!("{head}: hi\n\nid: 41\ndata: {tail}\n\nid: 42\ndata: {tail}\n\n"),
        format!("{head}id: 50\ndata: {{\"kind\":\"reset\"}}\n\n"),
    ])
    .await;
    let mut listener = Listener::start(client(&url), "exec:1");
    assert!(matches!(listener.next().await, Live::ReadAgain));
    assert!(matches!(
        listener.next().await,
        Live::Event(LiveEvent::Unknown)
    ));
    assert!(matches!(
        listener.next().await,
        Live::Event(LiveEvent::Unknown)
    ));
    assert!(matches!(listener.next().await, Live::Away));
    assert!(matches!(listener.next().await, Live::Back));
    assert!(matches!(listener.next().await, Live::ReadAgain));
    let requests = requests.await.unwrap();
    assert!(!requests[0].contains("last-event-id"));
    assert!(requests[1].contains("last-event-id: 42"), "{}", requests[1]);
}

#[tokio::test]
async fn a_refusal_keeps_the_words_of_the_backend() {
    let body = r#"{"status":409,"code":"exec.preview_changed","title":"the PCs have changed"}"#;
    let (url, _) = server(vec![answer(
        "409 Conflict",
        "application/problem+json",
        body,
    )])
    .await;
    let failure = client(&url).post::<u32, _>("execs", &()).await.unwrap_err();
    assert_eq!(failure.exit().code(), 3);
    assert_eq!(failure.code(), Some("exec.preview_changed"));
    assert_eq!(failure.to_string(), "error: the PCs have changed");
}

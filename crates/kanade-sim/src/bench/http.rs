//! The API as a bench uses it: a listener that counts, and pages that are timed.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use kanade_shared::api::events::LiveEvent;
use kanade_shared::id::ExecId;
use kanade_testkit::backend::Backend;

/// Listens to one exec.
pub(super) struct ExecListener {
    pieces: futures::stream::BoxStream<'static, Bytes>,
    rest: BytesMut,
}

/// What was heard of an exec.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HeardOf {
    /// Results.
    pub(super) results: u64,
    /// Targets that have ended, by the last word on the exec.
    pub(super) ended: u64,
}

impl ExecListener {
    /// Opens it; what comes after this call returns is heard.
    pub(super) async fn open(backend: &Backend, http: &reqwest::Client, exec: ExecId) -> Self {
        let url = format!("{}/api/v1/events?topics=exec:{exec}", backend.url());
        let answer = http.get(url).bearer_auth(backend.token()).send().await;
        let answer = answer.expect("the backend serves events");
        assert!(answer.status().is_success(), "{}", answer.status());
        let pieces = answer
            .bytes_stream()
            .map(|piece| piece.unwrap_or_default())
            .boxed();
        let mut listener = Self {
            pieces,
            rest: BytesMut::new(),
        };
        // The first event says that listening has begun.
        while !listener.next_line().await.starts_with(b"data: ") {}
        listener
    }

    /// Listens until so many results were heard and so many targets have ended.
    pub(super) async fn until(&mut self, results: u64, ended: u64, within: Duration) -> HeardOf {
        let mut heard = HeardOf::default();
        let listening = async {
            while heard.results < results || heard.ended < ended {
                let line = self.next_line().await;
                let Some(data) = line.strip_prefix(b"data: ".as_slice()) else {
                    continue;
                };
                // The tag comes first; only what says how far the exec is must be read.
                if data.starts_with(br#"{"kind":"result""#) {
                    heard.results += 1;
                } else if data.starts_with(br#"{"kind":"exec""#)
                    && let Ok(LiveEvent::Exec { exec }) = serde_json::from_slice(data)
                {
                    heard.ended = exec.counts.ended.values().sum();
                } else {
                    assert!(
                        !data.starts_with(br#"{"kind":"reset""#),
                        "the listener was too slow"
                    );
                }
            }
        };
        let in_time = tokio::time::timeout(within, listening).await.is_ok();
        assert!(
            in_time,
            "heard {heard:?} of {results} results within {within:?}"
        );
        heard
    }

    async fn next_line(&mut self) -> BytesMut {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let mut line = self.rest.split_to(end + 1);
                line.truncate(end);
                return line;
            }
            let piece = self.pieces.next().await;
            self.rest
                .extend_from_slice(&piece.expect("the backend goes on serving events"));
        }
    }
}

/// How long one page takes, in milliseconds, and where the next one begins.
pub(super) async fn page(
    backend: &Backend,
    http: &reqwest::Client,
    token: &str,
    path: &str,
) -> (f64, Option<String>) {
    let url = format!("{}/api/v1/{path}", backend.url());
    let begun = Instant::now();
    let answer = http.get(&url).bearer_auth(token).send().await;
    let answer = answer.expect("the backend serves pages");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    let bytes = answer.bytes().await.expect("the page comes whole");
    let took_ms = begun.elapsed().as_secs_f64() * 1000.0;
    let page: serde_json::Value = serde_json::from_slice(&bytes).expect("a page is JSON");
    let next = page["next"].as_str().map(str::to_owned);
    (took_ms, next)
}

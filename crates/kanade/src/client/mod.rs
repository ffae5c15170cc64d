//! The REST client: requests, answers, pages.
//!
//! A request that may be sent twice (a read, a write of a definition, a POST with an idempotency
//! key) is tried again when the connection fails; every other is sent once. An answer that is not
//! a success becomes a [`Failure`] with the backend's own words.

pub(crate) mod events;
mod outputs;
mod pages;
mod sse;

use std::time::Duration;

use kanade_shared::api::{PREFIX, Problem};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Endpoint;
use crate::failure::Failure;

pub(crate) use outputs::{output_page, whole_output};
pub(crate) use pages::{Asking, Listed, list};

/// Longest time that one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Longest time to be let in by the address.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Waits before each new try of a request that may be sent twice.
const WAITS: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(600)];

/// How often a backend that has too much to do is asked again.
const BUSY_MAX: u32 = 20;

/// One backend.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
}

impl Client {
    /// A client of this backend; connects at the first request.
    ///
    /// # Errors
    /// The system gives no client.
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .user_agent(concat!("kanade/", env!("CARGO_PKG_VERSION")))
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                Failure::unreachable("could not make an HTTP client").caused_by(&error)
            })?;
        Ok(Self { http, endpoint })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{PREFIX}/{path}", self.endpoint.url);
        let request = self.http.request(method, url);
        match &self.endpoint.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Reads one thing; `query` holds the filters.
    ///
    /// # Errors
    /// The backend refuses, has none, or can't be reached.
    pub(crate) async fn get<T, Q>(&self, path: &str, query: &Q) -> Result<T, Failure>
    where
        T: DeserializeOwned,
        Q: Serialize + Sync + ?Sized,
    {
        let request = self
            .request(Method::GET, path)
            .query(query)
            .timeout(ANSWER_MAX);
        self.answer(self.send_again(request).await?).await
    }

    /// Sends a request for a change once.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post<T, B>(&self, path: &str, body: &B) -> Result<T, Failure>
    where
        T: DeserializeOwned,
        B: Serialize + Sync + ?Sized,
    {
        let request = self
            .request(Method::POST, path)
            .json(body)
            .timeout(ANSWER_MAX);
        self.answer(self.send(request).await?).await
    }

    /// Sends a request for a change that has the same effect however often it arrives: the backend
    /// knows it again by `key`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post_once<T, B>(
        &self,
        path: &str,
        key: &str,
        body: &B,
    ) -> Result<T, Failure>
    where
        T: DeserializeOwned,
        B: Serialize + Sync + ?Sized,
    {
        let request = self.request(Method::POST, path).json(body);
        let request = request.header("Idempotency-Key", key).timeout(ANSWER_MAX);
        self.answer(self.send_again(request).await?).await
    }

    /// Asks for something that has no answer.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn ask(&self, path: &str) -> Result<(), Failure> {
        let request = self.request(Method::POST, path).timeout(ANSWER_MAX);
        let response = self.send_again(request).await?;
        self.checked(response).await.map(|_| ())
    }

    /// Writes a definition. `if_match` is the revision that it replaces; `None`: whatever is there.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Written<'_>,
        if_match: Option<u64>,
    ) -> Result<T, Failure> {
        let request = self.request(Method::PUT, path).timeout(ANSWER_MAX);
        let request = match body {
            Written::Yaml(text) => request
                .header("Content-Type", "application/yaml")
                .body(text.to_owned()),
            Written::Json(value) => request.json(value),
        };
        let request = match if_match {
            Some(revision) => request.header("If-Match", format!("\"{revision}\"")),
            None => request,
        };
        self.answer(self.send_again(request).await?).await
    }

    /// Deletes a definition.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn delete(&self, path: &str) -> Result<(), Failure> {
        let response = self
            .send(self.request(Method::DELETE, path).timeout(ANSWER_MAX))
            .await?;
        self.checked(response).await.map(|_| ())
    }

    /// Opens an answer that has no end.
    ///
    /// # Errors
    /// As [`Client::get`].
    async fn open_stream(&self, path: &str, last: Option<&str>) -> Result<Response, Failure> {
        let request = self
            .request(Method::GET, path)
            .header("Accept", "text/event-stream");
        let request = match last {
            Some(id) => request.header("Last-Event-ID", id),
            None => request,
        };
        let response = self.send(request).await?;
        self.checked(response).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))
    }

    async fn send_again(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let mut broken = WAITS.into_iter();
        let mut busy = 0;
        while let Some(copy) = request.try_clone() {
            let wait = match copy.send().await {
                Ok(response) if response.status() == StatusCode::TOO_MANY_REQUESTS => {
                    busy += 1;
                    if busy > BUSY_MAX {
                        return Ok(response);
                    }
                    Some(asked_wait(&response))
                }
                Ok(response) if !may_recover(response.status()) => return Ok(response),
                Err(error) if error.is_timeout() || error.is_builder() => {
                    return Err(self.unreachable(&error));
                }
                Ok(_) | Err(_) => broken.next(),
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => break,
            }
        }
        self.send(request).await
    }

    async fn answer<T: DeserializeOwned>(&self, response: Response) -> Result<T, Failure> {
        let response = self.checked(response).await?;
        let bytes = response
            .bytes()
            .await
            .map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let title = format!("could not read the answer of {}", self.endpoint.url);
            Failure::unreachable(title)
                .caused_by(&error)
                .help("is it a kanade backend of this version? `kanade version` compares them")
        })
    }

    async fn checked(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.unwrap_or_default();
        let failure = match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Failure::of_problem(problem),
            Err(_) => Failure::of_problem(Problem::new(
                status.as_u16(),
                "http",
                format!("{} answered {status}", self.endpoint.url),
            )),
        };
        Err(match status {
            StatusCode::UNAUTHORIZED => failure.help(match self.endpoint.token {
                Some(_) => "`kanade login`: this token is not (or no more) one of the backend's",
                None => "`kanade login`, or KANADE_TOKEN_FILE: no token is set for this address",
            }),
            _ => failure,
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let url = &self.endpoint.url;
        let title = match error.is_timeout() && !error.is_connect() {
            true => format!("the backend at {url} did not answer in time"),
            false => format!("could not reach the backend at {url}"),
        };
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Failure::unreachable(title)
            .caused_by(cause)
            .help("is the backend running, and is this its address? `kanade context show`")
    }
}

/// A definition on its way to the backend.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Written<'a> {
    /// The operator's own bytes.
    Yaml(&'a str),
    /// As the API has it.
    Json(&'a serde_json::Value),
}

/// How long a backend that has too much to do wants to be left alone.
fn asked_wait(response: &Response) -> Duration {
    let header = response.headers().get("Retry-After");
    let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).clamp(Duration::from_millis(200), ANSWER_MAX)
}

/// A status that a restart of the backend gives for a moment.
fn may_recover(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
    )
}

#[cfg(test)]
mod tests;

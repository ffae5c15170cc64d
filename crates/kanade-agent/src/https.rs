//! Blobs between agent and backend: large output up, large scripts down.
//!
//! A client is made for each transfer and dropped after it, since an idle agent has no use for a
//! pool of connections.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use kanade_shared::id::{PcId, RequestId};
use kanade_shared::wire::command::BodyRef;
use reqwest::StatusCode;
use tokio_util::io::ReaderStream;

use crate::outbox::files::Upload;

/// Without progress for this long a transfer is given up, and tried again later.
const STALLED_AFTER: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest encrypted script that is taken.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Why a blob was not transferred.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The file can't be read.
    #[error("could not read the output to send")]
    File(#[source] std::io::Error),
    /// The backend can't be reached, or the connection broke.
    #[error("could not reach the backend at {url}")]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The backend answered, and not with success.
    #[error("the backend answered {status} for {url}")]
    Refused {
        /// What was asked for.
        url: String,
        /// Its answer.
        status: StatusCode,
    },
    /// More bytes than a script may have.
    #[error("the script is larger than {BODY_MAX_BYTES} bytes")]
    TooLarge,
}

impl BlobError {
    /// Whether the same request can't succeed later, either: the backend understood it and will
    /// not have it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(
                *status,
                StatusCode::BAD_REQUEST
                    | StatusCode::PAYLOAD_TOO_LARGE
                    | StatusCode::UNPROCESSABLE_ENTITY
            ),
            Self::TooLarge => true,
            Self::File(_) | Self::Unreachable { .. } => false,
        }
    }

    /// The error and its causes in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            text = format!("{text}: {source}");
            cause = source.source();
        }
        text
    }
}

/// The backend's door for blobs.
#[derive(Debug, Clone)]
pub struct Blobs {
    api_url: String,
    api_token: String,
}

impl Blobs {
    /// The door at this address, opened with this token.
    #[must_use]
    pub fn new(api_url: &str, api_token: &str) -> Self {
        Self {
            api_url: api_url.trim_end_matches('/').to_owned(),
            api_token: api_token.to_owned(),
        }
    }

    /// Sends one stream of a result, from its file.
    ///
    /// # Errors
    /// [`BlobError`]; the same bytes can be sent again.
    pub async fn put_output(
        &self,
        pc_id: &PcId,
        request_id: RequestId,
        upload: &Upload,
        path: &Path,
    ) -> Result<(), BlobError> {
        let file = tokio::fs::File::open(path).await.map_err(BlobError::File)?;
        let body = reqwest::Body::wrap_stream(ReaderStream::new(file));
        self.put(pc_id, request_id, upload, body).await
    }

    /// Sends one stream of a result, from memory.
    ///
    /// # Errors
    /// [`BlobError`]; the same bytes can be sent again.
    pub async fn put_text(
        &self,
        pc_id: &PcId,
        request_id: RequestId,
        upload: &Upload,
        text: Bytes,
    ) -> Result<(), BlobError> {
        self.put(pc_id, request_id, upload, text.into()).await
    }

    async fn put(
        &self,
        pc_id: &PcId,
        request_id: RequestId,
        upload: &Upload,
        body: reqwest::Body,
    ) -> Result<(), BlobError> {
        let url = format!(
            "{}/agent/v1/results/{request_id}/{}",
            self.api_url, upload.stream
        );
        let unreachable = |source| BlobError::Unreachable {
            url: url.clone(),
            source,
        };
        let request = self
            .client()
            .map_err(unreachable)?
            .put(&url)
            .query(&[("pc_id", pc_id.as_str())])
            .bearer_auth(&self.api_token)
            .header("Content-Type", "text/plain; charset=utf-8")
            .header("Content-Length", upload.size_bytes)
            .header("Kanade-Sha256", &upload.sha256)
            .body(body);
        let status = request.send().await.map_err(unreachable)?.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(BlobError::Refused { url, status })
        }
    }

    /// Gets an encrypted script; whoever asked checks its hash.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn get_body(&self, body: &BodyRef) -> Result<Vec<u8>, BlobError> {
        let url = format!("{}/agent/v1/bodies/{}", self.api_url, body.sha256);
        let unreachable = |source| BlobError::Unreachable {
            url: url.clone(),
            source,
        };
        let request = self
            .client()
            .map_err(unreachable)?
            .get(&url)
            .bearer_auth(&self.api_token);
        let answer = request.send().await.map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(BlobError::Refused {
                status: answer.status(),
                url,
            });
        }
        let mut bytes = Vec::new();
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(unreachable)?);
            if bytes.len() > BODY_MAX_BYTES {
                return Err(BlobError::TooLarge);
            }
        }
        Ok(bytes)
    }

    fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(STALLED_AFTER)
            .user_agent(concat!("kanade-agent/", env!("CARGO_PKG_VERSION")))
            .build()
    }
}

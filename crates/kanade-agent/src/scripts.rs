//! Scripts that do not ride inside their command: fetched, kept encrypted, opened for a run.
//!
//! A body's name is the hash of its encrypted bytes, so what is in the cache is checked by its own
//! name each time it is opened, and is never out of date.

use std::path::PathBuf;
use std::time::Duration;

use kanade_shared::body::{self, BodyError};
use kanade_shared::subject;
use kanade_shared::wire::command::{BodyRef, Command, ScriptSource};
use kanade_shared::wire::result::Reason;

use crate::data::{DataError, DataFolder, record};
use crate::https::Blobs;
use crate::link::read;
use crate::{blocking, platform};

/// A body is kept so long even if nothing names it.
const KEPT_AT_LEAST: Duration = Duration::from_secs(3600);

/// Why a script is not on this PC, and whether another try may help.
pub(crate) type NotFetched = (Reason, bool);

/// The cache, and where bodies come from.
#[derive(Debug, Clone)]
pub(crate) struct Scripts {
    data: DataFolder,
    blobs: Blobs,
}

impl Scripts {
    pub(crate) fn new(data: DataFolder, blobs: Blobs) -> Self {
        Self { data, blobs }
    }

    /// Makes sure that the script is on this PC.
    pub(crate) async fn fetch(
        &self,
        client: Option<async_nats::Client>,
        script: ScriptSource,
    ) -> Result<(), NotFetched> {
        let (ScriptSource::Body(body) | ScriptSource::Https(body)) = &script else {
            return Ok(());
        };
        if !is_hash(&body.sha256) {
            let text = "the command names its script by something that is no hash";
            return Err((Reason::new("script.name", text), false));
        }
        if self.open_cached(body.clone()).await.is_ok() {
            return Ok(());
        }
        let bytes = match &script {
            ScriptSource::Body(body) => from_broker(client, body).await?,
            ScriptSource::Https(body) => self.blobs.get_body(body).await.map_err(|error| {
                (
                    Reason::new("script.fetch", error.sentence()),
                    !error.is_final(),
                )
            })?,
            ScriptSource::Inline { .. } => return Ok(()),
        };
        let (body, path) = (body.clone(), self.path(body));
        blocking(move || keep(&path, &bytes, &body)).await
    }

    /// The text of a script that was fetched.
    pub(crate) async fn open(&self, command: &Command) -> Result<String, Reason> {
        match &command.run.script {
            ScriptSource::Inline { text } => Ok(text.clone()),
            ScriptSource::Body(body) | ScriptSource::Https(body) => self
                .open_cached(body.clone())
                .await
                .map_err(|why| Reason::new("script.cache", why)),
        }
    }

    async fn open_cached(&self, body_ref: BodyRef) -> Result<String, String> {
        let path = self.path(&body_ref);
        blocking(move || {
            let bytes = std::fs::read(&path)
                .map_err(|error| format!("could not read the script that was fetched: {error}"))?;
            body::open(&bytes, &body_ref).map_err(|error| error.to_string())
        })
        .await
    }

    /// Removes bodies that no command which is still to run names; one that came just now may be
    /// a newer command's. Blocks.
    pub(crate) fn sweep(&self, needed: &[PathBuf]) -> Result<(), DataError> {
        for path in record::files(&self.data.path("cache"))? {
            let modified = path.metadata().and_then(|metadata| metadata.modified());
            let age = modified
                .ok()
                .and_then(|at| at.elapsed().ok())
                .unwrap_or_default();
            if !needed.contains(&path) && age > KEPT_AT_LEAST {
                record::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Where the bodies of these commands are kept.
    pub(crate) fn paths<'a>(&self, commands: impl Iterator<Item = &'a Command>) -> Vec<PathBuf> {
        commands
            .filter_map(|command| match &command.run.script {
                ScriptSource::Body(body) | ScriptSource::Https(body) => Some(self.path(body)),
                ScriptSource::Inline { .. } => None,
            })
            .collect()
    }

    fn path(&self, body: &BodyRef) -> PathBuf {
        self.data.path("cache").join(&body.sha256)
    }
}

/// The name becomes a subject and a file name.
fn is_hash(sha256: &str) -> bool {
    sha256.len() == 64
        && sha256
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

async fn from_broker(
    client: Option<async_nats::Client>,
    body: &BodyRef,
) -> Result<Vec<u8>, NotFetched> {
    let again = |text: &str| (Reason::new("script.fetch", text), true);
    let client = client.ok_or_else(|| again("there is no connection to the broker"))?;
    let subject = subject::body(&body.sha256);
    match read::try_newest(&client, subject::EXEC_STREAM, &subject).await {
        Some(Some(stored)) => Ok(stored.payload.to_vec()),
        // The publisher puts back what a live command names.
        Some(None) => Err(again("the broker does not have the script")),
        None => Err(again("the broker did not answer")),
    }
}

fn keep(path: &std::path::Path, bytes: &[u8], body_ref: &BodyRef) -> Result<(), NotFetched> {
    match body::open(bytes, body_ref) {
        Ok(_) => {}
        Err(error @ BodyError::WrongBytes { .. }) => {
            return Err((Reason::new("script.bytes", error.to_string()), true));
        }
        Err(error @ (BodyError::WrongKey { .. } | BodyError::NotText { .. })) => {
            return Err((Reason::new("script.open", error.to_string()), false));
        }
    }
    platform::write_private(path, bytes).map_err(|error| {
        let text = format!("could not keep the script: {error}");
        (Reason::new("script.write", text), true)
    })
}

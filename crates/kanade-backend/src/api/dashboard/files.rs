//! The dashboard's files in memory, each with the compressed forms that the build made.
//!
//! They come from the program itself, or, in a build for development, from `web/dist` at the
//! start. `x.js.br` and `x.js.gz` are forms of `x.js` and no files of their own.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use axum::http::HeaderValue;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::encoding::Encoding;

include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// Where a build for development has the files.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/dist");

/// All files, and where the dashboard is for browsers.
#[derive(Default)]
pub struct Dashboard {
    files: BTreeMap<String, File>,
    url: Option<String>,
}

/// One file.
pub(super) struct File {
    /// As it is.
    pub(super) plain: Bytes,
    gzip: Option<Bytes>,
    brotli: Option<Bytes>,
    /// What it is.
    pub(super) media_type: &'static str,
    /// Changes with the content.
    pub(super) tag: HeaderValue,
}

impl File {
    fn new(path: &str, plain: Bytes) -> Self {
        let hash = hex::encode(&Sha256::digest(&plain)[..8]);
        // Weak, since it is the same for all forms. Hex digits can always be a header.
        let tag = HeaderValue::from_str(&format!("W/\"{hash}\""));
        Self {
            plain,
            gzip: None,
            brotli: None,
            media_type: media_type(path),
            tag: tag.unwrap_or(HeaderValue::from_static("W/\"\"")),
        }
    }

    /// The file in this form, where it was made.
    pub(super) fn encoded(&self, encoding: Encoding) -> Option<&Bytes> {
        match encoding {
            Encoding::Brotli => self.brotli.as_ref(),
            Encoding::Gzip => self.gzip.as_ref(),
            Encoding::Plain => Some(&self.plain),
        }
    }
}

impl Dashboard {
    /// The one that this program was built with; without files where it was built without.
    #[must_use]
    pub fn built_in() -> Self {
        match EMBEDDED {
            Some(files) => {
                let files = files.iter();
                Self::of(files.map(|(path, bytes)| (Cow::from(*path), Bytes::from_static(bytes))))
            }
            None => Self::of_folder(Path::new(FOLDER)),
        }
    }

    /// The one in this folder; without files where it is not there or cannot be read.
    #[must_use]
    pub fn of_folder(folder: &Path) -> Self {
        let mut paths = Vec::new();
        if let Err(error) = walk(folder, &mut paths)
            && error.kind() != io::ErrorKind::NotFound
        {
            let folder = folder.display();
            tracing::warn!(%folder, %error, "could not read the dashboard's files");
        }
        let read = |path: PathBuf| {
            let parts = path.strip_prefix(folder).ok()?.iter();
            let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
            // What vanishes while a new one is built is there at the next start.
            let bytes = fs::read(&path).ok()?;
            Some((Cow::from(parts.join("/")), Bytes::from(bytes)))
        };
        Self::of(paths.into_iter().filter_map(read))
    }

    /// With the address at which browsers reach it, which a request need not tell.
    #[must_use]
    pub fn at(mut self, url: Option<String>) -> Self {
        self.url = url.map(|url| url.trim_end_matches('/').to_owned());
        self
    }

    /// Its address, without a slash at the end, where it is set.
    pub(in crate::api) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Whether there are files.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.files.contains_key("index.html")
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    fn of<'a>(all: impl Iterator<Item = (Cow<'a, str>, Bytes)>) -> Self {
        let (mut files, mut forms) = (BTreeMap::new(), Vec::new());
        for (path, bytes) in all {
            let form = |suffix| path.strip_suffix(suffix).map(str::to_owned);
            if let Some(of) = form(".br") {
                forms.push((of, Encoding::Brotli, bytes));
            } else if let Some(of) = form(".gz") {
                forms.push((of, Encoding::Gzip, bytes));
            } else {
                let file = File::new(&path, bytes);
                files.insert(path.into_owned(), file);
            }
        }
        for (of, encoding, bytes) in forms {
            let Some(file) = files.get_mut(&of) else {
                continue;
            };
            match encoding {
                Encoding::Brotli => file.brotli = Some(bytes),
                Encoding::Gzip => file.gzip = Some(bytes),
                Encoding::Plain => {}
            }
        }
        Self { files, url: None }
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// By its ending; browsers are told not to guess, so each kind that a build makes is here.
fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

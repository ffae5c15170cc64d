//! Which backend, and with which token.
//!
//! Contexts are named backends in a file of the operator's own (`$KANADE_CONFIG`, else
//! `kanade/config.toml` in the configuration folder). What is asked for most directly wins: a flag,
//! then the environment, then the context.
//!
//! **Invariant:** a context's token goes only to that context's address.
//! **Invariant:** the file is readable by its owner alone, and is replaced whole.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The operator's file of contexts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one that is used unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All of them.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One backend and how to be let in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Address, such as `http://127.0.0.1:8443`.
    pub url: String,
    /// The token itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A file that has the token; read at each use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// What was asked for, by flags and environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// `--url` or `KANADE_URL`.
    pub url: Option<String>,
    /// `--context` or `KANADE_CONTEXT`.
    pub context: Option<String>,
    /// `KANADE_TOKEN`.
    pub token: Option<String>,
    /// `KANADE_TOKEN_FILE`.
    pub token_file: Option<PathBuf>,
}

/// Where to send requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Address without a slash at its end.
    pub url: String,
    /// Sent as a bearer token.
    pub token: Option<String>,
}

/// Where the file of contexts is.
///
/// # Errors
/// No folder for it can be told.
pub(crate) fn config_path() -> Result<PathBuf, Failure> {
    let of = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    if let Some(path) = of("KANADE_CONFIG") {
        return Ok(path);
    }
    let folder = of("XDG_CONFIG_HOME")
        .or_else(|| of("APPDATA"))
        .or_else(|| of("HOME").map(|home| home.join(".config")));
    let folder = folder.ok_or_else(|| {
        Failure::usage("there is no folder for the contexts: HOME is not set")
            .help("`KANADE_CONFIG=/path/to/config.toml`, or KANADE_URL and KANADE_TOKEN_FILE")
    })?;
    Ok(folder.join("kanade").join("config.toml"))
}

impl Contexts {
    /// Reads the file; one that is not there has no contexts.
    ///
    /// # Errors
    /// It can't be read, or is not what [`Contexts::store`] writes.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                let title = format!("could not read the contexts in {}", path.display());
                return Err(Failure::usage(title).caused_by(&error));
            }
        };
        toml::from_str(&text).map_err(|error| {
            Failure::usage(format!("{} is not a file of contexts", path.display()))
                .shown(indented(&error.to_string()))
                .help("repair it, or delete it and `kanade login` again")
        })
    }

    /// Replaces the file, readable by its owner alone.
    ///
    /// # Errors
    /// The folder or the file can't be written.
    pub(crate) fn store(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::usage(format!(
                "could not write the contexts to {}",
                path.display()
            ))
            .caused_by(error)
        };
        let text = toml::to_string_pretty(self).map_err(|error| failed(&error))?;
        write_private(path, &text).map_err(|error| failed(&error))
    }

    /// The context of this name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn get(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let near = crate::output::words::nearest(name, names.iter().copied());
            Failure::not_found(format!("context `{name}` does not exist")).help(match near {
                Some(near) => format!("`{near}`, or `kanade context list` for all of them"),
                None => "`kanade context list`, or `kanade login` to make one".to_owned(),
            })
        })
    }

    /// Where requests go, and whether there is anywhere at all.
    ///
    /// # Errors
    /// Nothing says which backend, the context does not exist, or the token can't be read.
    pub(crate) fn resolve(&self, asked: &Asked) -> Result<Endpoint, Failure> {
        let name = asked.context.as_ref().or(match asked.url {
            Some(_) => None,
            None => self.current.as_ref(),
        });
        let context = name.map(|name| self.get(name)).transpose()?;
        let url = asked.url.as_ref().or(context.map(|context| &context.url));
        let url = url.ok_or_else(|| {
            Failure::usage("no backend is set")
                .help("`kanade login --url http://127.0.0.1:8443 --token-file FILE`")
        })?;
        let url = check_url(url)?;
        let theirs = self.token_of(&url, context)?;
        Ok(Endpoint {
            token: read_token(asked)?.or(theirs),
            url,
        })
    }

    /// The token that is kept for an address: the chosen context's, else that of any context with
    /// this very address.
    fn token_of(&self, url: &str, chosen: Option<&Context>) -> Result<Option<String>, Failure> {
        let same = |context: &&Context| check_url(&context.url).is_ok_and(|other| other == url);
        let context = chosen
            .filter(same)
            .or_else(|| self.contexts.values().find(same));
        match context {
            Some(Context {
                token: Some(token), ..
            }) => Ok(Some(token.clone())),
            Some(Context {
                token_file: Some(file),
                ..
            }) => read_token_file(file).map(Some),
            Some(_) | None => Ok(None),
        }
    }
}

fn read_token(asked: &Asked) -> Result<Option<String>, Failure> {
    match (&asked.token, &asked.token_file) {
        (Some(token), _) => Ok(Some(token.trim().to_owned())),
        (None, Some(file)) => read_token_file(file).map(Some),
        (None, None) => Ok(None),
    }
}

/// The token in a file, without the line's end.
///
/// # Errors
/// It can't be read, or is empty.
pub(crate) fn read_token_file(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("could not read the token in {}", file.display()))
            .caused_by(&error)
            .help("is the backend's data folder elsewhere, or is the file another account's?")
    })?;
    match text.trim() {
        "" => Err(Failure::usage(format!("{} has no token", file.display()))),
        token => Ok(token.to_owned()),
    }
}

/// An address without its trailing slash.
///
/// # Errors
/// It is not one that this program can talk to.
pub(crate) fn check_url(url: &str) -> Result<String, Failure> {
    let bare = url.trim().trim_end_matches('/');
    let wrong = |what: &str| {
        Failure::usage(format!("`{bare}` {what}")).help("an address such as http://127.0.0.1:8443")
    };
    let parsed = reqwest::Url::parse(bare).map_err(|_| wrong("is not an address"))?;
    match parsed.scheme() {
        "http" if parsed.has_host() => Ok(bare.to_owned()),
        "https" => Err(wrong("is https, which this version does not speak yet")),
        _ => Err(wrong("is not an http address")),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Writes beside the file and renames, so that a reader sees the old or the new one, never a half,
/// and nobody else ever sees the token.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(format!("toml.{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let done = written.and_then(|()| std::fs::rename(&beside, path));
    if done.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Contexts {
        let context = |url: &str, token: &str| Context {
            url: url.into(),
            token: Some(token.into()),
            token_file: None,
        };
        Contexts {
            current: Some("lab".into()),
            contexts: BTreeMap::from([
                ("lab".into(), context("http://lab:8443", "lab-token")),
                ("prod".into(), context("http://prod:8443/", "prod-token")),
            ]),
        }
    }

    fn asked(url: Option<&str>, context: Option<&str>) -> Asked {
        Asked {
            url: url.map(Into::into),
            context: context.map(Into::into),
            ..Asked::default()
        }
    }

    #[test]
    fn the_most_direct_wish_wins() {
        let resolve = |asked| two().resolve(&asked).map(|end| (end.url, end.token));
        let lab = ("http://lab:8443".to_owned(), Some("lab-token".to_owned()));
        let prod = ("http://prod:8443".to_owned(), Some("prod-token".to_owned()));
        assert_eq!(resolve(asked(None, None)), Ok(lab));
        assert_eq!(resolve(asked(None, Some("prod"))), Ok(prod.clone()));
        assert_eq!(resolve(asked(Some("http://prod:8443/"), None)), Ok(prod));
        let mut own = asked(None, None);
        own.token = Some(" mine\n".into());
        assert_eq!(resolve(own).unwrap().1.as_deref(), Some("mine"));
    }

    #[test]
    fn a_token_is_never_sent_to_another_address() {
        let end = two()
            .resolve(&asked(Some("http://evil:8443"), Some("lab")))
            .unwrap();
        assert_eq!(end.url, "http://evil:8443");
        assert_eq!(end.token, None);
    }

    #[test]
    fn a_context_that_is_not_there_names_the_nearest() {
        let failure = two().resolve(&asked(None, Some("prd"))).unwrap_err();
        insta::assert_snapshot!(failure, @"
        error: context `prd` does not exist
          try: `prod`, or `kanade context list` for all of them
        ");
        let failure = Contexts::default().resolve(&Asked::default()).unwrap_err();
        insta::assert_snapshot!(failure, @"
        error: no backend is set
          try: `kanade login --url http://127.0.0.1:8443 --token-file FILE`
        ");
    }

    #[test]
    fn the_file_reads_back_and_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/config.toml");
        assert_eq!(Contexts::load(&path).unwrap(), Contexts::default());
        two().store(&path).unwrap();
        assert_eq!(Contexts::load(&path).unwrap(), two());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(&path, "curent = 1").unwrap();
        assert_eq!(Contexts::load(&path).unwrap_err().exit().code(), 2);
    }
}

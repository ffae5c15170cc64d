//! `kanade context`: which backend this command line talks to.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::Global;
use crate::context::{Contexts, check_url, config_path};
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::paint::Tone;
use crate::output::table::{Cell, Column, FormatArg, Row, column, show_one, show_rows, wide};
use crate::output::words::When;

/// Arguments of `context`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "KANADE_URL, KANADE_TOKEN, KANADE_TOKEN_FILE and KANADE_CONTEXT are stronger than \
the current context.\nContexts are kept in $KANADE_CONFIG, else in kanade/config.toml of the \
configuration folder."
)]
pub(crate) struct ContextArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What can be done with contexts.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum What {
    /// All contexts
    List(#[command(flatten)] FormatArg),
    /// Make one the current
    Use {
        /// Its name
        name: String,
    },
    /// Make or change one; the first becomes the current
    Set(SetArgs),
    /// One, or the current
    Show {
        /// Its name
        name: Option<String>,
        /// How to show it.
        #[command(flatten)]
        format: FormatArg,
    },
    /// Forget one
    Delete {
        /// Its name
        name: String,
    },
}

/// Arguments of `context set`.
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// Its name
    pub name: String,
    /// A file that has the token, read at each use
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// A context as it is shown: without its token.
#[derive(Debug, Serialize)]
struct ContextRow {
    name: String,
    current: bool,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    has_token: bool,
}

impl Row for ContextRow {
    const COLUMNS: &'static [Column] = &[
        column("context"),
        column("current"),
        column("url"),
        wide("token"),
    ];

    fn cells(&self, _: &When) -> Vec<Cell> {
        let token = match (&self.token_file, self.has_token) {
            (Some(file), _) => file.display().to_string(),
            (None, true) => "kept".to_owned(),
            (None, false) => "none".to_owned(),
        };
        vec![
            Cell::new(self.name.clone()),
            Cell::new(if self.current { "*" } else { "" }).tone(Tone::Good),
            Cell::new(self.url.clone()),
            Cell::new(token),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Shows or changes contexts.
///
/// # Errors
/// There is no such context, or the file can't be read or written.
pub(crate) fn run(args: &ContextArgs, global: &Global, screen: &Screen) -> Result<Exit, Failure> {
    let path = config_path()?;
    let mut contexts = Contexts::load(&path)?;
    match &args.what {
        What::List(format) => {
            let rows: Vec<ContextRow> = contexts
                .contexts
                .keys()
                .map(|n| row(&contexts, n))
                .collect();
            if rows.is_empty() {
                screen.words("no contexts; `kanade login` makes the first");
            }
            show_rows(screen, &rows, format.output, &When::here())?;
        }
        What::Use { name } => {
            contexts.get(name)?;
            contexts.current = Some(name.clone());
            contexts.store(&path)?;
            screen.words(&format!("`{name}` is the current context"));
        }
        What::Set(set) => {
            let said = keep(&mut contexts, set, global.url.as_deref())?;
            contexts.store(&path)?;
            screen.words(&said);
        }
        What::Show { name, format } => {
            let name = name.as_ref().or(contexts.current.as_ref()).ok_or_else(|| {
                Failure::not_found("no context is the current one").help("`kanade context list`")
            })?;
            contexts.get(name)?;
            show_one(screen, &row(&contexts, name), format.output, &When::here())?;
        }
        What::Delete { name } => {
            contexts.get(name)?;
            contexts.contexts.remove(name);
            contexts.current = contexts.current.filter(|current| current != name);
            contexts.store(&path)?;
            screen.words(&format!("context `{name}` is forgotten"));
        }
    }
    Ok(Exit::Ok)
}

fn row(contexts: &Contexts, name: &str) -> ContextRow {
    let context = contexts.contexts.get(name).cloned().unwrap_or_default();
    ContextRow {
        name: name.to_owned(),
        current: contexts.current.as_deref() == Some(name),
        url: context.url,
        token_file: context.token_file,
        has_token: context.token.is_some(),
    }
}

/// Makes or changes a context; a new address does not inherit the old one's token.
fn keep(contexts: &mut Contexts, set: &SetArgs, url: Option<&str>) -> Result<String, Failure> {
    let known = contexts.contexts.get(&set.name).cloned();
    let url = url
        .map(check_url)
        .transpose()?
        .or_else(|| known.as_ref().map(|c| c.url.clone()));
    let url = url.ok_or_else(|| {
        Failure::usage(format!(
            "context `{}` is new and needs an address",
            set.name
        ))
        .help("`--url http://127.0.0.1:8443`")
    })?;
    let mut context = known
        .clone()
        .filter(|known| known.url == url)
        .unwrap_or_default();
    context.url = url;
    if let Some(file) = &set.token_file {
        let whole = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        context.token = None;
        context.token_file = Some(whole);
    }
    let text = format!("context `{}` is {}", set.name, context.url);
    contexts.contexts.insert(set.name.clone(), context);
    contexts.current.get_or_insert_with(|| set.name.clone());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_moves_leaves_its_token_behind() {
        let mut contexts = Contexts::default();
        let set = |token_file: Option<&str>| SetArgs {
            name: "lab".into(),
            token_file: token_file.map(PathBuf::from),
        };
        let failure = keep(&mut contexts, &set(None), None).unwrap_err();
        assert_eq!(failure.title(), "context `lab` is new and needs an address");
        keep(&mut contexts, &set(Some("/run/token")), Some("http://a:1/")).unwrap();
        assert_eq!(contexts.current.as_deref(), Some("lab"));
        let lab = |contexts: &Contexts| contexts.get("lab").unwrap().clone();
        assert_eq!(lab(&contexts).url, "http://a:1");
        keep(&mut contexts, &set(None), Some("http://a:1")).unwrap();
        assert_eq!(lab(&contexts).token_file, Some(PathBuf::from("/run/token")));
        keep(&mut contexts, &set(None), Some("http://b:1")).unwrap();
        assert_eq!(lab(&contexts).token_file, None);
    }
}

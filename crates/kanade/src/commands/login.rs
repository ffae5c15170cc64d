//! `kanade login`: keeps a backend's address and token.

use std::io::Read as _;
use std::path::PathBuf;

use kanade_shared::api::system::SystemView;

use crate::cli::Global;
use crate::client::Client;
use crate::context::{Context, Contexts, Endpoint, check_url, config_path, read_token_file};
use crate::failure::{Exit, Failure};
use crate::output::Screen;

/// Arguments of `login`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kanade login --url http://127.0.0.1:8443 --token-file .kanade/backend/secrets/api-token
  pass show kanade | kanade login prod --url http://10.0.0.5:8443 --token -

The token is checked, then kept readable for you alone. It is never an argument: others could \
read it.")]
pub(crate) struct LoginArgs {
    /// The context's name
    #[arg(value_name = "CONTEXT", default_value = "default")]
    pub name: String,
    /// A file that has the token
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "token",
        required_unless_present = "token"
    )]
    pub token_file: Option<PathBuf>,
    /// `-`: read the token from standard input
    #[arg(long, value_name = "-", allow_hyphen_values = true, value_parser = ["-"])]
    pub token: Option<String>,
}

/// Checks the token and keeps it as the current context.
///
/// # Errors
/// The backend refuses it or can't be reached, or the file can't be written.
pub(crate) async fn run(
    args: &LoginArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let path = config_path()?;
    let mut contexts = Contexts::load(&path)?;
    let known = contexts
        .contexts
        .get(&args.name)
        .map(|context| context.url.clone());
    let url = global.url.clone().or(known).ok_or_else(|| {
        Failure::usage("no address is given").help("`kanade login --url http://127.0.0.1:8443 …`")
    })?;
    let url = check_url(&url)?;
    let token = match &args.token_file {
        Some(file) => read_token_file(file)?,
        None => read_token()?,
    };
    let client = Client::new(Endpoint {
        url: url.clone(),
        token: Some(token.clone()),
    })?;
    let system: SystemView = client.get("system", &()).await?;
    let context = Context {
        url,
        token: Some(token),
        token_file: None,
    };
    let said = format!(
        "logged in to {} (backend {}, {} agents); `{}` is the current context",
        context.url, system.version, system.agents, args.name
    );
    contexts.contexts.insert(args.name.clone(), context);
    contexts.current = Some(args.name.clone());
    contexts.store(&path)?;
    screen.words(&said);
    Ok(Exit::Ok)
}

fn read_token() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| {
            Failure::usage("could not read the token from standard input").caused_by(&error)
        })?;
    match text.trim() {
        "" => Err(Failure::usage("standard input has no token")),
        token => Ok(token.to_owned()),
    }
}

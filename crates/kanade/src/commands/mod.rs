//! A file per verb: its arguments with their help, then what it does.

pub(crate) mod apply;
pub(crate) mod bootstrap;
pub(crate) mod completion;
pub(crate) mod context;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod exec;
mod follow;
pub(crate) mod get;
pub(crate) mod group;
pub(crate) mod issue;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod retry;
pub(crate) mod run;
mod script;
pub(crate) mod signin;
pub(crate) mod stop;
mod tail;
mod target;
pub(crate) mod version;
pub(crate) mod watch;

use kanade_shared::manifest::duration;
use kanade_shared::wire::command::StopAction;
use tokio::time::Instant;

use crate::cli::{Cli, Verb};
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::progress::QUIET;

/// Does what was asked for; what takes over a second is seen to be waited for.
///
/// # Errors
/// Why it can't be done.
pub(crate) async fn dispatch(cli: Cli, screen: &Screen) -> Result<Exit, Failure> {
    let mut verb = std::pin::pin!(verb(cli, screen));
    let mut tick = tokio::time::interval_at(Instant::now() + QUIET, QUIET);
    let exit = loop {
        tokio::select! {
            biased;
            exit = verb.as_mut() => break exit,
            _ = tick.tick() => screen.progress().wait("waiting for the backend"),
        }
    };
    screen.progress().clear();
    match screen.lost_data() {
        Some(failure) => Err(failure),
        None => exit,
    }
}

async fn verb(cli: Cli, screen: &Screen) -> Result<Exit, Failure> {
    let Cli { global, verb } = cli;
    match verb {
        Verb::Run(args) => run::run(&args, &global, screen).await,
        Verb::Exec(args) => exec::run(&args, &global, screen).await,
        Verb::Retry(args) => retry::run(&args, &global, screen).await,
        Verb::Withdraw(args) => stop::run(&args, StopAction::Withdraw, &global, screen).await,
        Verb::Kill(args) => stop::run(&args, StopAction::Kill, &global, screen).await,
        Verb::Watch(args) => watch::run(&args, &global, screen).await,
        Verb::Get(args) => get::run(&args, &global, screen).await,
        Verb::Describe(args) => describe::run(&args, &global, screen).await,
        Verb::Logs(args) => logs::run(&args, &global, screen).await,
        Verb::Apply(args) => apply::run(&args, &global, screen).await,
        Verb::Delete(args) => delete::run(&args, &global, screen).await,
        Verb::Group(args) => group::run(&args, &global, screen).await,
        Verb::Doctor(args) => doctor::run(&args, &global, screen).await,
        Verb::Bootstrap(args) => bootstrap::run(&args, &global, screen).await,
        Verb::Context(args) => context::run(&args, &global, screen),
        Verb::Login(args) => login::run(&args, &global, screen).await,
        Verb::Signin(args) => signin::run(&args, &global, screen).await,
        Verb::Completion(args) => completion::run(&args, screen),
        Verb::Version(args) => version::run(&args, &global, screen).await,
    }
}

/// Reads a duration flag, in whole seconds.
fn seconds(text: &str) -> Result<u32, String> {
    duration::parse(text)
}

/// Reads an exec's id or the beginning of one.
fn exec_ref(text: &str) -> Result<String, String> {
    let hex: String = text.chars().filter(|&c| c != '-').collect();
    let valid = (4..=32).contains(&hex.len()) && hex.chars().all(|c| c.is_ascii_hexdigit());
    match valid {
        true => Ok(hex.to_ascii_lowercase()),
        false => Err("an exec's id, or the first 4 or more of its 32 hex digits".to_owned()),
    }
}

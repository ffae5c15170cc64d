//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::client::Client;
use crate::commands::{
    apply, bootstrap, completion, context, delete, describe, doctor, exec, get, group, login, logs,
    retry, run, signin, stop, version, watch,
};
use crate::context::{Asked, Contexts, config_path};
use crate::failure::Failure;
use crate::output::Color;

/// Runs scripts and jobs on a fleet of PCs, and shows what became of them.
#[derive(Debug, Parser)]
#[command(
    name = "kanade",
    version,
    after_help = "Exit codes:
  0  all well                        4  not found
  1  some PC failed                  5  some PCs have not ended
  2  wrong command line or file      6  the backend can't be reached
  3  refused                         7  there are differences

Start here:
  kanade login --url http://127.0.0.1:8443 --token-file FILE
  kanade get agents
  kanade run -t all -- uptime",
    propagate_version = false,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// For every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Use this context instead of the current one
    #[arg(
        long,
        global = true,
        env = "KANADE_CONTEXT",
        value_name = "NAME",
        hide_env_values = true
    )]
    pub context: Option<String>,
    /// Address of the backend, instead of the context's
    #[arg(
        long,
        global = true,
        env = "KANADE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub url: Option<String>,
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub color: Color,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a command or script on PCs now, and wait for it
    Run(Box<run::RunArgs>),
    /// Run a job of the catalogue
    Exec(exec::ExecArgs),
    /// Run an exec again where it did not end well
    Retry(retry::RetryArgs),
    /// Start an exec nowhere any more; what runs goes on
    Withdraw(stop::StopArgs),
    /// Withdraw an exec, and end what runs
    Kill(stop::StopArgs),
    /// Pick an exec up again and wait for its end
    Watch(watch::WatchArgs),
    /// List agents, execs, results, jobs, groups and more, or get one
    Get(get::GetArgs),
    /// Everything about one thing, and why it is as it is
    Describe(describe::DescribeArgs),
    /// What a run wrote
    Logs(logs::LogsArgs),
    /// Create or change jobs from files
    Apply(apply::ApplyArgs),
    /// Delete a job or a group
    Delete(delete::DeleteArgs),
    /// Say which PCs a group has
    Group(group::GroupArgs),
    /// Look at the backend and its broker for what is wrong
    Doctor(doctor::DoctorArgs),
    /// Compare what the broker must have with what it has
    Bootstrap(bootstrap::BootstrapArgs),
    /// Which backend this command line talks to
    Context(context::ContextArgs),
    /// Keep a backend's address and token
    Login(login::LoginArgs),
    /// Print a link that opens the dashboard, signed in
    Signin(signin::SigninArgs),
    /// Print a shell's completion script
    Completion(completion::CompletionArgs),
    /// Versions of this command and of the backend
    Version(version::VersionArgs),
}

impl Global {
    fn asked(&self) -> Asked {
        let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Asked {
            url: self.url.clone().filter(|url| !url.is_empty()),
            context: self.context.clone().filter(|name| !name.is_empty()),
            token: of("KANADE_TOKEN").map(|token| token.to_string_lossy().into_owned()),
            token_file: of("KANADE_TOKEN_FILE").map(PathBuf::from),
        }
    }

    /// A client of the backend that flags, environment and contexts point to.
    ///
    /// # Errors
    /// There is none, or its token can't be read.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let asked = self.asked();
        let contexts = match config_path() {
            Ok(path) => Contexts::load(&path)?,
            // Without a folder for contexts the environment may still say all.
            Err(failure) if asked.url.is_none() => return Err(failure),
            Err(_) => Contexts::default(),
        };
        Client::new(contexts.resolve(&asked)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_page_is_as_reviewed() {
        let mut pages = String::new();
        let mut command = Cli::command().term_width(96);
        command.build();
        collect("", &mut command, &mut pages);
        insta::assert_snapshot!(pages);
    }

    fn collect(above: &str, command: &mut clap::Command, pages: &mut String) {
        let name = format!("{above} {}", command.get_name()).trim().to_owned();
        pages.push_str(&format!("==== {name} ====\n{}\n", command.render_help()));
        for verb in command.get_subcommands_mut() {
            collect(&name, verb, pages);
        }
    }
}

//! The operator command line, over the REST API only.
//!
//! `cli` says what can be written; `commands/` has a file per verb, each with its arguments and
//! what it does; `client/` talks to the backend; `output/` shows things; `context` knows which
//! backend; `failure` is the one place that turns an error into words and an exit code.
//!
//! **Invariant:** data goes to standard output, words to standard error.
//! **Invariant:** nothing here knows the broker or the database.

mod cli;
mod client;
mod commands;
mod context;
mod failure;
mod manifest;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::failure::{Exit, Failure};
use crate::output::Screen;

/// Reads the command line, does it, and gives the exit code.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A pipe that was closed early is nobody's fault.
            let _ = error.print();
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            return exit.into();
        }
    };
    let screen = Screen::of_terminal(cli.global.color);
    let exit = match run_to_end(cli, &screen) {
        Ok(exit) => exit,
        Err(failure) => {
            screen.failure(&failure);
            failure.exit()
        }
    };
    exit.into()
}

fn run_to_end(cli: Cli, screen: &Screen) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unreachable("could not start").caused_by(&error))?;
    let exit = runtime.block_on(commands::dispatch(cli, screen));
    // A read of standard input that nobody waits for must not hold the program.
    runtime.shutdown_background();
    exit
}

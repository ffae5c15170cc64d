//! The command line: `agents`, `bench`, `version`.

mod agents;
mod bench;
mod show;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A simulated fleet for kanade: rehearse and load-test your own server.
#[derive(Debug, Parser)]
#[command(
    name = "kanade-sim",
    version,
    disable_version_flag = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run thousands of simulated agents until Ctrl-C
    Agents(Box<agents::Arguments>),
    /// Measure what was promised, on real programs and simulated fleets
    Bench(bench::Arguments),
    /// Print the version
    Version,
}

/// The program: 0 when it was stopped, 1 when it could not start, 2 for a wrong command line.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Agents(arguments) => agents::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Version => {
            let text = format!("kanade-sim {}\n", env!("CARGO_PKG_VERSION"));
            std::io::stdout()
                .write_all(text.as_bytes())
                .map_err(anyhow::Error::from)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Warnings of the link and of the agents, once a kind is enough for people who watch figures.
fn start_log(level: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(level)
        .map_err(|error| anyhow::anyhow!("--log `{level}` is no filter: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}

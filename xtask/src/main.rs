//! Set-up, build and test: one entry for people and CI.
//!
//! Each verb is a file: [`up`], [`test`], [`dev`], [`web`], [`tidy`], and `tools`, which fetches
//! only. They start `cargo`, `npm`, the pinned tools and kanade's own programs; nothing here knows
//! what only CI knows.
//!
//! **Invariant:** what goes wrong ends in one sentence that says what to do, and an exit code
//! other than 0.
#![expect(
    clippy::print_stdout,
    reason = "this program's output is for the person who called it"
)]

mod bench;
mod debian;
mod dev;
mod http;
mod process;
mod stack;
mod steps;
mod test;
mod tidy;
mod tools;
mod up;
mod web;
mod windows;
mod workspace;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Set-up, build and test of kanade.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a fleet of one on this machine, and run a first job on it.
    Up(up::Arguments),
    /// Check everything: format, lints, licences, tests, the dashboard, the Windows target.
    Test(test::Arguments),
    /// Keep a fleet of one running; rebuild and restart it when a source file changes.
    Dev(dev::Arguments),
    /// Measure what was promised, on optimised programs and simulated fleets.
    Bench(bench::Arguments),
    /// Build the dashboard where its sources have changed.
    Web(web::Arguments),
    /// Check the rules of the source tree that the compiler can't check.
    Tidy,
    /// Fetch the pinned tools into `.tools/`, and nothing else.
    Tools,
}

fn main() {
    let workspace = Workspace::find();
    let outcome = match Arguments::parse().verb {
        Verb::Up(arguments) => up::run(&workspace, &arguments),
        Verb::Test(arguments) => test::run(&workspace, &arguments),
        Verb::Dev(arguments) => dev::run(&workspace, &arguments),
        Verb::Bench(arguments) => bench::run(&workspace, &arguments),
        Verb::Web(arguments) => web::run(&workspace, &arguments),
        Verb::Tidy => tidy::run(&workspace),
        Verb::Tools => tools::run(&workspace),
    };
    if let Err(error) = outcome {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}

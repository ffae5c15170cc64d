//! `kanade-sim bench`: the promises, measured.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use kanade_testkit::process::BIN_DIR;

use crate::bench::catalogue::{BENCHES, Bench};
use crate::bench::{Options, Scene, Taken, curve, plot, report};
use crate::limits;

/// Agents of the largest scene.
const MOST_AGENTS: u32 = 10_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to measure; everything unless named
    #[arg(value_name = "NAME", value_parser = names())]
    names: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Draw how costs grow with agents and live commands into this SVG file instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "json"])]
    curve: Option<PathBuf>,
    /// Runs of each, at least
    #[arg(long, default_value_t = 3, value_name = "NUMBER")]
    runs: usize,
    /// How long the idle agent is watched
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = humantime::parse_duration)]
    idle: Duration,
    /// Results of the large scene
    #[arg(long, default_value_t = 1_000_000, value_name = "NUMBER")]
    results: u64,
    /// What is logged on standard error
    #[arg(long, default_value = "warn,kanade_sim=info", value_name = "FILTER")]
    log: String,
}

fn names() -> clap::builder::PossibleValuesParser {
    BENCHES
        .iter()
        .map(|bench| bench.name)
        .collect::<Vec<_>>()
        .into()
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if std::env::var_os(BIN_DIR).is_none() {
        return again_with_programs();
    }
    super::start_log(&arguments.log)?;
    limits::raise_and_check(MOST_AGENTS)?;
    let wanted: Vec<Bench> = BENCHES
        .iter()
        .filter(|bench| arguments.names.is_empty() || named(arguments, bench))
        .copied()
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start")?;
    if let Some(file) = &arguments.curve {
        let charts = runtime.block_on(curve::measure(&arguments.options()));
        return std::fs::write(file, plot::draw(&charts))
            .with_context(|| format!("could not write `{}`", file.display()));
    }
    let taken = runtime.block_on(measure(arguments, &wanted));
    let text = if arguments.json {
        serde_json::to_string_pretty(&report::json(&wanted, &taken))? + "\n"
    } else {
        report::text(&wanted, &taken)
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

async fn measure(arguments: &Arguments, wanted: &[Bench]) -> Taken {
    let options = arguments.options();
    let mut scenes: BTreeMap<Scene, BTreeSet<&str>> = BTreeMap::new();
    for bench in wanted {
        scenes.entry(bench.scene).or_default().insert(bench.name);
    }
    let mut taken = Taken::default();
    for (scene, names) in scenes {
        tracing::info!(?scene, load = report::load(), "setting up");
        scene.measure(&names, &options, &mut taken).await;
    }
    taken
}

impl Arguments {
    fn options(&self) -> Options {
        Options {
            runs: self.runs.max(1),
            idle: self.idle,
            results: self.results,
        }
    }
}

fn named(arguments: &Arguments, bench: &Bench) -> bool {
    arguments.names.iter().any(|name| name == bench.name)
}

/// The programs that are measured are those beside this one.
fn again_with_programs() -> anyhow::Result<()> {
    let program = std::env::current_exe().context("could not find this program")?;
    let folder = program.parent().context("a program is in a folder")?;
    let status = std::process::Command::new(&program)
        .args(std::env::args_os().skip(1))
        .env(BIN_DIR, folder)
        .status()
        .context("could not start this program again")?;
    anyhow::ensure!(status.success(), "the bench did not end ({status})");
    Ok(())
}

//! The command line: `run`, `status`, `version`.
//!
//! One line on standard error for what went wrong, causes included. Exit code 0 when all is well,
//! 1 when the agent could not begin or there is none to show, 2 for a wrong command line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use kanade_agent_core::journal::{Entry, State};
use kanade_shared::id::PcId;
use tracing_subscriber::EnvFilter;

use crate::agent;
use crate::config::{self, Config, LogConfig};
use crate::data::{self, record};

/// The agent of kanade: does on this PC what the fleet's operators want done.
#[derive(Debug, Parser)]
#[command(name = "kanade-agent", version, disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run until told to stop
    Run(RunArgs),
    /// Show what the data folder says
    Status(FolderArgs),
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// File with the way to the fleet (JSON: url, user, password, api_url, api_token)
    #[arg(long, value_name = "FILE")]
    join: Option<PathBuf>,
    /// This PC's id, instead of its host name; fixed at the first start
    #[arg(long, value_name = "NAME", value_parser = PcId::parse)]
    id: Option<PcId>,
}

#[derive(Debug, Args)]
struct FolderArgs {
    /// Where the agent remembers everything
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Settings (TOML); `KANADE_AGENT_…` and flags are stronger
    #[arg(long, value_name = "FILE", env = "KANADE_AGENT_CONFIG")]
    config: Option<PathBuf>,
}

impl FolderArgs {
    fn load(self, join: Option<PathBuf>, id: Option<PcId>) -> anyhow::Result<Config> {
        let flags = Config {
            data_dir: self.data_dir,
            join,
            id,
            ..Config::default()
        };
        Ok(config::load(self.config.as_deref(), &flags)?)
    }
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Run(args) => run(args),
        Verb::Status(args) => args.load(None, None).and_then(|config| {
            let text = status(config.data_dir()?)?;
            show(&text)
        }),
        Verb::Version => show(&format!("kanade-agent {}\n", env!("CARGO_PKG_VERSION"))),
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

fn run(args: RunArgs) -> anyhow::Result<()> {
    let config = args.folder.load(args.join, args.id)?;
    start_log(&config.log)?;
    crate::platform::keep_memory_small();
    // One thread for everything and a few that come and go for files: the agent is idle nearly
    // always, and each thread costs memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .build()
        .map_err(agent::AgentError::Start)?;
    let outcome = runtime.block_on(agent::run(&config));
    // A file system that hangs must not keep the agent from ending.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    Ok(outcome?)
}

fn start_log(log: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| anyhow::anyhow!("log.level `{}` is no filter: {error}", log.level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false);
    match &log.file {
        Some(path) => {
            let file = std::fs::File::options()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|error| anyhow::anyhow!("could not open `{}`: {error}", path.display()))?;
            builder
                .with_ansi(false)
                .with_writer(std::sync::Mutex::new(file))
                .init();
        }
        None => {
            use std::io::IsTerminal;
            let ansi = std::io::stderr().is_terminal();
            builder.with_ansi(ansi).with_writer(std::io::stderr).init();
        }
    }
    Ok(())
}

fn show(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// What the data folder says, read without its lock: an agent may be running.
fn status(folder: &Path) -> anyhow::Result<String> {
    let (identity, last) = data::peek(folder)?;
    let Some(identity) = identity else {
        let what = match folder.try_exists() {
            Ok(false) => "does not exist",
            Ok(true) | Err(_) => "holds no agent yet",
        };
        anyhow::bail!("the data folder `{}` {what}", folder.display());
    };
    let entries: Vec<Entry> = records(&folder.join("journal"))?;
    let count = |wanted: fn(&State) -> bool| entries.iter().filter(|e| wanted(&e.state)).count();
    let outbox = record::files(&folder.join("outbox"))?;
    let results = outbox
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "json"));
    let bytes: u64 = outbox
        .iter()
        .filter_map(|path| path.metadata().ok())
        .map(|m| m.len())
        .sum();
    let damaged = record::files(&folder.join("damaged"))?.len();
    let connected = match last {
        Some(last) => format!(
            "{} to {}",
            last.at.format("%Y-%m-%d %H:%M:%S UTC"),
            last.url
        ),
        None => "never".to_owned(),
    };
    let mut lines = vec![
        ("id", identity.pc_id.to_string()),
        ("folder", folder.display().to_string()),
        ("last connect", connected),
        (
            "journal",
            format!(
                "{} admitted, {} started, {} ended",
                count(|state| matches!(state, State::Admitted)),
                count(|state| matches!(state, State::Started { .. })),
                count(|state| matches!(state, State::Ended { .. })),
            ),
        ),
        (
            "outbox",
            format!("{} results, {} KiB", results.count(), bytes.div_ceil(1024)),
        ),
    ];
    if damaged > 0 {
        lines.push((
            "damaged",
            format!("{damaged} files set aside in `damaged/`"),
        ));
    }
    Ok(lines
        .iter()
        .map(|(name, value)| format!("{name:<13} {value}\n"))
        .collect())
}

/// Records that can be read now; one that is being replaced or is damaged is left out.
fn records<T: serde::de::DeserializeOwned>(folder: &Path) -> anyhow::Result<Vec<T>> {
    let paths = record::files(folder)?;
    let whole = paths
        .iter()
        .filter_map(|path| record::decode(&std::fs::read(path).ok()?).ok());
    Ok(whole.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataFolder;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn status_tells_of_a_folder_in_use_and_fails_without_an_agent() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| status(path).unwrap_err().to_string();
        assert!(refused(folder.path()).ends_with("holds no agent yet"));
        assert!(refused(&folder.path().join("nope")).ends_with("nope` does not exist"));
        let data = DataFolder::open(folder.path()).unwrap();
        data.identity(Some(PcId::parse("pc-1").unwrap())).unwrap();
        let text = status(folder.path()).unwrap();
        assert!(text.contains("pc-1") && text.contains("never"), "{text}");
        assert!(text.contains("0 results"), "{text}");
        std::fs::write(folder.path().join("identity.json"), "{").unwrap();
        assert!(refused(folder.path()).contains("`--id`"));
    }
}

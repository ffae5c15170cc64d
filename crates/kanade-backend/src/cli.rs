//! The program's verbs: what is typed, and which part of the backend does it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Flags, LogFormat};
use crate::failure::{DIFFERS, Failure};
use crate::store::SMALL_TALK;
use crate::{api, app, bootstrap};
use kanade_shared::bootstrap::Loss;

/// kanade's backend: API, publisher, projector and broker.
#[derive(Parser)]
#[command(name = "kanade-backend", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the backend until it is told to stop
    #[command(
        after_help = "Settings come from --config, then the environment (KANADE_LISTEN, \
        KANADE_BROKER__PORT, …), then these flags; the later wins. Ctrl-C or SIGTERM stops all \
        parts in order, a second one at once."
    )]
    Run(Settings),
    /// Look at the settings without running
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Compare what the broker has with what it needs, or make it so
    #[command(subcommand)]
    Bootstrap(BootstrapVerb),
    /// Print the API's OpenAPI document
    Openapi,
    /// Show the version
    Version,
}

#[derive(Args)]
struct Settings {
    /// File of settings, in TOML
    #[arg(long, value_name = "FILE", env = "KANADE_BACKEND_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum ConfigVerb {
    /// Say whether the settings can be used
    Check(Settings),
    /// Print all settings as they would be used, without secrets
    Print(Settings),
}

#[derive(Subcommand)]
enum BootstrapVerb {
    /// Show what would be done; ends with 7 when there is something
    Plan(BootstrapArgs),
    /// Make the broker have what it needs
    Apply(BootstrapArgs),
}

#[derive(Args)]
struct BootstrapArgs {
    #[command(flatten)]
    settings: Settings,
    /// How to print
    #[arg(short, long, default_value = "text")]
    output: Output,
    /// Also make smaller or shorter what then loses messages that it holds
    #[arg(long)]
    allow_loss: bool,
}

impl BootstrapArgs {
    fn loss(&self) -> Loss {
        if self.allow_loss {
            Loss::Allowed
        } else {
            Loss::Refused
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Does what the command line says; what could not be done is told on standard error.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.verb.run().unwrap_or_else(|failure| {
        // Nothing is left to tell it to when standard error is gone.
        writeln!(std::io::stderr(), "{}", failure.text()).ok();
        failure.exit()
    })
}

impl Verb {
    fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Run(settings) => {
                let config = settings.load()?;
                log(&config)?;
                runtime()?.block_on(app::run(config))?;
            }
            Self::Config(ConfigVerb::Check(settings)) => {
                settings.load()?;
                say("the settings can be used\n")?;
            }
            Self::Config(ConfigVerb::Print(settings)) => say(&settings.load()?.to_toml())?,
            Self::Bootstrap(BootstrapVerb::Plan(args)) => {
                let config = args.settings.load()?;
                let plan = runtime()?.block_on(bootstrap::plan(&config, args.loss()))?;
                say(&args.output.show(&plan)?)?;
                if !plan.is_satisfied() {
                    return Ok(ExitCode::from(DIFFERS));
                }
            }
            Self::Bootstrap(BootstrapVerb::Apply(args)) => {
                let config = args.settings.load()?;
                let report = runtime()?.block_on(bootstrap::apply(&config, args.loss()))?;
                say(&args.output.show(&report)?)?;
            }
            Self::Openapi => say(&openapi()?)?,
            Self::Version => say(concat!("kanade-backend ", env!("CARGO_PKG_VERSION"), "\n"))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Settings {
    fn load(&self) -> Result<Config, Failure> {
        Ok(Config::load(self.config.as_deref(), &self.flags)?)
    }
}

impl Output {
    fn show<T: std::fmt::Display + serde::Serialize>(self, value: &T) -> Result<String, Failure> {
        let mut text = match self {
            Self::Text => value.to_string(),
            Self::Json => {
                serde_json::to_string_pretty(value).map_err(|error| Failure::new(error, None))?
            }
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }
}

/// Indented, so that a change of it reads like one.
fn openapi() -> Result<String, Failure> {
    let text = api::document().to_pretty_json();
    text.map(|text| text + "\n")
        .map_err(|error| Failure::new(error, None))
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::new(error, None)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::new(error, None))
}

/// The log goes to standard error, so that standard output is what a verb answers.
fn log(config: &Config) -> Result<(), Failure> {
    // Parts that tell as news what our own lines say in the fleet's words, or nobody asked for.
    let level = format!("async_nats=warn,{SMALL_TALK},{}", config.log.level);
    let filter = EnvFilter::try_new(level)
        .map_err(|error| Failure::new(error, Some("set `log.level` to `info`".to_owned())))?;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    let set = match config.log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    set.map_err(|error| Failure::new(error, None))
}

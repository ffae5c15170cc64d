//! `kanade-sim agents`: a fleet in this process, with its figures once a second.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use kanade_agent::config::{Config, Join};

use super::show::{Format, Screen};
use crate::behaviour::{Behaviour, Wishes};
use crate::fleet::{Fleet, Plan};
use crate::limits;

/// How often the state is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often figures are shown.
const SHOW_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "\
Each agent has its own connection and says and asks for all that a real one does; its journal and \
outbox are in memory, and a run is drawn from the behaviour instead of a process. Some things are \
done once for all agents; the first lines say which.

Examples:
  kanade-sim agents --n 50 --join DATA/secrets/agent.creds.json
  kanade-sim agents --n 10000 --join agent.creds.json --run-time 1s..20s --failures 2% \\
      --output-size 200B..8KiB --roaming 10% --slow-links 20% --seed 7
  kanade-sim agents --n 2000 --join agent.creds.json --behaviour office.yaml")]
pub(super) struct Arguments {
    /// How many agents
    #[arg(long, short, default_value_t = 100, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    n: u32,
    /// The file by which an agent joins: SECRETS/agent.creds.json of the backend
    #[arg(long, value_name = "FILE")]
    join: PathBuf,
    /// Address of the broker, instead of the one in the file
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// What the PCs' ids begin with
    #[arg(long, default_value = "sim", value_name = "NAME")]
    prefix: String,
    /// Number of the first PC, to spread one fleet over several machines
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    first: u32,
    /// Agents that start within a second
    #[arg(long, default_value_t = 2_000, value_name = "NUMBER")]
    start_rate: u32,
    /// Threads; as many as there are processors unless said
    #[arg(long, value_name = "NUMBER")]
    threads: Option<u32>,
    /// End after this time instead of at Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    run_for: Option<Duration>,
    /// How figures are shown: text, or json with an object a line
    #[arg(long, short, default_value = "text", value_name = "FORMAT")]
    output: Format,
    /// What is logged, such as warn or kanade_sim=debug
    #[arg(long, default_value = "error,async_nats=off", value_name = "FILTER")]
    log: String,
    /// File of behaviour in YAML, with the words of the flags below; those are stronger
    #[arg(long, value_name = "FILE")]
    behaviour: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Behaviour")]
    wishes: Wishes,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    super::start_log(&arguments.log)?;
    let join = arguments.join()?;
    let behaviour = arguments.behaviour()?;
    limits::raise_and_check(arguments.n)?;
    let plan = Plan {
        agents: arguments.n,
        first: arguments.first,
        prefix: arguments.prefix.clone(),
        start_rate: arguments.start_rate,
        threads: arguments.threads.unwrap_or_else(processors),
    };
    let signals = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start")?;
    let mut screen = Screen::new(arguments.output);
    screen.intro(&plan, &join.url, &behaviour)?;
    let fleet = Fleet::start(&plan, join, behaviour)?;
    signals.block_on(watch(&fleet, &plan, arguments.run_for, &mut screen))
}

async fn watch(
    fleet: &Fleet,
    plan: &Plan,
    run_for: Option<Duration>,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let end = run_for.map(|time| begun + time);
    let mut signals = Box::pin(stop_signal());
    let (mut stopping, mut shown_at) = (false, begun);
    let mut all_live = false;
    while !fleet.is_over() {
        tokio::select! {
            () = &mut signals => {
                if stopping {
                    fleet.hurry();
                } else {
                    fleet.stop();
                    screen.stopping()?;
                }
                stopping = true;
                signals = Box::pin(stop_signal());
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if !stopping && end.is_some_and(|end| Instant::now() >= end) {
            stopping = true;
            fleet.stop();
        }
        let now_live = fleet.shared().figures.read().live >= i64::from(plan.agents);
        let changed = now_live != all_live;
        if changed || shown_at.elapsed() >= SHOW_EVERY {
            all_live = now_live;
            shown_at = Instant::now();
            screen.show(fleet, begun.elapsed())?;
        }
    }
    screen.summary(fleet, begun.elapsed())
}

impl Arguments {
    fn join(&self) -> anyhow::Result<Join> {
        let config = Config {
            join: Some(self.join.clone()),
            ..Config::default()
        };
        let mut join = config.read_join()?;
        if let Some(server) = &self.server {
            join.url.clone_from(server);
        }
        Ok(join)
    }

    fn behaviour(&self) -> anyhow::Result<Behaviour> {
        let file = match &self.behaviour {
            None => Wishes::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("could not read `{}`", path.display()))?;
                serde_saphyr::from_str(&text)
                    .with_context(|| format!("`{}` is no behaviour", path.display()))?
            }
        };
        Ok(Behaviour::of(self.wishes.clone(), file))
    }
}

fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

#[cfg(unix)]
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(not(unix))]
async fn stop_signal() {
    let _ = tokio::signal::ctrl_c().await;
}

//! What the person at the terminal sees: a few lines at the start, one line that lives, a summary.
//!
//! On a terminal the line is rewritten once a second; piped, each is a line of its own; as JSON,
//! each is an object, also at the moment at which all agents are live or no longer are.

use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::behaviour::Behaviour;
use crate::figures::Reading;
use crate::fleet::{Fleet, Plan};
use crate::limits::AGENT_BYTES;

/// How figures are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

pub(super) struct Screen {
    format: Format,
    terminal: bool,
    before: Reading,
    before_at: Duration,
}

/// One line of figures as JSON.
#[derive(Serialize)]
struct Line {
    /// Unix time, in milliseconds.
    at_ms: u64,
    #[serde(flatten)]
    figures: Reading,
    documents_parsed: u64,
    documents_shared: u64,
    rss_bytes: Option<u64>,
    cpu_ms: Option<u64>,
}

impl Screen {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            terminal: std::io::stdout().is_terminal(),
            before: Reading::default(),
            before_at: Duration::ZERO,
        }
    }

    pub(super) fn intro(
        &mut self,
        plan: &Plan,
        url: &str,
        behaviour: &Behaviour,
    ) -> anyhow::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        let (first, last) = (plan.first, plan.first + plan.agents - 1);
        let text = format!(
            "{n} agents, {prefix}-{first:05} to {prefix}-{last:05}, to {url}; seed {seed}, {threads} \
             threads, about {mib} MiB\n\
             done once for all: parsing a document for all PCs, decrypting a script; all else each \
             for itself\n",
            n = plan.agents,
            prefix = plan.prefix,
            seed = behaviour.seed,
            threads = plan.threads,
            mib = u64::from(plan.agents) * AGENT_BYTES / 1024 / 1024,
        );
        self.write(&text)
    }

    pub(super) fn show(&mut self, fleet: &Fleet, since: Duration) -> anyhow::Result<()> {
        let now = fleet.shared().figures.read();
        if self.format == Format::Json {
            let text = serde_json::to_string(&line(fleet, now))? + "\n";
            return self.write(&text);
        }
        let elapsed = (since - self.before_at).as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate to be looked at")]
        let rate = |now: u64, before: u64| (now - before) as f64 / elapsed;
        let rss = memory().map_or(String::new(), |bytes| {
            format!("  {} MiB", bytes / 1024 / 1024)
        });
        let text = format!(
            "{:>5} s  {} live, {} connected, {} away  {} running  {} results (+{:.0}/s), {} \
             waiting{rss}",
            since.as_secs(),
            now.live,
            now.connected,
            now.away,
            now.running,
            now.acknowledged,
            rate(now.acknowledged, self.before.acknowledged),
            now.waiting,
        );
        (self.before, self.before_at) = (now, since);
        if self.terminal {
            self.write(&format!("\r\x1b[K{text}"))
        } else {
            self.write(&format!("{text}\n"))
        }
    }

    pub(super) fn stopping(&mut self) -> anyhow::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        let text = "\nstopping: what runs is stopped, and results get 3 s to reach the broker; \
                    Ctrl-C again ends at once\n";
        self.write(text)
    }

    pub(super) fn summary(&mut self, fleet: &Fleet, since: Duration) -> anyhow::Result<()> {
        let now = fleet.shared().figures.read();
        if self.format == Format::Json {
            let text = serde_json::to_string(&line(fleet, now))? + "\n";
            return self.write(&text);
        }
        let documents = &fleet.shared().documents;
        let parsed = documents.parsed.load(Ordering::Relaxed);
        let shared = documents.shared.load(Ordering::Relaxed);
        let newline = if self.terminal { "\n" } else { "" };
        let cpu = cpu_ms().map_or(String::new(), |ms| {
            format!(", {}.{:03} s of processor", ms / 1000, ms % 1000)
        });
        let text = format!(
            "{newline}\
             time         {} s{cpu}\n\
             connections  {} made, {} lost, {} crashes on purpose\n\
             runs         {} started\n\
             results      {} acknowledged, {} tries were not, {} never sent\n\
             heartbeats   {}\n\
             documents    {parsed} parsed, {shared} the same as one before\n",
            since.as_secs(),
            now.connects,
            now.losses,
            now.restarts,
            now.runs,
            now.acknowledged,
            now.unacknowledged,
            now.waiting,
            now.heartbeats,
        );
        self.write(&text)
    }

    fn write(&self, text: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

fn line(fleet: &Fleet, figures: Reading) -> Line {
    let documents = &fleet.shared().documents;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let at_ms = since_epoch.unwrap_or_default().as_millis();
    Line {
        at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
        figures,
        documents_parsed: documents.parsed.load(Ordering::Relaxed),
        documents_shared: documents.shared.load(Ordering::Relaxed),
        rss_bytes: memory(),
        cpu_ms: cpu_ms(),
    }
}

/// Resident memory of this process, where the system tells.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Processor time of this process, in milliseconds, where the system tells.
fn cpu_ms() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // Linux counts in hundredths of a second for everybody.
    Some(ticks * 10)
}

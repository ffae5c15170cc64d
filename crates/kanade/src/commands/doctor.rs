//! `kanade doctor`: what is wrong, and what to do about it.

use kanade_shared::api::system::{Finding, Level, SystemView};

use crate::cli::Global;
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::paint::{Paint, Tone};
use crate::output::table::{Format, FormatArg, show_whole};
use crate::output::words;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 1 when something does not work; warnings alone are 0.")]
pub(crate) struct DoctorArgs {
    /// How to show it.
    #[command(flatten)]
    pub format: FormatArg,
}

/// Shows the findings.
///
/// # Errors
/// The backend can't be reached.
pub(crate) async fn run(
    args: &DoctorArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    let system: SystemView = client.get("system", &()).await?;
    match args.format.output {
        Format::Json | Format::Yaml => show_whole(screen, &system, args.format.output)?,
        Format::Table | Format::Wide | Format::Name | Format::Csv => {
            let wide = args.format.output == Format::Wide;
            screen.data(&report(&system, wide, screen.paint));
        }
    }
    let broken = system
        .findings
        .iter()
        .any(|finding| finding.level == Level::Error);
    Ok(if broken { Exit::Failed } else { Exit::Ok })
}

fn report(system: &SystemView, wide: bool, paint: Paint) -> String {
    let mut text: String = system
        .findings
        .iter()
        .map(|found| finding(found, paint))
        .collect();
    let late = system
        .streams
        .iter()
        .filter(|stream| wide || stream.lag > 0 || stream.gaps > 0);
    for stream in late {
        text.push_str(&format!(
            "  stream {}: at {}, {} to store, {} put aside, {}\n",
            stream.stream,
            stream.position,
            words::number(stream.lag),
            words::number(stream.dead_letters),
            words::count(stream.gaps, "gap"),
        ));
    }
    for task in system.tasks.iter().filter(|task| wide || task.restarts > 0) {
        let last = task
            .last_error
            .as_deref()
            .map(|e| format!(": {e}"))
            .unwrap_or_default();
        let times = words::count(task.restarts, "time");
        text.push_str(&format!(
            "  task {}: started again {times}{last}\n",
            task.task
        ));
    }
    let (online, agents) = (
        words::number(system.agents_online),
        words::count(system.agents, "agent"),
    );
    let execs = words::count(system.execs_running, "exec");
    let version = &system.version;
    text.push_str(&format!(
        "backend {version} · {online} of {agents} online · {execs} running\n"
    ));
    text
}

fn finding(finding: &Finding, paint: Paint) -> String {
    let (tone, mark) = match finding.level {
        Level::Ok => (Tone::Good, "✓ ok   "),
        Level::Warn => (Tone::Warn, "! warn "),
        Level::Error => (Tone::Bad, "✗ error"),
    };
    let mut text = format!(
        "{} {} ({})\n",
        paint.tone(tone, mark),
        finding.text,
        finding.code
    );
    if let Some(help) = &finding.help {
        text.push_str(&format!("          try: {help}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_is_wrong_and_what_to_do() {
        let finding = |level, code: &str, text: &str, help: Option<&str>| Finding {
            level,
            code: code.into(),
            text: text.into(),
            help: help.map(Into::into),
        };
        let system = SystemView {
            version: "0.1.0".into(),
            started_at: "2026-11-23T13:00:00Z".parse().unwrap(),
            findings: vec![
                finding(
                    Level::Error,
                    "store.full",
                    "the disk is full",
                    Some("make room"),
                ),
                finding(Level::Warn, "broker.drift", "stream EVENTS differs", None),
                finding(Level::Ok, "broker", "the broker serves", None),
            ],
            streams: Vec::new(),
            tasks: vec![kanade_shared::api::system::TaskView {
                task: "projector".into(),
                restarts: 1,
                last_error: Some("disk full".into()),
            }],
            agents: 1204,
            agents_online: 1200,
            execs_running: 1,
        };
        insta::assert_snapshot!(report(&system, false, Paint::Plain), @"
        ✗ error the disk is full (store.full)
                  try: make room
        ! warn  stream EVENTS differs (broker.drift)
        ✓ ok    the broker serves (broker)
          task projector: started again 1 time: disk full
        backend 0.1.0 · 1,200 of 1,204 agents online · 1 exec running
        ");
    }
}

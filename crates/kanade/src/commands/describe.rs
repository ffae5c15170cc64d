//! `kanade describe`: everything about one thing, and why it is as it is.

use std::fmt::Write as _;

use kanade_shared::api::agents::AgentView;
use kanade_shared::api::catalogue::{GroupView, JobView};
use kanade_shared::api::execs::{ExecView, TargetQuery, TargetView, Targets};
use kanade_shared::api::results::{OutputView, ResultView};
use kanade_shared::bootstrap::plan::human_bytes;
use kanade_shared::id::{GroupId, JobId, PcId, RequestId};

use crate::cli::Global;
use crate::client::{Asking, Client, Listed, list};
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::fold::clean;
use crate::output::paint::{Paint, Tone};
use crate::output::rows;
use crate::output::table::{Format, show_rows};
use crate::output::words::{self, When};

/// Arguments of `describe`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kanade describe exec 0193a7f2                each PC, and why it is as it is
  kanade describe exec 0193a7f2 --pc lab-19
  kanade describe agent lab-19

For programs: `kanade get … NAME -o json`.")]
pub(crate) struct DescribeArgs {
    /// What to describe.
    #[command(subcommand)]
    pub what: What,
}

/// What can be described.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum What {
    /// A PC and its agent
    #[command(alias = "agents")]
    Agent {
        /// The PC
        #[arg(value_name = "PC")]
        name: PcId,
    },
    /// An exec and its PCs
    #[command(alias = "execs")]
    Exec {
        /// The exec, or the beginning of its id
        #[arg(value_name = "EXEC", value_parser = super::exec_ref)]
        name: String,
        /// Only this PC
        #[arg(long, value_name = "PC")]
        pc: Option<PcId>,
        /// All PCs, not only the first 100
        #[arg(long)]
        all: bool,
    },
    /// One run on one PC
    #[command(alias = "results")]
    Result {
        /// The run
        #[arg(value_name = "RUN")]
        name: RequestId,
    },
    /// A job
    #[command(alias = "jobs")]
    Job {
        /// The job
        #[arg(value_name = "JOB")]
        name: JobId,
    },
    /// A group
    #[command(alias = "groups")]
    Group {
        /// The group
        #[arg(value_name = "GROUP")]
        name: GroupId,
    },
}

/// Shows it.
///
/// # Errors
/// There is no such thing, or the backend can't be reached.
pub(crate) async fn run(
    args: &DescribeArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    let (when, paint) = (When::here(), screen.paint);
    match &args.what {
        What::Agent { name } => {
            let agent: AgentView = client.get(&format!("agents/{name}"), &()).await?;
            screen.data(&agent_text(&agent, &when, paint));
        }
        What::Exec { name, pc, all } => {
            describe_exec(&client, screen, name, pc.as_ref(), *all, &when).await?;
        }
        What::Result { name } => {
            let result: ResultView = client.get(&format!("results/{name}"), &()).await?;
            screen.data(&result_text(&result, &when, paint));
        }
        What::Job { name } => {
            let job: JobView = client.get(&format!("jobs/{name}"), &()).await?;
            screen.data(&job_text(&job, &when, paint));
        }
        What::Group { name } => {
            let group: GroupView = client.get(&format!("groups/{name}"), &()).await?;
            screen.data(&group_text(&group, &when, paint));
        }
    }
    Ok(Exit::Ok)
}

async fn describe_exec(
    client: &Client,
    screen: &Screen,
    name: &str,
    pc: Option<&PcId>,
    all: bool,
    when: &When,
) -> Result<(), Failure> {
    let exec: ExecView = client.get(&format!("execs/{name}"), &()).await?;
    let path = format!("execs/{}/targets", exec.exec_id);
    let asking = if all || pc.is_some() {
        Asking::All
    } else {
        Asking::AtMost(100)
    };
    let mut targets: Listed<TargetView> =
        list(client, &path, &TargetQuery::default(), asking).await?;
    if let Some(pc) = pc {
        targets.items.retain(|target| target.pc_id == *pc);
        let target = targets.items.first().ok_or_else(|| {
            Failure::not_found(format!("exec {} is not for `{pc}`", exec.exec_id.short()))
                .in_field(format!("--pc {pc}"))
                .help(format!(
                    "`kanade describe exec {name} --all` for all its PCs"
                ))
        })?;
        screen.data(&target_text(&exec, target, when, screen.paint));
        return Ok(());
    }
    screen.data(&exec_text(&exec, when, screen.paint));
    if !targets.items.is_empty() {
        screen.data("\n");
        show_rows(screen, &targets.items, Format::Table, when)?;
    }
    if targets.more {
        screen.words(&format!(
            "the first 100 of {}; --all for the rest",
            targets.count
        ));
    }
    Ok(())
}

/// Names with values, aligned.
struct Facts {
    text: String,
    paint: Paint,
}

impl Facts {
    fn new(paint: Paint) -> Self {
        Self {
            text: String::new(),
            paint,
        }
    }

    fn add(&mut self, name: &str, value: impl AsRef<str>) -> &mut Self {
        let name = self.paint.tone(Tone::Dim, &format!("{name:<12}"));
        let _ = writeln!(self.text, "{name} {}", value.as_ref());
        self
    }

    fn maybe(&mut self, name: &str, value: Option<impl AsRef<str>>) -> &mut Self {
        if let Some(value) = value {
            self.add(name, value);
        }
        self
    }
}

fn ago(at: chrono::DateTime<chrono::Utc>, when: &When) -> String {
    format!("{} ({} ago)", when.clock(at), when.age(at))
}

fn agent_text(agent: &AgentView, when: &When, paint: Paint) -> String {
    let mut facts = Facts::new(paint);
    let groups: Vec<&str> = agent.groups.iter().map(GroupId::as_str).collect();
    let presence = format!(
        "{} since {}",
        agent.presence.as_str(),
        ago(agent.since, when)
    );
    facts
        .add("pc", agent.pc_id.as_str())
        .add("presence", presence)
        .maybe("state", agent.state.map(rows::agent_state))
        .maybe("blocked", agent.blocked.as_ref())
        .maybe("heartbeat", agent.heartbeat_at.map(|at| ago(at, when)))
        .add("enrolled", ago(agent.enrolled_at, when))
        .maybe("host name", agent.host_name.as_ref())
        .maybe("system", agent.os.as_ref().or(agent.os_family.as_ref()))
        .maybe("booted", agent.booted_at.map(|at| ago(at, when)))
        .maybe("agent", agent.agent_version.as_ref())
        .maybe(
            "memory",
            agent.agent_rss_bytes.map(|bytes| human_bytes(Some(bytes))),
        )
        .maybe(
            "clock",
            agent
                .clock_skew_ms
                .map(|skew| format!("{skew:+} ms off the fleet's")),
        )
        .add(
            "groups",
            if groups.is_empty() {
                "none".to_owned()
            } else {
                groups.join(", ")
            },
        )
        .add("running", agent.running.to_string())
        .add("outbox", words::count(agent.outbox_results, "result"));
    if let Some(hardware) = &agent.hardware
        && let Ok(yaml) = serde_saphyr::to_string(hardware)
    {
        let lines: String = yaml.lines().map(|line| format!("  {line}\n")).collect();
        let _ = write!(facts.text, "{}\n{lines}", paint.tone(Tone::Dim, "hardware"));
    }
    facts.text
}

fn exec_text(exec: &ExecView, when: &When, paint: Paint) -> String {
    let mut facts = Facts::new(paint);
    let tally: Vec<String> = words::tally(&exec.counts)
        .into_iter()
        .map(|(tone, word)| paint.tone(tone, &word))
        .collect();
    facts
        .add("exec", exec.exec_id.to_string())
        .add("what", rows::what(exec))
        .add("state", words::exec_state(exec))
        .add(
            "pcs",
            format!(
                "{}: {}",
                words::number(exec.counts.targets),
                tally.join(" · ")
            ),
        )
        .add("targets", targets_text(&exec.targets))
        .add(
            "issued",
            format!("{} by {}", ago(exec.issued_at, when), exec.issued_by),
        )
        .maybe("reason", exec.reason.as_ref())
        .add("deadline", when.clock(exec.deadline))
        .maybe("ended", exec.ended_at.map(|at| ago(at, when)));
    if exec.adopted {
        facts.add(
            "origin",
            "taken over from the broker: the database did not know it",
        );
    }
    facts.text
}

fn targets_text(targets: &Targets) -> String {
    let mut parts = Vec::new();
    if targets.all {
        parts.push("all".to_owned());
    }
    parts.extend(targets.groups.iter().map(|group| format!("group:{group}")));
    parts.extend(targets.pcs.iter().take(10).map(|pc| format!("pc:{pc}")));
    if targets.pcs.len() > 10 {
        parts.push(format!("and {} more", targets.pcs.len() - 10));
    }
    parts.extend(
        targets
            .not_groups
            .iter()
            .map(|group| format!("not group:{group}")),
    );
    parts.extend(targets.not_pcs.iter().map(|pc| format!("not pc:{pc}")));
    parts.join(", ")
}

fn target_text(exec: &ExecView, target: &TargetView, when: &When, paint: Paint) -> String {
    let mut facts = Facts::new(paint);
    let tone = target.outcome.map_or(Tone::Plain, words::outcome_tone);
    facts
        .add("pc", target.pc_id.as_str())
        .add(
            "exec",
            format!("{}  {}", exec.exec_id.short(), rows::what(exec)),
        )
        .add("state", paint.tone(tone, &words::state(target)))
        .maybe(
            "why",
            target
                .why
                .as_ref()
                .map(|why| format!("{} ({})", why.text, why.code)),
        )
        .maybe("exit code", target.exit_code.map(|code| code.to_string()))
        .maybe("started", target.started_at.map(|at| ago(at, when)))
        .maybe("ended", target.ended_at.map(|at| ago(at, when)))
        .add("run", target.request_id.to_string());
    if target.provisional {
        facts.add(
            "note",
            "the backend's word; the PC's own result replaces it",
        );
    }
    facts.text
}

fn result_text(result: &ResultView, when: &When, paint: Paint) -> String {
    let mut facts = Facts::new(paint);
    let outcome = paint.tone(
        words::outcome_tone(result.outcome),
        words::outcome(result.outcome),
    );
    facts
        .add("run", result.request_id.to_string())
        .add("exec", result.exec_id.to_string())
        .add("pc", result.pc_id.as_str())
        .maybe("job", result.job_id.as_ref().map(JobId::as_str))
        .add("outcome", outcome)
        .maybe(
            "why",
            result
                .reason
                .as_ref()
                .map(|why| format!("{} ({})", why.text, why.code)),
        )
        .maybe("exit code", result.exit_code.map(|code| code.to_string()))
        .add("tries", result.tries.to_string())
        .maybe("started", result.started_at.map(|at| ago(at, when)))
        .add("ended", ago(result.ended_at, when))
        .add("stored", ago(result.stored_at, when));
    output_text(&mut facts, "stdout", &result.stdout);
    output_text(&mut facts, "stderr", &result.stderr);
    if result.stdout.total_bytes + result.stderr.total_bytes > 0 {
        let _ = writeln!(
            facts.text,
            "\nkanade logs {} shows all of it",
            result.request_id
        );
    }
    facts.text
}

fn output_text(facts: &mut Facts, name: &str, view: &OutputView) {
    let cut = match view.truncated_bytes {
        0 => String::new(),
        bytes => format!(", {} cut from the middle", human_bytes(Some(bytes))),
    };
    facts.add(
        name,
        format!("{}{cut}", human_bytes(Some(view.total_bytes))),
    );
    for line in view.head.lines() {
        let _ = writeln!(
            facts.text,
            "  {} {}",
            facts.paint.tone(Tone::Dim, "│"),
            clean(line)
        );
    }
}

fn job_text(job: &JobView, when: &When, paint: Paint) -> String {
    let mut facts = Facts::new(paint);
    facts
        .add("job", job.job_id.as_str())
        .add("version", &job.version)
        .maybe("description", job.description.as_ref())
        .add(
            "changed",
            format!("{} by {}", ago(job.updated_at, when), job.updated_by),
        )
        .add("revision", job.revision.to_string());
    if let Some(yaml) = &job.yaml {
        let _ = write!(facts.text, "\n{yaml}");
    }
    facts.text
}

fn group_text(group: &GroupView, when: &When, paint: Paint) -> String {
    let mut facts = Facts::new(paint);
    facts
        .add("group", group.group_id.as_str())
        .maybe("description", group.description.as_ref())
        .add("changed", ago(group.updated_at, when))
        .add("revision", group.revision.to_string())
        .add("pcs", words::number(group.member_count));
    for pc in group.members.iter().flatten() {
        let _ = writeln!(facts.text, "  {pc}");
    }
    facts.text
}

#[cfg(test)]
mod tests;

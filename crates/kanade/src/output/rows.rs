//! What is a row of which table.

use kanade_shared::api::agents::{AgentView, Presence};
use kanade_shared::api::catalogue::{GroupView, JobView};
use kanade_shared::api::execs::{ExecView, TargetView};
use kanade_shared::api::results::ResultView;
use kanade_shared::api::system::{AuditRow, DeadLetterView, GapView};
use kanade_shared::wire::heartbeat::AgentState;
use kanade_shared::wire::result::Outcome;

use super::paint::Tone;
use super::table::{Cell, Column, Row, column, wide};
use super::words::{self, When};

impl Row for AgentView {
    const COLUMNS: &'static [Column] = &[
        column("pc"),
        column("presence"),
        column("since"),
        column("os"),
        column("version"),
        column("groups"),
        wide("state"),
        wide("host name"),
        wide("heartbeat"),
        wide("enrolled"),
        wide("running"),
        wide("outbox"),
        wide("skew ms"),
        wide("blocked"),
    ];

    fn cells(&self, when: &When) -> Vec<Cell> {
        let tone = match self.presence {
            Presence::Online => Tone::Good,
            Presence::Offline => Tone::Dim,
        };
        let groups: Vec<&str> = self.groups.iter().map(|group| group.as_str()).collect();
        vec![
            Cell::new(self.pc_id.as_str()),
            Cell::new(self.presence.as_str()).tone(tone),
            Cell::age(Some(self.since), when),
            Cell::maybe(self.os.clone().or_else(|| self.os_family.clone())),
            Cell::maybe(self.agent_version.clone()),
            Cell::maybe((!groups.is_empty()).then(|| groups.join(","))),
            Cell::maybe(self.state.map(agent_state)),
            Cell::maybe(self.host_name.clone()),
            Cell::age(self.heartbeat_at, when),
            Cell::age(Some(self.enrolled_at), when),
            Cell::new(self.running.to_string()),
            Cell::new(self.outbox_results.to_string()),
            Cell::maybe(self.clock_skew_ms.map(|skew| skew.to_string())),
            Cell::maybe(self.blocked.clone()).tone(Tone::Bad),
        ]
    }

    fn name(&self) -> String {
        self.pc_id.to_string()
    }
}

/// An agent's own word for how it is.
pub(crate) fn agent_state(state: AgentState) -> String {
    format!("{state:?}").to_lowercase()
}

impl Row for ExecView {
    const COLUMNS: &'static [Column] = &[
        column("exec"),
        column("state"),
        column("age"),
        column("what"),
        column("pcs"),
        column("outcome"),
        wide("by"),
        wide("deadline"),
        wide("ended"),
        wide("reason"),
    ];

    fn cells(&self, when: &When) -> Vec<Cell> {
        let ended = self.ended_at.is_some();
        let tally = words::tally(&self.counts);
        let tone = tally
            .iter()
            .map(|(tone, _)| *tone)
            .find(|tone| *tone == Tone::Bad);
        let tally: Vec<String> = tally.into_iter().map(|(_, word)| word).collect();
        vec![
            Cell::new(self.exec_id.short()).exact(self.exec_id.to_string()),
            Cell::new(words::exec_state(self)).tone(if ended { Tone::Dim } else { Tone::Good }),
            Cell::age(Some(self.issued_at), when),
            Cell::new(cut(&what(self), WHAT_MAX)).exact(what(self)),
            Cell::new(words::number(self.counts.targets)).exact(self.counts.targets.to_string()),
            Cell::new(tally.join(", ")).tone(tone.unwrap_or_default()),
            Cell::new(self.issued_by.clone()),
            Cell::new(when.clock(self.deadline)).exact(self.deadline.to_rfc3339()),
            Cell::age(self.ended_at, when),
            Cell::maybe(self.reason.clone()),
        ]
    }

    fn name(&self) -> String {
        self.exec_id.to_string()
    }
}

/// Characters of what an exec runs that a list shows.
const WHAT_MAX: usize = 48;

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].trim_end_matches('…')),
        None => text.to_owned(),
    }
}

/// What an exec runs: its job, or its script's first line.
pub(crate) fn what(exec: &ExecView) -> String {
    match (&exec.job_id, &exec.job_version) {
        (Some(job), Some(version)) => format!("job/{job} {version}"),
        (Some(job), None) => format!("job/{job}"),
        (None, _) => exec.title.clone(),
    }
}

impl Row for TargetView {
    const COLUMNS: &'static [Column] = &[
        column("pc"),
        column("state"),
        column("exit"),
        column("ended"),
        column("why"),
        wide("run"),
        wide("started"),
        wide("attempt"),
    ];

    fn cells(&self, when: &When) -> Vec<Cell> {
        let tone = self.outcome.map_or(Tone::Plain, words::outcome_tone);
        vec![
            Cell::new(self.pc_id.as_str()),
            Cell::new(words::state(self)).tone(tone),
            Cell::maybe(self.exit_code.map(|code| code.to_string())),
            Cell::age(self.ended_at, when),
            Cell::maybe(self.why.as_ref().map(|why| why.text.clone())),
            Cell::new(self.request_id.to_string()),
            Cell::age(self.started_at, when),
            Cell::new(self.attempt.to_string()),
        ]
    }

    fn name(&self) -> String {
        self.pc_id.to_string()
    }
}

impl Row for ResultView {
    const COLUMNS: &'static [Column] = &[
        column("run"),
        column("pc"),
        column("outcome"),
        column("exit"),
        column("age"),
        column("output"),
        wide("exec"),
        wide("job"),
        wide("tries"),
        wide("bytes"),
        wide("reason"),
    ];

    fn cells(&self, when: &When) -> Vec<Cell> {
        let job = self.job_id.as_ref().map(ToString::to_string);
        let bytes = self.stdout.total_bytes + self.stderr.total_bytes;
        vec![
            Cell::new(self.request_id.to_string()),
            Cell::new(self.pc_id.as_str()),
            Cell::new(words::outcome(self.outcome)).tone(words::outcome_tone(self.outcome)),
            Cell::maybe(self.exit_code.map(|code| code.to_string())),
            Cell::age(Some(self.ended_at), when),
            Cell::new(first_line(self)),
            Cell::new(self.exec_id.short()).exact(self.exec_id.to_string()),
            Cell::maybe(job),
            Cell::new(self.tries.to_string()),
            Cell::new(bytes.to_string()),
            Cell::maybe(self.reason.as_ref().map(|reason| reason.text.clone())),
        ]
    }

    fn name(&self) -> String {
        self.request_id.to_string()
    }
}

/// The first line that says something: of standard error when it did not end well.
fn first_line(result: &ResultView) -> String {
    let (first, second) = match result.outcome {
        Outcome::Ok => (&result.stdout, &result.stderr),
        Outcome::Failed
        | Outcome::TimedOut
        | Outcome::Killed
        | Outcome::Skipped
        | Outcome::Interrupted
        | Outcome::Expired
        | Outcome::Withdrawn
        | Outcome::Revoked
        | Outcome::Superseded
        | Outcome::Lost
        | Outcome::Unknown => (&result.stderr, &result.stdout),
    };
    let line = first
        .head
        .lines()
        .chain(second.head.lines())
        .find(|line| !line.trim().is_empty());
    line.unwrap_or_default().trim().chars().take(60).collect()
}

impl Row for JobView {
    const COLUMNS: &'static [Column] = &[
        column("job"),
        column("version"),
        column("changed"),
        column("description"),
        wide("revision"),
        wide("by"),
    ];

    fn cells(&self, when: &When) -> Vec<Cell> {
        vec![
            Cell::new(self.job_id.as_str()),
            Cell::new(self.version.clone()),
            Cell::age(Some(self.updated_at), when),
            Cell::maybe(self.description.clone()),
            Cell::new(self.revision.to_string()),
            Cell::new(self.updated_by.clone()),
        ]
    }

    fn name(&self) -> String {
        self.job_id.to_string()
    }
}

impl Row for GroupView {
    const COLUMNS: &'static [Column] = &[
        column("group"),
        column("pcs"),
        column("changed"),
        column("description"),
        wide("revision"),
    ];

    fn cells(&self, when: &When) -> Vec<Cell> {
        vec![
            Cell::new(self.group_id.as_str()),
            Cell::new(words::number(self.member_count)).exact(self.member_count.to_string()),
            Cell::age(Some(self.updated_at), when),
            Cell::maybe(self.description.clone()),
            Cell::new(self.revision.to_string()),
        ]
    }

    fn name(&self) -> String {
        self.group_id.to_string()
    }
}

impl Row for AuditRow {
    const COLUMNS: &'static [Column] = &[
        column("age"),
        column("actor"),
        column("action"),
        column("object"),
        wide("detail"),
        wide("id"),
    ];

    fn cells(&self, when: &When) -> Vec<Cell> {
        vec![
            Cell::age(Some(self.at), when),
            Cell::new(self.actor.clone()),
            Cell::new(self.action.clone()),
            Cell::new(self.object.clone()),
            Cell::new(self.detail.to_string()),
            Cell::new(self.audit_id.clone()),
        ]
    }

    fn name(&self) -> String {
        self.audit_id.clone()
    }
}

impl Row for DeadLetterView {
    const COLUMNS: &'static [Column] = &[
        column("id"),
        column("age"),
        column("subject"),
        column("bytes"),
        column("reason"),
        wide("stream"),
        wide("sequence"),
        wide("begins"),
    ];

    fn cells(&self, when: &When) -> Vec<Cell> {
        vec![
            Cell::new(self.dead_letter_id.to_string()),
            Cell::age(Some(self.at), when),
            Cell::new(self.subject.clone()),
            Cell::new(self.size_bytes.to_string()),
            Cell::new(self.reason.clone()),
            Cell::new(self.stream.clone()),
            Cell::new(self.sequence.to_string()),
            Cell::new(cut(&self.payload_head, WHAT_MAX)).exact(self.payload_head.clone()),
        ]
    }

    fn name(&self) -> String {
        self.dead_letter_id.to_string()
    }
}

impl Row for GapView {
    const COLUMNS: &'static [Column] = &[
        column("stream"),
        column("first"),
        column("last"),
        column("age"),
    ];

    fn cells(&self, when: &When) -> Vec<Cell> {
        vec![
            Cell::new(self.stream.clone()),
            Cell::new(self.first.to_string()),
            Cell::new(self.last.to_string()),
            Cell::age(Some(self.at), when),
        ]
    }

    fn name(&self) -> String {
        format!("{}:{}-{}", self.stream, self.first, self.last)
    }
}

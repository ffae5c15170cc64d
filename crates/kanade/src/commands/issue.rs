//! Issuing an exec: what `run` and `exec` share.

use kanade_shared::api::execs::{ExecPreview, ExecRequest, ExecView, ExecWhat, Targets};
use kanade_shared::id::PcId;
use kanade_shared::wire::command::Reach;

use super::target::TargetArgs;
use super::{follow, seconds};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::table::{Format, show_one, show_whole};
use crate::output::words::{self, When};

/// Who, until when, and why.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct IssueArgs {
    /// Who.
    #[command(flatten)]
    pub targets: TargetArgs,
    /// Latest start, from now; a PC that is off until then does not run it [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub deadline: Option<u32>,
    /// Spread the starts over this time
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub jitter: Option<u32>,
    /// Also on PCs that join before the deadline; only with a group or `all`
    #[arg(long)]
    pub open: bool,
    /// Say which PCs it would run on, and run nothing
    #[arg(long, conflicts_with = "preview")]
    pub dry_run: bool,
    /// Run on exactly the PCs that a dry run listed
    #[arg(long, value_name = "TOKEN")]
    pub preview: Option<String>,
    /// Why; kept in the audit log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

impl IssueArgs {
    /// The request for this.
    ///
    /// # Errors
    /// The targets can't be read.
    pub(crate) fn request(&self, what: ExecWhat) -> Result<ExecRequest, Failure> {
        Ok(ExecRequest {
            what,
            targets: self.targets.targets()?,
            deadline_s: self.deadline,
            reach: self.open.then_some(Reach::Open),
            jitter_s: self.jitter,
            reason: self.reason.clone(),
            preview: self.preview.clone(),
        })
    }
}

/// Issues an exec; safe against a connection that breaks in the middle.
///
/// # Errors
/// The backend refuses or can't be reached.
pub(crate) async fn issue(client: &Client, request: &ExecRequest) -> Result<ExecView, Failure> {
    let key = uuid::Uuid::now_v7().simple().to_string();
    client
        .post_once("execs", &key, request)
        .await
        .map_err(|failure| pointed(failure, &request.targets))
}

/// Points at the one target that the sentence names, where the backend points at a list.
fn pointed(failure: Failure, targets: &Targets) -> Failure {
    let named = |name: &str| failure.title().contains(&format!("`{name}`"));
    let field = failure.field().unwrap_or_default();
    let word = match field.strip_suffix('…') {
        Some(flag @ "--target group:") => targets
            .groups
            .iter()
            .find(|group| named(group.as_str()))
            .map(|group| format!("{flag}{group}")),
        Some(flag @ "--not group:") => targets
            .not_groups
            .iter()
            .find(|group| named(group.as_str()))
            .map(|group| format!("{flag}{group}")),
        Some(flag @ "--target pc:") => targets
            .pcs
            .iter()
            .find(|pc| named(pc.as_str()))
            .map(|pc| format!("{flag}{pc}")),
        Some(flag @ "--not pc:") => targets
            .not_pcs
            .iter()
            .find(|pc| named(pc.as_str()))
            .map(|pc| format!("{flag}{pc}")),
        Some(_) | None => None,
    };
    match word {
        Some(word) => failure.in_field(word),
        None => failure,
    }
}

/// Says which PCs an exec would hit.
///
/// # Errors
/// As [`issue`].
pub(crate) async fn preview(
    client: &Client,
    screen: &Screen,
    request: &ExecRequest,
    format: Format,
) -> Result<Exit, Failure> {
    let preview: ExecPreview = client
        .post("execs?dry_run=true", request)
        .await
        .map_err(|failure| pointed(failure, &request.targets))?;
    if matches!(format, Format::Json | Format::Yaml) {
        show_whole(screen, &preview, format)?;
        return Ok(Exit::Ok);
    }
    let names: String = preview
        .sample
        .iter()
        .map(|pc: &PcId| format!("{pc}\n"))
        .collect();
    screen.words(&preview_words(&preview, &When::here()));
    screen.data(&names);
    Ok(Exit::Ok)
}

fn preview_words(preview: &ExecPreview, when: &When) -> String {
    let ExecPreview {
        count,
        offline,
        token,
        ..
    } = preview;
    let pcs = words::count(*count, "PC");
    let until = when.clock(preview.deadline);
    let rest = count.saturating_sub(preview.sample.len() as u64);
    let first = if rest > 0 { "; the first are" } else { "" };
    let mut text = format!("would run on {pcs}, {offline} of them offline, until {until}{first}\n");
    text.push_str(&format!(
        "exactly these for 15 minutes: --preview {token}\n"
    ));
    text
}

/// Whether to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until it has ended.
    ToTheEnd,
    /// Not at all.
    Not,
}

/// Waits for an exec, or names it and leaves.
///
/// # Errors
/// As [`follow::follow`].
pub(crate) async fn see_through(
    client: &Client,
    screen: &Screen,
    exec: ExecView,
    waiting: &follow::Waiting,
    wait: Wait,
) -> Result<Exit, Failure> {
    match wait {
        Wait::ToTheEnd => follow::follow(client, screen, exec, waiting).await,
        Wait::Not if waiting.format != Format::Table => {
            show_one(screen, &exec, waiting.format, &When::here())?;
            Ok(Exit::Ok)
        }
        Wait::Not => {
            let pcs = words::count(exec.counts.targets, "PC");
            let until = When::here().clock(exec.deadline);
            screen.data(&exec.exec_id.to_string());
            let short = exec.exec_id.short();
            screen.words(&format!("{pcs}, until {until} · kanade watch {short}"));
            Ok(Exit::Ok)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kanade_shared::api::Problem;
    use kanade_shared::id::GroupId;

    #[test]
    fn the_target_that_is_wrong_is_pointed_at() {
        let mut problem = Problem::new(404, "group.unknown", "group `lba` does not exist");
        problem.field = Some("targets.groups".into());
        problem.help = Some("`lab`, or `kanade get groups` for all of them".into());
        let groups = ["office", "lba"]
            .map(|name| GroupId::parse(name).unwrap())
            .to_vec();
        let targets = Targets {
            groups,
            ..Targets::default()
        };
        let failure = pointed(Failure::of_problem(problem), &targets);
        insta::assert_snapshot!(failure, @"
        error: group `lba` does not exist
          in:  --target group:lba
          try: `lab`, or `kanade get groups` for all of them
        ");
    }

    #[test]
    fn a_dry_run_says_how_many_and_how_to_hit_exactly_these() {
        let when = When {
            now: "2026-11-23T13:00:00Z".parse().unwrap(),
            offset: chrono::Offset::fix(&chrono::Utc),
        };
        let preview = ExecPreview {
            token: "p-1".into(),
            count: 1204,
            offline: 2,
            sample: vec![PcId::parse("a").unwrap()],
            deadline: "2026-11-23T14:00:00Z".parse().unwrap(),
        };
        insta::assert_snapshot!(preview_words(&preview, &when), @"
        would run on 1,204 PCs, 2 of them offline, until 14:00; the first are
        exactly these for 15 minutes: --preview p-1
        ");
    }
}

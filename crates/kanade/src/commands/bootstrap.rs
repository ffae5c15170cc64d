//! `kanade bootstrap`: what the broker must have, over the API.

use std::collections::BTreeMap;

use kanade_shared::bootstrap::Plan;
use kanade_shared::bootstrap::plan::Action;
use serde::{Deserialize, Serialize};

use crate::cli::Global;
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::table::{Format, FormatArg, show_whole};

/// Arguments of `bootstrap`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`plan` exits with 7 when there is a difference. For a first start, or a broker \
that the backend\ndoes not run with yet: `kanade-backend bootstrap`."
)]
pub(crate) struct BootstrapArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What can be done.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(crate) enum What {
    /// Say what would be made or changed
    Plan(#[command(flatten)] FormatArg),
    /// Make and change it
    Apply(#[command(flatten)] FormatArg),
}

/// Shows or applies the plan.
///
/// # Errors
/// The backend can't be reached, or the broker refuses.
pub(crate) async fn run(
    args: &BootstrapArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    match args.what {
        What::Plan(format) => {
            let plan: Plan = client.get("bootstrap", &()).await?;
            show(screen, &plan, format.output)?;
            Ok(if as_wanted(&plan) {
                Exit::Ok
            } else {
                Exit::Differs
            })
        }
        What::Apply(format) => {
            let report: Report = client.post("bootstrap", &serde_json::json!({})).await?;
            if matches!(format.output, Format::Json | Format::Yaml) {
                show_whole(screen, &report, format.output)?;
                return Ok(Exit::Ok);
            }
            screen.data(&done(&report));
            for warning in &report.warnings {
                screen.words(&format!("! {warning}"));
            }
            Ok(Exit::Ok)
        }
    }
}

/// What applying did.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    /// What became of each resource: `created`, `updated`, `kept`.
    resources: BTreeMap<String, String>,
    /// What differs and stays so.
    warnings: Vec<String>,
}

fn done(report: &Report) -> String {
    let mut text = String::new();
    for (name, became) in report
        .resources
        .iter()
        .filter(|(_, became)| *became != "kept")
    {
        text.push_str(&format!("{name} {became}\n"));
    }
    let kept = report
        .resources
        .values()
        .filter(|became| *became == "kept")
        .count();
    text.push_str(&format!("= {kept} as wanted\n"));
    text
}

fn show(screen: &Screen, plan: &Plan, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json | Format::Yaml => show_whole(screen, plan, format),
        Format::Name => {
            let names = plan.steps.iter().filter(|step| step.action != Action::Keep);
            screen.data(
                &names
                    .map(|step| format!("{}\n", step.name))
                    .collect::<String>(),
            );
            Ok(())
        }
        Format::Table | Format::Wide | Format::Csv => {
            screen.data(&plan.to_string());
            Ok(())
        }
    }
}

fn as_wanted(plan: &Plan) -> bool {
    plan.steps
        .iter()
        .all(|step| step.action == Action::Keep && step.drift.is_empty())
}

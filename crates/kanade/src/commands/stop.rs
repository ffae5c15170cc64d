//! `kanade withdraw` and `kanade kill`.

use kanade_shared::api::execs::{StopRequest, StopView};
use kanade_shared::wire::command::StopAction;

use crate::cli::Global;
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::table::{Format, FormatArg, show_whole};
use crate::output::words;

/// Arguments of `withdraw` and `kill`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`withdraw` starts it nowhere any more and lets go on what runs; `kill` also ends \
what runs.\nBoth reach a PC that is off before it runs anything. `kanade watch EXEC` shows the \
confirmations."
)]
pub(crate) struct StopArgs {
    /// The exec, or the beginning of its id
    #[arg(value_name = "EXEC", value_parser = super::exec_ref)]
    pub exec: String,
    /// Why; kept in the audit log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How to show it.
    #[command(flatten)]
    pub format: FormatArg,
}

/// Stops it.
///
/// # Errors
/// There is no such exec, or the backend can't be reached.
pub(crate) async fn run(
    args: &StopArgs,
    action: StopAction,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    let request = StopRequest {
        action,
        reason: args.reason.clone(),
    };
    let view: StopView = client
        .post(&format!("execs/{}/stop", args.exec), &request)
        .await?;
    match args.format.output {
        Format::Json | Format::Yaml => show_whole(screen, &view, args.format.output)?,
        Format::Name => screen.data(&view.exec.exec_id.to_string()),
        Format::Table | Format::Wide | Format::Csv => screen.words(&stop_words(&view, action)),
    }
    Ok(Exit::Ok)
}

fn stop_words(view: &StopView, action: StopAction) -> String {
    let short = view.exec.exec_id.short();
    let done = match action {
        StopAction::Withdraw => "withdrawn",
        StopAction::Kill => "killed",
    };
    let number = words::number;
    let mut parts = vec![format!(
        "{} had not started and never will",
        number(view.never_start)
    )];
    match action {
        StopAction::Kill if view.to_kill > 0 => {
            parts.push(format!("{} run and are told to end", number(view.to_kill)));
        }
        StopAction::Withdraw if view.exec.counts.running > 0 => {
            parts.push(format!(
                "{} run and go on",
                number(view.exec.counts.running)
            ));
        }
        StopAction::Kill | StopAction::Withdraw => {}
    }
    parts.push(format!("{} had ended", number(view.already_ended)));
    if view.offline > 0 {
        let many = number(view.offline);
        parts.push(format!(
            "{many} offline will learn it before they run anything"
        ));
    }
    let mut text = format!("exec {short} {done}: {}\n", parts.join(", "));
    if action == StopAction::Kill && view.to_kill > 0 {
        text.push_str(&format!(
            "  kanade watch {short}   shows each PC's confirmation\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::follow::fixtures;
    use kanade_shared::api::execs::{Counts, ExecState};

    #[test]
    fn a_stop_answers_with_counts() {
        let counts = Counts {
            running: 61,
            ..fixtures::counts(0, &[])
        };
        let view = StopView {
            exec: fixtures::exec(ExecState::Running, counts),
            never_start: 1904,
            to_kill: 61,
            already_ended: 35,
            offline: 4,
        };
        insta::assert_snapshot!(stop_words(&view, StopAction::Kill), @"
        exec 0193a7f20000 killed: 1,904 had not started and never will, 61 run and are told to end, 35 had ended, 4 offline will learn it before they run anything
          kanade watch 0193a7f20000   shows each PC's confirmation
        ");
        let view = StopView {
            to_kill: 0,
            offline: 0,
            ..view
        };
        insta::assert_snapshot!(stop_words(&view, StopAction::Withdraw), @"exec 0193a7f20000 withdrawn: 1,904 had not started and never will, 61 run and go on, 35 had ended");
    }
}

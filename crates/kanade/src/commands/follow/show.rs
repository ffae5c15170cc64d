//! What is printed of an exec while it is followed, and at its end.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kanade_shared::api::execs::{ExecState, TargetView};
use kanade_shared::api::results::{OutputView, ResultView, Stream};
use kanade_shared::wire::agent::TailChunk;
use kanade_shared::wire::result::Outcome;
use serde::Serialize;

use super::state::{Follow, Verdict};
use super::tails::Tails;
use super::{Fold, Waiting};
use crate::client::{Client, whole_output};
use crate::commands::tail;
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::fold::{self, Answer};
use crate::output::paint::Tone;
use crate::output::table::{Format, show_rows, show_whole};
use crate::output::words::{self, When};

/// PCs that are named one by one at the end.
const NAMED_MAX: usize = 5;
/// Outputs that are fetched at once.
const FETCHES: usize = 8;
/// How often, and how far apart, an output is asked for while the backend is away.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_secs(2);

/// Prints one exec.
pub(super) struct Shown<'a> {
    client: &'a Client,
    screen: &'a Screen,
    waiting: Waiting,
    lines: bool,
    tails: Tails,
}

impl<'a> Shown<'a> {
    /// Prints as lines or folded, as the flags and the number of PCs say.
    pub(super) fn new(
        client: &'a Client,
        screen: &'a Screen,
        waiting: Waiting,
        many: bool,
    ) -> Self {
        let lines = match waiting.fold {
            Fold::Always => false,
            Fold::Never => true,
            Fold::Many => !many,
        };
        let lines = lines && waiting.format == Format::Table;
        Self {
            client,
            screen,
            waiting,
            lines,
            tails: Tails::new(),
        }
    }

    /// The runs whose output is shown while they run.
    pub(super) fn tails(&mut self) -> &mut Tails {
        &mut self.tails
    }

    /// Prints a piece of output of a run that goes on.
    pub(super) fn output(&mut self, follow: &Follow, chunk: &TailChunk) {
        let Some(target) = follow
            .targets()
            .find(|target| target.request_id == chunk.request_id)
        else {
            return;
        };
        let [stdout, stderr] = self.tails.take(chunk);
        self.lines_of(target, &stdout, width(follow), Tone::Plain);
        self.lines_of(target, &stderr, width(follow), Tone::Bad);
    }

    /// Says what is followed.
    pub(super) fn head(&self, follow: &Follow) {
        if self.waiting.format == Format::Table {
            let paint = self.screen.words_paint;
            let head = head(follow, &When::here());
            self.screen
                .words(&format!("  {}\n", paint.tone(Tone::Dim, &head)));
        }
    }

    /// Prints what came, and how far it is.
    pub(super) async fn news(&mut self, follow: &mut Follow) -> Result<(), Failure> {
        let counts = &follow.exec().counts;
        let words: Vec<String> = words::tally(counts)
            .into_iter()
            .map(|(_, word)| word)
            .collect();
        let done = counts.targets - counts.waiting().min(counts.targets);
        self.screen
            .progress()
            .show(done, counts.targets, &words.join(" · "));
        if !self.lines {
            return Ok(());
        }
        for (target, result) in follow.fresh() {
            let [said, told] = self.tails.end(target.request_id);
            let [stdout, stderr] = outputs(self.client, &result).await?;
            let width = width(follow);
            let text = tail::after(&stdout, result.stdout.total_bytes, said);
            self.lines_of(&target, text, width, Tone::Plain);
            let text = tail::after(&stderr, result.stderr.total_bytes, told);
            self.lines_of(&target, text, width, Tone::Bad);
            if target.outcome != Some(Outcome::Ok) || (stdout.is_empty() && stderr.is_empty()) {
                self.note(&target, width);
            }
        }
        self.tails.tend(self.client, follow);
        Ok(())
    }

    fn lines_of(&self, target: &TargetView, text: &str, width: usize, tone: Tone) {
        let lines: String = text
            .lines()
            .map(|line| line_of(self.screen, &target.pc_id, width, line, tone))
            .collect();
        if !lines.is_empty() {
            self.screen.data(&lines);
        }
    }

    /// How a PC ended, in words.
    fn note(&self, target: &TargetView, width: usize) {
        let paint = self.screen.words_paint;
        let tone = target.outcome.map_or(Tone::Warn, words::outcome_tone);
        let state = paint.tone(tone, &words::state(target));
        let why = target
            .why
            .as_ref()
            .map(|why| format!("  {}", why.text))
            .unwrap_or_default();
        self.screen
            .words(&format!("  {:width$}  {state}{why}\n", target.pc_id));
    }

    /// Prints what is left to print, and the summary.
    pub(super) async fn end(
        &mut self,
        follow: &mut Follow,
        verdict: Verdict,
        took: Duration,
    ) -> Result<(), Failure> {
        self.tails.stop();
        self.screen.progress().clear();
        match self.waiting.format {
            Format::Json | Format::Yaml => {
                let report = self.report(follow).await?;
                return show_whole(self.screen, &report, self.waiting.format);
            }
            Format::Name => self.screen.data(&follow.exec().exec_id.to_string()),
            Format::Csv => {
                let targets: Vec<TargetView> = follow.targets().cloned().collect();
                show_rows(self.screen, &targets, Format::Csv, &When::here())?;
            }
            Format::Table | Format::Wide if self.lines => {}
            Format::Table | Format::Wide => self.folded(follow).await?,
        }
        if self.waiting.format == Format::Table {
            self.left_over(follow);
        }
        self.screen
            .words(&summary(follow, verdict, took, self.screen));
        Ok(())
    }

    async fn folded(&self, follow: &mut Follow) -> Result<(), Failure> {
        let answers = follow.fresh().into_iter().map(|(target, result)| Answer {
            pc: target.pc_id.to_string(),
            failed: (target.outcome != Some(Outcome::Ok)).then(|| words::state(&target)),
            key: key(&result),
            output: result,
        });
        let folds = fold::fold(answers);
        let texts: Vec<String> = futures::stream::iter(&folds)
            .map(|fold| async {
                let [mut text, stderr] = outputs(self.client, &fold.output).await?;
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(&stderr);
                Ok::<_, Failure>(text)
            })
            .buffered(FETCHES)
            .try_collect()
            .await?;
        let paint = self.screen.paint;
        let shown = folds
            .iter()
            .zip(&texts)
            .map(|(one, text)| fold::show(one, text, paint));
        let shown: String = shown.collect();
        if !shown.is_empty() {
            self.screen.data(&shown);
        }
        Ok(())
    }

    /// PCs without a result, and why.
    fn left_over(&self, follow: &Follow) {
        let left: Vec<&TargetView> = follow.unshown().collect();
        let width = left
            .iter()
            .map(|target| target.pc_id.as_str().len())
            .max()
            .unwrap_or(0);
        let named = if left.len() > NAMED_MAX {
            NAMED_MAX - 1
        } else {
            left.len()
        };
        for target in &left[..named] {
            self.note(target, width);
        }
        if left.len() > named {
            let (more, id) = (left.len() - named, follow.exec().exec_id.short());
            self.screen
                .words(&format!("  and {more} more: kanade describe exec {id}\n"));
        }
    }

    async fn report(&self, follow: &Follow) -> Result<serde_json::Value, Failure> {
        let rows: Vec<(&TargetView, Option<&ResultView>)> = follow
            .targets()
            .map(|target| (target, follow.result(target)))
            .collect();
        let targets: Vec<TargetReport<'_>> = futures::stream::iter(rows)
            .map(|(target, result)| async move {
                let output = match result {
                    Some(result) => Some(outputs(self.client, result).await?),
                    None => None,
                };
                let (stdout, stderr) = output.map_or((None, None), |[o, e]| (Some(o), Some(e)));
                Ok::<_, Failure>(TargetReport {
                    target,
                    stdout,
                    stderr,
                })
            })
            .buffered(FETCHES)
            .try_collect()
            .await?;
        Ok(serde_json::json!({ "exec": follow.exec(), "targets": targets }))
    }
}

/// A target with what it wrote, for machines.
#[derive(Serialize)]
struct TargetReport<'a> {
    #[serde(flatten)]
    target: &'a TargetView,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
}

/// One line of one PC.
pub(crate) fn line_of(
    screen: &Screen,
    pc: &kanade_shared::id::PcId,
    width: usize,
    line: &str,
    tone: Tone,
) -> String {
    let bar = screen
        .paint
        .tone(if tone == Tone::Plain { Tone::Dim } else { tone }, "│");
    format!("  {pc:width$}  {bar} {}\n", fold::clean(line))
}

fn width(follow: &Follow) -> usize {
    follow
        .targets()
        .map(|target| target.pc_id.as_str().len())
        .max()
        .unwrap_or(0)
}

/// What a run wrote; waits for a backend that is away for a moment.
async fn outputs(client: &Client, result: &ResultView) -> Result<[String; 2], Failure> {
    let run = result.request_id;
    let mut tries = TRIES;
    loop {
        let both = tokio::try_join!(
            whole_output(client, run, Stream::Stdout, &result.stdout),
            whole_output(client, run, Stream::Stderr, &result.stderr),
        );
        tries -= 1;
        match both {
            Err(failure) if failure.exit() == Exit::Unreachable && tries > 0 => {
                tokio::time::sleep(BETWEEN).await;
            }
            both => return both.map(|(stdout, stderr)| [stdout, stderr]),
        }
    }
}

/// Equal for equal outputs. An output whose end is not known is equal to no other.
fn key(result: &ResultView) -> String {
    let of = |view: &OutputView| match &view.sha256 {
        Some(sha256) => sha256.clone(),
        None if view.head.len() as u64 >= view.stored_bytes => format!("={}", view.head),
        None => format!("?{}", result.request_id),
    };
    format!("{}\0{}", of(&result.stdout), of(&result.stderr))
}

/// `exec 0193a7f2…  38 PCs: 36 online, 2 offline (kept for them until 14:32)`.
fn head(follow: &Follow, when: &When) -> String {
    let exec = follow.exec();
    let pcs = words::count(exec.counts.targets, "PC");
    let mut text = format!("exec {}  {pcs}", exec.exec_id.short());
    let (left, offline) = (exec.counts.waiting(), follow.offline(when.now));
    if exec.state == ExecState::Running && offline > 0 {
        let until = when.clock(exec.deadline);
        let online = match exec.counts.ended.is_empty() {
            true => format!("{} online, ", words::number(left.saturating_sub(offline))),
            false => String::new(),
        };
        text.push_str(&format!(
            ": {online}{offline} offline (kept for them until {until})"
        ));
    }
    text
}

/// The last line, and what to do next.
fn summary(follow: &Follow, verdict: Verdict, took: Duration, screen: &Screen) -> String {
    let (exec, paint) = (follow.exec(), screen.words_paint);
    let (counts, id) = (&exec.counts, exec.exec_id.short());
    let mut parts: Vec<String> = words::tally(counts)
        .into_iter()
        .map(|(tone, word)| paint.tone(tone, &word))
        .collect();
    parts.push(words::took(took));
    let mut next = Vec::new();
    if counts.waiting() > 0 || verdict == Verdict::Open {
        next.push(format!("kanade watch {id}"));
    }
    if verdict == Verdict::Interrupted && counts.waiting() > 0 {
        next.push(format!("kanade kill {id}"));
    }
    if counts.ended.keys().any(|outcome| outcome.retriable()) {
        next.push(format!("kanade retry {id} --failed"));
    }
    let goes_on = match verdict {
        Verdict::Open => {
            let until = When::here().clock(exec.deadline);
            format!("  PCs that join until {until} will run it, too\n")
        }
        Verdict::Interrupted if counts.waiting() > 0 => "  it goes on without you\n".to_owned(),
        Verdict::Ended | Verdict::OnlyOffline | Verdict::GaveUp | Verdict::Interrupted => {
            String::new()
        }
    };
    let next = if next.is_empty() {
        String::new()
    } else {
        format!("      {}", next.join("   "))
    };
    format!(
        "{goes_on}\n  {}{}\n",
        parts.join(" · "),
        paint.tone(Tone::Dim, &next)
    )
}

#[cfg(test)]
mod tests;

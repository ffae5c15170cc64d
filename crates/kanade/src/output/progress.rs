//! The line that lives at the bottom while something takes over a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Nothing lives at the bottom before this.
const QUIET: Duration = Duration::from_secs(1);

/// A line that is drawn over itself, or nothing at all where nobody would see it.
pub(crate) struct Progress {
    live: bool,
    line: Mutex<Option<Line>>,
}

struct Line {
    bar: ProgressBar,
    since: Instant,
    shown: bool,
}

impl Progress {
    /// For a terminal.
    pub(crate) fn live() -> Self {
        Self {
            live: true,
            line: Mutex::new(None),
        }
    }

    /// For anything else.
    pub(crate) fn none() -> Self {
        Self {
            live: false,
            line: Mutex::new(None),
        }
    }

    /// Says how far it is: `done` of `all`, and words.
    pub(crate) fn show(&self, done: u64, all: u64, words: &str) {
        if !self.live {
            return;
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line.get_or_insert_with(Line::new);
        line.bar.set_length(all);
        line.bar.set_position(done);
        line.bar.set_message(words.to_owned());
        if !line.shown && line.since.elapsed() >= QUIET {
            line.shown = true;
            line.bar.set_draw_target(ProgressDrawTarget::stderr());
            line.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        let line = self
            .line
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(line) = line {
            line.bar.finish_and_clear();
        }
    }

    /// Does something that writes, with the line out of the way.
    pub(crate) fn aside(&self, write: impl FnOnce()) {
        let bar = {
            let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            line.as_ref()
                .filter(|line| line.shown)
                .map(|line| line.bar.clone())
        };
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Line {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let template = "  {bar:20} {pos}/{len}  {msg}  {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        Self {
            bar,
            since: Instant::now(),
            shown: false,
        }
    }
}

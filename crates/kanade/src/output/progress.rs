//! The line that lives at the bottom while something takes over a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Nothing lives at the bottom before this.
pub(crate) const QUIET: Duration = Duration::from_secs(1);

/// A line that is drawn over itself, or nothing at all where nobody would see it.
pub(crate) struct Progress {
    live: AtomicBool,
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
            live: AtomicBool::new(true),
            line: Mutex::new(None),
        }
    }

    /// For anything else.
    pub(crate) fn none() -> Self {
        Self {
            live: AtomicBool::new(false),
            line: Mutex::new(None),
        }
    }

    /// Shows nothing from now on.
    pub(crate) fn off(&self) {
        self.live.store(false, Ordering::Relaxed);
        self.clear();
    }

    /// Says how far it is: `done` of `all`, and words.
    pub(crate) fn show(&self, done: u64, all: u64, words: &str) {
        self.draw("  {bar:20} {pos}/{len}  {msg}  {elapsed}", |bar| {
            bar.set_length(all);
            bar.set_position(done);
            bar.set_message(words.to_owned());
        });
    }

    /// Says what is waited for when nothing was said yet.
    pub(crate) fn wait(&self, words: &str) {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let said = line.is_some();
        drop(line);
        if !said {
            self.draw("  {spinner} {msg}  {elapsed}", |bar| {
                bar.set_message(words.to_owned())
            });
        }
    }

    fn draw(&self, template: &str, say: impl FnOnce(&ProgressBar)) {
        if !self.live.load(Ordering::Relaxed) {
            return;
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line.get_or_insert_with(Line::new);
        if let Ok(style) = ProgressStyle::with_template(template) {
            line.bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        say(&line.bar);
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
        Self {
            bar,
            since: Instant::now(),
            shown: false,
        }
    }
}

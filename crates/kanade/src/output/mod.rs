//! What people and scripts see: data on standard output, words on standard error.
//!
//! [`Screen`] is the only writer. `table` shows rows in every form of `-o`, `words` has times,
//! sizes and counts as people read them, `fold` puts equal answers together, `progress` is the
//! line that lives at the bottom.
//!
//! **Invariant:** colours and the live line are for terminals only.

pub(crate) mod fold;
pub(crate) mod paint;
pub(crate) mod progress;
pub(crate) mod rows;
pub(crate) mod table;
pub(crate) mod words;

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;
use paint::{Paint, Tone};
use progress::Progress;

#[cfg(test)]
pub(crate) mod buffer;

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Also into a pipe or file
    Always,
    /// Not at all
    Never,
}

/// Where output goes.
pub(crate) struct Screen {
    data: Mutex<Box<dyn Write + Send>>,
    words: Mutex<Box<dyn Write + Send>>,
    /// How to colour data.
    pub paint: Paint,
    /// How to colour words.
    pub words_paint: Paint,
    progress: Progress,
    lost: Mutex<Option<io::Error>>,
}

impl Screen {
    /// The program's own output.
    pub(crate) fn of_terminal(color: Color) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let plain = dumb || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let paint = |terminal: bool| match color {
            Color::Always => Paint::Colours,
            Color::Auto if terminal && !plain => Paint::Colours,
            Color::Auto | Color::Never => Paint::Plain,
        };
        Self {
            data: Mutex::new(Box::new(io::stdout())),
            words: Mutex::new(Box::new(io::stderr())),
            paint: paint(out),
            words_paint: paint(err),
            progress: if err && !dumb {
                Progress::live()
            } else {
                Progress::none()
            },
            lost: Mutex::new(None),
        }
    }

    /// Output into two buffers.
    #[cfg(test)]
    pub(crate) fn of_buffers(data: buffer::Buffer, words: buffer::Buffer, paint: Paint) -> Self {
        Self {
            data: Mutex::new(Box::new(data)),
            words: Mutex::new(Box::new(words)),
            paint,
            words_paint: paint,
            progress: Progress::none(),
            lost: Mutex::new(None),
        }
    }

    /// Writes data; a line's end is added where it lacks one.
    pub(crate) fn data(&self, text: &str) {
        self.write(&self.data, text);
    }

    /// Writes data exactly as it is.
    pub(crate) fn raw(&self, text: &str) {
        self.progress.aside(|| {
            let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
            self.keep(data.write_all(text.as_bytes()).and_then(|()| data.flush()));
        });
    }

    /// Writes words for people; a line's end is added where it lacks one.
    pub(crate) fn words(&self, text: &str) {
        self.write(&self.words, text);
    }

    /// Writes an error.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.progress.clear();
        let text = failure.to_string();
        let rest = text.strip_prefix("error:").unwrap_or(&text);
        self.words(&format!(
            "{}{rest}",
            self.words_paint.tone(Tone::Bad, "error:")
        ));
    }

    /// The line that lives at the bottom.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Why data could not be written, when that happened. A reader that has seen enough is no
    /// such reason.
    pub(crate) fn lost_data(&self) -> Option<Failure> {
        let lost = self
            .lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        Some(Failure::usage("could not write to standard output").caused_by(&lost))
    }

    fn write(&self, to: &Mutex<Box<dyn Write + Send>>, text: &str) {
        self.progress.aside(|| {
            let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
            let end = if text.ends_with('\n') || text.is_empty() {
                ""
            } else {
                "\n"
            };
            let written = to
                .write_all(text.as_bytes())
                .and_then(|()| to.write_all(end.as_bytes()));
            self.keep(written.and_then(|()| to.flush()));
        });
    }

    fn keep(&self, written: io::Result<()>) {
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.get_or_insert(error);
        }
    }
}

//! Mistakes under the lines they are in.

use std::fmt::Write as _;

use super::{Document, Mistake};

/// The lines at fault with what is wrong beneath; numbers are the file's.
pub(crate) fn show(document: Document<'_>, mistakes: &[Mistake]) -> String {
    let number = |mistake: &Mistake| mistake.line + document.line;
    let width = mistakes
        .iter()
        .map(|mistake| number(mistake).to_string().len())
        .max()
        .unwrap_or(1);
    let mut shown = String::new();
    let mut before = 0;
    for mistake in mistakes {
        let Some(line) = mistake
            .line
            .checked_sub(1)
            .and_then(|at| document.text.lines().nth(at))
        else {
            let _ = writeln!(shown, "  {}", mistake.what);
            continue;
        };
        if mistake.line != before {
            let line = line.replace('\t', " ");
            let _ = writeln!(shown, "  {:width$} │ {line}", number(mistake));
        }
        before = mistake.line;
        let column = mistake.column.saturating_sub(1);
        let marks = "^".repeat(
            mistake
                .length
                .min(line.chars().count().saturating_sub(column))
                .max(1),
        );
        let _ = writeln!(
            shown,
            "  {:width$} │ {:column$}{marks} {}",
            "", "", mistake.what
        );
    }
    shown
}

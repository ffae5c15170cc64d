//! Equal answers, put together; pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::paint::{Paint, Tone};
use super::words;

/// Names that are listed beside a number of PCs.
const NAMES_MAX: usize = 8;

/// What one PC answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer<T> {
    /// The PC.
    pub pc: String,
    /// How it ended when that is not 'well', such as `exit 1`.
    pub failed: Option<String>,
    /// Equal for equal outputs.
    pub key: String,
    /// What is needed to show the output.
    pub output: T,
}

/// PCs that answered the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fold<T> {
    /// The PCs, sorted.
    pub pcs: Vec<String>,
    /// How they ended when that is not 'well'.
    pub failed: Option<String>,
    /// The output of one of them.
    pub output: T,
}

/// Puts equal answers together: those that went well first, then the larger groups first.
pub(crate) fn fold<T>(answers: impl IntoIterator<Item = Answer<T>>) -> Vec<Fold<T>> {
    let mut groups: BTreeMap<(Option<String>, String), Fold<T>> = BTreeMap::new();
    for Answer {
        pc,
        failed,
        key,
        output,
    } in answers
    {
        groups
            .entry((failed.clone(), key))
            .or_insert_with(|| Fold {
                pcs: Vec::new(),
                failed,
                output,
            })
            .pcs
            .push(pc);
    }
    let mut folds: Vec<Fold<T>> = groups.into_values().collect();
    for fold in &mut folds {
        fold.pcs.sort();
    }
    folds.sort_by(|a, b| {
        let key = |fold: &Fold<T>| (fold.failed.is_some(), usize::MAX - fold.pcs.len());
        key(a).cmp(&key(b)).then_with(|| a.pcs.cmp(&b.pcs))
    });
    folds
}

/// A group's head and its text, which may be empty.
pub(crate) fn show<T>(fold: &Fold<T>, text: &str, paint: Paint) -> String {
    let quiet = text.trim().is_empty();
    let says = match (fold.pcs.len(), quiet) {
        (1, false) => "says",
        (1, true) => "says nothing",
        (_, false) => "say",
        (_, true) => "say nothing",
    };
    let who = match fold.pcs.as_slice() {
        [one] => one.clone(),
        many => words::count(many.len() as u64, "PC"),
    };
    let mut shown = match &fold.failed {
        Some(failed) => {
            format!(
                "  {}  {}",
                paint.tone(Tone::Strong, &who),
                paint.tone(Tone::Bad, failed)
            )
        }
        None => format!("  {} {says}", paint.tone(Tone::Strong, &who)),
    };
    if (2..=NAMES_MAX).contains(&fold.pcs.len()) {
        let _ = write!(shown, "   {}", paint.tone(Tone::Dim, &fold.pcs.join(" ")));
    }
    shown.push('\n');
    if !quiet {
        for line in text.trim_end().lines() {
            let _ = writeln!(shown, "    {} {}", paint.tone(Tone::Dim, "│"), clean(line));
        }
    }
    shown
}

/// A line without what would move the cursor or clear the screen. Colours of a program are not
/// kept either: they would run on into ours.
pub(crate) fn clean(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' if characters.next_if_eq(&'[').is_some() => {
                // The parameters of a control sequence end with a letter or `@`, `~` and the like.
                while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\t' => text.push('\t'),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pc: &str, failed: Option<&str>, text: &'static str) -> Answer<&'static str> {
        let (pc, key) = (pc.to_owned(), text.to_owned());
        Answer {
            pc,
            failed: failed.map(Into::into),
            key,
            output: text,
        }
    }

    #[test]
    fn equal_answers_are_shown_once_and_failures_last() {
        let big = (0..31).map(|n| answer(&format!("lab-{n:02}"), None, "61G 27%\n"));
        let four = ["lab-44", "lab-42", "lab-43", "lab-41"];
        let four = four.map(|pc| answer(pc, None, "228G\n\n  98%\n"));
        let bad = [
            answer("lab-50", Some("exit 1"), "df: /: Input/output error\n"),
            answer("lab-51", Some("timed out"), ""),
            answer("lab-52", None, " \n"),
        ];
        let folds = fold(big.chain(four).chain(bad));
        let text: String = folds
            .iter()
            .map(|f| show(f, f.output, Paint::Plain))
            .collect();
        insta::assert_snapshot!(text, @"
          31 PCs say
            │ 61G 27%
          4 PCs say   lab-41 lab-42 lab-43 lab-44
            │ 228G
            │ 
            │   98%
          lab-52 says nothing
          lab-50  exit 1
            │ df: /: Input/output error
          lab-51  timed out
        ");
    }

    #[test]
    fn a_program_cannot_draw_over_the_terminal() {
        assert_eq!(clean("\u{1b}[2J\u{1b}[31mred\u{1b}[0m\tx\u{7}\r"), "red\tx");
        assert_eq!(clean("a\u{1b}]0;title\u{7}b"), "a]0;titleb");
    }

    #[test]
    fn the_same_text_with_another_end_is_another_answer() {
        let folds = fold([answer("a", None, "x"), answer("b", Some("exit 2"), "x")]);
        assert_eq!(folds.len(), 2);
    }
}

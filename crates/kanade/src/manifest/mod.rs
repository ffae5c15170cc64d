//! Reading job files: every problem at once, each with its line.
//!
//! [`documents`] cuts a file into its YAML documents, byte for byte; `node` reads one into a tree
//! that knows where each thing stands; `schema` says what a job may have; [`check`] puts them
//! together. The backend checks again: this is for the person, that is for the truth.

mod node;
mod schema;
mod show;

use kanade_shared::id::JobId;
use kanade_shared::manifest::Job;

pub(crate) use show::show;

/// One YAML document of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Document<'a> {
    /// Its bytes, as they are in the file.
    pub text: &'a str,
    /// Lines of the file before it.
    pub line: usize,
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mistake {
    /// Line in the document, from 1; 0: no line of it.
    pub line: usize,
    /// Column, in characters from 1.
    pub column: usize,
    /// Characters at fault.
    pub length: usize,
    /// What is wrong, and what is expected.
    pub what: String,
}

/// The documents of a file that say something. A line `---` begins the next.
pub(crate) fn documents(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut line, mut first) = (0, 0, 0);
    let mut place = 0;
    for piece in text.split_inclusive('\n') {
        let bare = piece.trim_end();
        if bare == "---" || bare.starts_with("--- ") {
            documents.push(Document {
                text: &text[start..place],
                line: first,
            });
            (start, first) = (place + piece.len(), line + 1);
        }
        place += piece.len();
        line += 1;
    }
    documents.push(Document {
        text: &text[start..],
        line: first,
    });
    let says = |line: &str| !matches!(line.trim_start().chars().next(), None | Some('#'));
    documents.retain(|document| document.text.lines().any(says));
    documents
}

/// The job that a document describes.
///
/// # Errors
/// Every mistake that was found, in the order of their lines.
pub(crate) fn check(text: &str) -> Result<JobId, Vec<Mistake>> {
    let tree = node::read(text).map_err(|mistake| vec![mistake])?;
    let mut mistakes = schema::check(&tree);
    if mistakes.is_empty() {
        match serde_saphyr::from_str::<Job>(text) {
            Ok(job) => match job.check() {
                Ok(()) => return Ok(job.id),
                Err(wrong) => mistakes.extend(wrong.iter().map(|wrong| {
                    let place = tree.at(wrong.field).unwrap_or(&tree);
                    place.mistake(format!("{} {}", last(wrong.field), wrong.what))
                })),
            },
            // What the list of keys does not know of.
            Err(error) => mistakes.push(node::mistake_of(&error)),
        }
    }
    mistakes.sort();
    Err(mistakes)
}

fn last(path: &str) -> String {
    format!("`{}`", path.rsplit('.').next().unwrap_or(path))
}

#[cfg(test)]
mod tests;

//! The text of the workspace's sources and manifests, held in memory for the rules.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Folders of the workspace with crates in them.
const FOLDERS: [&str; 2] = ["crates", "xtask"];
const ENDINGS: [&str; 4] = [".rs", "Cargo.toml", ".sql", ".sha256"];

/// All files that a rule may look at.
pub(super) struct Tree {
    files: Vec<SourceFile>,
}

/// One file.
pub(super) struct SourceFile {
    /// From the workspace's root, with `/` between the parts.
    pub(super) path: String,
    pub(super) text: String,
}

/// A place where a rule is broken.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    path: String,
    /// Counted from 1; absent for what concerns the whole file.
    line: Option<usize>,
    what: String,
}

impl Tree {
    /// Reads the sources under `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for folder in FOLDERS {
            read_folder(&root.join(folder), folder, &mut files)?;
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Self { files })
    }

    /// A tree for a rule's test: pairs of path and text.
    #[cfg(test)]
    pub(super) fn of<const COUNT: usize>(files: [(&str, &str); COUNT]) -> Self {
        let files = files
            .map(|(path, text)| SourceFile {
                path: path.to_owned(),
                text: text.to_owned(),
            })
            .into();
        Self { files }
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    pub(super) fn manifests(&self) -> impl Iterator<Item = &SourceFile> {
        self.files
            .iter()
            .filter(|file| file.path.ends_with("Cargo.toml"))
    }

    /// The files of one folder and of those below.
    pub(super) fn below(&self, folder: &str) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(move |file| {
            let rest = file.path.strip_prefix(folder);
            rest.is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

impl SourceFile {
    /// The lines with their number from 1, without what follows `//`.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| {
            (
                index + 1,
                line.split_once("//").map_or(line, |(code, _)| code),
            )
        })
    }

    /// A finding on each line of code that has one of `words` as a whole word.
    pub(super) fn lines_with(&self, words: &[&str], what: impl Fn(&str) -> String) -> Vec<Finding> {
        self.code()
            .filter_map(|(number, code)| {
                let word = words.iter().find(|word| has_word(code, word))?;
                Some(self.finding_at(number, what(word)))
            })
            .collect()
    }

    pub(super) fn finding(&self, what: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line: None,
            what: what.into(),
        }
    }

    fn finding_at(&self, line: usize, what: String) -> Finding {
        Finding {
            path: self.path.clone(),
            line: Some(line),
            what,
        }
    }

    /// A test, or something that only tests use.
    pub(super) fn is_test(&self) -> bool {
        ["/tests/", "/benches/", "crates/kanade-testkit/"]
            .iter()
            .any(|part| self.path.contains(part))
            || self.path.ends_with("/tests.rs")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.path, self.what),
            None => write!(formatter, "{}: {}", self.path, self.what),
        }
    }
}

fn read_folder(folder: &Path, path: &str, files: &mut Vec<SourceFile>) -> Result<()> {
    let unreadable = || format!("could not read `{path}`");
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{path}/{name}");
        if entry.file_type().with_context(unreadable)?.is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                read_folder(&entry.path(), &path, files)?;
            }
        } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("could not read `{path}`"))?;
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}

/// Whether `code` has `word` with no letter, digit or underscore at its ends.
fn has_word(code: &str, word: &str) -> bool {
    let part_of_name = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let open = word.chars().next_back().is_some_and(part_of_name);
        !(before.is_some_and(part_of_name) || open && after.is_some_and(part_of_name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_whole_and_outside_comments() {
        let tree = Tree::of([(
            "a.rs",
            "use sqlx::Row;\n// sqlx\nlet my_sqlx = 1;\nlet sqlxs = 2;",
        )]);
        let found = tree
            .rust()
            .next()
            .unwrap()
            .lines_with(&["sqlx"], |word| word.to_owned());
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["a.rs:1: sqlx"]
        );
    }

    #[test]
    fn a_tree_on_disk_is_read_without_build_folders() {
        let root = tempfile::tempdir().unwrap();
        for path in ["crates/a/src", "crates/a/target", "xtask/src"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        for path in [
            "crates/a/src/lib.rs",
            "crates/a/target/x.rs",
            "crates/a/Cargo.toml",
        ] {
            fs::write(root.path().join(path), "").unwrap();
        }
        let tree = Tree::read(root.path()).unwrap();
        let paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["crates/a/Cargo.toml", "crates/a/src/lib.rs"]);
    }
}

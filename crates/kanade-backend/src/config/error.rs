//! What is wrong with the settings, in a sentence with the way out.

use std::io;
use std::path::PathBuf;

use figment::error::Kind;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named is not there, or not ours to read.
    #[error("could not read the configuration `{}`", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's.
        #[source]
        source: io::Error,
    },
    /// It is not TOML.
    #[error("the configuration `{}` is not TOML\n{message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The parser's, with the line.
        message: String,
    },
    /// A key that there is not.
    #[error("unknown key `{key}` in {source_name}; {hint}")]
    UnknownKey {
        /// Its path.
        key: String,
        /// Where it was found.
        source_name: String,
        /// The nearest known one, or all.
        hint: String,
    },
    /// A value that cannot be.
    #[error("`{key}` {reason}")]
    Value {
        /// The path of its key.
        key: String,
        /// A predicate: what is wrong, and what would be right.
        reason: String,
    },
}

impl ConfigError {
    /// For programs; never changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "config.unreadable",
            Self::Syntax { .. } => "config.syntax",
            Self::UnknownKey { .. } => "config.unknown_key",
            Self::Value { .. } => "config.value",
        }
    }
}

/// A figment error in our words.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "somebody else's enum, told in its words"
)]
pub(super) fn told(error: &figment::Error) -> ConfigError {
    let path = error.path.join(".");
    let source_name = source_name(error);
    match &error.kind {
        Kind::UnknownField(name, known) => {
            // The path ends with the unknown key already when it is known by then.
            let table = match path.strip_suffix(name.as_str()) {
                Some(table) => table.trim_end_matches('.'),
                None => &path,
            };
            let dot = if table.is_empty() { "" } else { "." };
            ConfigError::UnknownKey {
                key: format!("{table}{dot}{name}"),
                source_name,
                hint: nearest(name, known),
            }
        }
        kind => {
            let reason = match kind {
                Kind::InvalidType(found, wanted) => format!("is {found}, not {}", plain(wanted)),
                Kind::InvalidValue(found, wanted) => format!("is {found}, not {}", plain(wanted)),
                Kind::UnknownVariant(found, known) => {
                    format!("is `{found}`, not one of: {}", known.join(", "))
                }
                _ => format!("cannot be used: {kind}"),
            };
            ConfigError::Value {
                key: path,
                reason: format!("in {source_name} {reason}"),
            }
        }
    }
}

/// The parser's name of a type, for people.
fn plain(wanted: &str) -> &str {
    match wanted {
        "u16" => "a number from 0 to 65535",
        "u32" | "u64" => "a whole number",
        "f64" => "a number",
        other => other,
    }
}

fn source_name(error: &figment::Error) -> String {
    let Some(metadata) = &error.metadata else {
        return "the settings".to_owned();
    };
    if let Some(file) = metadata
        .source
        .as_ref()
        .and_then(|source| source.file_path())
    {
        return format!("`{}`", file.display());
    }
    if metadata.name.contains("environment") {
        return "the environment".to_owned();
    }
    "the flags".to_owned()
}

/// `did you mean …?` for a near miss, else the whole list.
fn nearest(name: &str, known: &[&str]) -> String {
    let by_distance = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known));
    match by_distance.min() {
        Some((distance, known)) if distance <= 1 + name.len() / 4 => {
            format!("did you mean `{known}`?")
        }
        _ => format!("known are {}", known.join(", ")),
    }
}

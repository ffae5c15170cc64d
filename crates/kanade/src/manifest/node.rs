//! A YAML document as a tree that knows where each thing stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::Mistake;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    line: usize,
    column: usize,
    length: usize,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Text, number, truth value or nothing, as text.
    Scalar(String),
    /// Items.
    List(Vec<Node>),
    /// Keys, themselves with a place, and their values.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Something wrong here.
    pub(super) fn mistake(&self, what: impl Into<String>) -> Mistake {
        Mistake {
            line: self.line,
            column: self.column,
            length: self.length,
            what: what.into(),
        }
    }

    /// The key's or value's text, when it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|(name, _)| name.text() == Some(key))
                .map(|(_, value)| value),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The value at a path such as `run.timeout`.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| node.get(key))
    }
}

/// Reads a document.
///
/// # Errors
/// It is not YAML, or has a key twice.
pub(super) fn read(text: &str) -> Result<Node, Mistake> {
    let tree: Spanned<Raw> = serde_saphyr::from_str(text).map_err(|error| mistake_of(&error))?;
    Ok(place(tree, text))
}

/// Where a parser's error points.
pub(super) fn mistake_of(error: &serde_saphyr::Error) -> Mistake {
    let location = error.without_snippet().location();
    let number = |n: u64| usize::try_from(n).unwrap_or(0);
    let (line, column) = location.map_or((0, 0), |at| (number(at.line()), number(at.column())));
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the parser has more than sixty kinds, and a sentence for each"
    )]
    let what = match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("key `{key}` is there twice")
        }
        serde_saphyr::Error::SerdeMissingField { field, .. } => format!("`{field}` is missing"),
        other => first_words(&other.to_string()),
    };
    Mistake {
        line,
        column,
        length: 1,
        what,
    }
}

/// The sentence without its place, which is shown by us.
fn first_words(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A value whose parts have their places, as serde gives it.
#[derive(Debug)]
enum Raw {
    Scalar(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn place(raw: Spanned<Raw>, text: &str) -> Node {
    let number = |n: u64| usize::try_from(n).unwrap_or(0);
    let (line, column) = (
        number(raw.referenced.line()),
        number(raw.referenced.column()),
    );
    let value = match raw.value {
        Raw::Scalar(scalar) => Value::Scalar(scalar),
        Raw::List(items) => Value::List(items.into_iter().map(|item| place(item, text)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let at = key.referenced;
                    let (line, column) = (number(at.line()), number(at.column()));
                    let length = key.value.chars().count().max(1);
                    let key = Node {
                        line,
                        column,
                        length,
                        value: Value::Scalar(key.value),
                    };
                    (key, place(value, text))
                })
                .collect(),
        ),
    };
    Node {
        line,
        column,
        length: word_length(text, line, column, &value),
        value,
    }
}

/// How much of a line a value takes: up to its end or a comment.
fn word_length(text: &str, line: usize, column: usize, value: &Value) -> usize {
    if !matches!(value, Value::Scalar(_)) {
        return 1;
    }
    let rest: String = text
        .lines()
        .nth(line.saturating_sub(1))
        .unwrap_or_default()
        .chars()
        .skip(column.saturating_sub(1))
        .collect();
    let rest = rest.split(" #").next().unwrap_or_default();
    rest.trim_end().chars().count().max(1)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Scalar(value))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(String::new()))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(String::new()))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

//! What a job may have, key by key, so that everything wrong is said at once.

use kanade_shared::id::JobId;
use kanade_shared::manifest::{API_VERSION, duration};

use super::Mistake;
use super::node::{Node, Value};
use crate::output::words::nearest;

struct Key {
    name: &'static str,
    must: Must,
    takes: Takes,
}

#[derive(PartialEq, Eq)]
enum Must {
    Be,
    May,
}

enum Takes {
    /// Text; the check says what else is expected of it.
    Text(fn(&str) -> Result<(), String>),
    /// One of these words.
    Word(&'static [&'static str]),
    Number,
    Truth,
    Texts,
    TextMap,
    Map(&'static [Key]),
}

const fn must(name: &'static str, takes: Takes) -> Key {
    Key {
        name,
        must: Must::Be,
        takes,
    }
}

const fn may(name: &'static str, takes: Takes) -> Key {
    Key {
        name,
        must: Must::May,
        takes,
    }
}

const SHELLS: &[&str] = &["sh", "bash", "pwsh", "powershell", "cmd"];

const JOB: &[Key] = &[
    must("apiVersion", Takes::Text(api_version)),
    must("kind", Takes::Word(&["Job"])),
    must("id", Takes::Text(job_id)),
    must("version", Takes::Text(any)),
    may("description", Takes::Text(any)),
    must("run", Takes::Map(RUN)),
    may("supersede", Takes::Truth),
    may("staleness", Takes::Map(STALENESS)),
];

const RUN: &[Key] = &[
    must("shell", Takes::Word(SHELLS)),
    must("script", Takes::Text(any)),
    may("args", Takes::Texts),
    may("env", Takes::TextMap),
    may("cwd", Takes::Text(any)),
    may("stdin", Takes::Text(any)),
    may("timeout", Takes::Text(time)),
    may("jitter", Takes::Text(time)),
    may("tries", Takes::Number),
    may("backoff", Takes::Text(time)),
    may("runAs", Takes::Word(&["system", "user", "system_gui"])),
    may("outputCapBytes", Takes::Number),
];

const STALENESS: &[Key] = &[
    must("mode", Takes::Word(&["cached", "strict", "unchecked"])),
    may("max_age_s", Takes::Number),
];

fn any(_: &str) -> Result<(), String> {
    Ok(())
}

fn api_version(text: &str) -> Result<(), String> {
    match text == API_VERSION {
        true => Ok(()),
        false => Err(format!("expected `{API_VERSION}`")),
    }
}

fn job_id(text: &str) -> Result<(), String> {
    JobId::parse(text)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<(), String> {
    duration::parse(text).map(|_| ())
}

/// Everything wrong with a job's keys and the kinds of their values.
pub(super) fn check(tree: &Node) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    map(tree, JOB, "the job", &mut mistakes);
    mistakes
}

fn map(node: &Node, keys: &[Key], whose: &str, mistakes: &mut Vec<Mistake>) {
    let Value::Map(entries) = &node.value else {
        let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
        mistakes.push(node.mistake(format!("expected keys: {}", names.join(", "))));
        return;
    };
    for (name, value) in entries {
        let text = name.text().unwrap_or_default();
        match keys.iter().find(|key| key.name == text) {
            Some(key) => one(value, key, mistakes),
            None => mistakes.push(name.mistake(unknown(text, keys))),
        }
    }
    for key in keys.iter().filter(|key| key.must == Must::Be) {
        // A key that was misspelt is there, in a way; it is said once.
        let misspelt = |(name, _): &(Node, Node)| {
            let text = name.text().unwrap_or_default();
            let known = keys.iter().any(|key| key.name == text);
            !known && nearest(text, [key.name]).is_some()
        };
        if node.get(key.name).is_none() && !entries.iter().any(misspelt) {
            mistakes.push(node.mistake(format!("{whose} has no `{}`", key.name)));
        }
    }
}

fn unknown(text: &str, keys: &[Key]) -> String {
    let names = || keys.iter().map(|key| key.name);
    match nearest(text, names()) {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => format!(
            "unknown key; one of: {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    }
}

fn one(node: &Node, key: &Key, mistakes: &mut Vec<Mistake>) {
    let wrong = match (&key.takes, &node.value) {
        (Takes::Text(check), Value::Scalar(text)) => check(text).err(),
        (Takes::Word(words), Value::Scalar(text)) => {
            let expected = || format!("one of: {}", words.join(", "));
            (!words.contains(&text.as_str())).then(expected)
        }
        (Takes::Number, Value::Scalar(text)) => text
            .parse::<u64>()
            .is_err()
            .then(|| "expected a whole number".to_owned()),
        (Takes::Truth, Value::Scalar(text)) => {
            let truth = matches!(text.as_str(), "true" | "false");
            (!truth).then(|| "expected true or false".to_owned())
        }
        (Takes::Texts, Value::List(items)) => {
            let lists = items.iter().filter(|item| item.text().is_none());
            mistakes.extend(lists.map(|item| item.mistake("expected text")));
            None
        }
        (Takes::TextMap, Value::Map(entries)) => {
            let maps = entries.iter().filter(|(_, value)| value.text().is_none());
            mistakes.extend(maps.map(|(_, value)| value.mistake("expected text")));
            None
        }
        (Takes::Map(keys), _) => {
            map(node, keys, &format!("`{}`", key.name), mistakes);
            None
        }
        (Takes::Texts, _) => Some("expected a list of texts".to_owned()),
        (Takes::TextMap, _) => Some("expected names with texts".to_owned()),
        (Takes::Text(_) | Takes::Word(_) | Takes::Number | Takes::Truth, _) => {
            Some("expected one value".to_owned())
        }
    };
    mistakes.extend(wrong.map(|what| node.mistake(what)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use kanade_shared::wire::command::Shell;

    #[test]
    fn every_shell_is_known() {
        assert_eq!(SHELLS, Shell::ALL.map(Shell::as_str));
    }
}

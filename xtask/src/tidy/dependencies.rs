//! Who may use whom: the edges between the workspace's own crates.
//!
//! The manifests are read as text, so an edge is found whether or not it is used.

use toml::{Table, Value};

use super::tree::{Finding, SourceFile, Tree};

/// Each crate, and which of ours its `[dependencies]` may name.
const MAY_USE: [(&str, &[&str]); 9] = [
    ("kanade-shared", &[]),
    ("kanade-agent-core", &["kanade-shared"]),
    ("kanade-agent", &["kanade-shared", "kanade-agent-core"]),
    ("kanade-backend", &["kanade-shared"]),
    ("kanade", &["kanade-shared"]),
    ("kanade-client", &["kanade-shared"]),
    ("kanade-testkit", &["kanade-shared"]),
    (
        "kanade-sim",
        // The agent's link and outbox rules: what a simulated agent says is what a real one says.
        &[
            "kanade-shared",
            "kanade-agent-core",
            "kanade-agent",
            "kanade-testkit",
        ],
    ),
    ("xtask", &[]),
];

/// Crates of others that only some of ours may name, whatever they would use them for.
const LIMITED: [(&str, &[&str]); 2] = [
    ("sqlx", &["kanade-backend"]),
    // Everybody but the pure core; that one is what the entry is about.
    (
        "tokio",
        &[
            "kanade-shared",
            "kanade-agent",
            "kanade-backend",
            "kanade",
            "kanade-client",
            "kanade-testkit",
            "kanade-sim",
        ],
    ),
];

/// Crates depend on each other only downwards; tests may use the testkit as well.
pub(super) fn crates_use_what_they_may(tree: &Tree) -> Vec<Finding> {
    tree.manifests().flat_map(check_manifest).collect()
}

fn check_manifest(file: &SourceFile) -> Vec<Finding> {
    let manifest: Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![file.finding(format!("is not TOML: {error}"))],
    };
    let Some(name) = manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(Value::as_str)
    else {
        return vec![file.finding("has no `package.name`")];
    };
    let Some((_, allowed)) = MAY_USE.iter().find(|(crate_name, _)| *crate_name == name) else {
        return vec![file.finding(format!("`{name}` is not in the table of who may use whom"))];
    };
    let mut findings = Vec::new();
    for used in dependencies(&manifest) {
        let own = MAY_USE.iter().any(|(own, _)| *own == used);
        if own && !allowed.contains(&used.as_str()) {
            findings.push(file.finding(format!("`{name}` must not use `{used}`")));
        }
        let limited = LIMITED.iter().find(|(limited, _)| *limited == used);
        if limited.is_some_and(|(_, users)| !users.contains(&name)) {
            findings.push(file.finding(format!("`{name}` must not use `{used}`")));
        }
    }
    findings
}

/// Names in `[dependencies]` and `[build-dependencies]`, of every platform; not those of tests.
fn dependencies(manifest: &Table) -> Vec<String> {
    let platforms = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(|targets| targets.values().filter_map(Value::as_table));
    std::iter::once(manifest)
        .chain(platforms)
        .flat_map(|table| {
            ["dependencies", "build-dependencies"].map(|kind| table.get(kind)?.as_table())
        })
        .flatten()
        .flat_map(|dependencies| {
            dependencies
                .iter()
                .map(|(key, value)| real_name(key, value))
        })
        .collect()
}

/// A dependency may be renamed by `package = "…"`.
fn real_name(key: &str, value: &Value) -> String {
    value
        .get("package")
        .and_then(Value::as_str)
        .unwrap_or(key)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(manifest: &str) -> Vec<String> {
        let tree = Tree::of([("crates/a/Cargo.toml", manifest)]);
        crates_use_what_they_may(&tree)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_cli_may_use_shared_but_not_the_backend() {
        let manifest = "package.name = 'kanade'\n[dependencies]\nkanade-shared.workspace = true\n";
        assert_eq!(found(manifest), [""; 0]);
        assert_eq!(
            found(&format!("{manifest}kanade-backend.workspace = true\n")),
            ["crates/a/Cargo.toml: `kanade` must not use `kanade-backend`"]
        );
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let name = "package.name = 'kanade-agent'";
        let used = "kanade-testkit.workspace = true";
        assert_eq!(
            found(&format!("{name}\n[dev-dependencies]\n{used}")),
            [""; 0]
        );
        assert_eq!(found(&format!("{name}\n[dependencies]\n{used}")).len(), 1);
    }

    #[test]
    fn a_platforms_dependency_and_a_renamed_one_count_too() {
        let manifest = "package.name = 'kanade-agent-core'
            [target.'cfg(unix)'.dependencies]
            rt = { package = 'tokio', version = '1' }";
        assert_eq!(
            found(manifest),
            ["crates/a/Cargo.toml: `kanade-agent-core` must not use `tokio`"]
        );
    }

    #[test]
    fn a_crate_that_nobody_placed_is_found() {
        assert_eq!(found("package.name = 'kanade-extra'").len(), 1);
    }
}

//! The rules about source text, one function each.
//!
//! A rule names in its finding what to do instead. Lists of exceptions are consts beside the
//! rule; a new entry says why.

use sha2::{Digest, Sha256};

use super::tree::{Finding, Tree};

/// Longest file in lines; from 500 on there are usually two files in one.
const LONGEST_FILE: usize = 600;
const STORE: &str = "crates/kanade-backend/src/store";
const MIGRATIONS: &str = "crates/kanade-backend/src/store/migrations";
const LANDED: &str = "landed.sha256";

/// Sources that write to standard output: the CLI's answers, and what other programs print
/// when a person asks them (`version`, `config print`, `bootstrap plan`). A build script prints to
/// cargo.
const PRINTERS: [&str; 7] = [
    "xtask/",
    "crates/kanade-backend/build.rs",
    "crates/kanade/src/output",
    "crates/kanade/src/main.rs",
    "crates/kanade-agent/src/main.rs",
    "crates/kanade-backend/src/main.rs",
    "crates/kanade-backend/src/cli",
];

/// Each module opens with a `//!` that says what lives there.
pub(super) fn modules_say_what_lives_here(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| !file.text.trim_start().starts_with("//!"))
        .map(|file| file.finding("opens without `//!`: say what lives here"))
        .collect()
}

/// No file is so long that nobody reads it.
pub(super) fn files_are_short(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter_map(|file| {
            let lines = file.text.lines().count();
            (lines > LONGEST_FILE)
                .then(|| file.finding(format!("{lines} lines, at most {LONGEST_FILE}: split it")))
        })
        .collect()
}

/// SQL and its types stay in the backend's store.
pub(super) fn sql_lives_in_the_store(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| !in_module(&file.path, STORE) && !file.path.starts_with("xtask/"))
        .flat_map(|file| file.lines_with(&["sqlx"], |_| format!("`sqlx` outside `{STORE}`")))
        .collect()
}

/// `api → fleet → store`, and `projector`, `scheduler → fleet, store`; HTTP types stay in `api`.
pub(super) fn backend_layers_call_downwards(tree: &Tree) -> Vec<Finding> {
    const LAYERS: [(&str, &[&str]); 4] = [
        (
            "store",
            &[
                "crate::api",
                "crate::fleet",
                "crate::projector",
                "crate::scheduler",
                "axum",
            ],
        ),
        (
            "fleet",
            &["crate::api", "crate::projector", "crate::scheduler", "axum"],
        ),
        ("projector", &["crate::api", "crate::scheduler", "axum"]),
        ("scheduler", &["crate::api", "crate::projector", "axum"]),
    ];
    let mut findings = Vec::new();
    for (layer, above) in LAYERS {
        let folder = format!("crates/kanade-backend/src/{layer}");
        for file in tree.rust().filter(|file| in_module(&file.path, &folder)) {
            findings.extend(file.lines_with(above, |word| {
                format!("`{word}` in `{layer}`: nothing calls upwards")
            }));
        }
    }
    findings
}

/// What an agent decides is a function of state, input and `now`.
pub(super) fn the_agent_core_is_pure(tree: &Tree) -> Vec<Finding> {
    const OUTSIDE: [&str; 11] = [
        "tokio",
        "async",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "SystemTime",
        "Utc::now",
        "Local::now",
        "Instant::now",
    ];
    tree.rust()
        .filter(|file| file.path.starts_with("crates/kanade-agent-core/src/"))
        .flat_map(|file| {
            file.lines_with(&OUTSIDE, |word| {
                format!("`{word}` in the agent's core: hand it in from `kanade-agent`")
            })
        })
        .collect()
}

/// Libraries log; only what answers a person prints.
pub(super) fn printing_is_for_the_edges(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| !file.is_test())
        .filter(|file| {
            !PRINTERS
                .iter()
                .any(|printer| file.path.starts_with(printer))
        })
        .flat_map(|file| {
            file.lines_with(&["print!", "println!"], |word| {
                format!("`{word}` here: log by `tracing`, or print where answers are made")
            })
        })
        .collect()
}

/// Calls of the operating system that the compiler can't check have one home.
pub(super) fn unsafe_is_for_the_platform(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| !file.path.contains("/platform") && !file.path.starts_with("xtask/"))
        .flat_map(|file| {
            file.lines_with(&["unsafe {", "unsafe fn", "unsafe impl"], |word| {
                format!("`{word}` outside `platform`")
            })
        })
        .collect()
}

/// A database that a migration was applied to never meets another text under its name.
///
/// The sums of the landed ones are in `landed.sha256` beside them, as `sha256sum` prints them.
/// Without that file nothing has landed yet.
pub(super) fn landed_migrations_are_not_edited(tree: &Tree) -> Vec<Finding> {
    let Some(list) = tree
        .below(MIGRATIONS)
        .find(|file| file.path.ends_with(LANDED))
    else {
        return Vec::new();
    };
    let landed: Vec<(&str, &str)> = list
        .text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .collect();
    let mut findings = Vec::new();
    let mut there = Vec::new();
    for file in tree
        .below(MIGRATIONS)
        .filter(|file| file.path.ends_with(".sql"))
    {
        let name = &file.path[MIGRATIONS.len() + 1..];
        there.push(name);
        let sum = hex::encode(Sha256::digest(file.text.as_bytes()));
        match landed.iter().find(|(_, landed)| *landed == name) {
            Some((landed, _)) if *landed == sum => {}
            Some(_) => {
                findings.push(file.finding("has landed and was edited: write a new migration"));
            }
            None => findings.push(file.finding(format!("add `{sum}  {name}` to `{LANDED}`"))),
        }
    }
    let gone = landed.iter().filter(|(_, name)| !there.contains(name));
    findings.extend(gone.map(|(_, name)| list.finding(format!("`{name}` has landed and is gone"))));
    findings
}

/// Whether a file is `folder.rs` or below `folder/`.
fn in_module(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<String> {
        rule(&Tree::of([(path, text)]))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_module_without_a_first_word_is_found() {
        let rule = modules_say_what_lives_here;
        assert_eq!(found(rule, "crates/a/src/lib.rs", "//! Here.\n"), [""; 0]);
        assert_eq!(
            found(rule, "crates/a/tests/it/main.rs", "mod a;\n//! Late.").len(),
            1
        );
    }

    #[test]
    fn a_file_of_more_than_600_lines_is_found() {
        assert_eq!(
            found(files_are_short, "crates/a/src/lib.rs", &"x\n".repeat(600)),
            [""; 0]
        );
        assert_eq!(
            found(files_are_short, "crates/a/src/lib.rs", &"x\n".repeat(601)),
            ["crates/a/src/lib.rs: 601 lines, at most 600: split it"]
        );
    }

    #[test]
    fn sql_is_found_outside_the_store_only() {
        let text = "use sqlx::Row;";
        let rule = sql_lives_in_the_store;
        assert_eq!(
            found(rule, "crates/kanade-backend/src/store/execs.rs", text),
            [""; 0]
        );
        assert_eq!(
            found(rule, "crates/kanade-backend/src/store.rs", text),
            [""; 0]
        );
        assert_eq!(
            found(rule, "crates/kanade-backend/src/fleet/execs.rs", text).len(),
            1
        );
        assert_eq!(
            found(rule, "crates/kanade-backend/src/storefront.rs", text).len(),
            1
        );
    }

    #[test]
    fn a_layer_that_calls_upwards_is_found() {
        let rule = backend_layers_call_downwards;
        let path = "crates/kanade-backend/src/store/execs.rs";
        assert_eq!(found(rule, path, "use crate::fleet::Fleet;").len(), 1);
        assert_eq!(found(rule, path, "use crate::config::Config;"), [""; 0]);
        assert_eq!(
            found(
                rule,
                "crates/kanade-backend/src/fleet/execs.rs",
                "use axum::Json;"
            ),
            [
                "crates/kanade-backend/src/fleet/execs.rs:1: `axum` in `fleet`: nothing calls upwards"
            ]
        );
    }

    #[test]
    fn a_clock_in_the_agents_core_is_found() {
        let text = "let now = Utc::now();";
        assert_eq!(
            found(
                the_agent_core_is_pure,
                "crates/kanade-agent-core/src/decide.rs",
                text
            )
            .len(),
            1
        );
        assert_eq!(
            found(
                the_agent_core_is_pure,
                "crates/kanade-agent/src/link.rs",
                text
            ),
            [""; 0]
        );
    }

    #[test]
    fn printing_is_found_outside_the_places_for_it() {
        let text = "println!(\"hello\");\neprintln!(\"words\");";
        let rule = printing_is_for_the_edges;
        assert_eq!(found(rule, "crates/kanade-shared/src/id.rs", text).len(), 1);
        assert_eq!(
            found(rule, "crates/kanade/src/output/table.rs", text),
            [""; 0]
        );
        assert_eq!(
            found(rule, "crates/kanade-shared/tests/it/main.rs", text),
            [""; 0]
        );
    }

    #[test]
    fn unsafe_code_is_found_outside_the_platform() {
        let text = "let id = unsafe { getpid() };";
        let rule = unsafe_is_for_the_platform;
        assert_eq!(
            found(rule, "crates/kanade-agent/src/exec/run.rs", text).len(),
            1
        );
        assert_eq!(
            found(rule, "crates/kanade-agent/src/platform/unix.rs", text),
            [""; 0]
        );
    }

    #[test]
    fn an_edited_a_new_and_a_lost_migration_are_told_apart() {
        let sum = hex::encode(Sha256::digest("create table a;"));
        let list = format!(
            "{sum}  sqlite/0001_a.sql\n{sum}  sqlite/0002_b.sql\n{sum}  sqlite/0004_gone.sql\n"
        );
        let path = |name: &str| format!("{MIGRATIONS}/{name}");
        let (list_path, first, second, third) = (
            path(LANDED),
            path("sqlite/0001_a.sql"),
            path("sqlite/0002_b.sql"),
            path("sqlite/0003_c.sql"),
        );
        let files = [
            (first.as_str(), "create table a;"),
            (second.as_str(), "create table b;"),
            (third.as_str(), "create table c;"),
        ];
        let unlisted = Tree::of(files);
        assert_eq!(landed_migrations_are_not_edited(&unlisted), []);
        let listed = Tree::of([
            files[0],
            files[1],
            files[2],
            (list_path.as_str(), list.as_str()),
        ]);
        let found: Vec<String> = landed_migrations_are_not_edited(&listed)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(
            found[0].contains("sqlite/0002_b.sql: has landed and was edited"),
            "{found:#?}"
        );
        assert!(
            found[1].contains("  sqlite/0003_c.sql` to `landed.sha256`"),
            "{found:#?}"
        );
        assert!(
            found[2].ends_with("`sqlite/0004_gone.sql` has landed and is gone"),
            "{found:#?}"
        );
    }
}

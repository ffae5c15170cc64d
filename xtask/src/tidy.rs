//! `cargo xtask tidy`: rules of the source tree that the compiler can't check.
//!
//! A rule is a pure function from the [`Tree`] to what it found; [`run`] reads the tree and
//! prints the findings. The rules are facts about text and manifests, so they are quick and
//! need no build.

mod dependencies;
mod rules;
mod tree;

use anyhow::{Result, bail};

use crate::tidy::tree::{Finding, Tree};
use crate::workspace::Workspace;

/// Every rule; the order is the order of the findings.
const RULES: [fn(&Tree) -> Vec<Finding>; 9] = [
    rules::modules_say_what_lives_here,
    rules::files_are_short,
    rules::sql_lives_in_the_store,
    rules::backend_layers_call_downwards,
    rules::the_agent_core_is_pure,
    rules::printing_is_for_the_edges,
    rules::unsafe_is_for_the_platform,
    rules::landed_migrations_are_not_edited,
    dependencies::crates_use_what_they_may,
];

/// Checks the tree.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tree = Tree::read(workspace.root())?;
    let findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 finding"),
        count => bail!("{count} findings"),
    }
}

//! A list of checks that are run one after another, with a table at the end.
//!
//! **Invariant:** a failed step hides no later one; the whole fails when any step did.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::seconds;

/// How a step ended when nothing went wrong.
pub(crate) enum Passed {
    /// All that it checks was checked.
    Whole,
    /// It was not (wholly) done, for the reason given.
    NotChecked(String),
}

enum Outcome {
    Passed(Passed),
    Failed(String),
}

struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// Runs steps and keeps what came of them.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

impl Steps {
    /// Runs one step, and says so before and, when it fails, after. True when it passed.
    pub(crate) fn run(&mut self, name: &'static str, act: impl FnOnce() -> Result<Passed>) -> bool {
        println!("\n── {name}");
        let begun = Instant::now();
        let outcome = match act() {
            Ok(passed) => Outcome::Passed(passed),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        match &outcome {
            Outcome::Failed(words) => println!("{name} failed: {words}"),
            Outcome::Passed(Passed::NotChecked(reason)) => println!("not checked: {reason}"),
            Outcome::Passed(Passed::Whole) => {}
        }
        let passed = matches!(outcome, Outcome::Passed(_));
        self.done.push(Step {
            name,
            outcome,
            took: begun.elapsed(),
        });
        passed
    }

    /// Prints the table; fails when any step failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n{self}");
        let failed: Vec<&str> = self.failed().collect();
        if failed.is_empty() {
            return Ok(());
        }
        bail!("failed: {}", failed.join(", "));
    }

    fn failed(&self) -> impl Iterator<Item = &'static str> {
        self.done
            .iter()
            .filter(|step| matches!(step.outcome, Outcome::Failed(_)))
            .map(|step| step.name)
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut whole = Duration::ZERO;
        for step in &self.done {
            whole += step.took;
            let (word, reason) = match &step.outcome {
                Outcome::Passed(Passed::Whole) => ("ok", ""),
                Outcome::Passed(Passed::NotChecked(reason)) => ("not checked", reason.as_str()),
                Outcome::Failed(words) => ("FAILED", words.lines().next().unwrap_or_default()),
            };
            let line = format!(
                "{:<12} {word:<12} {:>10}  {reason}",
                step.name,
                seconds(step.took)
            );
            writeln!(formatter, "{}", line.trim_end())?;
        }
        write!(formatter, "{:<25} {:>10}", "in all", seconds(whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_hides_no_later_one_and_fails_the_whole() {
        let mut steps = Steps::default();
        assert!(!steps.run("first", || bail!("no luck")));
        assert!(steps.run("second", || Ok(Passed::Whole)));
        assert!(steps.run("third", || Ok(Passed::NotChecked("no network".to_owned()))));
        let table = steps.to_string();
        assert!(
            table.contains("FAILED") && table.contains("no luck"),
            "{table}"
        );
        assert!(table.contains("no network"), "{table}");
        assert_eq!(steps.finish().unwrap_err().to_string(), "failed: first");
    }
}

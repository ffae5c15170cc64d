//! Which PCs, as they are written: `all`, `group:lab`, `pc:lab-01`, comma lists of these.

use kanade_shared::api::execs::Targets;
use kanade_shared::id::{GroupId, PcId};

use crate::failure::Failure;

/// The flags that choose PCs.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TargetArgs {
    /// Which PCs: `all`, `group:NAME`, `pc:ID`; repeat it or use commas for more
    #[arg(
        short,
        long = "target",
        value_name = "WHO",
        required = true,
        value_delimiter = ','
    )]
    pub target: Vec<String>,
    /// But not these: `group:NAME` or `pc:ID`
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    pub not: Vec<String>,
}

impl TargetArgs {
    /// As the API has it.
    ///
    /// # Errors
    /// A word that is none of the forms, or a name that can't be one.
    pub(crate) fn targets(&self) -> Result<Targets, Failure> {
        let mut targets = Targets::default();
        for word in &self.target {
            match parse(word).map_err(|failure| failure.in_field(format!("--target {word}")))? {
                Who::All => targets.all = true,
                Who::Group(group) => targets.groups.push(group),
                Who::Pc(pc) => targets.pcs.push(pc),
            }
        }
        for word in &self.not {
            let in_field = |failure: Failure| failure.in_field(format!("--not {word}"));
            match parse(word).map_err(in_field)? {
                Who::All => {
                    return Err(in_field(Failure::usage(
                        "`all` can't be excluded: nobody is left",
                    )));
                }
                Who::Group(group) => targets.not_groups.push(group),
                Who::Pc(pc) => targets.not_pcs.push(pc),
            }
        }
        Ok(targets)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Who {
    All,
    Group(GroupId),
    Pc(PcId),
}

fn parse(word: &str) -> Result<Who, Failure> {
    let wrong = |error: kanade_shared::id::IdError| Failure::usage(error.to_string());
    match word.trim().split_once(':') {
        Some(("group", name)) => GroupId::parse(name).map(Who::Group).map_err(wrong),
        Some(("pc", name)) => PcId::parse(name).map(Who::Pc).map_err(wrong),
        None if word.trim() == "all" => Ok(Who::All),
        Some((kind, _)) => Err(Failure::usage(format!("`{kind}` is not a kind of target"))
            .help("`all`, `group:NAME` or `pc:ID`")),
        None => Err(Failure::usage(format!("`{word}` may be a PC or a group"))
            .help(format!("`pc:{word}` or `group:{word}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(target: &[&str], not: &[&str]) -> Result<Targets, String> {
        let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let args = TargetArgs {
            target: own(target),
            not: own(not),
        };
        args.targets().map_err(|failure| failure.to_string())
    }

    #[test]
    fn targets_are_the_union_minus_the_exclusions() {
        let found = targets(&["group:lab", "pc:a", "pc:b"], &["pc:lab-1", "group:x"]).unwrap();
        let json = serde_json::to_value(found).unwrap();
        let wanted = serde_json::json!({
            "groups": ["lab"], "pcs": ["a", "b"], "not_groups": ["x"], "not_pcs": ["lab-1"],
        });
        assert_eq!(json, wanted);
        assert!(targets(&["all"], &[]).unwrap().all);
    }

    #[test]
    fn a_word_that_is_no_target_says_what_would_be() {
        insta::assert_snapshot!(targets(&["lab"], &[]).unwrap_err(), @"
        error: `lab` may be a PC or a group
          in:  --target lab
          try: `pc:lab` or `group:lab`
        ");
        insta::assert_snapshot!(targets(&["grp:lab"], &[]).unwrap_err(), @"
        error: `grp` is not a kind of target
          in:  --target grp:lab
          try: `all`, `group:NAME` or `pc:ID`
        ");
        insta::assert_snapshot!(targets(&["pc:LAB"], &[]).unwrap_err(), @"
        error: pc id `LAB` has `L`; only a-z, 0-9, `-` and `_` are allowed
          in:  --target pc:LAB
        ");
        assert!(targets(&["all"], &["all"]).is_err());
    }
}

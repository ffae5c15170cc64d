//! `kanade group`: which PCs a group has.

use std::collections::BTreeSet;

use kanade_shared::api::catalogue::{Applied, Change, GroupView, GroupWrite};
use kanade_shared::id::{GroupId, PcId};

use crate::cli::Global;
use crate::client::{Client, Written};
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::words;

/// Arguments of `group`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kanade group set lab --pcs lab-01,lab-02 --description 'first floor'
  kanade group add lab lab-03 lab-04
  kanade group remove lab lab-01
  kanade get agents --group lab")]
pub(crate) struct GroupArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What can be done with groups.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum What {
    /// Make a group, or say anew which PCs it has
    Set {
        /// The group
        group: GroupId,
        /// All its PCs; one that is not here yet becomes a member when it comes
        #[arg(long, value_name = "PCS", value_delimiter = ',', required = true)]
        pcs: Vec<PcId>,
        /// For people
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Change nothing, say what would be
        #[arg(long)]
        dry_run: bool,
    },
    /// Put PCs into a group
    Add {
        /// The group
        group: GroupId,
        /// The PCs
        #[arg(required = true, value_name = "PC")]
        pcs: Vec<PcId>,
    },
    /// Take PCs out of a group
    Remove {
        /// The group
        group: GroupId,
        /// The PCs
        #[arg(required = true, value_name = "PC")]
        pcs: Vec<PcId>,
    },
}

/// Changes a group.
///
/// # Errors
/// There is no such group, somebody else keeps changing it, or the backend can't be reached.
pub(crate) async fn run(
    args: &GroupArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    match &args.what {
        What::Set {
            group,
            pcs,
            description,
            dry_run,
        } => {
            let members: BTreeSet<PcId> = pcs.iter().cloned().collect();
            let description = match (description, find(&client, group).await?) {
                (Some(text), _) => Some(text.clone()),
                (None, Some(known)) => known.description,
                (None, None) => None,
            };
            let wanted = GroupWrite {
                description,
                members: members.into_iter().collect(),
            };
            let applied = write(&client, group, &wanted, None, *dry_run).await?;
            let would = if *dry_run { "would be " } else { "" };
            say(screen, group, would, &applied, wanted.members.len());
        }
        What::Add { group, pcs } => {
            change(&client, screen, group, |members| {
                members.extend(pcs.iter().cloned())
            })
            .await?;
        }
        What::Remove { group, pcs } => {
            change(&client, screen, group, |members| {
                for pc in pcs {
                    members.remove(pc);
                }
            })
            .await?;
        }
    }
    Ok(Exit::Ok)
}

/// Changes the members that are there; begins again when somebody else was faster.
async fn change(
    client: &Client,
    screen: &Screen,
    group: &GroupId,
    change: impl Fn(&mut BTreeSet<PcId>),
) -> Result<(), Failure> {
    let mut tries = 3;
    loop {
        let known: GroupView = client.get(&format!("groups/{group}"), &()).await?;
        let mut members: BTreeSet<PcId> = known.members.into_iter().flatten().collect();
        change(&mut members);
        let wanted = GroupWrite {
            description: known.description,
            members: members.into_iter().collect(),
        };
        tries -= 1;
        match write(client, group, &wanted, Some(known.revision), false).await {
            Err(failure) if failure.exit() == Exit::Refused && tries > 0 => {}
            Err(failure) => return Err(failure),
            Ok(applied) => {
                say(screen, group, "", &applied, wanted.members.len());
                return Ok(());
            }
        }
    }
}

async fn find(client: &Client, group: &GroupId) -> Result<Option<GroupView>, Failure> {
    match client.get(&format!("groups/{group}"), &()).await {
        Ok(group) => Ok(Some(group)),
        Err(failure) if failure.exit() == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn write(
    client: &Client,
    group: &GroupId,
    wanted: &GroupWrite,
    if_match: Option<u64>,
    dry_run: bool,
) -> Result<Applied, Failure> {
    let body = serde_json::to_value(wanted)
        .map_err(|error| Failure::usage("could not write the group").caused_by(&error))?;
    let query = if dry_run { "?dry_run=true" } else { "" };
    client
        .put(
            &format!("groups/{group}{query}"),
            Written::Json(&body),
            if_match,
        )
        .await
}

fn say(screen: &Screen, group: &GroupId, would: &str, applied: &Applied, members: usize) {
    let pcs = words::count(members as u64, "PC");
    screen.words(&format!(
        "group/{group} {would}{}: {pcs}",
        changed(applied.change)
    ));
}

/// What a write did, in one word.
pub(crate) fn changed(change: Change) -> &'static str {
    match change {
        Change::Created => "created",
        Change::Updated => "updated",
        Change::Unchanged => "unchanged",
    }
}

//! `kanade get`: lists, and one of each.

use kanade_shared::api::agents::{AgentQuery, AgentView, Presence};
use kanade_shared::api::catalogue::{GroupView, JobView, NameQuery};
use kanade_shared::api::execs::{ExecQuery, ExecState, ExecView};
use kanade_shared::api::results::{ResultQuery, ResultView};
use kanade_shared::api::system::{AuditRow, DeadLetterView, GapView, SystemQuery};
use kanade_shared::id::{ExecId, GroupId, JobId, PcId, RequestId};
use kanade_shared::wire::result::Outcome;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::retry::parse_outcome;
use crate::cli::Global;
use crate::client::{Asking, Client, Listed, list};
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::table::{Format, FormatArg, Row, show_one, show_rows};
use crate::output::words::{self, When};

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kanade get agents --offline
  kanade get results --outcome failed --pc lab-19 -o wide
  kanade get job cleanup-temp -o yaml          the file that was applied, byte for byte
  kanade get agents --all -o name")]
pub(crate) struct GetArgs {
    /// What to get.
    #[command(subcommand)]
    pub what: What,
}

/// What can be listed.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum What {
    /// PCs and their agents
    #[command(visible_alias = "agent")]
    Agents(AgentsArgs),
    /// Execs, newest first
    #[command(visible_alias = "exec")]
    Execs(ExecsArgs),
    /// Results, newest first
    #[command(visible_alias = "result")]
    Results(ResultsArgs),
    /// Jobs of the catalogue
    #[command(visible_alias = "job")]
    Jobs(JobsArgs),
    /// Groups of PCs
    #[command(visible_alias = "group")]
    Groups(GroupsArgs),
    /// Who did what, newest first
    Audit(ListArgs),
    /// Messages that could not be read and are kept aside, newest first
    #[command(visible_alias = "dead-letter")]
    DeadLetters(ListArgs),
    /// Stretches of the streams that were evicted before they were read, newest first
    #[command(visible_alias = "gap")]
    Gaps(ListArgs),
}

/// How much of a list, and how to show it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct ListArgs {
    /// At most this many rows
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// All rows
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
    /// How to show it.
    #[command(flatten)]
    pub format: FormatArg,
}

/// Arguments of `get agents`.
#[derive(Debug, clap::Args)]
pub(crate) struct AgentsArgs {
    /// One PC
    #[arg(value_name = "PC", conflicts_with_all = ["online", "offline", "group", "os", "search", "sort"])]
    pub name: Option<PcId>,
    /// Only those that are online
    #[arg(long, conflicts_with = "offline")]
    pub online: bool,
    /// Only those that are offline
    #[arg(long)]
    pub offline: bool,
    /// Only members of this group
    #[arg(long, value_name = "GROUP")]
    pub group: Option<GroupId>,
    /// Only this system: linux, windows, macos
    #[arg(long, value_name = "SYSTEM")]
    pub os: Option<String>,
    /// Only ids that contain this
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// By pc_id, since or heartbeat_at; with `-` in front, backwards
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// How much.
    #[command(flatten)]
    pub list: ListArgs,
}

/// Arguments of `get execs`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExecsArgs {
    /// One exec, or the beginning of its id
    #[arg(value_name = "EXEC", value_parser = super::exec_ref, conflicts_with_all = ["running", "ended", "job"])]
    pub name: Option<String>,
    /// Only those that have not ended
    #[arg(long, conflicts_with = "ended")]
    pub running: bool,
    /// Only those that have ended
    #[arg(long)]
    pub ended: bool,
    /// Only those of this job
    #[arg(long, value_name = "JOB")]
    pub job: Option<JobId>,
    /// How much.
    #[command(flatten)]
    pub list: ListArgs,
}

/// Arguments of `get results`.
#[derive(Debug, clap::Args)]
pub(crate) struct ResultsArgs {
    /// One run
    #[arg(value_name = "RUN", conflicts_with_all = ["exec", "pc", "job", "outcome"])]
    pub name: Option<RequestId>,
    /// Only those of this exec
    #[arg(long, value_name = "EXEC", value_parser = super::exec_ref)]
    pub exec: Option<String>,
    /// Only those of this PC
    #[arg(long, value_name = "PC")]
    pub pc: Option<PcId>,
    /// Only those of this job
    #[arg(long, value_name = "JOB")]
    pub job: Option<JobId>,
    /// Only those that ended so, such as `failed`
    #[arg(long, value_name = "OUTCOME", value_parser = parse_outcome)]
    pub outcome: Option<Outcome>,
    /// How much.
    #[command(flatten)]
    pub list: ListArgs,
}

/// Arguments of `get jobs`.
#[derive(Debug, clap::Args)]
pub(crate) struct JobsArgs {
    /// One job
    #[arg(value_name = "JOB", conflicts_with = "search")]
    pub name: Option<JobId>,
    /// Only names that contain this
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// How much.
    #[command(flatten)]
    pub list: ListArgs,
}

/// Arguments of `get groups`.
#[derive(Debug, clap::Args)]
pub(crate) struct GroupsArgs {
    /// One group
    #[arg(value_name = "GROUP", conflicts_with = "search")]
    pub name: Option<GroupId>,
    /// Only names that contain this
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// How much.
    #[command(flatten)]
    pub list: ListArgs,
}

/// Gets and shows.
///
/// # Errors
/// There is no such thing, or the backend can't be reached.
pub(crate) async fn run(args: &GetArgs, global: &Global, screen: &Screen) -> Result<Exit, Failure> {
    let client = global.client()?;
    let got = Got {
        client: &client,
        screen,
    };
    match &args.what {
        What::Agents(args) => got.agents(args).await?,
        What::Execs(args) => got.execs(args).await?,
        What::Results(args) => got.results(args).await?,
        What::Jobs(args) => got.jobs(args).await?,
        What::Groups(args) => {
            let query = NameQuery {
                search: args.search.clone(),
                ..NameQuery::default()
            };
            got.any::<GroupView, _>("groups", args.name.as_ref(), &query, args.list)
                .await?;
        }
        What::Audit(args) => got.all::<AuditRow>("audit", *args).await?,
        What::DeadLetters(args) => got.all::<DeadLetterView>("dead-letters", *args).await?,
        What::Gaps(args) => got.all::<GapView>("gaps", *args).await?,
    }
    Ok(Exit::Ok)
}

/// The exec that the beginning of an id means.
///
/// # Errors
/// There is none, or more than one.
pub(crate) async fn exec_id(client: &Client, exec: &str) -> Result<ExecId, Failure> {
    match ExecId::parse(exec) {
        Ok(id) => Ok(id),
        Err(_) => Ok(client
            .get::<ExecView, _>(&format!("execs/{exec}"), &())
            .await?
            .exec_id),
    }
}

struct Got<'a> {
    client: &'a Client,
    screen: &'a Screen,
}

impl Got<'_> {
    async fn agents(&self, args: &AgentsArgs) -> Result<(), Failure> {
        let query = AgentQuery {
            presence: match (args.online, args.offline) {
                (true, _) => Some(Presence::Online),
                (_, true) => Some(Presence::Offline),
                (false, false) => None,
            },
            group: args.group.clone(),
            os_family: args.os.clone(),
            search: args.search.clone(),
            sort: args.sort.clone(),
            ..AgentQuery::default()
        };
        self.any::<AgentView, _>("agents", args.name.as_ref(), &query, args.list)
            .await
    }

    async fn execs(&self, args: &ExecsArgs) -> Result<(), Failure> {
        let query = ExecQuery {
            state: match (args.running, args.ended) {
                (true, _) => Some(ExecState::Running),
                (_, true) => Some(ExecState::Ended),
                (false, false) => None,
            },
            job_id: args.job.clone(),
            ..ExecQuery::default()
        };
        self.any::<ExecView, _>("execs", args.name.as_ref(), &query, args.list)
            .await
    }

    async fn results(&self, args: &ResultsArgs) -> Result<(), Failure> {
        let exec_id = match &args.exec {
            Some(exec) => Some(exec_id(self.client, exec).await?),
            None => None,
        };
        let query = ResultQuery {
            exec_id,
            pc_id: args.pc.clone(),
            job_id: args.job.clone(),
            outcome: args.outcome,
            ..ResultQuery::default()
        };
        self.any::<ResultView, _>("results", args.name.as_ref(), &query, args.list)
            .await
    }

    async fn jobs(&self, args: &JobsArgs) -> Result<(), Failure> {
        if let (Some(name), Format::Yaml) = (&args.name, args.list.format.output) {
            let job: JobView = self.client.get(&format!("jobs/{name}"), &()).await?;
            if let Some(yaml) = &job.yaml {
                self.screen.raw(yaml);
                return Ok(());
            }
        }
        let query = NameQuery {
            search: args.search.clone(),
            ..NameQuery::default()
        };
        self.any::<JobView, _>("jobs", args.name.as_ref(), &query, args.list)
            .await
    }

    async fn all<T: Row + DeserializeOwned>(
        &self,
        path: &str,
        args: ListArgs,
    ) -> Result<(), Failure> {
        let nameless: Option<&String> = None;
        self.any::<T, _>(path, nameless, &SystemQuery::default(), args)
            .await
    }

    async fn any<T, Q>(
        &self,
        path: &str,
        name: Option<&(impl std::fmt::Display + Sync)>,
        query: &Q,
        args: ListArgs,
    ) -> Result<(), Failure>
    where
        T: Row + DeserializeOwned,
        Q: Serialize + Sync,
    {
        let when = When::here();
        if let Some(name) = name {
            let one: T = self.client.get(&format!("{path}/{name}"), &()).await?;
            return show_one(self.screen, &one, args.format.output, &when);
        }
        let asking = if args.all {
            Asking::All
        } else {
            Asking::AtMost(args.limit)
        };
        let listed: Listed<T> = list(self.client, path, query, asking).await?;
        let people = matches!(args.format.output, Format::Table | Format::Wide);
        if listed.items.is_empty() && people {
            self.screen.words(&nothing(path, narrows(query)));
            return Ok(());
        }
        show_rows(self.screen, &listed.items, args.format.output, &when)?;
        if listed.more {
            let shown = words::number(listed.items.len() as u64);
            self.screen
                .words(&format!("{shown} of {}; --all for the rest", listed.count));
        }
        Ok(())
    }
}

/// Whether a query asks for some of a list only.
fn narrows(query: &impl Serialize) -> bool {
    const HOW: [&str; 3] = ["limit", "cursor", "sort"];
    let query = serde_json::to_value(query).unwrap_or_default();
    let mut fields = query.as_object().into_iter().flatten();
    fields.any(|(field, value)| !value.is_null() && !HOW.contains(&field.as_str()))
}

/// What an empty list teaches.
fn nothing(path: &str, narrowed: bool) -> String {
    let path = path.replace('-', " ");
    if narrowed {
        return format!("no {path} match");
    }
    let next = match path.as_str() {
        "agents" => "a PC is here with the first heartbeat of its agent",
        "execs" | "results" => "`kanade run -t all -- uptime` makes the first",
        "jobs" => "`kanade apply -f job.yaml` makes the first",
        "groups" => "`kanade group set NAME --pcs a,b` makes the first",
        _ => return format!("no {path}"),
    };
    format!("no {path}; {next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_says_whether_some_were_asked_for() {
        let all = ResultQuery {
            sort: Some("stored_at".to_owned()),
            ..ResultQuery::default()
        };
        let some = ResultQuery {
            job_id: Some(JobId::parse("nightly").unwrap()),
            ..all.clone()
        };
        let said = |query: &ResultQuery| nothing("results", narrows(query));
        assert!(said(&all).contains("makes the first"));
        assert_eq!(said(&some), "no results match");
        assert!(!narrows(&SystemQuery::default()));
    }
}

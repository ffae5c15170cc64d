//! Brings a broker to the catalogue: observe, plan, act, until nothing is left to do.
//!
//! All resources are made and changed side by side. Several backends may do this at once:
//! one that loses a race observes again and finds the work done.
//!
//! **Invariant:** before the first resource is made it is known that all of them fit and
//! none is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{Context, ErrorCode};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::catalogue::{Options, Resource, catalogue};
use super::error::{BootstrapError, Failed, told};
use super::observe::{Observation, observation, write_settings};
use super::plan::{Action, Plan, Step, plan};
use super::probe::{self, Refusal};

/// How often to observe and act before what is still in the way counts as an answer.
const ROUNDS: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(100);

/// What a reconcile did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Report {
    /// Every resource by the name of its stream.
    pub resources: BTreeMap<String, Outcome>,
    /// What differs from the catalogue and stays so, each as a sentence.
    pub warnings: Vec<String>,
}

/// What became of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanOutcome))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was made.
    Created,
    /// It was there and was changed in place.
    Updated,
    /// It was there and stays as it is.
    Kept,
}

impl Report {
    /// How many resources have `outcome`.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.resources
            .values()
            .filter(|one| **one == outcome)
            .count()
    }

    /// Whether nothing was done.
    pub fn is_unchanged(&self) -> bool {
        self.count(Outcome::Kept) == self.resources.len()
    }

    fn note(&mut self, step: &Step, outcome: Outcome) {
        let noted = self.resources.entry(step.stream.clone()).or_insert(outcome);
        // A later round keeps what an earlier one made.
        if *noted == Outcome::Kept {
            *noted = outcome;
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_unchanged() {
            write!(f, "nothing to do, {} as they were", self.resources.len())?;
        } else {
            let [created, updated, kept] =
                [Outcome::Created, Outcome::Updated, Outcome::Kept].map(|o| self.count(o));
            write!(
                f,
                "{created} created, {updated} updated, {kept} as they were"
            )?;
        }
        self.warnings
            .iter()
            .try_for_each(|warning| write!(f, "\n! {warning}"))
    }
}

/// Makes the broker have what the catalogue says, with the default caps and as many
/// replicas as the broker's cluster can hold.
pub async fn ensure_jetstream_resources(js: &Context) -> Result<Report, BootstrapError> {
    let options = Options {
        replicas: replicas_for(js),
        ..Options::default()
    };
    ensure_resources(js, &catalogue(&options), &options).await
}

/// 3 on a cluster of three or more, else 1.
pub fn replicas_for(js: &Context) -> usize {
    let server = js.client().server_info();
    if server.cluster.is_some() && server.connect_urls.len() >= 3 {
        3
    } else {
        1
    }
}

/// What [`ensure_resources`] would do now.
pub async fn plan_resources(
    js: &Context,
    wanted: &[Resource],
    options: &Options,
) -> Result<Plan, BootstrapError> {
    let observation = observation(js, options.replicas).await?;
    Ok(plan(wanted, &observation.observed, options.loss))
}

/// Makes the broker have `wanted`; `options` are those that `wanted` was computed with.
///
/// What exists and can't be changed becomes a warning of the report; an error means that
/// something is not there.
pub async fn ensure_resources(
    js: &Context,
    wanted: &[Resource],
    options: &Options,
) -> Result<Report, BootstrapError> {
    let mut report = Report::default();
    let mut round = 1;
    loop {
        let observation = observation(js, options.replicas).await?;
        join_all(
            observation
                .stale_probes
                .iter()
                .map(|name| probe::remove(js, name)),
        )
        .await;
        let plan = plan(wanted, &observation.observed, options.loss);
        refuse(&plan)?;
        // In the last round what is still in the way is an error and not another round.
        let last = round >= ROUNDS;
        if fits(js, &plan, options, last).await?
            && act(js, &plan, &observation, &mut report, last).await?
        {
            log(&report);
            return Ok(report);
        }
        tokio::time::sleep(BETWEEN * round).await;
        round += 1;
    }
}

fn refuse(plan: &Plan) -> Result<(), BootstrapError> {
    let failed: Vec<_> = plan
        .refused()
        .map(|(step, reason)| failed(step, reason))
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(BootstrapError::CannotMake { failed })
    }
}

/// Whether what is missing fits. A lack of room counts only in the last round: another
/// backend's reservation may be gone in a moment.
async fn fits(
    js: &Context,
    plan: &Plan,
    options: &Options,
    last: bool,
) -> Result<bool, BootstrapError> {
    let needed = plan.storage.create_bytes;
    if needed == 0 {
        return Ok(true);
    }
    let replicas = options.replicas.max(1);
    let each = needed / replicas as u64;
    if !plan.storage.too_small() && probe::has_room(js, each, replicas).await {
        return Ok(true);
    }
    if !last {
        return Ok(false);
    }
    let server = probe::room_below(js, each, replicas).await * replicas as u64;
    let free_bytes = plan
        .storage
        .free_bytes
        .map_or(server, |account| account.min(server));
    Err(BootstrapError::NoRoom {
        needed_bytes: needed,
        free_bytes,
        cap_scale: options.cap_scale,
    })
}

/// How one step ended.
enum Ended {
    Done(Outcome),
    /// It is there, and the broker didn't take the change.
    Unchanged(String),
    /// It isn't there yet; worth another round.
    Again(String),
    /// It isn't there and won't be.
    Failed(String),
}

/// Acts on every step; true when nothing is left to do.
async fn act(
    js: &Context,
    plan: &Plan,
    observation: &Observation,
    report: &mut Report,
    last: bool,
) -> Result<bool, BootstrapError> {
    let ends = join_all(plan.steps.iter().map(|step| perform(js, step, observation))).await;
    let (mut failures, mut again) = (Vec::new(), false);
    report.warnings.clear();
    for (step, end) in plan.steps.iter().zip(ends) {
        report.warnings.extend(step.drift.iter().map(|drift| {
            format!(
                "{}: {} stays {}, wanted {}: {}",
                title(step),
                drift.field,
                drift.is,
                drift.wanted,
                drift.reason
            )
        }));
        match end {
            Ended::Done(outcome) => report.note(step, outcome),
            Ended::Unchanged(reason) => {
                report.note(step, Outcome::Kept);
                report
                    .warnings
                    .push(format!("{}: stays as it is: {reason}", title(step)));
            }
            Ended::Again(_) if !last => again = true,
            Ended::Again(reason) | Ended::Failed(reason) => failures.push(failed(step, &reason)),
        }
    }
    if failures.is_empty() {
        Ok(!again)
    } else {
        Err(BootstrapError::CannotMake { failed: failures })
    }
}

async fn perform(js: &Context, step: &Step, observation: &Observation) -> Ended {
    let Some(target) = &step.target else {
        return Ended::Done(Outcome::Kept);
    };
    let found = observation.configs.get(&step.stream);
    let mut config = found.cloned().unwrap_or_else(|| Config {
        name: step.stream.clone(),
        ..Config::default()
    });
    write_settings(&mut config, target);
    match step.action {
        Action::Create => match probe::request(js, "CREATE", &config).await {
            Ok(()) => Ended::Done(Outcome::Created),
            Err(refusal) => not_created(refusal),
        },
        Action::Update => match probe::request(js, "UPDATE", &config).await {
            Ok(()) => Ended::Done(Outcome::Updated),
            Err(refusal) => not_updated(refusal),
        },
        Action::Keep | Action::Refuse { .. } => Ended::Done(Outcome::Kept),
    }
}

fn not_created(refusal: Refusal) -> Ended {
    match refusal {
        // Somebody else made it in between, the cluster is busy electing, or the folder of a new
        // store was not there yet when several streams came at once.
        Refusal::Told(error)
            if [
                ErrorCode::STREAM_NAME_EXIST,
                ErrorCode::STREAM_CREATE,
                ErrorCode::STORAGE_RESOURCES_EXCEEDED,
                ErrorCode::CLUSTER_NOT_AVAILABLE,
                ErrorCode::CLUSTER_NO_PEERS,
                ErrorCode::INSUFFICIENT_RESOURCES,
            ]
            .contains(&error.error_code()) =>
        {
            Ended::Again(told(&error))
        }
        Refusal::Told(error) => Ended::Failed(told(&error)),
        Refusal::Unanswered => Ended::Again("the broker did not answer in time".into()),
        Refusal::Other(reason) => Ended::Failed(reason),
    }
}

fn not_updated(refusal: Refusal) -> Ended {
    match refusal {
        Refusal::Told(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Ended::Again(told(&error))
        }
        Refusal::Told(error) => Ended::Unchanged(told(&error)),
        Refusal::Unanswered => Ended::Unchanged("the broker did not answer in time".into()),
        Refusal::Other(reason) => Ended::Unchanged(reason),
    }
}

fn failed(step: &Step, reason: &str) -> Failed {
    Failed {
        resource: title(step),
        reason: reason.to_owned(),
    }
}

fn title(step: &Step) -> String {
    format!("{} {}", step.kind.word(), step.name)
}

fn log(report: &Report) {
    for warning in &report.warnings {
        warn!(
            warning,
            "a broker resource differs from what it should be, and serves"
        );
    }
    let [created, updated, kept] =
        [Outcome::Created, Outcome::Updated, Outcome::Kept].map(|outcome| report.count(outcome));
    info!(
        created,
        updated, kept, "the broker's resources are in place"
    );
}

//! Compares the catalogue with what a broker has and says what a reconcile would do.
//!
//! In go the wanted resources and an [`Observed`]; out comes a [`Plan`], which prints like a
//! diff, travels as JSON, and is what `apply` acts on. What a broker can't change is found
//! here and not by trying: `compare` knows its rules per field.
//!
//! **Invariant:** no clock and no broker here; ages come in as durations.
//! **Invariant:** the plan of an applied plan has no changes.
//! **Invariant:** without [`Loss::Allowed`] no step makes a stream let go of a message.

mod compare;
mod show;
mod subjects;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalogue::{Kind, Loss, Resource, Settings};
pub use show::human_bytes;

/// What a broker has, as far as a plan needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Every stream of the account, by name, also those of others.
    pub streams: BTreeMap<String, ObservedStream>,
    /// The account's room for files; `None` when the broker doesn't limit it or doesn't say.
    pub room: Option<Room>,
}

/// One stream as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedStream {
    /// How it is set.
    pub settings: Settings,
    /// What it holds.
    pub held: Held,
    /// Whether it copies another stream, which rules out subjects of its own.
    pub mirror: bool,
}

/// What a stream holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Messages.
    pub messages: u64,
    /// Their size on disk.
    pub bytes: u64,
    /// How many different subjects they have.
    pub subjects: u64,
    /// The age of the oldest.
    pub oldest: Option<Duration>,
}

/// How much an account may store in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The account's limit, bytes.
    pub limit_bytes: u64,
    /// What its streams have taken of that: reserved, or used where nothing was reserved.
    pub taken_bytes: u64,
}

impl Room {
    /// What is left, bytes.
    pub fn free_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.taken_bytes)
    }
}

/// What a reconcile would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// One per wanted resource, in the catalogue's order.
    pub steps: Vec<Step>,
    /// What the caps take.
    pub storage: Storage,
}

/// What would be done about one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanStep))]
pub struct Step {
    /// What it is.
    pub kind: Kind,
    /// Its name, as clients say it.
    pub name: String,
    /// The stream that holds it.
    pub stream: String,
    /// What would be done.
    pub action: Action,
    /// Fields that `action` changes; for a resource to be made, none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Fields that differ and stay so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// The settings that `action` leads to; absent in a plan that came as JSON.
    #[serde(skip)]
    pub target: Option<Settings>,
}

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanAction))]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    /// It is not there and will be made.
    Create,
    /// It is there; fields of it will be changed in place.
    Update,
    /// It stays as it is.
    Keep,
    /// It is not there and can't be made.
    Refuse {
        /// Why, as a sentence.
        reason: String,
    },
}

/// One field of a resource that changes; values as people read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanChange))]
pub struct Change {
    /// The field's name.
    pub field: String,
    /// What it is.
    pub old: String,
    /// What it will be.
    pub new: String,
}

/// One field of a resource that is not as wanted and stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanDrift))]
pub struct Drift {
    /// The field's name.
    pub field: String,
    /// What it is.
    pub is: String,
    /// What it should be.
    pub wanted: String,
    /// Why it stays.
    pub reason: String,
}

/// The storage that a plan takes, with all replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanStorage))]
pub struct Storage {
    /// What the resources that are to be made reserve.
    pub create_bytes: u64,
    /// What the ones that are there reserve more.
    pub grow_bytes: u64,
    /// What the account has left; `None` when it has no limit or the broker doesn't say.
    pub free_bytes: Option<u64>,
}

impl Storage {
    /// What the plan reserves in all.
    pub fn needed_bytes(&self) -> u64 {
        self.create_bytes + self.grow_bytes
    }

    /// Whether what is to be made is known not to fit.
    pub fn too_small(&self) -> bool {
        self.free_bytes.is_some_and(|free| self.create_bytes > free)
    }
}

impl Plan {
    /// Whether the broker is exactly as wanted.
    pub fn is_satisfied(&self) -> bool {
        self.steps
            .iter()
            .all(|step| step.action == Action::Keep && step.drift.is_empty())
    }

    /// Whether `apply` has something to do.
    pub fn has_work(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.action, Action::Create | Action::Update))
    }

    /// The resources that are not there and can't be made, each with the reason.
    pub fn refused(&self) -> impl Iterator<Item = (&Step, &str)> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Refuse { reason } => Some((step, reason.as_str())),
            Action::Create | Action::Update | Action::Keep => None,
        })
    }
}

/// Says what a reconcile would do to get from `observed` to `desired`.
pub fn plan(desired: &[Resource], observed: &Observed, loss: Loss) -> Plan {
    let mut steps: Vec<Step> = desired
        .iter()
        .map(|resource| compare::step(resource, observed, loss))
        .collect();
    let mut storage = storage_needed(&steps, observed);
    if storage
        .free_bytes
        .is_some_and(|free| storage.needed_bytes() > free)
        && !storage.too_small()
    {
        // What exists serves as it is, so a lack of room for growth stops nobody.
        for step in &mut steps {
            compare::forgo_growth(step, observed);
        }
        storage = storage_needed(&steps, observed);
    }
    Plan { steps, storage }
}

fn storage_needed(steps: &[Step], observed: &Observed) -> Storage {
    let mut storage = Storage {
        free_bytes: observed.room.as_ref().map(Room::free_bytes),
        ..Storage::default()
    };
    for step in steps {
        let wanted = step.target.as_ref().map_or(0, reservation);
        match step.action {
            Action::Create => storage.create_bytes += wanted,
            Action::Update => {
                let had = observed.streams.get(&step.stream);
                let had = had.map_or(0, |stream| reservation(&stream.settings));
                storage.grow_bytes += wanted.saturating_sub(had);
            }
            Action::Keep | Action::Refuse { .. } => {}
        }
    }
    storage
}

/// Bytes that the broker sets aside for a stream, on all its servers.
fn reservation(settings: &Settings) -> u64 {
    settings
        .max_bytes
        .unwrap_or(0)
        .saturating_mul(settings.replicas.max(1) as u64)
}

#[cfg(test)]
mod tests;

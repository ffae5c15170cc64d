//! What is to be done about one resource, field by field.
//!
//! The rules of what a broker can change in place are nats-server's, and each is named
//! where it is used. A field that can't or mustn't change becomes [`Drift`], and the rest
//! of the resource is brought in line nevertheless.

use std::collections::BTreeSet;

use super::show::{human_age, human_bytes, human_limit, human_republish, word};
use super::subjects::first_overlap;
use super::{Action, Change, Drift, Held, Observed, ObservedStream, Step};
use crate::bootstrap::catalogue::{Discard, Loss, Resource, Retention, Settings};

const STORED: &str =
    "it would lose what is stored; `kanade-backend bootstrap apply --allow-loss` does it";
const ONE_WAY: &str = "a broker cannot take this back from a stream";

/// A cap that has to give way to what is held is set on the next multiple of this.
const HELD_STEP: u64 = 64 << 20;

/// Decides what to do about `wanted`.
pub(super) fn step(wanted: &Resource, observed: &Observed, loss: Loss) -> Step {
    let stream = wanted.stream_name();
    let mut step = Step {
        kind: wanted.kind,
        name: wanted.name.clone(),
        stream,
        action: Action::Keep,
        changes: Vec::new(),
        drift: Vec::new(),
        target: None,
    };
    match observed.streams.get(&step.stream) {
        None => match obstacle(&step.stream, &wanted.settings, observed) {
            Some(reason) => step.action = Action::Refuse { reason },
            None => {
                step.action = Action::Create;
                step.target = Some(wanted.settings.clone());
            }
        },
        Some(found) => match stranger(&step.stream, &wanted.settings, found) {
            Some(reason) => step.action = Action::Refuse { reason },
            None => compare(&mut step, &wanted.settings, found, observed, loss),
        },
    }
    step
}

/// Takes the growth of a cap out of a step, since there is no room for it.
pub(super) fn forgo_growth(step: &mut Step, observed: &Observed) {
    let (Some(target), Some(found)) = (&mut step.target, observed.streams.get(&step.stream)) else {
        return;
    };
    let had = found.settings.max_bytes;
    if step.action != Action::Update || target.max_bytes <= had {
        return;
    }
    step.changes.retain(|change| change.field != "max_bytes");
    step.drift.push(Drift {
        field: "max_bytes".into(),
        is: human_bytes(had),
        wanted: human_bytes(target.max_bytes),
        reason: "the broker has no room for it; `broker.cap_scale` makes every cap smaller".into(),
    });
    target.max_bytes = had;
    if step.changes.is_empty() {
        step.action = Action::Keep;
    }
}

/// Why a stream can't be made, as far as that is known beforehand.
fn obstacle(stream: &str, wanted: &Settings, observed: &Observed) -> Option<String> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c);
    if stream.is_empty() || stream.contains(bad) {
        return Some(format!("`{stream}` is not a name that a broker takes"));
    }
    overlapping(stream, &wanted.subjects, observed)
}

/// The sentence about somebody else's stream that stores one of `subjects` already.
fn overlapping(stream: &str, subjects: &[String], observed: &Observed) -> Option<String> {
    observed
        .streams
        .iter()
        .filter(|(name, _)| *name != stream)
        .find_map(|(name, other)| {
            let (ours, theirs) = first_overlap(subjects, &other.settings.subjects)?;
            Some(format!(
                "the stream `{name}` stores `{theirs}` already, which overlaps `{ours}`"
            ))
        })
}

/// Why a stream of the right name is not the one that is wanted.
fn stranger(stream: &str, wanted: &Settings, found: &ObservedStream) -> Option<String> {
    if found.mirror {
        return Some(format!(
            "the stream `{stream}` is there as a mirror of another one"
        ));
    }
    if first_overlap(&wanted.subjects, &found.settings.subjects).is_none() {
        return Some(format!(
            "the stream `{stream}` is there with {} only, so it belongs to somebody else",
            list(&found.settings.subjects),
        ));
    }
    None
}

fn compare(
    step: &mut Step,
    wanted: &Settings,
    found: &ObservedStream,
    observed: &Observed,
    loss: Loss,
) {
    let stream = step.stream.clone();
    let mut fields = Fields {
        target: found.settings.clone(),
        step,
        held: found.held,
        loss,
    };
    fields.subjects(wanted, overlapping(&stream, &wanted.subjects, observed));
    fields.placement(wanted);
    fields.limits(wanted);
    fields.flags(wanted);
    let target = fields.target;
    if !step.changes.is_empty() {
        step.action = Action::Update;
        step.target = Some(target);
    }
}

/// The step in the making, and the settings that it leads to.
struct Fields<'a> {
    step: &'a mut Step,
    target: Settings,
    held: Held,
    loss: Loss,
}

impl Fields<'_> {
    fn change(&mut self, field: &str, old: String, new: String) {
        self.step.changes.push(Change {
            field: field.into(),
            old,
            new,
        });
    }

    fn stays(&mut self, field: &str, is: String, wanted: String, reason: &str) {
        self.step.drift.push(Drift {
            field: field.into(),
            is,
            wanted,
            reason: reason.into(),
        });
    }

    fn subjects(&mut self, wanted: &Settings, overlapping: Option<String>) {
        let set = |subjects: &[String]| subjects.iter().cloned().collect::<BTreeSet<_>>();
        if set(&self.target.subjects) == set(&wanted.subjects) {
            return;
        }
        let (old, new) = (list(&self.target.subjects), list(&wanted.subjects));
        match overlapping {
            Some(reason) => self.stays("subjects", old, new, &reason),
            None => {
                self.change("subjects", old, new);
                self.target.subjects = wanted.subjects.clone();
            }
        }
    }

    fn placement(&mut self, wanted: &Settings) {
        let target = &mut self.target;
        if target.storage != wanted.storage {
            let (is, wanted) = (word(&target.storage), word(&wanted.storage));
            self.stays(
                "storage",
                is,
                wanted,
                "a broker cannot move a stream to another storage",
            );
        }
        let target = &mut self.target;
        if target.retention != wanted.retention {
            let (old, new) = (word(&target.retention), word(&wanted.retention));
            // nats-server changes between `limits` and `interest` only.
            if [target.retention, wanted.retention].contains(&Retention::WorkQueue) {
                self.stays(
                    "retention",
                    old,
                    new,
                    "a broker cannot change this of a work queue",
                );
            } else {
                target.retention = wanted.retention;
                self.change("retention", old, new);
            }
        }
        let target = &mut self.target;
        if wanted.discard != Discard::OldOrNew && target.discard != wanted.discard {
            let (old, new) = (word(&target.discard), word(&wanted.discard));
            target.discard = wanted.discard;
            self.change("discard", old, new);
        }
        let target = &mut self.target;
        if target.replicas < wanted.replicas {
            let (old, new) = (target.replicas.to_string(), wanted.replicas.to_string());
            target.replicas = wanted.replicas;
            self.change("replicas", old, new);
        }
    }

    fn limits(&mut self, wanted: &Settings) {
        self.max_age(wanted);
        self.max_bytes(wanted);
        self.max_messages(wanted);
        self.history(wanted);
    }

    fn max_age(&mut self, wanted: &Settings) {
        if self.target.max_age == wanted.max_age {
            return;
        }
        let (old, new) = (human_age(self.target.max_age), human_age(wanted.max_age));
        let loses = wanted
            .max_age
            .is_some_and(|age| self.held.oldest.is_some_and(|o| o > age));
        if loses && self.loss == Loss::Refused {
            self.stays("max_age", old, new, STORED);
        } else {
            self.target.max_age = wanted.max_age;
            self.change("max_age", old, new);
        }
    }

    fn max_bytes(&mut self, wanted: &Settings) {
        let (is, mut new) = (self.target.max_bytes, wanted.max_bytes);
        if is == new {
            return;
        }
        let holds_more = new.is_some_and(|cap| self.held.bytes > cap);
        if holds_more && self.loss == Loss::Refused {
            let reason = format!("it holds {}; {STORED}", human_bytes(Some(self.held.bytes)));
            self.stays("max_bytes", human_bytes(is), human_bytes(new), &reason);
            // A cap that is there stays. One that is missing is set as low as nothing is lost.
            if is.is_some() {
                return;
            }
            new = Some(self.held.bytes.next_multiple_of(HELD_STEP));
        }
        self.target.max_bytes = new;
        self.change("max_bytes", human_bytes(is), human_bytes(new));
    }

    fn max_messages(&mut self, wanted: &Settings) {
        let (is, new) = (self.target.max_messages, wanted.max_messages);
        if is == new {
            return;
        }
        if new.is_some_and(|cap| self.held.messages > cap) && self.loss == Loss::Refused {
            self.stays("max_messages", human_limit(is), human_limit(new), STORED);
        } else {
            self.target.max_messages = new;
            self.change("max_messages", human_limit(is), human_limit(new));
        }
    }

    fn history(&mut self, wanted: &Settings) {
        let (is, new) = (self.target.history, wanted.history);
        if is == new {
            return;
        }
        // Each subject has one message at least, so one alone can't have more than this.
        let most = (self.held.messages + 1).saturating_sub(self.held.subjects);
        if new.is_some_and(|cap| most > cap) && self.loss == Loss::Refused {
            self.stays("history", human_limit(is), human_limit(new), STORED);
        } else {
            self.target.history = new;
            self.change("history", human_limit(is), human_limit(new));
        }
    }

    fn flags(&mut self, wanted: &Settings) {
        self.flag("allow_direct", |s| &mut s.allow_direct, wanted.allow_direct);
        self.flag("allow_rollup", |s| &mut s.allow_rollup, wanted.allow_rollup);
        self.one_way(
            "allow_msg_ttl",
            |s| &mut s.allow_message_ttl,
            wanted.allow_message_ttl,
        );
        self.one_way("deny_delete", |s| &mut s.deny_delete, wanted.deny_delete);
        self.one_way("deny_purge", |s| &mut s.deny_purge, wanted.deny_purge);
        if self.target.republish != wanted.republish {
            let old = human_republish(self.target.republish.as_ref());
            let new = human_republish(wanted.republish.as_ref());
            self.target.republish = wanted.republish.clone();
            self.change("republish", old, new);
        }
    }

    fn flag(&mut self, name: &str, of: fn(&mut Settings) -> &mut bool, wanted: bool) {
        let flag = of(&mut self.target);
        if *flag != wanted {
            let old = flag.to_string();
            *flag = wanted;
            self.change(name, old, wanted.to_string());
        }
    }

    fn one_way(&mut self, name: &str, of: fn(&mut Settings) -> &mut bool, wanted: bool) {
        if *of(&mut self.target) && !wanted {
            self.stays(name, true.to_string(), false.to_string(), ONE_WAY);
        } else {
            self.flag(name, of, wanted);
        }
    }
}

fn list(subjects: &[String]) -> String {
    let mut names: Vec<_> = subjects
        .iter()
        .map(|subject| format!("`{subject}`"))
        .collect();
    names.sort();
    if names.is_empty() {
        "no subjects".into()
    } else {
        names.join(", ")
    }
}

//! Plans of hand-made and of generated states of a broker.

use proptest::prelude::*;

use super::*;
use crate::bootstrap::catalogue::{Discard, Options, Retention, Storage as Medium, catalogue};

fn wanted() -> Vec<Resource> {
    catalogue(&Options::default())
}

fn observe(settings: Settings) -> ObservedStream {
    ObservedStream {
        settings,
        held: Held::default(),
        mirror: false,
    }
}

/// A broker on which the catalogue was applied.
fn served() -> Observed {
    let streams = wanted()
        .into_iter()
        .map(|resource| (resource.stream_name(), observe(resource.settings)))
        .collect();
    Observed {
        streams,
        room: None,
    }
}

fn served_but(name: &str, alter: impl FnOnce(&mut ObservedStream)) -> Observed {
    let mut observed = served();
    alter(observed.streams.get_mut(name).expect("in the catalogue"));
    observed
}

fn check(observed: &Observed) -> Plan {
    plan(&wanted(), observed, Loss::Refused)
}

#[track_caller]
fn reads(expected: &str, plan: &Plan) {
    assert_eq!(expected, plan.to_string().trim_end());
}

#[test]
fn an_empty_broker_gets_everything() {
    let plan = check(&Observed::default());
    assert!(plan.steps.iter().all(|step| step.action == Action::Create));
    let text = plan.to_string();
    assert!(text.starts_with("+ stream INVENTORY\n"), "{text}");
    assert!(text.ends_with("reserves 10.8 GiB\n"), "{text}");
}

#[test]
fn a_broker_that_has_everything_is_left_alone() {
    let plan = check(&served());
    assert!(plan.is_satisfied() && !plan.has_work());
    reads("= 25 as wanted", &plan);
}

#[test]
fn what_can_change_is_a_diff_of_its_fields() {
    let mut observed = served_but("EVENTS", |stream| {
        stream.settings.subjects = vec!["events.*".into()];
        stream.settings.max_age = Some(Duration::from_secs(90));
    });
    let store = observed
        .streams
        .get_mut("OBJ_collections")
        .expect("in the catalogue");
    store.settings.max_bytes = None;
    reads(
        "~ stream EVENTS\n    subjects: `events.*` → `events.>`\n    max_age: 90 s → 7 d\n\
         ~ object store collections\n    max_bytes: no limit → 5 GiB\n= 23 as wanted\n\
         reserves 5 GiB",
        &check(&observed),
    );
}

#[test]
fn what_a_broker_cannot_change_stays_and_the_rest_is_changed() {
    let observed = served_but("EVENTS", |stream| {
        stream.settings.storage = Medium::Memory;
        stream.settings.deny_purge = true;
        stream.settings.retention = Retention::WorkQueue;
        stream.settings.allow_rollup = true;
    });
    let plan = check(&observed);
    let step = plan
        .steps
        .iter()
        .find(|step| step.name == "EVENTS")
        .expect("planned");
    let drifted: Vec<_> = step
        .drift
        .iter()
        .map(|drift| drift.field.as_str())
        .collect();
    assert_eq!(vec!["storage", "retention", "deny_purge"], drifted);
    assert_eq!(Action::Update, step.action);
    assert_eq!(1, step.changes.len());
    assert!(!plan.is_satisfied());
}

#[test]
fn a_stream_of_somebody_else_on_our_subjects_is_refused_by_name() {
    let mut observed = served();
    let results = observed
        .streams
        .remove("RESULTS")
        .expect("in the catalogue");
    observed.streams.insert("LEGACY".into(), results);
    reads(
        "! stream RESULTS: the stream `LEGACY` stores `results.>` already, which overlaps \
         `results.>`\n= 24 as wanted",
        &check(&observed),
    );
}

#[test]
fn a_stream_of_our_name_with_none_of_our_subjects_is_not_taken_over() {
    let observed = served_but("AUDIT", |stream| {
        stream.settings.subjects = vec!["books.>".into()];
    });
    let plan = check(&observed);
    let refused: Vec<_> = plan.refused().map(|(step, _)| step.name.as_str()).collect();
    assert_eq!(vec!["AUDIT"], refused);
}

#[test]
fn subjects_that_overlap_another_stream_stay_narrow() {
    let mut observed = served_but("EVENTS", |stream| {
        stream.settings.subjects = vec!["events.*".into()];
    });
    let other = observe(Settings::uncapped(vec!["events.deep.>".into()]));
    observed.streams.insert("OTHER".into(), other);
    let plan = check(&observed);
    assert!(!plan.has_work());
    assert_eq!(0, plan.refused().count());
    assert!(!plan.is_satisfied());
}

#[test]
fn the_policy_of_results_may_be_either() {
    for discard in [Discard::Old, Discard::New] {
        let observed = served_but("RESULTS", |stream| stream.settings.discard = discard);
        assert!(check(&observed).is_satisfied());
    }
}

#[test]
fn more_replicas_than_wanted_are_no_drift() {
    let observed = served_but("RESULTS", |stream| stream.settings.replicas = 5);
    assert!(check(&observed).is_satisfied());
}

#[test]
fn a_cap_below_what_is_held_is_not_set_until_told() {
    let observed = served_but("OBJ_result_output", |stream| {
        stream.settings.max_bytes = None;
        stream.held.bytes = (3 << 30) + 5;
    });
    reads(
        "~ object store result_output\n    max_bytes: no limit → 3.1 GiB\n  ! max_bytes: stays no \
         limit, wanted 1 GiB: it holds 3.0 GiB; it would lose what is stored; \
         `kanade-backend bootstrap apply --allow-loss` does it\n= 24 as wanted\nreserves 3.1 GiB",
        &check(&observed),
    );
    let told = plan(&wanted(), &observed, Loss::Allowed);
    assert!(
        told.to_string()
            .contains("max_bytes: no limit → 1 GiB\n= 24"),
        "{told}"
    );
}

#[test]
fn a_shorter_age_or_history_waits_while_it_would_lose_something() {
    let held = Held {
        messages: 10,
        bytes: 100,
        subjects: 4,
        oldest: Some(Duration::from_secs(8 * 86_400)),
    };
    let aged = served_but("EVENTS", |stream| {
        stream.settings.max_age = None;
        stream.held = held;
    });
    assert!(!check(&aged).has_work());
    let deep = |messages| {
        served_but("KV_jobs", |stream| {
            stream.settings.history = Some(60);
            stream.held = Held { messages, ..held };
        })
    };
    assert!(
        check(&deep(8)).has_work(),
        "no key can have more than five revisions"
    );
    assert!(!check(&deep(9)).has_work());
}

#[test]
fn storage_is_summed_before_anything_is_made() {
    let room = |limit_bytes| Observed {
        room: Some(Room {
            limit_bytes,
            taken_bytes: 1 << 30,
        }),
        ..Observed::default()
    };
    let small = check(&room(4 << 30));
    assert!(small.storage.too_small());
    assert!(
        small
            .to_string()
            .contains("reserves 10.8 GiB of 3 GiB free\n! does not fit")
    );
    assert!(!check(&room(12 << 30)).storage.too_small());
}

#[test]
fn growth_without_room_is_drift_and_stops_nobody() {
    let mut observed = served_but("RESULTS", |stream| {
        stream.settings.max_bytes = Some(1 << 30);
        stream.settings.max_age = None;
    });
    observed.room = Some(Room {
        limit_bytes: 10 << 30,
        taken_bytes: 10 << 30,
    });
    let plan = check(&observed);
    assert!(!plan.storage.too_small());
    reads(
        "~ stream RESULTS\n    max_age: no limit → 30 d\n  ! max_bytes: stays 1 GiB, wanted 2 GiB: \
         the broker has no room for it; `broker.cap_scale` makes every cap smaller\n= 24 as wanted",
        &plan,
    );
}

#[test]
fn growth_that_is_forgone_shows_the_cap_it_keeps() {
    let mut observed = served_but("RESULTS", |stream| {
        stream.settings.max_bytes = Some(1 << 30);
    });
    observed.room = Some(Room {
        limit_bytes: 10 << 30,
        taken_bytes: 10 << 30,
    });
    assert!(!check(&observed).has_work());
}

#[test]
fn a_name_that_no_broker_takes_is_refused_with_the_reason() {
    let bad = Resource {
        kind: Kind::Bucket,
        name: "a.b".into(),
        settings: Settings::uncapped(vec!["x".into()]),
    };
    reads(
        "! bucket a.b: `KV_a.b` is not a name that a broker takes",
        &plan(&[bad], &Observed::default(), Loss::Refused),
    );
}

#[test]
fn a_plan_travels_as_json() {
    let observed = served_but("EVENTS", |stream| stream.settings.storage = Medium::Memory);
    let mut plan = check(&observed);
    let json = serde_json::to_string(&plan).expect("plain data");
    plan.steps.iter_mut().for_each(|step| step.target = None);
    assert_eq!(
        plan,
        serde_json::from_str(&json).expect("what was just written")
    );
}

prop_compose! {
    fn any_stream(subjects: Vec<String>)(
        flags in any::<[bool; 6]>(),
        medium in prop_oneof![Just(Medium::File), Just(Medium::Memory)],
        retention in prop_oneof![
            Just(Retention::Limits), Just(Retention::Interest), Just(Retention::WorkQueue)
        ],
        discard in prop_oneof![Just(Discard::Old), Just(Discard::New)],
        max_age in proptest::option::of((1_u64..100).prop_map(|d| Duration::from_secs(d * 86_400))),
        max_bytes in proptest::option::of(0_u64..(8 << 30)),
        max_messages in proptest::option::of(0_u64..1_000),
        history in proptest::option::of(1_u64..64),
        held in (0_u64..1_000, 0_u64..(8 << 30), 0_u64..100, 0_u64..100),
    ) -> ObservedStream {
        let [allow_direct, allow_message_ttl, allow_rollup, deny_delete, deny_purge, mirror] = flags;
        ObservedStream {
            settings: Settings {
                subjects: subjects.clone(), storage: medium, retention, discard, max_age, max_bytes,
                max_messages, history, allow_direct, allow_message_ttl, allow_rollup, deny_delete,
                deny_purge, republish: None, replicas: 1,
            },
            held: Held {
                messages: held.0, bytes: held.1, subjects: held.2.min(held.0),
                oldest: Some(Duration::from_secs(held.3 * 86_400)),
            },
            mirror: mirror && allow_direct && allow_rollup,
        }
    }
}

proptest! {
    #[test]
    fn the_plan_of_an_applied_plan_has_no_work(
        stream in any_stream(vec!["events.*".into()]),
        allowed in any::<bool>(),
        limit in proptest::option::of(0_u64..(20 << 30)),
    ) {
        let loss = if allowed { Loss::Allowed } else { Loss::Refused };
        let mut observed = served_but("EVENTS", |events| *events = stream);
        observed.room = limit.map(|limit_bytes| Room { limit_bytes, taken_bytes: 1 << 30 });
        let first = plan(&wanted(), &observed, loss);
        for step in &first.steps {
            if let (Some(target), Some(stream)) =
                (&step.target, observed.streams.get_mut(&step.stream))
            {
                stream.settings = target.clone();
            }
        }
        observed.room = None;
        let growth_forgone = first.steps.iter()
            .flat_map(|step| &step.drift)
            .any(|drift| drift.reason.contains("no room"));
        prop_assert!(growth_forgone || !plan(&wanted(), &observed, loss).has_work());
    }

    #[test]
    fn nothing_shrinks_below_what_is_held_without_being_told(
        stream in any_stream(vec!["events.>".into()]),
    ) {
        let observed = served_but("EVENTS", |events| *events = stream.clone());
        let plan = check(&observed);
        let step = plan.steps.iter().find(|step| step.name == "EVENTS").expect("planned");
        let Some(target) = &step.target else { return Ok(()) };
        let (was, held) = (&stream.settings, stream.held);
        prop_assert!(target.max_bytes == was.max_bytes
            || target.max_bytes.is_none_or(|cap| cap >= held.bytes));
        prop_assert!(target.max_age == was.max_age
            || target.max_age.is_none_or(|age| held.oldest.is_none_or(|oldest| oldest <= age)));
        prop_assert!(target.max_messages == was.max_messages
            || target.max_messages.is_none_or(|cap| cap >= held.messages));
    }
}

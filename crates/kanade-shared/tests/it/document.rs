//! Command documents: what a revision promises, whatever the broker holds and the database knows.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use kanade_shared::document::{
    Entry, EntryKey, Publication, Revision, ScopeState, foreign, revise,
};
use kanade_shared::id::{Attempt, ExecId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::{
    Command, DOCUMENT_VERSION, Document, Reach, Rev, ScriptSource, Shell, Stop, StopAction,
};
use proptest::collection::btree_map;
use proptest::option::of;
use proptest::prelude::*;

use crate::strategies::{action, near};
use crate::{cases, samples};

/// Seconds around the samples' time within which everything happens.
const SPAN: i64 = 1000;

type Key = (ExecId, Attempt);

/// A scope as the publisher meets it.
#[derive(Debug, Clone)]
struct Scene {
    held: Option<Document>,
    state: ScopeState,
    now: DateTime<Utc>,
}

fn check(scene: &Scene) -> Option<Publication> {
    let Scene { held, state, now } = scene;
    match revise(&Scope::All, held.as_ref(), state, *now) {
        Revision::Keep => None,
        Revision::Publish(publication) => Some(*publication),
    }
}

/// What the broker holds after the revision.
fn offered(scene: &Scene) -> Option<Document> {
    check(scene).map_or(scene.held.clone(), |p| Some(p.document))
}

/// One of few commands, so that the broker's and the database's are often the same.
fn command((n, attempt): (u8, u64), deadline_s: i64, timeout_s: u32) -> Command {
    let script = ScriptSource::Inline {
        text: "true".into(),
    };
    let mut command = samples::command(n, Shell::Sh, script);
    command.attempt = Attempt(attempt);
    command.deadline = samples::at(0) + TimeDelta::seconds(deadline_s);
    command.run.timeout_s = timeout_s;
    command
}

fn key(command: &Command) -> EntryKey {
    EntryKey {
        exec_id: command.exec_id,
        attempt: command.attempt,
        reach: command.reach,
        issued_at: command.issued_at,
        deadline: command.deadline,
        over_at: command.over_at(),
    }
}

fn stop_of(command: &Command, action: StopAction) -> Stop {
    Stop {
        exec_id: command.exec_id,
        attempt: command.attempt,
        action,
        reach: command.reach,
        issued_at: command.issued_at,
        deadline: command.deadline,
        until: command.over_at(),
    }
}

/// What there is of one command: on the broker, and in the database.
#[derive(Debug, Clone)]
struct Thing {
    command: Command,
    listed: bool,
    stopped: Option<StopAction>,
    known: Option<(bool, Option<StopAction>, bool)>,
}

fn things() -> impl Strategy<Value = Vec<Thing>> {
    let known = (any::<bool>(), of(action()), any::<bool>());
    let thing = (
        -SPAN..SPAN,
        1u32..500,
        any::<bool>(),
        of(action()),
        of(known),
    );
    btree_map((0u8..6, 1u64..3), thing, 0..8).prop_map(|things| {
        let of = |(id, (deadline, timeout, listed, stopped, known))| Thing {
            command: command(id, deadline, timeout),
            listed,
            stopped,
            known,
        };
        things.into_iter().map(of).collect()
    })
}

fn rev() -> impl Strategy<Value = Rev> {
    let clock = samples::at(0).timestamp_millis().unsigned_abs();
    prop_oneof![
        (0u64..5).prop_map(Rev),
        (clock - 5000..clock + 5000).prop_map(Rev),
        Just(Rev(u64::MAX / 2)),
    ]
}

fn scene() -> impl Strategy<Value = Scene> {
    let revs = (rev(), rev(), rev(), any::<bool>());
    (things(), revs, any::<bool>(), near(-SPAN..2 * SPAN)).prop_map(
        |(things, (recorded, floor, held_rev, same), empty, now)| {
            let held = (!empty).then(|| Document {
                v: DOCUMENT_VERSION,
                scope: Scope::All,
                rev: if same { recorded } else { held_rev },
                issued_at: samples::at(0),
                commands: things
                    .iter()
                    .filter(|thing| thing.listed)
                    .map(|thing| thing.command.clone())
                    .collect(),
                stops: things
                    .iter()
                    .filter_map(|thing| Some(stop_of(&thing.command, thing.stopped?)))
                    .collect(),
            });
            let entry = |thing: &Thing| {
                let (with_command, stop, targets_left) = thing.known?;
                Some(Entry {
                    command: (with_command || stop.is_none()).then(|| thing.command.clone()),
                    key: key(&thing.command),
                    stop,
                    targets_left,
                })
            };
            let entries = things.iter().filter_map(entry).collect();
            let state = ScopeState {
                recorded,
                floor,
                entries,
            };
            Scene { held, state, now }
        },
    )
}

fn keys(document: Option<&Document>) -> BTreeSet<Key> {
    let commands = document.into_iter().flat_map(|d| &d.commands);
    commands.map(|c| (c.exec_id, c.attempt)).collect()
}

fn stops(document: Option<&Document>) -> BTreeMap<Key, StopAction> {
    let stops = document.into_iter().flat_map(|d| &d.stops);
    stops.map(|s| ((s.exec_id, s.attempt), s.action)).collect()
}

fn id(entry: &Entry) -> Key {
    (entry.key.exec_id, entry.key.attempt)
}

/// Takes over what the broker holds beyond the database, as a restored backend does.
fn take_over(scene: &Scene) -> Scene {
    let mut after = scene.clone();
    let Some(taken) = scene
        .held
        .as_ref()
        .and_then(|held| foreign(held, scene.state.recorded))
    else {
        return after;
    };
    let entries = &mut after.state.entries;
    for command in taken.commands {
        if !entries
            .iter()
            .any(|e| e.key.exec_id == command.exec_id && e.key.attempt == command.attempt)
        {
            entries.push(Entry {
                key: key(&command),
                command: Some(command),
                stop: None,
                targets_left: true,
            });
        }
    }
    for stop in taken.stops {
        let found = entries
            .iter_mut()
            .find(|e| e.key.exec_id == stop.exec_id && e.key.attempt == stop.attempt);
        if let Some(entry) = found {
            entry.stop = entry.stop.max(Some(stop.action));
            continue;
        }
        entries.push(Entry {
            command: None,
            key: EntryKey {
                exec_id: stop.exec_id,
                attempt: stop.attempt,
                reach: stop.reach,
                issued_at: stop.issued_at,
                deadline: stop.deadline,
                over_at: stop.until,
            },
            stop: Some(stop.action),
            targets_left: false,
        });
    }
    after.state.recorded = taken.rev;
    after
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn what_was_published_and_recorded_is_kept(scene in scene(), later in 0..3 * SPAN) {
        if let Some(publication) = check(&scene) {
            let mut after = scene.clone();
            after.state.recorded = publication.document.rev;
            after.held = Some(publication.document);
            prop_assert_eq!(check(&after), None);
            after.now += TimeDelta::seconds(later);
            prop_assert_eq!(check(&after), None, "time alone is no reason");
            for entry in &mut after.state.entries {
                entry.targets_left = false;
            }
            prop_assert_eq!(check(&after), None, "nor is tidying");
        }
    }

    #[test]
    fn a_rev_is_above_all_that_is_known_of(scene in scene()) {
        if let Some(Publication { document, .. }) = check(&scene) {
            prop_assert!(document.rev > scene.state.recorded);
            prop_assert!(document.rev > scene.state.floor);
            prop_assert!(scene.held.is_none_or(|held| document.rev > held.rev));
        }
    }

    #[test]
    fn a_rev_that_is_not_the_recorded_one_or_below_the_floor_is_replaced(scene in scene()) {
        let ScopeState { recorded, floor, .. } = scene.state;
        if scene.held.as_ref().is_some_and(|held| held.rev != recorded || held.rev < floor) {
            prop_assert!(check(&scene).is_some());
        }
    }

    #[test]
    fn what_has_expired_in_the_broker_is_no_reason_to_publish(
        mut scene in scene(),
        stopped in of(action()),
    ) {
        scene.state.floor = Rev(0);
        if let Some(publication) = check(&scene) {
            scene.state.recorded = publication.document.rev;
            scene.held = Some(publication.document);
        }
        let over = command((9, 1), (scene.now - samples::at(0)).num_seconds() - 600, 60);
        if let Some(held) = &mut scene.held {
            held.commands.push(over.clone());
            prop_assert_eq!(check(&scene), None, "nobody knows of it");
            scene.state.entries.push(Entry {
                key: key(&over),
                command: Some(over),
                stop: stopped,
                targets_left: true,
            });
            prop_assert_eq!(check(&scene), None);
        }
    }

    #[test]
    fn a_stopped_command_is_never_offered(scene in scene()) {
        let stopped: BTreeSet<Key> =
            scene.state.entries.iter().filter(|e| e.stop.is_some()).map(id).collect();
        let offered = offered(&scene);
        let live = offered.iter().flat_map(|d| &d.commands).filter(|c| c.deadline > scene.now);
        for command in live {
            prop_assert!(!stopped.contains(&(command.exec_id, command.attempt)));
        }
        if let Some(publication) = check(&scene) {
            let listed = keys(Some(&publication.document));
            prop_assert!(listed.is_disjoint(&stopped));
            let stops = stops(Some(&publication.document));
            prop_assert!(stops.keys().all(|key| !listed.contains(key)));
        }
    }

    #[test]
    fn every_live_stop_is_told(scene in scene()) {
        let told = stops(offered(&scene).as_ref());
        for entry in scene.state.entries.iter().filter(|e| e.key.over_at >= scene.now) {
            if let Some(action) = entry.stop {
                prop_assert!(told.get(&id(entry)) >= Some(&action), "{:?}", id(entry));
            }
        }
    }

    #[test]
    fn every_command_that_is_still_to_be_done_is_offered(scene in scene()) {
        let listed = keys(offered(&scene).as_ref());
        let wanted = scene.state.entries.iter().filter(|entry| {
            entry.stop.is_none() && entry.targets_left && entry.key.deadline > scene.now
        });
        for entry in wanted {
            prop_assert!(listed.contains(&id(entry)), "{:?}", id(entry));
        }
    }

    #[test]
    fn only_what_is_still_to_be_done_is_published(scene in scene()) {
        if let Some(Publication { document, expires_at }) = check(&scene) {
            for command in &document.commands {
                prop_assert!(command.deadline > scene.now, "nothing expired is listed");
                let key = (command.exec_id, command.attempt);
                let entry = scene.state.entries.iter().find(|entry| id(entry) == key);
                prop_assert!(entry.is_some_and(|entry| entry.targets_left));
                prop_assert!(expires_at >= command.over_at() + TimeDelta::hours(1));
            }
            for stop in &document.stops {
                prop_assert!(stop.until >= scene.now);
                prop_assert!(expires_at >= stop.until + TimeDelta::hours(1));
            }
            prop_assert_eq!(document.issued_at, scene.now);
            prop_assert!(expires_at > scene.now);
        }
    }

    #[test]
    fn what_nobody_knows_of_is_not_offered(scene in scene()) {
        let known: BTreeSet<Key> = scene.state.entries.iter().map(id).collect();
        let offered = offered(&scene);
        let live = offered.iter().flat_map(|d| &d.commands).filter(|c| c.deadline > scene.now);
        for command in live {
            prop_assert!(known.contains(&(command.exec_id, command.attempt)));
        }
    }

    #[test]
    fn a_foreign_document_gives_all_that_it_holds(scene in scene()) {
        if let Some(held) = &scene.held {
            let taken = foreign(held, scene.state.recorded);
            prop_assert_eq!(taken.is_some(), held.rev > scene.state.recorded);
            if let Some(taken) = taken {
                prop_assert_eq!(taken.rev, held.rev);
                prop_assert_eq!(&taken.stops, &held.stops);
                prop_assert_eq!(&taken.commands, &held.commands);
            }
        }
    }

    #[test]
    fn a_restored_database_brings_nothing_back_and_loses_nothing(scene in scene()) {
        let Some(before) = scene.held.clone().filter(|h| h.rev > scene.state.recorded) else {
            return Ok(());
        };
        let after = offered(&take_over(&scene)).unwrap();
        let (listed, told) = (keys(Some(&after)), stops(Some(&after)));
        for stop in before.stops.iter().filter(|stop| stop.until >= scene.now) {
            let key = (stop.exec_id, stop.attempt);
            prop_assert!(told.get(&key) >= Some(&stop.action), "a stop is lost: {:?}", key);
            prop_assert!(stop.deadline <= scene.now || !listed.contains(&key), "{:?}", key);
        }
        let ended = |key: &Key| {
            scene.state.entries.iter().any(|e| id(e) == *key && (e.stop.is_some() || !e.targets_left))
        };
        let told_before = stops(Some(&before));
        for command in before.commands.iter().filter(|command| command.deadline > scene.now) {
            let key = (command.exec_id, command.attempt);
            if !ended(&key) && !told_before.contains_key(&key) {
                prop_assert!(listed.contains(&key), "a command is lost: {:?}", key);
            }
        }
    }
}

#[test]
fn a_rev_at_the_end_of_numbers_is_survived() {
    let entry = Entry {
        command: Some(command((1, 1), 100, 60)),
        key: key(&command((1, 1), 100, 60)),
        stop: None,
        targets_left: true,
    };
    assert_eq!(entry.key.reach, Reach::Fixed);
    let state = ScopeState {
        recorded: Rev(7),
        floor: Rev(u64::MAX),
        entries: vec![entry],
    };
    let scene = Scene {
        held: None,
        state,
        now: samples::at(0),
    };
    assert_eq!(check(&scene).unwrap().document.rev, Rev(u64::MAX));
}

//! Counters of an exec are what a slow count of its targets gives, whatever happened to them.

use kanade_shared::api::execs::{ExecState, RetryRequest, StopRequest, TargetState};
use kanade_shared::id::ExecId;
use kanade_shared::wire::command::StopAction;
use kanade_shared::wire::result::{Outcome, Reason};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::stops::end;
use super::{World, everybody, pc};
use crate::fleet::rules;
use crate::store::intake::TargetRow;
use crate::store::tests::database::Engine;

const PCS: usize = 5;

#[derive(Debug, Clone)]
enum Happens {
    Admitted(usize),
    Started(usize),
    Ended(usize, Outcome),
    GivenUp(usize),
    Stop(StopAction),
    Retry,
}

fn happens() -> impl Strategy<Value = Happens> {
    let outcome = prop::sample::select(Outcome::ALL.to_vec());
    prop_oneof![
        (0..PCS).prop_map(Happens::Admitted),
        (0..PCS).prop_map(Happens::Started),
        ((0..PCS), outcome).prop_map(|(n, outcome)| Happens::Ended(n, outcome)),
        (0..PCS).prop_map(Happens::GivenUp),
        prop_oneof![Just(StopAction::Withdraw), Just(StopAction::Kill)].prop_map(Happens::Stop),
        Just(Happens::Retry),
    ]
}

async fn play(world: &World, exec_id: ExecId, step: &Happens) {
    let now = chrono::Utc::now();
    let on = |n: usize, change: &dyn Fn(&mut TargetRow), target: &mut TargetRow| {
        if target.pc_id == pc(n) {
            change(target);
        }
    };
    match step {
        Happens::Admitted(n) => {
            let admit = |target: &mut TargetRow| {
                rules::admit(target, now);
            };
            world.change(exec_id, |target| on(*n, &admit, target)).await;
        }
        Happens::Started(n) => {
            let start = |target: &mut TargetRow| {
                rules::start(target, now);
            };
            world.change(exec_id, |target| on(*n, &start, target)).await;
        }
        Happens::Ended(n, outcome) => {
            let end = |target: &mut TargetRow| {
                if target.state != TargetState::Ended || target.provisional {
                    end(target, *outcome);
                }
            };
            world.change(exec_id, |target| on(*n, &end, target)).await;
        }
        Happens::GivenUp(n) => {
            let give_up = |target: &mut TargetRow| {
                rules::give_up(target, Outcome::Expired, Reason::new("x", "late"), now);
            };
            world
                .change(exec_id, |target| on(*n, &give_up, target))
                .await;
        }
        Happens::Stop(action) => {
            let request = StopRequest {
                action: *action,
                reason: None,
            };
            world
                .fleet
                .exec_stop(exec_id, &request, &world.by)
                .await
                .unwrap();
        }
        Happens::Retry => {
            let request = RetryRequest {
                outcomes: vec![],
                deadline_s: None,
                reason: None,
            };
            // There may be nothing to try again.
            let _ = world
                .fleet
                .exec_retry(exec_id, &request, None, &world.by)
                .await;
        }
    }
}

async fn check(world: &World, exec_id: ExecId) {
    let exec = world.fleet.exec_fetch(exec_id).await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    let targets = tx.targets_current(exec_id).await.unwrap();
    let newest: Vec<&TargetRow> = targets.iter().filter(|target| target.newest).collect();
    let count = |state: TargetState| newest.iter().filter(|t| t.state == state).count() as u64;
    let counts = &exec.counts;
    assert_eq!(
        (counts.targets, newest.len()),
        (PCS as u64, PCS),
        "one newest for each PC"
    );
    assert_eq!(counts.pending, count(TargetState::Pending));
    assert_eq!(counts.admitted, count(TargetState::Admitted));
    assert_eq!(counts.running, count(TargetState::Running));
    for outcome in Outcome::ALL {
        let slow = newest.iter().filter(|t| t.outcome == Some(outcome)).count() as u64;
        assert_eq!(counts.of(outcome), slow, "{outcome:?}");
    }
    assert_eq!(exec.state == ExecState::Ended, counts.waiting() == 0);
}

fn counters_equal_a_slow_count_after_anything(engine: Engine) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::on(engine, PCS));
    let steps = prop::collection::vec(happens(), 1..25);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
    let held = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let exec_id = world.issue(everybody()).await.exec_id;
            for step in &steps {
                play(&world, exec_id, step).await;
                check(&world, exec_id).await;
            }
        });
        Ok(())
    });
    held.unwrap();
}

#[test]
fn counters_equal_a_slow_count_after_anything_on_sqlite() {
    counters_equal_a_slow_count_after_anything(Engine::Sqlite);
}

#[test]
fn counters_equal_a_slow_count_after_anything_on_postgres() {
    counters_equal_a_slow_count_after_anything(Engine::Postgres);
}

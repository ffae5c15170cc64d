//! The rules of commands under faults: any order, any loss, any repetition, any restart.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most operations are kept as they are"
)]

mod model;

use model::schedule::{Op, ops};
use model::world::World;
use proptest::prelude::*;

fn cases() -> u32 {
    std::env::var("KANADE_MODEL_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(600)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(
            proptest::test_runner::FileFailurePersistence::Direct("tests/it/model.regressions"),
        )),
        ..ProptestConfig::default()
    })]

    /// Plays a random schedule of faults, then lets everything heal, then counts.
    #[test]
    fn every_command_runs_at_most_once_and_ends_in_a_result(pcs in 1usize..=4, ops in ops()) {
        if let Err(violation) = play(pcs, &ops) {
            return Err(TestCaseError::fail(violation));
        }
    }
}

fn play(pcs: usize, ops: &[Op]) -> Result<(), String> {
    let mut world = World::new(pcs);
    for op in ops {
        world.apply(op)?;
    }
    world.settle()?;
    world.check()
}

#[test]
fn a_day_offline_with_five_commands_means_five_runs_in_order() {
    use model::schedule::Fault;
    let mut world = World::new(1);
    world.round().unwrap();
    world.apply(&Op::Fault(Fault::Offline, 0)).unwrap();
    for _ in 0..5 {
        world
            .apply(&Op::Post {
                open: false,
                all: false,
                pcs: 1,
                jitter_s: 0,
                deadline_s: 150,
                fails: false,
            })
            .unwrap();
        world.apply(&Op::PublishAll).unwrap();
        world.apply(&Op::Tick(3)).unwrap();
    }
    world.settle().unwrap();
    world.check().unwrap();
    assert_eq!(world.order_on(0).len(), 5 + 1, "five and the probe");
    assert!(world.order_on(0).is_sorted());
}

//! What waits for one PC.

use kanade_shared::api::execs::TargetState;
use kanade_shared::wire::result::Outcome;

use super::stops::end;
use super::{World, everybody, pc};
use crate::fleet::FleetError;

#[tokio::test]
async fn a_queue_has_what_its_pc_has_not_ended_oldest_first_with_why_and_until_when() {
    let world = World::of(2).await;
    let first = world.issue(everybody()).await;
    let ended = world.issue(everybody()).await;
    let last = world.issue(everybody()).await;
    world
        .change(ended.exec_id, |target| {
            if target.pc_id == pc(1) {
                end(target, Outcome::Ok);
            }
        })
        .await;

    let queue = world.fleet.agent_queue(&pc(1)).await.unwrap();
    let execs: Vec<_> = queue.iter().map(|entry| entry.exec_id).collect();
    assert_eq!(execs, [first.exec_id, last.exec_id]);
    let entry = &queue[0];
    assert_eq!(entry.deadline, first.deadline);
    assert_eq!(entry.title, first.title);
    assert_eq!(entry.target.pc_id, pc(1));
    assert_eq!(entry.target.state, TargetState::Pending);
    assert!(entry.target.why.is_some());
    assert_eq!(world.fleet.agent_queue(&pc(0)).await.unwrap().len(), 3);
}

#[tokio::test]
async fn there_is_no_queue_of_a_pc_that_nobody_knows() {
    let world = World::of(1).await;
    let error = world.fleet.agent_queue(&pc(7)).await.unwrap_err();
    assert!(matches!(error, FleetError::UnknownPc { .. }), "{error}");
}

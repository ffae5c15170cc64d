//! PCs whose own clock is wrong, or jumps: deadlines go by the fleet's clock all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;
use kanade_shared::api::agents::AgentView;
use kanade_shared::wire::result::Outcome;
use kanade_testkit::clock::WrongClock;
use kanade_testkit::fleet::{Fleet, exec, targets};
use kanade_testkit::wait;

const DAY_S: i64 = 86_400;
/// More than the time between two heartbeats, on a loaded machine.
const SOON: Duration = Duration::from_secs(90);

async fn fleet_with_clock(offset_s: i64) -> (Fleet, WrongClock) {
    let mut fleet = Fleet::start().await;
    let clock = WrongClock::new(fleet.folder(), offset_s);
    fleet.spawn_agent_in("pc-1", clock.environment());
    fleet.wait_until_live(&["pc-1"]).await;
    (fleet, clock)
}

async fn wait_until_skew_is(fleet: &Fleet, skew_s: i64) {
    wait::until("the PC's skew is shown", SOON, async || {
        let agent: AgentView = fleet.backend.get("agents/pc-1").await;
        agent
            .clock_skew_ms
            .is_some_and(|ms| (ms - skew_s * 1000).abs() < 60_000)
    })
    .await;
}

/// A minute's deadline holds, one that passed while the PC was off has passed, and the times of
/// the result are the fleet's.
async fn deadlines_hold(fleet: &mut Fleet, label: &str) {
    let before = Utc::now();
    let mut request = exec(fleet.counted(label, "echo done"), targets(&["pc-1"]));
    request.deadline_s = Some(60);
    let ran = fleet.backend.issue(&request).await.unwrap();
    let ended = fleet.backend.ended(ran.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
    let result = &fleet.backend.results(ran.exec_id).await[0];
    let started = result.started_at.expect("a run has a start");
    let off = |at: chrono::DateTime<Utc>| (at - before).num_seconds();
    assert!((-5..60).contains(&off(started)), "started {started}");
    assert_eq!(fleet.ran(label), BTreeMap::from([("pc-1".to_owned(), 1)]));
}

async fn what_expired_while_it_was_off_does_not_run(fleet: &mut Fleet) {
    fleet.pc("pc-1").stop().await;
    fleet.wait_until_offline("pc-1").await;
    let mut request = exec(fleet.counted("expired", ""), targets(&["pc-1"]));
    request.deadline_s = Some(1);
    let expired = fleet.backend.issue(&request).await.unwrap();
    let held = fleet.run(fleet.counted("held", ""), &["pc-1"]).await;
    wait::until("the deadline has passed", wait::LONG, async || {
        Utc::now() > expired.deadline
    })
    .await;
    fleet.agent("pc-1").await;
    let ended = fleet.backend.ended(expired.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Expired), 1, "{:?}", ended.counts);
    let ended = fleet.backend.ended(held.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
    assert!(fleet.ran("expired").is_empty(), "what expired did not run");
    assert_eq!(fleet.ran("held").len(), 1);
}

#[tokio::test]
async fn a_clock_a_day_ahead_expires_nothing_early() {
    let (mut fleet, _clock) = fleet_with_clock(DAY_S).await;
    wait_until_skew_is(&fleet, DAY_S).await;
    deadlines_hold(&mut fleet, "ahead").await;
    what_expired_while_it_was_off_does_not_run(&mut fleet).await;
}

#[tokio::test]
async fn a_clock_a_day_behind_runs_nothing_late() {
    let (mut fleet, _clock) = fleet_with_clock(-DAY_S).await;
    wait_until_skew_is(&fleet, -DAY_S).await;
    deadlines_hold(&mut fleet, "behind").await;
    what_expired_while_it_was_off_does_not_run(&mut fleet).await;
}

#[tokio::test]
async fn a_clock_that_jumps_changes_neither_a_run_nor_a_deadline() {
    let (mut fleet, clock) = fleet_with_clock(0).await;
    wait_until_skew_is(&fleet, 0).await;
    let go = fleet.folder().join("go");
    let more = format!("while [ ! -e '{}' ]; do sleep 0.02; done", go.display());
    let running = fleet.run(fleet.counted("running", &more), &["pc-1"]).await;
    wait::until("it runs", wait::LONG, async || {
        fleet.ran("running").len() == 1
    })
    .await;
    clock.set(DAY_S);
    deadlines_hold(&mut fleet, "jumped ahead").await;
    wait_until_skew_is(&fleet, DAY_S).await;
    clock.set(-DAY_S);
    deadlines_hold(&mut fleet, "jumped back").await;
    wait_until_skew_is(&fleet, -DAY_S).await;
    std::fs::write(&go, "").unwrap();
    let ended = fleet.backend.ended(running.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
    let result = &fleet.backend.results(running.exec_id).await[0];
    let took = result.ended_at - result.started_at.unwrap();
    assert!(
        (0..600).contains(&took.num_seconds()),
        "a run's length is not its clock's jump: {took}"
    );
    assert_eq!(fleet.ran("running").len(), 1);
}

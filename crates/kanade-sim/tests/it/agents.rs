//! What real agents do, simulated ones do.

use kanade_shared::api::system::SystemView;
use kanade_shared::wire::command::StopAction;
use kanade_shared::wire::result::Outcome;
use kanade_testkit::fleet::{Fleet, script};
use kanade_testkit::wait;

use crate::sim::{Sim, WITHIN, run_on_all};

#[tokio::test]
async fn they_take_an_exec_and_the_next_one_after_the_broker_was_killed() {
    let fleet = Fleet::start().await;
    let sim = Sim::up(&fleet, "sim", 40, &[]).await;
    assert_eq!(run_on_all(&fleet).await.counts.of(Outcome::Ok), 40);
    fleet.backend.kill9_broker();
    let exec = wait::some("an exec is taken", WITHIN, async || {
        let request =
            kanade_testkit::fleet::exec(script("true"), kanade_testkit::fleet::targets(&["all"]));
        fleet.backend.issue(&request).await.ok()
    })
    .await;
    let ended = fleet.backend.ended(exec.exec_id, WITHIN).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 40);
    let text = sim.stop().await;
    assert!(text.contains("80 acknowledged"), "{text}");
}

#[tokio::test]
async fn pcs_that_come_and_go_catch_up_once_each() {
    let fleet = Fleet::start().await;
    let roaming = [
        "--roaming",
        "100%",
        "--there",
        "500ms..2s",
        "--away",
        "200ms..1s",
        "--crashes",
        "50%",
    ];
    let _sim = Sim::start(&fleet, "sim", 30, &roaming);
    wait::until("all PCs are enrolled", WITHIN, async || {
        fleet.backend.get::<SystemView>("system").await.agents == 30
    })
    .await;
    let mut execs = Vec::new();
    for _ in 0..5 {
        execs.push(fleet.run(script("true"), &["all"]).await.exec_id);
    }
    for exec in execs {
        let ended = fleet.backend.ended(exec, WITHIN).await;
        assert_eq!(ended.counts.of(Outcome::Ok), 30, "{:?}", ended.counts);
        assert_eq!(fleet.backend.results(exec).await.len(), 30);
    }
}

#[tokio::test]
async fn a_run_in_progress_is_killed_where_an_operator_says_so() {
    let fleet = Fleet::start().await;
    let _sim = Sim::up(&fleet, "sim", 5, &["--run-time", "10m"]).await;
    let exec = fleet.run(script("true"), &["all"]).await;
    wait::until("all run", WITHIN, async || {
        fleet.backend.exec(exec.exec_id).await.counts.running == 5
    })
    .await;
    fleet
        .backend
        .stop_exec(exec.exec_id, StopAction::Kill)
        .await;
    let ended = fleet.backend.ended(exec.exec_id, WITHIN).await;
    assert_eq!(ended.counts.of(Outcome::Killed), 5, "{:?}", ended.counts);
}

#[tokio::test]
async fn a_script_that_rides_apart_and_output_that_rides_apart_arrive() {
    let fleet = Fleet::start().await;
    let _sim = Sim::up(&fleet, "sim", 3, &["--output-size", "300KiB"]).await;
    let long = format!("true\n# {}", "x".repeat(20_000));
    let exec = fleet.run(script(&long), &["all"]).await;
    let ended = fleet.backend.ended(exec.exec_id, WITHIN).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 3, "{:?}", ended.counts);
    for result in fleet.backend.results(exec.exec_id).await {
        assert_eq!(result.stdout.stored_bytes, 300 * 1024);
    }
}

//! The database or the broker's store is deleted, or put back from an older copy.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kanade_shared::api::execs::{ExecRequest, ExecView};
use kanade_shared::wire::command::{Reach, StopAction};
use kanade_shared::wire::result::Outcome;
use kanade_testkit::database::Engine;
use kanade_testkit::fleet::{Fleet, exec, targets};
use kanade_testkit::{on_both, wait};

const SOON: Duration = Duration::from_secs(120);

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A live exec to PCs of which one is off, a finished one, a killed one and a withdrawn one.
struct Scene {
    live: ExecView,
    finished: ExecView,
    killed: ExecView,
    withdrawn: ExecView,
}

async fn issue(fleet: &Fleet, label: &str, more: &str, pcs: &[&str]) -> ExecView {
    let request: ExecRequest = exec(fleet.counted(label, more), targets(pcs));
    fleet.backend.issue(&request).await.unwrap()
}

/// Issued before a copy is taken: what is live and what will be stopped.
async fn before_the_copy(fleet: &mut Fleet) -> (ExecView, ExecView, ExecView) {
    fleet.agents(2).await;
    fleet.pc("pc-2").stop().await;
    fleet.wait_until_offline("pc-2").await;
    let live = issue(fleet, "live", "", &["all"]).await;
    let killed = issue(fleet, "killed", "", &["pc-2"]).await;
    let withdrawn = issue(fleet, "withdrawn", "", &["pc-2"]).await;
    wait::until("the one that is on ran", wait::LONG, async || {
        fleet.ran("live").len() == 1
    })
    .await;
    (live, killed, withdrawn)
}

async fn after_the_copy(
    fleet: &mut Fleet,
    (live, killed, withdrawn): (ExecView, ExecView, ExecView),
) -> Scene {
    fleet
        .backend
        .stop_exec(killed.exec_id, StopAction::Kill)
        .await;
    fleet
        .backend
        .stop_exec(withdrawn.exec_id, StopAction::Withdraw)
        .await;
    let finished = issue(fleet, "finished", "", &["pc-1"]).await;
    fleet.backend.ended(finished.exec_id, SOON).await;
    // The stops are with the broker before anything is lost.
    let broker = fleet.backend.broker().await;
    let js = async_nats::jetstream::new(broker);
    let stream = js.get_stream("EXEC").await.unwrap();
    wait::until("the stops are published", wait::LONG, async || {
        let message = stream.direct_get_last_for_subject("commands.pc.pc-2").await;
        message.is_ok_and(|message| {
            let document: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            document["stops"]
                .as_array()
                .is_some_and(|stops| stops.len() == 2)
        })
    })
    .await;
    Scene {
        live,
        finished,
        killed,
        withdrawn,
    }
}

/// The PC that was off comes back: it runs what is live, once, and nothing that was stopped.
async fn comes_out_right(fleet: &mut Fleet, scene: &Scene) {
    fleet.agent("pc-2").await;
    wait::until(
        "the PC that was off ran what is live",
        wait::LONG * 2,
        async || fleet.ran("live").len() == 2,
    )
    .await;
    let probe = issue(fleet, "probe", "", &["all"]).await;
    let ended = fleet.backend.ended(probe.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 2, "{:?}", ended.counts);
    let both = BTreeMap::from([("pc-1".to_owned(), 1), ("pc-2".to_owned(), 1)]);
    assert_eq!(fleet.ran("live"), both, "live execs run once everywhere");
    assert_eq!(
        fleet.ran("finished").values().sum::<usize>(),
        1,
        "what had finished did not run again"
    );
    assert!(fleet.ran("killed").is_empty(), "what was killed came back");
    assert!(
        fleet.ran("withdrawn").is_empty(),
        "what was withdrawn came back"
    );
    let live = fleet.backend.ended(scene.live.exec_id, SOON).await;
    assert_eq!(live.counts.of(Outcome::Ok), 2, "{:?}", live.counts);
}

async fn an_older_copy_of_the_database_learns_from_the_broker_what_it_missed(engine: Engine) {
    let mut fleet = Fleet::start_with_database(engine).await;
    let issued = before_the_copy(&mut fleet).await;
    fleet.backend.stop().await;
    let copy = fleet.folder().join("copy");
    fleet.copy_database(&copy).await;
    fleet.backend.start_again().await;
    fleet.wait_until_live(&["pc-1"]).await;
    let scene = after_the_copy(&mut fleet, issued).await;
    fleet.backend.stop().await;
    fleet.restore_database(&copy).await;
    fleet.backend.start_again().await;
    comes_out_right(&mut fleet, &scene).await;
    assert!(
        fleet
            .backend
            .exec(scene.killed.exec_id)
            .await
            .stop
            .is_some(),
        "the kill is known again"
    );
    assert!(
        fleet
            .backend
            .exec(scene.withdrawn.exec_id)
            .await
            .stop
            .is_some()
    );
    let finished = fleet.backend.ended(scene.finished.exec_id, SOON).await;
    assert_eq!(
        finished.counts.of(Outcome::Ok),
        1,
        "what finished after the copy is known again"
    );
}

async fn a_new_database_rebuilds_itself_from_the_broker_and_revokes_nothing(engine: Engine) {
    let mut fleet = Fleet::start_with_database(engine).await;
    let issued = before_the_copy(&mut fleet).await;
    let scene = after_the_copy(&mut fleet, issued).await;
    fleet.backend.stop().await;
    fleet.delete_database().await;
    fleet.backend.start_again().await;
    comes_out_right(&mut fleet, &scene).await;
    let agents = fleet.backend.agents().await;
    assert_eq!(agents.len(), 2, "PCs are known again");
}

async fn a_wiped_broker_gets_its_documents_back(engine: Engine) {
    let mut fleet = Fleet::start_with_database(engine).await;
    let issued = before_the_copy(&mut fleet).await;
    let scene = after_the_copy(&mut fleet, issued).await;
    fleet.backend.stop().await;
    std::fs::remove_dir_all(fleet.backend.broker_store()).unwrap();
    fleet.backend.start_again().await;
    comes_out_right(&mut fleet, &scene).await;
    assert_eq!(
        fleet
            .backend
            .exec(scene.finished.exec_id)
            .await
            .counts
            .of(Outcome::Ok),
        1
    );
}

async fn an_older_copy_of_the_broker_is_noticed_and_brought_up_to_date(engine: Engine) {
    let mut fleet = Fleet::start_with_database(engine).await;
    let issued = before_the_copy(&mut fleet).await;
    fleet.backend.stop().await;
    let (store, copy) = (fleet.backend.broker_store(), fleet.folder().join("copy"));
    copy_tree(&store, &copy);
    fleet.backend.start_again().await;
    fleet.wait_until_live(&["pc-1"]).await;
    let scene = after_the_copy(&mut fleet, issued).await;
    fleet.backend.stop().await;
    std::fs::remove_dir_all(&store).unwrap();
    copy_tree(&copy, &store);
    fleet.backend.start_again().await;
    comes_out_right(&mut fleet, &scene).await;
}

async fn an_open_exec_survives_a_new_database(engine: Engine) {
    let mut fleet = Fleet::start_with_database(engine).await;
    fleet.agent("pc-1").await;
    let mut request = exec(fleet.counted("open", ""), targets(&["all"]));
    request.reach = Some(Reach::Open);
    fleet.backend.issue(&request).await.unwrap();
    wait::until("it ran", wait::LONG, async || fleet.ran("open").len() == 1).await;
    fleet.backend.stop().await;
    fleet.delete_database().await;
    fleet.backend.start_again().await;
    fleet.agent("pc-2").await;
    wait::until("the late PC ran it, too", wait::LONG * 2, async || {
        fleet.ran("open").len() == 2
    })
    .await;
    assert!(fleet.ran("open").values().all(|runs| *runs == 1));
}

on_both!(
    an_older_copy_of_the_database_learns_from_the_broker_what_it_missed,
    a_new_database_rebuilds_itself_from_the_broker_and_revokes_nothing,
    a_wiped_broker_gets_its_documents_back,
    an_older_copy_of_the_broker_is_noticed_and_brought_up_to_date,
    an_open_exec_survives_a_new_database,
);

//! An agent dies before, during and after a run, or loses what it remembers.

use std::collections::BTreeMap;
use std::time::Duration;

use kanade_shared::api::execs::TargetState;
use kanade_shared::api::system::SystemView;
use kanade_shared::wire::result::Outcome;
use kanade_testkit::agent::Agent;
use kanade_testkit::fleet::{Fleet, exec, targets};
use kanade_testkit::wait;

const SOON: Duration = Duration::from_secs(60);

fn once(pc: &str) -> BTreeMap<String, usize> {
    BTreeMap::from([(pc.to_owned(), 1)])
}

#[tokio::test]
async fn killed_during_a_run_it_reports_interrupted_and_nothing_of_the_run_lives_on() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    let alive = fleet.folder().join("alive");
    // One child in the run's group, and one that left it.
    let text = format!(
        "beat() {{ while true; do date >> '{0}'.$1; sleep 0.05; done; }}\n\
         beat group & setsid sh -c 'while true; do date >> \"{0}\".session; sleep 0.05; done' &\nsleep 600",
        alive.display()
    );
    let exec = fleet.run(fleet.counted("long", &text), &["pc-1"]).await;
    let size = |which: &str| {
        std::fs::metadata(format!("{}.{which}", alive.display())).map_or(0, |file| file.len())
    };
    wait::until("both children beat", wait::LONG, async || {
        size("group") > 0 && size("session") > 0
    })
    .await;
    fleet.pc("pc-1").kill9();
    fleet.agent("pc-1").await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(
        ended.counts.of(Outcome::Interrupted),
        1,
        "{:?}",
        ended.counts
    );
    assert_eq!(
        fleet.ran("long"),
        once("pc-1"),
        "an interrupted run is not repeated"
    );
    let before = (size("group"), size("session"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((size("group"), size("session")), before, "a child lives on");
}

#[tokio::test]
async fn killed_before_the_start_it_runs_once_when_it_is_back() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    let mut request = exec(fleet.counted("spread", ""), targets(&["pc-1"]));
    request.jitter_s = Some(6);
    let exec = fleet.backend.issue(&request).await.unwrap();
    wait::until("the PC has it", wait::LONG, async || {
        fleet.backend.targets(exec.exec_id).await[0].state >= TargetState::Admitted
    })
    .await;
    fleet.pc("pc-1").kill9();
    fleet.agent("pc-1").await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    let outcome = (
        ended.counts.of(Outcome::Ok),
        ended.counts.of(Outcome::Interrupted),
    );
    // Its jitter may have been so short that it was killed during the run; never twice.
    assert!(outcome == (1, 0) || outcome == (0, 1), "{:?}", ended.counts);
    assert_eq!(
        fleet.ran("spread").get("pc-1").copied().unwrap_or(0) as u64,
        outcome.0.max(fleet.ran("spread").len() as u64)
    );
}

#[tokio::test]
async fn killed_after_a_run_whose_result_could_not_be_sent_it_sends_it_later() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    let go = fleet.folder().join("go");
    let text = format!(
        "while [ ! -e '{}' ]; do sleep 0.02; done; echo done",
        go.display()
    );
    let exec = fleet.run(fleet.counted("slow", &text), &["pc-1"]).await;
    wait::until("it runs", wait::LONG, async || fleet.ran("slow").len() == 1).await;
    fleet.backend.stop().await;
    std::fs::write(&go, "").unwrap();
    let outbox = fleet.pc("pc-1").data().join("outbox");
    wait::until("the result waits on the disk", wait::LONG, async || {
        let files = std::fs::read_dir(&outbox).into_iter().flatten().flatten();
        let mut names = files.map(|file| file.file_name());
        names.any(|name| name.to_string_lossy().ends_with(".json"))
    })
    .await;
    fleet.pc("pc-1").kill9();
    fleet.backend.start_again().await;
    fleet.agent("pc-1").await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
    assert_eq!(fleet.ran("slow"), once("pc-1"));
    assert_eq!(
        fleet.backend.results(exec.exec_id).await[0].stdout.head,
        "done\n"
    );
}

#[tokio::test]
async fn an_agent_that_lost_its_journal_runs_nothing_twice_and_still_runs_what_is_new() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    // Open, so that the document still lists it when the journal is gone.
    let mut request = exec(fleet.counted("before", ""), targets(&["all"]));
    request.reach = Some(kanade_shared::wire::command::Reach::Open);
    let before = fleet.backend.issue(&request).await.unwrap();
    wait::until("it has ended", wait::LONG, async || {
        fleet
            .backend
            .exec(before.exec_id)
            .await
            .counts
            .of(Outcome::Ok)
            == 1
    })
    .await;
    fleet.pc("pc-1").stop().await;
    fleet.wait_until_offline("pc-1").await;
    let missed = fleet.run(fleet.counted("missed", ""), &["pc-1"]).await;
    std::fs::remove_dir_all(fleet.pc("pc-1").data().join("journal")).unwrap();
    fleet.agent("pc-1").await;
    fleet.backend.ended(missed.exec_id, SOON).await;
    let after = fleet.run(fleet.counted("after", ""), &["all"]).await;
    fleet.backend.ended(after.exec_id, SOON).await;
    assert_eq!(
        fleet.ran("before"),
        once("pc-1"),
        "what had run did not run again"
    );
    assert_eq!(
        fleet.ran("missed"),
        once("pc-1"),
        "what nobody ever heard of ran"
    );
    assert_eq!(fleet.ran("after"), once("pc-1"));
    assert_eq!(
        fleet
            .backend
            .exec(before.exec_id)
            .await
            .counts
            .of(Outcome::Ok),
        1
    );
}

#[tokio::test]
async fn the_second_agent_with_an_id_runs_nothing_until_the_first_is_gone() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    let elsewhere = fleet.folder().join("another-pc");
    std::fs::create_dir(&elsewhere).unwrap();
    let mut rival = Agent::start("pc-1", &elsewhere, &fleet.backend.join_file());
    wait::until("the collision is told", wait::LONG, async || {
        let system: SystemView = fleet.backend.get("system").await;
        system.findings.iter().any(|f| f.code == "pc.collision")
    })
    .await;
    let both = fleet.run(fleet.counted("both", "sleep 1"), &["pc-1"]).await;
    let ended = fleet.backend.ended(both.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
    assert_eq!(fleet.ran("both"), once("pc-1"));
    assert!(rival.runs(), "it waits for its id");

    fleet.pc("pc-1").kill9();
    let next = fleet.run(fleet.counted("next", ""), &["pc-1"]).await;
    let ended = fleet.backend.ended(next.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
    assert_eq!(fleet.ran("next"), once("pc-1"));
    assert_eq!(
        fleet.ran("both"),
        once("pc-1"),
        "what it heard of is not repeated"
    );
}

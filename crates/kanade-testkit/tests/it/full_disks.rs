//! No room on the disk of an agent, of the database or of the broker: a clear state, nothing lost,
//! and it goes on by itself when there is room.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kanade_shared::api::agents::AgentView;
use kanade_shared::api::execs::{ExecView, TargetState};
use kanade_shared::wire::result::Outcome;
use kanade_testkit::disk::{SmallDisk, with_own_mounts};
use kanade_testkit::fleet::{Fleet, exec, targets};
use kanade_testkit::wait;

const MIB: u64 = 1024 * 1024;
/// More than the time between two heartbeats, on a loaded machine.
const SOON: Duration = Duration::from_secs(90);

fn once(pcs: &[&str]) -> BTreeMap<String, usize> {
    pcs.iter().map(|pc| ((*pc).to_owned(), 1)).collect()
}

/// A script that waits for a file, so that the test decides when it ends.
fn until_told(go: &Path, more: &str) -> String {
    let go = go.display();
    format!("while [ ! -e '{go}' ]; do sleep 0.02; done\n{more}")
}

/// Larger than what a database or a journal may have room for by chance.
const MUCH_OUTPUT: &str = "head -c 150000 /dev/zero | tr '\\0' x";

async fn blocked(fleet: &Fleet, pc_id: &str) -> Option<String> {
    let agent: AgentView = fleet.backend.get(&format!("agents/{pc_id}")).await;
    agent.blocked
}

async fn wait_until_blocked(fleet: &Fleet, pc_id: &str) -> String {
    wait::some("the PC says why it takes nothing", SOON, async || {
        blocked(fleet, pc_id).await
    })
    .await
}

async fn fleet_with_full_agent() -> (Fleet, SmallDisk) {
    let mut fleet = Fleet::start().await;
    let data = fleet.folder().join("agent-pc-1");
    let disk = SmallDisk::mount(&data, 64 * MIB);
    fleet.agent("pc-1").await;
    (fleet, disk)
}

#[test]
fn a_pc_without_room_starts_nothing_says_why_and_goes_on_by_itself() {
    with_own_mounts(async {
        let (fleet, disk) = fleet_with_full_agent().await;
        disk.fill();
        let first = fleet.run(fleet.counted("first", ""), &["pc-1"]).await;
        let second = fleet.run(fleet.counted("second", ""), &["all"]).await;
        let why = wait_until_blocked(&fleet, "pc-1").await;
        assert!(
            why.contains("room") || why.contains("space"),
            "what is missing is said: {why}"
        );
        wait::until("the target says why it waits", SOON, async || {
            let target = &fleet.backend.targets(first.exec_id).await[0];
            let code = target.why.as_ref().map(|reason| reason.code.as_str());
            target.state == TargetState::Pending && code == Some("pc.blocked")
        })
        .await;
        assert!(fleet.ran("first").is_empty() && fleet.ran("second").is_empty());
        disk.give_room();
        for exec in [&first, &second] {
            let ended = fleet.backend.ended(exec.exec_id, SOON).await;
            assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
        }
        assert_eq!(fleet.ran("first"), once(&["pc-1"]));
        assert_eq!(fleet.ran("second"), once(&["pc-1"]));
        wait::until("nothing is in the way any more", SOON, async || {
            blocked(&fleet, "pc-1").await.is_none()
        })
        .await;
    });
}

#[test]
fn a_result_that_finds_no_room_is_kept_until_there_is_some() {
    with_own_mounts(async {
        let (fleet, disk) = fleet_with_full_agent().await;
        let go = fleet.folder().join("go");
        let more = until_told(&go, MUCH_OUTPUT);
        let running = fleet.run(fleet.counted("running", &more), &["pc-1"]).await;
        wait::until("it runs", wait::LONG, async || {
            fleet.ran("running").len() == 1
        })
        .await;
        disk.fill();
        std::fs::write(&go, "").unwrap();
        wait_until_blocked(&fleet, "pc-1").await;
        let next = fleet.run(fleet.counted("next", ""), &["pc-1"]).await;
        wait::until("the next one waits", SOON, async || {
            let target = &fleet.backend.targets(next.exec_id).await[0];
            let code = target.why.as_ref().map(|reason| reason.code.as_str());
            code == Some("pc.blocked")
        })
        .await;
        assert!(fleet.ran("next").is_empty(), "nothing starts without room");
        disk.give_room();
        let ended = fleet.backend.ended(running.exec_id, SOON).await;
        assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
        let result = &fleet.backend.results(running.exec_id).await[0];
        assert_eq!(result.stdout.total_bytes, 150_000, "the output is whole");
        fleet.backend.ended(next.exec_id, SOON).await;
        assert_eq!(fleet.ran("running"), once(&["pc-1"]));
        assert_eq!(fleet.ran("next"), once(&["pc-1"]));
    });
}

#[test]
fn results_that_wait_on_a_full_disk_are_sent_and_survive_a_crash_there() {
    with_own_mounts(async {
        let (mut fleet, disk) = fleet_with_full_agent().await;
        let go = fleet.folder().join("go");
        let more = until_told(&go, "echo done");
        let exec = fleet.run(fleet.counted("before", &more), &["pc-1"]).await;
        wait::until("it runs", wait::LONG, async || {
            fleet.ran("before").len() == 1
        })
        .await;
        fleet.backend.stop().await;
        std::fs::write(&go, "").unwrap();
        let outbox = fleet.pc("pc-1").data().join("outbox");
        wait::until("the result waits on the disk", wait::LONG, async || {
            let files = std::fs::read_dir(&outbox).unwrap();
            files
                .flatten()
                .any(|file| file.path().extension().is_some_and(|e| e == "json"))
        })
        .await;
        disk.fill();
        fleet.pc("pc-1").kill9();
        fleet.backend.start_again().await;
        fleet.agent("pc-1").await;
        let ended = fleet.backend.ended(exec.exec_id, SOON).await;
        assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
        disk.give_room();
        let after = fleet.run(fleet.counted("after", ""), &["pc-1"]).await;
        fleet.backend.ended(after.exec_id, SOON).await;
        assert_eq!(fleet.ran("before"), once(&["pc-1"]));
        assert_eq!(fleet.ran("after"), once(&["pc-1"]));
    });
}

/// Issues large scripts to a PC until the API refuses one; gives those that it took.
async fn issue_until_refused(
    fleet: &Fleet,
    pc_id: &str,
) -> (Vec<ExecView>, kanade_testkit::backend::Refused) {
    let mut taken = Vec::new();
    // A disk has a few pages left here and there.
    for n in 0..200 {
        // Each of its own, so that no body is shared.
        let padding = format!("# {n} {}", "x".repeat(30_000));
        let run = fleet.counted("filling", &padding);
        match fleet.backend.issue(&exec(run, targets(&[pc_id]))).await {
            Ok(view) => taken.push(view),
            Err(refused) => return (taken, refused),
        }
    }
    panic!("a full database took 6 MB");
}

#[test]
fn a_database_without_room_says_so_and_loses_nothing() {
    with_own_mounts(async {
        let mut disk = None;
        let mut fleet = Fleet::start_on(|folder| {
            let place = folder.join("database");
            disk = Some(SmallDisk::mount(&place, 256 * MIB));
            let config = folder.join("backend.toml");
            let url = format!("sqlite:{}", place.join("kanade.db").display());
            std::fs::write(&config, format!("[database]\nurl = \"{url}\"\n")).unwrap();
            vec!["--config".to_owned(), config.display().to_string()]
        })
        .await;
        let disk = disk.unwrap();
        fleet.agents(3).await;
        let go = fleet.folder().join("go");
        let more = until_told(&go, MUCH_OUTPUT);
        let running = fleet.run(fleet.counted("running", &more), &["all"]).await;
        wait::until("it runs everywhere", wait::LONG, async || {
            fleet.ran("running").len() == 3
        })
        .await;
        disk.fill();
        let (taken, refused) = issue_until_refused(&fleet, "pc-1").await;
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (503, "store.full"),
            "{refused:?}"
        );
        std::fs::write(&go, "").unwrap();
        // The first results may find a page that was free; all three never do.
        wait::until("the backend says what is wrong", SOON, async || {
            let url = format!("{}/readyz", fleet.backend.url());
            let answer = reqwest::get(url).await.unwrap();
            answer.text().await.unwrap().contains("database is full")
        })
        .await;
        let now = fleet.backend.exec(running.exec_id).await;
        assert!(now.counts.of(Outcome::Ok) < 3, "{:?}", now.counts);
        disk.give_room();
        let ended = fleet.backend.ended(running.exec_id, SOON).await;
        assert_eq!(ended.counts.of(Outcome::Ok), 3, "{:?}", ended.counts);
        for result in fleet.backend.results(running.exec_id).await {
            assert_eq!(result.stdout.total_bytes, 150_000);
        }
        for exec in &taken {
            fleet.backend.ended(exec.exec_id, SOON).await;
        }
        let after = fleet.run(fleet.counted("after", ""), &["all"]).await;
        fleet.backend.ended(after.exec_id, SOON).await;
        let all = ["pc-1", "pc-2", "pc-3"];
        assert_eq!(fleet.ran("running"), once(&all));
        assert_eq!(fleet.ran("after"), once(&all));
        let filled = fleet.ran("filling").values().sum::<usize>();
        assert_eq!(filled, taken.len(), "what was refused left nothing behind");
    });
}

#[test]
fn a_broker_without_room_leaves_results_with_the_pcs_until_there_is_some() {
    with_own_mounts(async {
        let mut disk = None;
        let mut fleet = Fleet::start_on(|folder| {
            let place = folder.join("backend").join("broker");
            disk = Some(SmallDisk::mount(&place, 4096 * MIB));
            Vec::new()
        })
        .await;
        let disk = disk.unwrap();
        fleet.agents(3).await;
        let go = fleet.folder().join("go");
        let more = until_told(&go, MUCH_OUTPUT);
        let running = fleet.run(fleet.counted("running", &more), &["all"]).await;
        wait::until("it runs everywhere", wait::LONG, async || {
            fleet.ran("running").len() == 3
        })
        .await;
        disk.fill();
        std::fs::write(&go, "").unwrap();
        wait::until("results wait with the PCs", SOON, async || {
            let outbox = |pc: &str| fleet.folder().join(format!("agent-{pc}")).join("outbox");
            ["pc-1", "pc-2", "pc-3"].iter().all(|pc| {
                std::fs::read_dir(outbox(pc)).is_ok_and(|mut files| files.next().is_some())
            })
        })
        .await;
        // Taken by the API and the database; it reaches the PCs when the broker can store it.
        let padding = format!("# {}", "x".repeat(30_000));
        let later = fleet.run(fleet.counted("later", &padding), &["all"]).await;
        wait::until("the backend says what is wrong", SOON, async || {
            let url = format!("{}/readyz", fleet.backend.url());
            let answer = reqwest::get(url).await.unwrap();
            let text = answer.text().await.unwrap();
            text.contains("broker.full")
        })
        .await;
        let now = fleet.backend.exec(running.exec_id).await;
        assert_eq!(now.counts.of(Outcome::Ok), 0, "{:?}", now.counts);
        disk.give_room();
        let ended = fleet.backend.ended(running.exec_id, SOON).await;
        assert_eq!(ended.counts.of(Outcome::Ok), 3, "{:?}", ended.counts);
        let ended = fleet.backend.ended(later.exec_id, SOON).await;
        assert_eq!(ended.counts.of(Outcome::Ok), 3, "{:?}", ended.counts);
        let all = ["pc-1", "pc-2", "pc-3"];
        assert_eq!(fleet.ran("running"), once(&all));
        assert_eq!(fleet.ran("later"), once(&all));
    });
}

//! The stream of commands near its cap: refused at the door, and nothing that was taken is lost.

use std::time::Duration;

use kanade_shared::api::execs::{ExecRequest, ExecView};
use kanade_shared::wire::command::StopAction;
use kanade_shared::wire::result::Outcome;
use kanade_testkit::backend::Refused;
use kanade_testkit::fleet::{Fleet, exec, targets};
use kanade_testkit::wait;

const SOON: Duration = Duration::from_secs(90);

/// A fleet whose stream of commands holds 1 MiB, with a PC that is off.
async fn small_fleet() -> Fleet {
    let mut fleet = Fleet::start_on(|folder| {
        let config = folder.join("backend.toml");
        std::fs::write(&config, "[broker]\ncap_scale = 0.01\n").unwrap();
        vec!["--config".to_owned(), config.display().to_string()]
    })
    .await;
    fleet.agent("pc-1").await;
    fleet.pc("pc-1").stop().await;
    fleet.wait_until_offline("pc-1").await;
    fleet
}

/// A script of 100 KB, which goes as a body of its own.
fn large(fleet: &Fleet, n: usize) -> ExecRequest {
    let padding: String = (0..2_000)
        .map(|line| format!("# {n} {line:040}\n"))
        .collect();
    exec(
        fleet.counted(&format!("large-{n}"), &padding),
        targets(&["pc-1"]),
    )
}

/// Issues large execs until one is refused.
async fn issue_until_refused(fleet: &Fleet) -> (Vec<ExecView>, Refused) {
    let mut taken = Vec::new();
    for n in 0..100 {
        match fleet.backend.issue(&large(fleet, n)).await {
            Ok(exec) => taken.push(exec),
            Err(refused) => return (taken, refused),
        }
    }
    panic!("10 MB of commands were taken for a stream of 1 MiB");
}

async fn execs(fleet: &Fleet) -> usize {
    fleet.backend.all::<ExecView>("execs").await.len()
}

#[tokio::test]
async fn near_its_cap_execs_are_refused_at_the_door_and_what_was_taken_runs() {
    let mut fleet = small_fleet().await;
    let (taken, refused) = issue_until_refused(&fleet).await;
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (409, "exec.full"),
        "{refused:?}"
    );
    assert!(refused.title.contains("bytes in the broker"), "{refused:?}");
    assert!(taken.len() >= 2, "room was used before any was refused");
    assert_eq!(
        execs(&fleet).await,
        taken.len(),
        "what was refused left nothing behind"
    );
    fleet.agent("pc-1").await;
    for (n, exec) in taken.iter().enumerate() {
        let ended = fleet.backend.ended(exec.exec_id, SOON).await;
        assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
        assert_eq!(fleet.ran(&format!("large-{n}")).values().sum::<usize>(), 1);
    }
}

#[tokio::test]
async fn many_at_once_do_not_slip_past_the_cap() {
    let mut fleet = small_fleet().await;
    let requests: Vec<ExecRequest> = (0..40).map(|n| large(&fleet, n)).collect();
    let issued = requests.iter().map(|request| fleet.backend.issue(request));
    let answers = futures::future::join_all(issued).await;
    let taken: Vec<(usize, ExecView)> = answers
        .into_iter()
        .enumerate()
        .filter_map(|(n, answer)| match answer {
            Ok(exec) => Some((n, exec)),
            Err(refused) => {
                assert_eq!(refused.code, "exec.full", "{refused:?}");
                None
            }
        })
        .collect();
    assert!(
        !taken.is_empty() && taken.len() < 11,
        "{} of 100 KB in 1 MiB",
        taken.len()
    );
    fleet.agent("pc-1").await;
    for (n, exec) in &taken {
        let ended = fleet.backend.ended(exec.exec_id, SOON).await;
        assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
        assert_eq!(fleet.ran(&format!("large-{n}")).values().sum::<usize>(), 1);
    }
}

#[tokio::test]
async fn when_what_filled_it_has_ended_new_execs_are_taken_again() {
    let mut fleet = small_fleet().await;
    let (taken, _) = issue_until_refused(&fleet).await;
    for exec in &taken {
        fleet
            .backend
            .stop_exec(exec.exec_id, StopAction::Withdraw)
            .await;
    }
    let again = large(&fleet, 1000);
    let exec = wait::some("there is room again", SOON, async || {
        fleet.backend.issue(&again).await.ok()
    })
    .await;
    fleet.agent("pc-1").await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
    assert_eq!(fleet.ran("large-1000").values().sum::<usize>(), 1);
    let others = (0..taken.len()).map(|n| fleet.ran(&format!("large-{n}")).len());
    assert_eq!(others.sum::<usize>(), 0, "what was withdrawn did not run");
}

//! An agent that is killed, stopped or robbed of its memory loses nothing and doubles nothing.

use std::collections::BTreeSet;
use std::fs;

use kanade_shared::wire::agent::HeardState;
use kanade_shared::wire::result::Outcome;
use kanade_testkit::wait;

use crate::broker::{Fleet, PATIENCE, append, is_gone};

/// A script that says that it runs, notes its child, and waits for ever.
fn endless(fleet: &Fleet) -> String {
    format!(
        "{}; sleep 1000 & echo $! > '{}.tmp'; mv '{1}.tmp' '{1}'; wait",
        append("x", &fleet.path("ran")),
        fleet.path("child").display()
    )
}

#[tokio::test]
async fn a_run_that_a_crash_cut_short_is_ended_and_reported_and_never_repeated() {
    let mut fleet = Fleet::start().await;
    let script = endless(&fleet);
    let command = fleet.command(&script);
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    fleet.wait_for_file("child").await;
    fleet.kill9();
    fleet.start_agent();
    let result = fleet.result_of(&command).await;
    assert_eq!((result.outcome, result.tries), (Outcome::Interrupted, 1));
    assert!(
        is_gone(&fleet.lines("child")[0]),
        "its child was left running"
    );
    fleet.wait_until_live().await;
    assert_eq!(fleet.lines("ran"), ["x"]);
    assert_eq!(fleet.results().await.len(), 1);
}

#[tokio::test]
async fn a_stop_ends_what_runs_and_its_result_is_safe() {
    let mut fleet = Fleet::start().await;
    let script = endless(&fleet);
    let command = fleet.command(&script);
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    fleet.wait_for_file("child").await;
    assert_eq!(fleet.stop().await, Some(0));
    assert!(
        is_gone(&fleet.lines("child")[0]),
        "its child was left running"
    );
    let result = fleet.result_of(&command).await;
    assert_eq!(result.outcome, Outcome::Interrupted);
    assert_eq!(result.reason.unwrap().code, "run.shutdown");
}

#[tokio::test]
async fn a_result_that_was_not_sent_before_a_crash_is_sent_after_it() {
    let mut fleet = Fleet::start().await;
    let command = fleet.command(&append("x", &fleet.path("ran")));
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    let id = fleet.request_id(&command);
    fleet.result_of(&command).await;
    // As if the acknowledgement had not come: back into the outbox, and the stream empty.
    let sent = fleet.data().join(format!("sent/{id}.json"));
    wait::until("it is acknowledged", PATIENCE, async || sent.exists()).await;
    fleet.kill9();
    fs::rename(sent, fleet.data().join(format!("outbox/{id}.json"))).unwrap();
    fleet
        .js
        .get_stream("RESULTS")
        .await
        .unwrap()
        .purge()
        .await
        .unwrap();
    fleet.start_agent();
    assert_eq!(fleet.result_of(&command).await.outcome, Outcome::Ok);
    fleet.wait_until_live().await;
    assert_eq!(fleet.lines("ran"), ["x"]);
}

#[tokio::test]
async fn without_its_journal_an_agent_runs_only_what_nobody_heard_of() {
    let mut fleet = Fleet::start().await;
    let file = fleet.path("ran");
    let names = ["ended", "begun", "new"];
    let commands: Vec<_> = names
        .map(|name| fleet.command(&append(name, &file)))
        .to_vec();
    fleet.publish_document(&commands[..1], &[]).await;
    fleet.result_of(&commands[0]).await;
    fleet.kill9();
    fs::remove_dir_all(fleet.data().join("journal")).unwrap();
    fs::remove_dir_all(fleet.data().join("sent")).unwrap();
    fleet.heard(fleet.request_id(&commands[0]), HeardState::Ended);
    fleet.heard(fleet.request_id(&commands[1]), HeardState::Begun);
    fleet.publish_document(&commands, &[]).await;
    fleet.start_agent();
    assert_eq!(fleet.result_of(&commands[1]).await.outcome, Outcome::Lost);
    assert_eq!(fleet.result_of(&commands[2]).await.outcome, Outcome::Ok);
    assert_eq!(fleet.lines("ran"), ["ended", "new"]);
    assert_eq!(fleet.results().await.len(), 3);
}

#[tokio::test]
async fn a_damaged_journal_is_as_good_as_none_and_never_fatal() {
    let mut fleet = Fleet::start().await;
    let command = fleet.command(&append("x", &fleet.path("ran")));
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    fleet.result_of(&command).await;
    fleet.kill9();
    let entry = fleet
        .data()
        .join(format!("journal/{}.json", fleet.request_id(&command)));
    for name in [
        "journal/meta.json",
        "held/desired.json",
        "held/commands.pc.pc-1.json",
    ] {
        fs::write(fleet.data().join(name), b"\0\0\0").unwrap();
    }
    fs::write(entry, b"{").unwrap();
    fleet.heard(fleet.request_id(&command), HeardState::Ended);
    fleet.start_agent();
    fleet.wait_until_live().await;
    let next = fleet.command("true");
    fleet.publish_document(&[command, next.clone()], &[]).await;
    assert_eq!(fleet.result_of(&next).await.outcome, Outcome::Ok);
    assert_eq!(fleet.lines("ran"), ["x"]);
    assert_eq!(
        fs::read_dir(fleet.data().join("damaged")).unwrap().count(),
        4
    );
}

#[tokio::test]
async fn a_second_agent_on_the_same_folder_says_so_in_one_sentence() {
    let fleet = Fleet::start().await;
    let second = fleet.program().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let words = String::from_utf8(second.stderr).unwrap();
    assert!(
        words.contains("another agent is running with the data folder"),
        "{words}"
    );
}

#[tokio::test]
async fn killed_again_and_again_it_loses_no_result_and_runs_nothing_twice() {
    const COMMANDS: usize = 24;
    let mut fleet = Fleet::without_agent().await;
    let file = fleet.path("ran");
    let mut commands = Vec::new();
    for n in 0..COMMANDS {
        // Long enough that a kill falls into each part of a life.
        let script = format!("{}; sleep 0.0{}", append(&n.to_string(), &file), n % 7);
        commands.push(fleet.command(&script));
    }
    fleet.publish_document(&commands, &[]).await;
    let mut lives = 0;
    while fleet.results().await.len() < COMMANDS {
        fleet.start_agent();
        // Every life is a little longer than the last, so that each step is cut off somewhere.
        tokio::time::sleep(std::time::Duration::from_millis(60 + lives * 7)).await;
        fleet.kill9();
        lives += 1;
        assert!(lives < 200, "there is no progress");
    }
    fleet.start_agent();
    fleet.wait_until_live().await;
    fleet
        .wait_for_heartbeat("the outbox is empty", |beat| beat.outbox_results == 0)
        .await;
    for command in &commands {
        let id = fleet.result_of(command).await.request_id;
        let results = fleet.results().await;
        let outcomes: BTreeSet<_> = results
            .iter()
            .filter(|r| r.request_id == id)
            .map(|r| r.outcome)
            .collect();
        assert_eq!(outcomes.len(), 1, "one run, one outcome: {outcomes:?}");
    }
    let mut ran = fleet.lines("ran");
    let all = ran.len();
    ran.sort();
    ran.dedup();
    assert_eq!(ran.len(), all, "something ran twice");
}

#[tokio::test]
async fn a_disk_that_takes_no_writes_holds_everything_up_and_then_goes_on() {
    let mut fleet = Fleet::start().await;
    let go = fleet.path("go");
    let script = format!(
        "{}; until test -e '{}'; do sleep 0.02; done; echo done",
        append("first", &fleet.path("ran")),
        go.display()
    );
    let first = fleet.command(&script);
    fleet
        .publish_document(std::slice::from_ref(&first), &[])
        .await;
    fleet.wait_for_file("ran").await;
    // A file where the folder should be: every write in it fails.
    let away: Vec<_> = ["journal", "outbox"]
        .map(|name| (fleet.data().join(name), fleet.path(name)))
        .into();
    for (folder, aside) in &away {
        fs::rename(folder, aside).unwrap();
        fs::write(folder, b"").unwrap();
    }
    fs::write(go, "").unwrap();
    let second = fleet.command(&append("second", &fleet.path("ran")));
    fleet
        .publish_document(&[first.clone(), second.clone()], &[])
        .await;
    fleet
        .wait_for_heartbeat("it says why", |beat| beat.blocked.is_some())
        .await;
    assert!(fleet.results().await.is_empty());
    for (folder, aside) in &away {
        fs::remove_file(folder).unwrap();
        fs::rename(aside, folder).unwrap();
    }
    assert_eq!(fleet.result_of(&first).await.stdout.text, "done\n");
    assert_eq!(fleet.result_of(&second).await.outcome, Outcome::Ok);
    fleet
        .wait_for_heartbeat("it is well again", |beat| beat.blocked.is_none())
        .await;
    assert_eq!(fleet.lines("ran"), ["first", "second"]);
}

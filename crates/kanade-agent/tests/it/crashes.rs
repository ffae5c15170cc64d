//! An agent that is killed, stopped or robbed of its memory loses nothing and doubles nothing.

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

//! Commands through a real broker: each runs once, in order, and ends in a result.

use std::fs;

use chrono::Utc;
use kanade_shared::body;
use kanade_shared::id::RequestId;
use kanade_shared::subject::{self, Scope};
use kanade_shared::wire::agent::{Ack, TailChunk, TailRequest};
use kanade_shared::wire::command::{ScriptSource, StopAction};
use kanade_shared::wire::heartbeat::AgentState;
use kanade_shared::wire::result::Outcome;
use kanade_testkit::wait;

use crate::broker::{Fleet, PATIENCE, append, is_gone};

#[tokio::test]
async fn a_command_runs_and_its_result_is_with_the_broker() {
    let mut fleet = Fleet::start().await;
    let command = fleet.command("echo hello; echo oh >&2; exit 3");
    let rev = fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    let result = fleet.result_of(&command).await;
    assert_eq!(
        (result.outcome, result.exit_code),
        (Outcome::Failed, Some(3))
    );
    assert_eq!(
        (result.stdout.text.as_str(), result.stderr.text.as_str()),
        ("hello\n", "oh\n")
    );
    assert!(result.started_at.is_some() && result.tries == 1);
    let holds =
        |held: &kanade_shared::wire::heartbeat::Held| held.rev == rev && held.scope != Scope::All;
    fleet
        .wait_for_heartbeat("the heartbeat tells the rev", |beat| {
            beat.held.iter().any(holds)
        })
        .await;
    fleet
        .wait_for_heartbeat("the outbox is empty again", |beat| beat.outbox_results == 0)
        .await;
}

#[tokio::test]
async fn five_commands_of_an_absence_run_in_order_once_each_and_the_expired_one_does_not() {
    let mut fleet = Fleet::start().await;
    fleet.stop().await;
    let file = fleet.path("ran");
    let mut commands: Vec<_> = (0..5)
        .map(|n| fleet.command(&append(&n.to_string(), &file)))
        .collect();
    commands[2].deadline = Utc::now() - chrono::Duration::seconds(1);
    fleet.publish_document(&commands, &[]).await;
    fleet.start_agent();
    for (n, command) in commands.iter().enumerate() {
        let expected = if n == 2 {
            Outcome::Expired
        } else {
            Outcome::Ok
        };
        assert_eq!(fleet.result_of(command).await.outcome, expected);
    }
    assert_eq!(fleet.lines("ran"), ["0", "1", "3", "4"]);
}

#[tokio::test]
async fn a_broker_that_is_killed_and_comes_back_finds_the_agent_and_nothing_is_lost() {
    let mut fleet = Fleet::start().await;
    let go = fleet.path("go");
    let script = format!(
        "until test -e '{}'; do sleep 0.02; done; {}",
        go.display(),
        append("x", &fleet.path("ran"))
    );
    let command = fleet.command(&script);
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    fleet
        .wait_for_heartbeat("it runs", |beat| beat.running == 1)
        .await;
    fleet.nats.kill9();
    fs::write(go, "").unwrap();
    fleet.wait_for_file("ran").await;
    fleet.nats.restart().await;
    assert_eq!(fleet.result_of(&command).await.outcome, Outcome::Ok);
    let next = fleet.command("true");
    fleet.publish_document(&[command, next.clone()], &[]).await;
    assert_eq!(fleet.result_of(&next).await.outcome, Outcome::Ok);
    assert_eq!(fleet.lines("ran"), ["x"]);
}

#[tokio::test]
async fn a_kill_ends_the_run_and_its_children_and_a_withdrawn_command_does_not_start() {
    let mut fleet = Fleet::start().await;
    let script = format!(
        "setsid sleep 1000 & echo $! > '{}'; sleep 1000",
        fleet.path("child").display()
    );
    let runs = fleet.command(&script);
    let mut waits = fleet.command("true");
    waits.jitter_s = 100_000;
    waits.deadline = Utc::now() + chrono::Duration::days(9);
    fleet
        .publish_document(&[runs.clone(), waits.clone()], &[])
        .await;
    fleet.wait_for_file("child").await;
    let stops = [
        Fleet::stop_of(&runs, StopAction::Kill),
        Fleet::stop_of(&waits, StopAction::Withdraw),
    ];
    fleet.publish_document(&[], &stops).await;
    assert_eq!(fleet.result_of(&runs).await.outcome, Outcome::Killed);
    assert_eq!(fleet.result_of(&waits).await.outcome, Outcome::Withdrawn);
    assert!(
        is_gone(&fleet.lines("child")[0]),
        "its child was left running"
    );
}

#[tokio::test]
async fn a_script_that_travels_apart_is_fetched_and_opened() {
    let mut fleet = Fleet::start().await;
    let (bytes, body_ref) = body::seal("echo from the body", [9; 32]);
    let mut command = fleet.command("");
    command.run.script = ScriptSource::Body(body_ref.clone());
    fleet.publish(subject::body(&body_ref.sha256), bytes).await;
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    assert_eq!(
        fleet.result_of(&command).await.stdout.text,
        "from the body\n"
    );
}

#[tokio::test]
async fn a_script_that_opens_to_nothing_ends_the_command_with_a_sentence() {
    let mut fleet = Fleet::start().await;
    let (bytes, mut body_ref) = body::seal("echo secret", [9; 32]);
    body_ref.key = body::seal("", [8; 32]).1.key;
    let mut command = fleet.command("");
    command.run.script = ScriptSource::Body(body_ref.clone());
    fleet.publish(subject::body(&body_ref.sha256), bytes).await;
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    let result = fleet.result_of(&command).await;
    assert_eq!((result.outcome, result.tries), (Outcome::Failed, 0));
    assert_eq!(result.reason.unwrap().code, "script.open");
}

#[tokio::test]
async fn a_command_that_fails_is_tried_again_as_often_as_it_says() {
    let mut fleet = Fleet::start().await;
    let file = fleet.path("ran");
    let mut command = fleet.command(&format!(
        "{}; test $(wc -l < '{}') -eq 3 && echo third",
        append("x", &file),
        file.display()
    ));
    command.run.tries = 5;
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    let result = fleet.result_of(&command).await;
    assert_eq!(
        (result.outcome, result.tries, result.stdout.text.as_str()),
        (Outcome::Ok, 3, "third\n")
    );
    assert_eq!(fleet.lines("ran").len(), 3);
}

#[tokio::test]
async fn deadlines_go_by_the_fleets_clock() {
    let mut fleet = Fleet::without_agent().await;
    fleet.set_ahead(chrono::Duration::days(1));
    fleet.start_agent();
    fleet.wait_until_live().await;
    let late = fleet.command("true");
    fleet
        .publish_document(std::slice::from_ref(&late), &[])
        .await;
    assert_eq!(fleet.result_of(&late).await.outcome, Outcome::Expired);
    let day = -86_400_000;
    fleet
        .wait_for_heartbeat("the heartbeat shows the skew", |beat| {
            beat.clock_skew_ms
                .is_some_and(|skew| (skew - day).abs() < 10_000)
        })
        .await;
}

#[tokio::test]
async fn nothing_is_decided_before_the_pc_is_part_of_the_fleet() {
    let mut fleet = Fleet::without_agent().await;
    fleet
        .js
        .get_key_value("agent_desired")
        .await
        .unwrap()
        .purge(fleet.pc_id.as_str())
        .await
        .unwrap();
    let old = fleet.command("true");
    fleet
        .publish_document(std::slice::from_ref(&old), &[])
        .await;
    fleet.start_agent();
    fleet
        .wait_for_heartbeat("it is syncing", |beat| beat.state == AgentState::Syncing)
        .await;
    assert!(fleet.results().await.is_empty());
    fleet.publish_desired(Utc::now()).await;
    fleet.wait_until_live().await;
    assert_eq!(fleet.result_of(&old).await.outcome, Outcome::Ok);
}

#[tokio::test]
async fn garbage_on_every_subject_stops_nothing() {
    let mut fleet = Fleet::start().await;
    for subject in [
        "live.commands.all".to_owned(),
        "live.commands.pc.pc-1".to_owned(),
        "live.desired.pc-1".to_owned(),
        "live.fleet.brake".to_owned(),
        "agent.pc-1.kick".to_owned(),
    ] {
        for payload in [&b""[..], b"{}", b"\xff\x00", b"[1,2"] {
            fleet
                .client
                .publish(subject.clone(), payload.into())
                .await
                .unwrap();
        }
    }
    fleet
        .publish(Scope::All.commands(), b"{\"v\":1".to_vec())
        .await;
    fleet
        .publish(
            Scope::Pc(fleet.pc_id.clone()).commands(),
            vec![b'x'; 300_000],
        )
        .await;
    for verb in ["tail", "results", "format"] {
        let answer = fleet
            .client
            .request(subject::agent_request(&fleet.pc_id, verb), "{".into());
        let ack: Ack = serde_json::from_slice(&answer.await.unwrap().payload).unwrap();
        assert!(!ack.ok && ack.reason.is_some());
    }
    let command = fleet.command("echo still here");
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    assert_eq!(fleet.result_of(&command).await.stdout.text, "still here\n");
}

#[tokio::test]
async fn a_run_can_be_watched_and_a_strangers_cannot() {
    let mut fleet = Fleet::start().await;
    let go = fleet.path("go");
    let script = format!(
        "echo one; until test -e '{}'; do sleep 0.02; done; echo two",
        go.display()
    );
    let command = fleet.command(&script);
    let id = fleet.request_id(&command);
    let mut tail = fleet
        .client
        .subscribe(subject::tail(&fleet.pc_id, id))
        .await
        .unwrap();
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    let ask = async |request_id: RequestId| -> TailChunk {
        let request = TailRequest {
            request_id,
            follow_s: 60,
        };
        let payload = serde_json::to_vec(&request).unwrap();
        let subject = subject::agent_request(&fleet.pc_id, "tail");
        let answer = fleet.client.request(subject, payload.into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    };
    let first = wait::some("its first line is shown", PATIENCE, async || {
        let chunk = ask(id).await;
        (chunk.stdout == "one\n").then_some(chunk)
    });
    assert!(first.await.running);
    assert!(!ask(RequestId::from_uuid(uuid::Uuid::nil())).await.found);
    fs::write(go, "").unwrap();
    let mut followed = String::new();
    while !followed.contains("two\n") {
        let message = tokio::time::timeout(PATIENCE, futures::StreamExt::next(&mut tail));
        let chunk: TailChunk =
            serde_json::from_slice(&message.await.unwrap().unwrap().payload).unwrap();
        followed.push_str(&chunk.stdout);
    }
}

#[tokio::test]
async fn a_run_that_outlives_a_second_is_told_of_and_a_short_one_is_not() {
    use kanade_shared::wire::result::Started;
    let mut fleet = Fleet::start().await;
    let go = fleet.path("go");
    let short = fleet.command("true");
    let long = fleet.command(&format!(
        "until test -e '{}'; do sleep 0.02; done",
        go.display()
    ));
    fleet
        .publish_document(&[short.clone(), long.clone()], &[])
        .await;
    let stream = fleet.js.get_stream("EVENTS").await.unwrap();
    let told = wait::some("it is told", PATIENCE, async || {
        stream
            .get_last_raw_message_by_subject("events.pc-1.started")
            .await
            .ok()
    });
    let told: Started = serde_json::from_slice(&told.await.payload).unwrap();
    assert_eq!(told.request_id, fleet.request_id(&long));
    fs::write(go, "").unwrap();
    let result = fleet.result_of(&long).await;
    assert_eq!(result.started_at, Some(told.started_at));
    assert_eq!(stream.get_info().await.unwrap().state.messages, 1);
}

#[tokio::test]
async fn a_pc_tells_what_it_is_made_of() {
    use kanade_shared::wire::inventory::Hardware;
    let fleet = Fleet::start().await;
    let stream = fleet.js.get_stream("INVENTORY").await.unwrap();
    let told = wait::some("it is told", PATIENCE, async || {
        stream
            .get_last_raw_message_by_subject("inventory.pc-1.hardware")
            .await
            .ok()
    });
    let told: Hardware = serde_json::from_slice(&told.await.payload).unwrap();
    assert!(told.pc_id == fleet.pc_id && told.cpu_count > 0 && told.ram_bytes > 0);
}

//! Bytes that nobody should send, on every subject.

use std::time::Duration;

use kanade_shared::api::system::DeadLetterView;
use kanade_testkit::fleet::Fleet;
use kanade_testkit::wait;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn garbage_on_every_subject_stops_nothing_and_is_shown() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    let broker = fleet.backend.broker().await;
    let bytes: [&[u8]; 4] = [
        b"",
        b"\xff\xfe\x00",
        b"{\"v\":1",
        b"[1,2,{\"pc_id\":\"../../etc\"}]",
    ];
    let subjects = [
        "results.pc-1.0123",
        "results.x",
        "results.pc-1.a.b.c",
        "events.pc-1.started",
        "events.pc-1.no-such-kind",
        "inventory.pc-1.hardware",
        "obs.pc-1",
        "heartbeat.pc-1",
        "heartbeat.new-one",
        "host_perf.pc-1",
        "tail.pc-1.x",
        "svc.time.pc-1",
        "svc.no-such.pc-1",
        "agent.pc-1.tail",
        "agent.pc-1.results",
        "agent.pc-1.no-such",
        "live.commands.all",
        "live.commands.pc.pc-1",
        "live.desired.pc-1",
        "live.fleet.brake",
        "backend.nudge",
        "backend.changes",
        "audit.nobody",
    ];
    for subject in subjects {
        for payload in bytes {
            broker.publish(subject, payload.into()).await.unwrap();
        }
    }
    // Another PC's name in the subject than in the payload.
    let beat = serde_json::json!({
        "pc_id": "pc-1", "at": chrono::Utc::now(), "agent_version": "0", "state": "live",
        "journal_id": "0".repeat(32), "journal_counter": 1,
    });
    broker
        .publish("heartbeat.pc-2", beat.to_string().into())
        .await
        .unwrap();
    broker.flush().await.unwrap();
    wait::until("the garbage is put aside", wait::LONG, async || {
        let letters: Vec<DeadLetterView> = fleet.backend.all("dead-letters").await;
        letters.iter().any(|l| l.subject.starts_with("results."))
            && letters.iter().any(|l| l.subject.starts_with("heartbeat."))
    })
    .await;
    let agents = fleet.backend.agents().await;
    assert_eq!(agents.len(), 1, "garbage enrols nobody: {agents:?}");
    let exec = fleet.run(fleet.counted("after", ""), &["all"]).await;
    fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(fleet.ran("after").len(), 1);
}

//! The backend or the broker is killed in mid-flight.

use std::time::Duration;

use chrono::Utc;
use futures::StreamExt;
use kanade_shared::api::execs::ExecRequest;
use kanade_shared::id::{Attempt, ExecId, PcId, RequestId};
use kanade_shared::subject::{self, Scope};
use kanade_shared::wire::result::{Outcome, Output, RunResult};
use kanade_testkit::backend::Backend;
use kanade_testkit::database::Engine;
use kanade_testkit::fleet::{Fleet, exec, script, targets};
use kanade_testkit::{on_both, wait};

const SOON: Duration = Duration::from_secs(120);

async fn the_broker_killed_in_the_middle_of_an_exec_to_fifty_agents_loses_and_doubles_nothing(
    engine: Engine,
) {
    let mut fleet = Fleet::start_with_database(engine).await;
    fleet.agents(50).await;
    let exec = fleet
        .run(fleet.counted("fifty", "sleep 0.3; echo ok"), &["all"])
        .await;
    wait::until("some have begun", wait::LONG, async || {
        fleet.ran("fifty").len() >= 5
    })
    .await;
    fleet.backend.kill9_broker();
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 50, "{:?}", ended.counts);
    let ran = fleet.ran("fifty");
    assert_eq!((ran.len(), ran.values().max()), (50, Some(&1)), "{ran:?}");
    assert_eq!(fleet.backend.results(exec.exec_id).await.len(), 50);
}

async fn the_backend_killed_in_the_middle_of_an_exec_picks_it_up_again(engine: Engine) {
    let mut fleet = Fleet::start_with_database(engine).await;
    fleet.agents(5).await;
    let exec = fleet
        .run(fleet.counted("five", "sleep 0.5"), &["all"])
        .await;
    wait::until("some have begun", wait::LONG, async || {
        !fleet.ran("five").is_empty()
    })
    .await;
    fleet.backend.kill9();
    fleet.backend.start_again().await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 5, "{:?}", ended.counts);
    assert!(fleet.ran("five").values().all(|runs| *runs == 1) && fleet.ran("five").len() == 5);
}

/// PCs that exist for the backend only: their heartbeats are sent by the test.
async fn enrol(backend: &Backend, count: usize) -> Vec<PcId> {
    let broker = backend.broker().await;
    let pcs: Vec<PcId> = (0..count)
        .map(|n| PcId::parse(&format!("made-up-{n}")).unwrap())
        .collect();
    let now = Utc::now();
    for (n, pc_id) in pcs.iter().enumerate() {
        let beat = serde_json::json!({
            "pc_id": pc_id, "at": now, "agent_version": "0", "state": "live",
            "journal_id": format!("{:032x}", n + 1), "journal_counter": 1,
        });
        broker
            .publish(subject::heartbeat(pc_id), beat.to_string().into())
            .await
            .unwrap();
    }
    broker.flush().await.unwrap();
    wait::until("all are enrolled", wait::LONG * 2, async || {
        backend.agents().await.len() == count
    })
    .await;
    pcs
}

fn result(exec_id: ExecId, pc_id: &PcId, attempt: Attempt, scope: Scope) -> RunResult {
    RunResult {
        request_id: RequestId::derive(exec_id, pc_id, attempt),
        exec_id,
        attempt,
        pc_id: pc_id.clone(),
        scope,
        job_id: None,
        job_version: None,
        outcome: Outcome::Ok,
        reason: None,
        exit_code: Some(0),
        tries: 1,
        started_at: Some(Utc::now()),
        ended_at: Utc::now(),
        stdout: Output::whole(format!("from {pc_id}\n")),
        stderr: Output::default(),
    }
}

async fn the_backend_killed_in_the_middle_of_20_000_results_stores_each_once(engine: Engine) {
    let mut fleet = Fleet::start_with_database(engine).await;
    let pcs = enrol(&fleet.backend, 2_000).await;
    let mut execs = Vec::new();
    for _ in 0..10 {
        let request: ExecRequest = exec(script("true"), targets(&["all"]));
        execs.push(fleet.backend.issue(&request).await.unwrap().exec_id);
    }
    let broker = fleet.backend.broker().await;
    let js = async_nats::jetstream::new(broker.clone());
    let publish = async |exec_id: ExecId| {
        let acks = futures::stream::iter(pcs.iter().map(|pc_id| {
            let result = result(exec_id, pc_id, Attempt::FIRST, Scope::All);
            let payload = serde_json::to_vec(&result).unwrap();
            let subject = subject::result(pc_id, result.request_id);
            let js = js.clone();
            // As an agent does: again until the broker has acknowledged it.
            async move {
                wait::some("an acknowledgement", SOON, async || {
                    let payload = payload.clone().into();
                    let sent = js.publish(subject.clone(), payload).await.ok()?;
                    sent.await.ok()
                })
                .await
            }
        }));
        assert_eq!(acks.buffer_unordered(256).count().await, pcs.len());
    };
    for exec_id in &execs[..5] {
        publish(*exec_id).await;
    }
    // Its broker ends with it, and takes the rest as soon as both are back, some of it twice.
    fleet.backend.kill9();
    fleet.backend.spawn();
    for exec_id in &execs[4..] {
        publish(*exec_id).await;
    }
    fleet.backend.wait_until_ready().await;
    for exec_id in &execs {
        let ended = fleet.backend.ended(*exec_id, SOON).await;
        assert_eq!(ended.counts.of(Outcome::Ok), 2_000, "{:?}", ended.counts);
        assert_eq!((ended.counts.targets, ended.counts.waiting()), (2_000, 0));
    }
    let rows = fleet.backend.results(execs[4]).await;
    let distinct: std::collections::BTreeSet<_> = rows.iter().map(|row| row.request_id).collect();
    assert_eq!(
        (rows.len(), distinct.len()),
        (2_000, 2_000),
        "published twice, stored once"
    );
}

on_both!(
    the_broker_killed_in_the_middle_of_an_exec_to_fifty_agents_loses_and_doubles_nothing,
    the_backend_killed_in_the_middle_of_an_exec_picks_it_up_again,
    the_backend_killed_in_the_middle_of_20_000_results_stores_each_once,
);

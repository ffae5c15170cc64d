//! Results reach the broker, whatever it or the backend does.

use std::sync::{Arc, Mutex};

use async_nats::jetstream::stream::DiscardPolicy;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, put};
use kanade_shared::wire::command::ScriptSource;
use kanade_shared::wire::result::Outcome;
use kanade_testkit::wait;
use sha2::{Digest, Sha256};

use crate::broker::{Fleet, PATIENCE};

/// What came through the backend's door: path, pc and text; and how often to refuse first.
#[derive(Default)]
struct Door {
    refusals: u32,
    /// Never takes anything.
    closed: bool,
    /// What it gives for any script.
    body: Vec<u8>,
    taken: Vec<(String, String, String)>,
}

type Query2 = Query<std::collections::BTreeMap<String, String>>;

async fn take(
    State(door): State<Arc<Mutex<Door>>>,
    Path((request_id, stream)): Path<(String, String)>,
    Query(query): Query2,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let mut door = door.lock().unwrap();
    if door.closed {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    if door.refusals > 0 {
        door.refusals -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let hash: String = Sha256::digest(&body)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(headers["authorization"], "Bearer token");
    assert_eq!(headers["kanade-sha256"], hash);
    assert_eq!(headers["content-length"], body.len().to_string());
    let text = String::from_utf8(body.to_vec()).unwrap();
    door.taken.push((
        format!("{request_id}/{stream}"),
        query["pc_id"].clone(),
        text,
    ));
    StatusCode::NO_CONTENT
}

async fn give(State(door): State<Arc<Mutex<Door>>>, headers: HeaderMap) -> Vec<u8> {
    assert_eq!(headers["authorization"], "Bearer token");
    door.lock().unwrap().body.clone()
}

async fn open(door: Door) -> (String, Arc<Mutex<Door>>) {
    let door = Arc::new(Mutex::new(door));
    let app = axum::Router::new()
        .route("/agent/v1/results/{request_id}/{stream}", put(take))
        .route("/agent/v1/bodies/{sha256}", get(give))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(Arc::clone(&door));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, door)
}

#[tokio::test]
async fn large_output_goes_through_the_backends_door_before_its_result() {
    let (url, door) = open(Door {
        refusals: 1,
        ..Door::default()
    })
    .await;
    let mut fleet = Fleet::without_agent().await.with_api(&url);
    fleet.start_agent();
    fleet.wait_until_live().await;
    let command = fleet.command("yes 0123456789abcdef | head -n 60000; echo small >&2");
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    let result = fleet.result_of(&command).await;
    let key = format!("{}/stdout", fleet.request_id(&command));
    assert_eq!(
        (result.outcome, result.stdout.total_bytes),
        (Outcome::Ok, 17 * 60_000)
    );
    assert_eq!(
        (
            result.stdout.text.as_str(),
            result.stdout.stored_as.as_deref()
        ),
        ("", Some(key.as_str()))
    );
    assert_eq!(result.stderr.text, "small\n");
    let taken = &door.lock().unwrap().taken;
    assert_eq!(taken.len(), 1);
    assert_eq!((&taken[0].0, taken[0].1.as_str()), (&key, "pc-1"));
    assert_eq!(taken[0].2, "0123456789abcdef\n".repeat(60_000));
}

#[tokio::test]
async fn a_result_that_the_stream_refuses_stays_and_is_sent_when_there_is_room() {
    let mut fleet = Fleet::start().await;
    let stream = fleet.js.get_stream("RESULTS").await.unwrap();
    let open = stream.cached_info().config.clone();
    let mut full = open.clone();
    (full.discard, full.max_messages) = (DiscardPolicy::New, 1);
    fleet
        .publish("results.other.filler".to_owned(), b"{}".to_vec())
        .await;
    fleet.js.update_stream(full).await.unwrap();
    let command = fleet.command("echo kept");
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    fleet
        .wait_for_heartbeat("the outbox holds it", |beat| {
            beat.outbox_results == 1 && beat.running == 0
        })
        .await;
    fleet.js.update_stream(open).await.unwrap();
    stream.purge().await.unwrap();
    assert_eq!(fleet.result_of(&command).await.stdout.text, "kept\n");
    fleet
        .wait_for_heartbeat("the outbox is empty", |beat| beat.outbox_results == 0)
        .await;
}

#[tokio::test]
async fn a_full_outbox_admits_nothing_and_says_so_until_there_is_room() {
    let mut fleet = Fleet::without_agent().await;
    fleet.start_agent_with(&[("KANADE_AGENT_OUTBOX__MAX_BYTES", "1000")]);
    fleet.wait_until_live().await;
    let command = fleet.command("true");
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    fleet
        .wait_for_heartbeat("it says why", |beat| beat.blocked.is_some())
        .await;
    assert!(fleet.results().await.is_empty());
    fleet.stop().await;
    fleet.start_agent();
    assert_eq!(fleet.result_of(&command).await.outcome, Outcome::Ok);
}

#[tokio::test]
async fn a_result_that_the_backend_lacks_is_sent_again() {
    use kanade_shared::subject;
    use kanade_shared::wire::agent::{ResultsRequest, RunKey};
    let mut fleet = Fleet::start().await;
    let command = fleet.command("echo once");
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    let first = fleet.result_of(&command).await;
    fleet
        .wait_for_heartbeat("it is acknowledged", |beat| beat.outbox_results == 0)
        .await;
    fleet
        .js
        .get_stream("RESULTS")
        .await
        .unwrap()
        .purge()
        .await
        .unwrap();
    let key = RunKey {
        exec_id: command.exec_id,
        attempt: command.attempt,
    };
    let wanted = serde_json::to_vec(&ResultsRequest { runs: vec![key] }).unwrap();
    let subject = subject::agent_request(&fleet.pc_id, "results");
    wait::until("it is there again", PATIENCE, async || {
        fleet
            .client
            .request(subject.clone(), wanted.clone().into())
            .await
            .unwrap();
        fleet.results().await.contains(&first)
    })
    .await;
}

#[tokio::test]
async fn output_that_the_backend_will_not_have_does_not_hold_up_its_result() {
    let (url, _door) = open(Door {
        closed: true,
        ..Door::default()
    })
    .await;
    let mut fleet = Fleet::without_agent().await.with_api(&url);
    fleet.start_agent();
    fleet.wait_until_live().await;
    let command = fleet.command("head -c 300000 /dev/zero | tr '\\0' x");
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    let stdout = fleet.result_of(&command).await.stdout;
    assert_eq!((stdout.text.as_str(), stdout.stored_as), ("", None));
    assert_eq!(
        (stdout.total_bytes, stdout.truncated_bytes),
        (300_000, 300_000)
    );
}

#[tokio::test]
async fn a_script_too_large_for_the_broker_comes_through_the_backends_door() {
    let (body, body_ref) = kanade_shared::body::seal("echo from the door", [9; 32]);
    let (url, _door) = open(Door {
        body,
        ..Door::default()
    })
    .await;
    let mut fleet = Fleet::without_agent().await.with_api(&url);
    fleet.start_agent();
    fleet.wait_until_live().await;
    let mut command = fleet.command("");
    command.run.script = ScriptSource::Https(body_ref);
    fleet
        .publish_document(std::slice::from_ref(&command), &[])
        .await;
    assert_eq!(
        fleet.result_of(&command).await.stdout.text,
        "from the door\n"
    );
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test]
async fn after_a_burst_of_large_output_an_idle_agent_is_small_again() {
    let (url, _door) = open(Door::default()).await;
    let mut fleet = Fleet::without_agent().await.with_api(&url);
    fleet.start_agent();
    fleet.wait_until_live().await;
    let commands: Vec<_> = (0..6)
        .map(|_| fleet.command("yes 0123456789 | head -c 7000000; sleep 0.3"))
        .collect();
    fleet.publish_document(&commands, &[]).await;
    for command in &commands {
        fleet.result_of(command).await;
    }
    // The program alone takes about 13 MiB in a debug build.
    let small = 20 * 1024 * 1024;
    fleet
        .wait_for_heartbeat("it is small again", |beat| {
            beat.running == 0 && beat.agent_rss_bytes.is_some_and(|bytes| bytes < small)
        })
        .await;
}

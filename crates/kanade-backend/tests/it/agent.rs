//! The doors that agents use, on a whole backend: large outputs, and what the broker must have.

use std::path::Path;

use async_nats::ConnectOptions;
use kanade_shared::api::Page;
use kanade_shared::api::execs::{ExecView, TargetView};
use kanade_shared::api::results::OutputPage;
use kanade_shared::id::PcId;
use kanade_shared::subject::{self, Scope};
use kanade_shared::wire::result::{Outcome, Output, RunResult};
use kanade_testkit::{ports, wait};
use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::running::Running;

async fn read<T: DeserializeOwned>(backend: &Running, path: &str) -> T {
    let answer = backend.ask(Method::GET, path).send().await.unwrap();
    let text = answer.error_for_status().unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn post(backend: &Running, path: &str, body: &Value) -> Response {
    let body = body.to_string();
    let request = backend
        .ask(Method::POST, path)
        .header("content-type", "application/json");
    request.body(body).send().await.unwrap()
}

/// What a local agent connects with.
async fn connect(data: &Path) -> async_nats::Client {
    let json = std::fs::read(data.join("secrets/agent.creds.json")).unwrap();
    let join: Value = serde_json::from_slice(&json).unwrap();
    let text = |field: &str| join[field].as_str().unwrap().to_owned();
    let options = ConnectOptions::with_user_and_password(text("user"), text("password"));
    options.name("pc-1").connect(text("url")).await.unwrap()
}

/// Makes `pc-1` part of the fleet.
async fn enrol(backend: &Running, agent: &async_nats::Client, pc: &PcId) {
    let beat = json!({
        "pc_id": pc, "at": "2026-01-01T00:00:00Z", "agent_version": "0.0.0", "state": "live",
        "journal_id": "00000000000000000000000000000001", "journal_counter": 0,
    });
    wait::until("the PC is part of the fleet", wait::LONG, async || {
        agent
            .publish(subject::heartbeat(pc), beat.to_string().into())
            .await
            .unwrap();
        agent.flush().await.unwrap();
        let answer = backend
            .ask(Method::GET, "/api/v1/agents/pc-1")
            .send()
            .await
            .unwrap();
        answer.status() == 200
    })
    .await;
}

async fn code(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    (status, problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_output_too_large_for_its_result_is_taken_checked_and_read_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Running::start(folder.path(), ports::free()).await;
    let agent = connect(folder.path()).await;
    let pc = PcId::parse("pc-1").unwrap();
    enrol(&backend, &agent, &pc).await;

    let exec = json!({ "what": { "script": { "shell": "sh", "script": "yes" } }, "targets": { "pcs": ["pc-1"] } });
    let exec = post(&backend, "/api/v1/execs", &exec).await;
    let text = exec.error_for_status().unwrap().text().await.unwrap();
    let exec: ExecView = serde_json::from_str(&text).unwrap();
    let path = format!("/api/v1/execs/{}/targets", exec.exec_id);
    let targets: Page<TargetView> = read(&backend, &path).await;
    let run = targets.items[0].request_id;

    let output = "y\n".repeat(300 * 1024);
    let sha256 = hex::encode(Sha256::digest(&output));
    let put = async |pc: &str, sha256: &str| {
        let path = format!("/agent/v1/results/{run}/stdout?pc_id={pc}");
        let request = backend
            .ask(Method::PUT, &path)
            .header("kanade-sha256", sha256);
        request.body(output.clone()).send().await.unwrap()
    };
    let other = code(put("pc-2", &sha256).await).await;
    assert_eq!(
        other,
        (404, "run.unknown".to_owned()),
        "nobody speaks for another"
    );
    let wrong = code(put("pc-1", &"0".repeat(64)).await).await;
    assert_eq!(wrong, (400, "output.wrong_hash".to_owned()));
    assert_eq!(put("pc-1", &sha256).await.status(), 204);
    assert_eq!(
        put("pc-1", &sha256).await.status(),
        204,
        "sending it again is harmless"
    );

    let result = RunResult {
        request_id: run,
        exec_id: exec.exec_id,
        attempt: targets.items[0].attempt,
        pc_id: pc.clone(),
        scope: Scope::Pc(pc.clone()),
        job_id: None,
        job_version: None,
        outcome: Outcome::Ok,
        reason: None,
        exit_code: Some(0),
        tries: 1,
        started_at: None,
        ended_at: chrono::Utc::now(),
        stdout: Output {
            // What a program wrote and what became text of it have sizes of their own.
            total_bytes: 10_000_000,
            truncated_bytes: 9_800_000,
            stored_as: Some(format!("{run}/stdout")),
            ..Output::default()
        },
        stderr: Output::default(),
    };
    let json = serde_json::to_vec(&result).unwrap();
    agent
        .publish(subject::result(&pc, run), json.into())
        .await
        .unwrap();
    agent.flush().await.unwrap();
    wait::until("the result is stored", wait::LONG, async || {
        let path = format!("/api/v1/results/{run}");
        backend
            .ask(Method::GET, &path)
            .send()
            .await
            .unwrap()
            .status()
            == 200
    })
    .await;
    let offset = 500 * 1024;
    let path = format!("/api/v1/results/{run}/output?offset={offset}&limit=6");
    let page: OutputPage = read(&backend, &path).await;
    assert_eq!((page.text.as_str(), page.offset), ("y\ny\ny\n", offset));
    assert_eq!(page.stored_bytes, output.len() as u64);
    assert_eq!(page.next_offset, Some(offset + 6));
    let offset = page.stored_bytes - 6;
    let path = format!("/api/v1/results/{run}/output?offset={offset}&limit=6");
    let page: OutputPage = read(&backend, &path).await;
    assert_eq!((page.text.as_str(), page.next_offset), ("y\ny\ny\n", None));
}

#[tokio::test]
async fn a_bootstrap_over_the_api_mends_the_broker_and_is_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Running::start(folder.path(), ports::free()).await;
    let plan: Value = read(&backend, "/api/v1/bootstrap").await;
    let keeps = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .all(|step| step["action"]["do"] == "keep");
    assert!(keeps, "{plan}");

    let js = async_nats::jetstream::new(connect(folder.path()).await);
    js.delete_stream("NOTIFICATIONS").await.unwrap();
    let asked = backend
        .ask(Method::GET, "/api/v1/bootstrap")
        .header("accept", "text/plain");
    let text = asked.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("+ stream NOTIFICATIONS"), "{text}");
    let report = post(&backend, "/api/v1/bootstrap", &json!({}))
        .await
        .text()
        .await
        .unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["resources"]["NOTIFICATIONS"], "created");
    let audit: Value = read(&backend, "/api/v1/audit?limit=1").await;
    assert_eq!(audit["items"][0]["action"], "bootstrap.apply");
    assert_eq!(
        audit["items"][0]["detail"]["resources"],
        json!({ "NOTIFICATIONS": "created" })
    );
}

#[tokio::test]
async fn a_run_that_nobody_knows_cannot_be_watched() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Running::start(folder.path(), ports::free()).await;
    let path = format!("/api/v1/results/{:032x}/tail", 7);
    let answer = backend.ask(Method::POST, &path).send().await.unwrap();
    assert_eq!(code(answer).await, (404, "run.unknown".to_owned()));
}

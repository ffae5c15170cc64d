//! PostgreSQL goes away for a while, or the backend that has its lease does.

use std::time::Duration;

use kanade_shared::wire::command::Reach;
use kanade_shared::wire::result::Outcome;
use kanade_testkit::backend::Backend;
use kanade_testkit::database::Engine;
use kanade_testkit::fleet::{Fleet, exec, script, targets};
use kanade_testkit::nats::Nats;
use kanade_testkit::postgres::Postgres;
use kanade_testkit::process::signal;
use kanade_testkit::wait;
use reqwest::StatusCode;
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(120);

async fn not_ready(backend: &Backend) -> String {
    let url = format!("{}/readyz", backend.url());
    wait::some("the backend says that it is not ready", SOON, async || {
        let answer = reqwest::get(&url).await.ok()?;
        match answer.status() {
            StatusCode::SERVICE_UNAVAILABLE => answer.text().await.ok(),
            _ => None,
        }
    })
    .await
}

#[tokio::test]
async fn the_database_killed_in_the_middle_of_an_exec_loses_and_doubles_nothing() {
    let mut fleet = Fleet::start_with_database(Engine::Postgres).await;
    fleet.agents(20).await;
    let exec = fleet
        .run(fleet.counted("twenty", "sleep 0.3; echo ok"), &["all"])
        .await;
    wait::until("some have begun", wait::LONG, async || {
        fleet.ran("twenty").len() >= 3
    })
    .await;
    let backend = fleet.backend.pid();
    fleet.postgres.as_mut().unwrap().kill9();
    let told = not_ready(&fleet.backend).await;
    assert!(
        told.contains("store.away") || told.contains("store.silent"),
        "{told}"
    );
    wait::until("all ran without a database", SOON, async || {
        fleet.ran("twenty").len() == 20
    })
    .await;
    fleet.postgres.as_mut().unwrap().spawn().await;
    fleet.backend.wait_until_ready().await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 20, "{:?}", ended.counts);
    let ran = fleet.ran("twenty");
    assert!(ran.values().all(|runs| *runs == 1), "{ran:?}");
    assert_eq!(fleet.backend.results(exec.exec_id).await.len(), 20);
    assert_eq!(fleet.backend.pid(), backend, "it came back by itself");
}

#[tokio::test]
async fn an_exec_that_meets_no_database_is_refused_and_may_be_sent_again() {
    let mut fleet = Fleet::start_with_database(Engine::Postgres).await;
    fleet.agent("pc-1").await;
    fleet.postgres.as_mut().unwrap().stop();
    not_ready(&fleet.backend).await;
    let request = exec(fleet.counted("again", ""), targets(&["pc-1"]));
    let refused = fleet.backend.issue(&request).await.unwrap_err();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.code, "store.away", "{refused:?}");
    fleet.postgres.as_mut().unwrap().spawn().await;
    fleet.backend.wait_until_ready().await;
    let issued = fleet.backend.issue(&request).await.unwrap();
    let ended = fleet.backend.ended(issued.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 1, "{:?}", ended.counts);
    assert_eq!(fleet.ran("again").values().sum::<usize>(), 1);
}

/// Goes on at the end, however the test ends: a stopped process hears no polite word.
struct Paused(u32);

impl Drop for Paused {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

/// A backend on a database and a broker that others use, too.
fn settings(folder: &std::path::Path, postgres: &Postgres, nats: &Nats) -> Vec<String> {
    std::fs::create_dir(folder).unwrap();
    let file = folder.join("backend.toml");
    let text = format!(
        "[database]\nurl = \"{}\"\n[broker]\nurl = \"{}\"\n",
        postgres.url(),
        nats.url()
    );
    std::fs::write(&file, text).unwrap();
    vec!["--config".to_owned(), file.display().to_string()]
}

#[tokio::test]
async fn a_backend_that_slept_while_another_took_over_writes_nothing_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (postgres, nats) = (Postgres::start().await, Nats::start().await);
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let arguments = settings(&one, &postgres, &nats);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut first = Backend::start_with(&one, &arguments).await;
    let before = first.get::<serde_json::Value>("execs").await;
    assert_eq!(before["items"].as_array().unwrap().len(), 0);

    let paused = Paused(first.pid());
    signal(paused.0, Signal::STOP);
    // It waits until the lease has ended by the database's clock.
    let arguments = settings(&two, &postgres, &nats);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let second = Backend::start_with(&two, &arguments).await;
    let mut request = exec(script("true"), targets(&["all"]));
    request.reach = Some(Reach::Open);
    second.issue(&request).await.unwrap();

    drop(paused);
    let log = first.wait_until_ended().await;
    assert!(
        log.contains("error: the database was taken over by another backend"),
        "{log}"
    );
    assert!(log.contains(&format!("process {}", second.pid())), "{log}");
    let execs = second.get::<serde_json::Value>("execs").await;
    assert_eq!(execs["items"].as_array().unwrap().len(), 1);

    // Started again, it waits for its turn, and says so.
    first.spawn();
    let told = not_ready(&first).await;
    assert!(told.contains("store.waiting"), "{told}");
    let mut second = second;
    second.stop().await;
    first.wait_until_ready().await;
    let execs = first.get::<serde_json::Value>("execs").await;
    assert_eq!(execs["items"].as_array().unwrap().len(), 1);
    first.stop().await;
}

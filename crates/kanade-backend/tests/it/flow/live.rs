//! What is only true now: who is connected, and what a run writes.

use async_nats::ConnectOptions;
use futures::StreamExt;
use kanade_backend::broker::bootstrap::{self, Sizing};
use kanade_backend::broker::{BrokerConfig, EmbeddedBroker};
use kanade_backend::changes::Topic;
use kanade_backend::flow;
use kanade_backend::services::{TailError, Tails};
use kanade_backend::tasks::Tasks;
use kanade_shared::api::agents::Presence;
use kanade_shared::bootstrap::{Credentials, Retry, connect};
use kanade_shared::id::{Attempt, PcId, RequestId};
use kanade_shared::subject;
use kanade_shared::wire::agent::{ResultsRequest, TailChunk, TailRequest};
use kanade_shared::wire::command::Reach;
use kanade_testkit::database::Engine;
use kanade_testkit::{nats, wait};

use super::world::{World, beat, heartbeat, open};

#[tokio::test]
async fn a_pc_is_offline_as_soon_as_its_connection_ends_and_online_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        port: 0,
        nats_server: Some(nats::binary()),
        ..BrokerConfig::default()
    };
    let broker = EmbeddedBroker::start(&config, folder.path()).await.unwrap();
    let client = broker.connect("backend").await.unwrap();
    let cap_scale = broker.cap_scale();
    let sizing = Sizing {
        cap_scale,
        ..Sizing::default()
    };
    bootstrap::apply(&client, sizing).await.unwrap();
    let who = broker.system_credentials();
    let system = connect(broker.client_url(), &who, "presence", Retry::ONCE)
        .await
        .unwrap();
    let flow = open(client, &folder).await;
    let tasks = Tasks::new();
    flow::spawn(&tasks, &flow, &Tails::default(), Some(system));

    let Credentials::Password { user, password } = broker.agent_credentials() else {
        panic!("agents have a password");
    };
    let agent = || {
        let options = ConnectOptions::with_user_and_password(user.clone(), password.clone());
        options.name("pc-1").connect(broker.client_url().to_owned())
    };
    let pc = PcId::parse("pc-1").unwrap();
    let is = async |what: &str, presence: Presence| {
        wait::until(what, wait::LONG, async || {
            let agent = flow.fleet.agent_fetch(&pc).await;
            agent.is_ok_and(|agent| agent.presence == presence)
        })
        .await;
    };
    let first = agent().await.unwrap();
    beat(&first, &heartbeat(&pc, &[])).await;
    is("it is online", Presence::Online).await;
    first.drain().await.unwrap();
    is("it is offline", Presence::Offline).await;
    let second = agent().await.unwrap();
    is("it is online again, before any heartbeat", Presence::Online).await;
    drop(second);
    tasks.stop_all().await;
    flow.store.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn what_a_run_writes_goes_to_those_who_watch_it() {
    let world = World::start().await;
    let pcs = world.enrol(&["pc-1"]).await;
    let exec = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    let run = RequestId::derive(exec, &pcs[0], Attempt::FIRST);
    let unanswered = world.tails.tail_open(&world.flow, run).await;
    assert!(matches!(unanswered, Err(TailError::NoAnswer { .. })));
    let agent = world.nats.client().await;
    let mut asked = agent.subscribe("agent.pc-1.tail").await.unwrap();
    agent.flush().await.unwrap();
    let chunk = move |offset: u64, stdout: &str| TailChunk {
        request_id: run,
        found: true,
        running: true,
        stdout_offset: offset,
        stdout: stdout.to_owned(),
        stderr_offset: 0,
        stderr: String::new(),
    };
    let answering = agent.clone();
    tokio::spawn(async move {
        let message = asked.next().await.unwrap();
        let request: TailRequest = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(request.request_id, run);
        let json = serde_json::to_vec(&chunk(0, "one")).unwrap();
        answering
            .publish(message.reply.unwrap(), json.into())
            .await
            .unwrap();
    });
    let mut listener = world.flow.changes.listen(vec![Topic::Tail(run)], None);
    world.tails.tail_open(&world.flow, run).await.unwrap();
    let json = serde_json::to_vec(&chunk(3, "two")).unwrap();
    // Not from the run's PC: nobody may speak for another.
    let other = PcId::parse("pc-2").unwrap();
    let forged = serde_json::to_vec(&chunk(3, "forged")).unwrap();
    agent
        .publish(subject::tail(&other, run), forged.into())
        .await
        .unwrap();
    agent
        .publish(subject::tail(&pcs[0], run), json.into())
        .await
        .unwrap();
    let mut text = String::new();
    while !text.contains("two") {
        let next = tokio::time::timeout(wait::LONG, listener.next()).await;
        text.push_str(&next.unwrap_or_else(|_| panic!("only this came: {text}")));
    }
    assert!(text.contains("one") && !text.contains("forged"), "{text}");
    world.stop().await;
}

#[tokio::test]
async fn a_pc_that_is_online_is_asked_for_results_that_should_be_here() {
    let world = World::still_on(Engine::Sqlite).await;
    world.spawn();
    let pcs = world.enrol(&["pc-1"]).await;
    let exec = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    let agent = world.nats.client().await;
    let mut asked = agent.subscribe("agent.pc-1.results").await.unwrap();
    agent.flush().await.unwrap();
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(2);
    let mut memory = Default::default();
    let ask = kanade_backend::sweep::ask(&world.flow, &mut memory, later);
    let answer = async {
        let message = asked.next().await.unwrap();
        let request: ResultsRequest = serde_json::from_slice(&message.payload).unwrap();
        agent
            .publish(message.reply.unwrap(), "{\"ok\":true}".into())
            .await
            .unwrap();
        request
    };
    let (done, request) = tokio::join!(ask, answer);
    done.unwrap();
    assert_eq!(request.runs[0].exec_id, exec);
    world.stop().await;
}

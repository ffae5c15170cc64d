//! Who is there, and what they hold.

use kanade_backend::fleet::Operator;
use kanade_shared::api::agents::Presence;
use kanade_shared::id::{Attempt, PcId, RequestId};
use kanade_shared::subject::{self, Scope};
use kanade_shared::wire::agent::{HeardState, TimeReply, TimeRequest};
use kanade_shared::wire::command::{Reach, Rev};
use kanade_shared::wire::result::Outcome;
use kanade_testkit::database::Engine;
use kanade_testkit::{on_both, wait};

use super::world::{World, beat, heartbeat, request};

async fn the_first_heartbeat_makes_a_pc_part_of_the_fleet(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1"]).await;
    let agent = world.flow.fleet.agent_fetch(&pcs[0]).await.unwrap();
    assert_eq!(agent.presence, Presence::Online);
    let desired = world.desired(&pcs[0]).await;
    assert_eq!(desired.enrolled_at, agent.enrolled_at);
    let client = world.nats.client().await;
    beat(&client, &heartbeat(&pcs[0], &[])).await;
    let counters = &world.flow.counters;
    wait::until("it is heard again", wait::LONG, async || {
        counters.heartbeats.get() == 2
    })
    .await;
    let again = world.flow.fleet.agent_fetch(&pcs[0]).await.unwrap();
    assert_eq!(again.enrolled_at, agent.enrolled_at);
    let audit = world.js().await.get_stream("AUDIT").await.unwrap();
    wait::until("the audit row is on the broker", wait::LONG, async || {
        audit
            .get_last_raw_message_by_subject("audit.system")
            .await
            .is_ok()
    })
    .await;
    world.stop().await;
}

async fn garbage_on_heartbeats_is_put_aside_and_changes_nothing(engine: Engine) {
    let world = World::start_on(engine).await;
    let client = world.nats.client().await;
    client
        .publish("heartbeat.pc-9", "garbage".into())
        .await
        .unwrap();
    let other = heartbeat(&PcId::parse("pc-8").unwrap(), &[]);
    let json = serde_json::to_vec(&other).unwrap();
    client.publish("heartbeat.pc-9", json.into()).await.unwrap();
    client
        .publish_with_reply("svc.time.pc-9", "nobody", "?".into())
        .await
        .unwrap();
    client.flush().await.unwrap();
    wait::until("all are put aside", wait::LONG, async || {
        world.dead_letters().await.len() == 3
    })
    .await;
    let agents = world
        .flow
        .fleet
        .agents_list(&Default::default())
        .await
        .unwrap();
    assert!(agents.items.is_empty());
    world.stop().await;
}

async fn a_target_is_admitted_when_its_pc_holds_the_document_that_lists_it(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1", "pc-2"]).await;
    let client = world.nats.client().await;
    let wide = world.exec(None, Reach::Fixed).await.exec_id;
    let own = world.exec(Some(&pcs[..1]), Reach::Fixed).await.exec_id;
    let all = world.document_of(&Scope::All, wide).await;
    let scope = Scope::Pc(pcs[0].clone());
    let document = world.document_of(&scope, own).await;
    let older = Rev(all.rev.0 - 1);
    beat(&client, &heartbeat(&pcs[1], &[(Scope::All, older)])).await;
    let held = [(Scope::All, all.rev), (scope, document.rev)];
    beat(&client, &heartbeat(&pcs[0], &held)).await;
    world
        .until_exec("its own is admitted", own, |view| view.counts.admitted == 1)
        .await;
    let view = world.view(wide).await;
    assert_eq!((view.counts.admitted, view.counts.pending), (1, 1));
    beat(&client, &heartbeat(&pcs[1], &[(Scope::All, all.rev)])).await;
    world
        .until_exec("both are admitted", wide, |view| view.counts.admitted == 2)
        .await;
    world.stop().await;
}

async fn a_command_that_its_pc_never_saw_is_expired_and_never_admitted(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1"]).await;
    let client = world.nats.client().await;
    let short = request(None, Reach::Fixed, 1);
    let operator = Operator::local();
    let issued = world.flow.fleet.exec_issue(&short, None, &operator).await;
    let unseen = issued.unwrap().0.exec_id;
    let first = world.document_of(&Scope::All, unseen).await;
    let deadline = first.commands[0].deadline;
    wait::until("its deadline has passed", wait::LONG, async || {
        chrono::Utc::now() > deadline
    })
    .await;
    // The PC was away; the document that it reads now lists the first command no more.
    let seen = world.exec(None, Reach::Fixed).await.exec_id;
    let second = world.document_of(&Scope::All, seen).await;
    assert!(second.commands.iter().all(|one| one.exec_id != unseen));
    beat(&client, &heartbeat(&pcs[0], &[(Scope::All, second.rev)])).await;
    world
        .until_exec("the other one is admitted", seen, |view| {
            view.counts.admitted == 1
        })
        .await;
    assert_eq!(world.view(unseen).await.counts.admitted, 0);
    world
        .until_exec("it has expired", unseen, |view| {
            view.counts.ended.get(&Outcome::Expired) == Some(&1)
        })
        .await;
    world.stop().await;
}

async fn a_pc_that_enrols_later_joins_open_execs_and_no_others(engine: Engine) {
    let world = World::start_on(engine).await;
    world.enrol(&["pc-1"]).await;
    let open = world.exec(None, Reach::Open).await.exec_id;
    let fixed = world.exec(None, Reach::Fixed).await.exec_id;
    world.enrol(&["pc-2"]).await;
    world
        .until_exec("it has joined", open, |view| view.counts.targets == 2)
        .await;
    assert_eq!(world.view(fixed).await.counts.targets, 1);
    world.stop().await;
}

async fn the_time_comes_with_what_was_heard_of_journal_and_runs(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1"]).await;
    let client = world.nats.client().await;
    let exec = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    let run = RequestId::derive(exec, &pcs[0], Attempt::FIRST);
    let other = RequestId::derive(exec, &pcs[0], Attempt(2));
    let ask = async || {
        let request = TimeRequest {
            nonce: "n-1".into(),
            journal_id: None,
            ask: vec![run, other],
        };
        let json = serde_json::to_vec(&request).unwrap();
        let answer = client.request(subject::service("time", &pcs[0]), json.into());
        let reply: TimeReply = serde_json::from_slice(&answer.await.unwrap().payload).unwrap();
        reply
    };
    let reply = ask().await;
    assert_eq!((reply.nonce.as_str(), reply.journal_counter), ("n-1", 3));
    let states: Vec<_> = reply.heard.iter().map(|heard| heard.state).collect();
    assert_eq!(states, [HeardState::Nothing, HeardState::Unknown]);
    let scope = Scope::Pc(pcs[0].clone());
    let document = world.document_of(&scope, exec).await;
    beat(&client, &heartbeat(&pcs[0], &[(scope, document.rev)])).await;
    world
        .until_exec("it is admitted", exec, |view| view.counts.admitted == 1)
        .await;
    assert_eq!(ask().await.heard[0].state, HeardState::Begun);
    world.stop().await;
}

on_both!(
    the_first_heartbeat_makes_a_pc_part_of_the_fleet,
    garbage_on_heartbeats_is_put_aside_and_changes_nothing,
    a_target_is_admitted_when_its_pc_holds_the_document_that_lists_it,
    a_command_that_its_pc_never_saw_is_expired_and_never_admitted,
    a_pc_that_enrols_later_joins_open_execs_and_no_others,
    the_time_comes_with_what_was_heard_of_journal_and_runs,
);

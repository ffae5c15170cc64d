//! Streams into the database: exactly once, whatever dies, and with a word for what cannot be
//! read.

use std::time::Duration;

use kanade_backend::projector::{self, Projection, pressure};
use kanade_backend::tasks::Stop;
use kanade_shared::api::results::ResultQuery;
use kanade_shared::api::system::SystemQuery;
use kanade_shared::id::PcId;
use kanade_shared::subject;
use kanade_shared::wire::command::Reach;
use kanade_shared::wire::inventory::Hardware;
use kanade_shared::wire::result::{Outcome, Started};
use kanade_testkit::database::Engine;
use kanade_testkit::{on_both, wait};

use super::world::{World, ended, enrol_many, pcs, result, send};

async fn twenty_thousand_results_count_once_although_the_projector_dies_in_the_middle(
    engine: Engine,
) {
    let world = World::still_on(engine).await;
    let pcs = pcs(10_000);
    enrol_many(&world.flow, &pcs).await;
    let first = world.exec(None, Reach::Fixed).await.exec_id;
    let second = world.exec(None, Reach::Fixed).await.exec_id;
    let now = first.issued_at().unwrap();
    let results: Vec<_> = [first, second]
        .into_iter()
        .flat_map(|exec| pcs.iter().map(move |pc| result(exec, pc, Outcome::Ok, now)))
        .collect();
    let js = world.js().await;
    let sending = tokio::spawn(async move {
        send(&js, &results).await;
        // Again, as agents do whose acknowledgement was lost.
        send(&js, &results[..1000]).await;
    });
    world.flow.note_recovered();
    for stored in [2_000, 8_000, 14_000] {
        let flow = world.flow.clone();
        let projecting = tokio::spawn(projector::run(flow, Projection::Results, Stop::new()));
        let counters = world.flow.counters.clone();
        wait::until("some are stored", wait::LONG, async || {
            counters.results.stored.get() >= stored
        })
        .await;
        projecting.abort();
    }
    world.spawn();
    for exec in [first, second] {
        let view = world
            .until_exec("all have ended", exec, |view| {
                view.counts.of(Outcome::Ok) == 10_000
            })
            .await;
        assert_eq!((view.counts.targets, view.counts.waiting()), (10_000, 0));
        assert!(view.ended_at.is_some());
    }
    sending.await.unwrap();
    let counters = &world.flow.counters.results;
    wait::until("the stream is read to its end", wait::LONG, async || {
        counters.position.get() == 21_000
    })
    .await;
    assert_eq!(ended(&world.view(first).await)[&Outcome::Ok], 10_000);
    assert!(world.dead_letters().await.is_empty());
    let page = world
        .flow
        .fleet
        .results_list(&ResultQuery::default())
        .await
        .unwrap();
    assert!(!page.items.is_empty());
    world.stop().await;
}

async fn what_cannot_be_read_is_put_aside_with_the_reason_and_stops_nothing(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1", "pc-2"]).await;
    let exec = world.exec(Some(&pcs[..1]), Reach::Fixed).await.exec_id;
    let now = exec.issued_at().unwrap();
    let js = world.js().await;
    for (subject, payload) in [
        ("results.pc-1.x", &b"\xff\xfe"[..]),
        ("results.pc-1.0102", b"{}"),
        ("results.a.b.c.d", b""),
        ("events.pc-1.started", b"[]"),
        ("inventory.pc-1.hardware", b"null"),
        ("inventory.PC.hardware", b"{}"),
        ("audit.local", b"nothing"),
    ] {
        js.publish(subject, payload.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    let real = result(exec, &pcs[0], Outcome::Ok, now);
    let mut foreign = result(exec, &pcs[1], Outcome::Ok, now);
    send(&js, &[foreign.clone()]).await;
    foreign.pc_id = pcs[0].clone();
    let subject = subject::result(&pcs[1], foreign.request_id);
    let json = serde_json::to_vec(&foreign).unwrap();
    js.publish(subject, json.into())
        .await
        .unwrap()
        .await
        .unwrap();
    send(&js, &[real]).await;
    world
        .until_exec("it has ended", exec, |view| view.ended_at.is_some())
        .await;
    wait::until("all nine are put aside", wait::LONG, async || {
        world.dead_letters().await.len() == 9
    })
    .await;
    let reasons = world.dead_letters().await.join("\n");
    for part in [
        "was not given to this PC",
        "not what its subject says",
        "is not a result",
    ] {
        assert!(reasons.contains(part), "{part} is not in\n{reasons}");
    }
    assert!(world.tasks.list().iter().all(|task| task.restarts == 0));
    world.stop().await;
}

async fn a_broker_that_was_put_back_is_read_again_and_nothing_counts_twice(engine: Engine) {
    let mut world = World::start_on(engine).await;
    let names: Vec<String> = (0..6).map(|n| format!("pc-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let pcs = world.enrol(&names).await;
    let exec = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    let now = exec.issued_at().unwrap();
    let all: Vec<_> = pcs
        .iter()
        .map(|pc| result(exec, pc, Outcome::Ok, now))
        .collect();
    let ok =
        |n: u64| move |view: &kanade_shared::api::execs::ExecView| view.counts.of(Outcome::Ok) == n;
    send(&world.js().await, &all[..2]).await;
    world.until_exec("two have ended", exec, ok(2)).await;
    let copy = tempfile::tempdir().unwrap();
    world.nats.kill9();
    world.nats.copy_store(copy.path());
    world.nats.restart().await;
    send(&world.js().await, &all[2..4]).await;
    world.until_exec("four have ended", exec, ok(4)).await;
    world.nats.kill9();
    world.nats.restore_store(copy.path());
    world.nats.restart().await;
    // Two others take the sequences of those that are gone.
    send(&world.js().await, &all[4..]).await;
    let view = world.until_exec("all have ended", exec, ok(6)).await;
    assert!(view.ended_at.is_some());
    assert_eq!(world.flow.counters.results.rewinds.get(), 1);
    world.stop().await;
}

async fn what_was_evicted_before_it_was_read_is_a_gap(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1", "pc-2"]).await;
    let exec = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    let now = exec.issued_at().unwrap();
    let results: Vec<_> = pcs
        .iter()
        .map(|pc| result(exec, pc, Outcome::Ok, now))
        .collect();
    let js = world.js().await;
    send(&js, &results[..1]).await;
    world
        .until_exec("one has ended", exec, |view| {
            view.counts.of(Outcome::Ok) == 1
        })
        .await;
    world.tasks.stop_all().await;
    for _ in 0..3 {
        js.publish("results.pc-2.lost", "lost".into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    let stream = js.get_stream("RESULTS").await.unwrap();
    stream.purge().await.unwrap();
    send(&js, &results[1..]).await;
    world.spawn();
    world
        .until_exec("both have ended", exec, |view| view.ended_at.is_some())
        .await;
    let gaps = world
        .flow
        .fleet
        .gaps_list(&SystemQuery::default())
        .await
        .unwrap();
    let gaps: Vec<_> = gaps
        .items
        .iter()
        .map(|gap| (gap.stream.as_str(), gap.first, gap.last))
        .collect();
    assert_eq!(gaps, [("RESULTS", 2, 4)]);
    world.stop().await;
}

async fn a_run_that_has_begun_is_running_and_hardware_is_on_its_pc(engine: Engine) {
    let world = World::start_on(engine).await;
    let js = world.js().await;
    let pc = PcId::parse("pc-1").unwrap();
    let hardware: Hardware = serde_json::from_value(serde_json::json!({
        "pc_id": "pc-1", "collected_at": "2027-01-01T00:00:00Z", "host_name": "PC-1.lan",
        "os_family": "linux", "os_name": "Debian GNU/Linux", "os_version": "12",
        "arch": "x86_64", "cpu_count": 2, "ram_bytes": 1024,
    }))
    .unwrap();
    let json = serde_json::to_vec(&hardware).unwrap();
    // Before its first heartbeat: nobody knows the PC yet.
    js.publish("inventory.pc-1.hardware", json.into())
        .await
        .unwrap()
        .await
        .unwrap();
    let pcs = world.enrol(&["pc-1"]).await;
    wait::until("its hardware is known", wait::LONG, async || {
        let agent = world.flow.fleet.agent_fetch(&pc).await.unwrap();
        agent.hardware.is_some() && agent.os.as_deref() == Some("Debian GNU/Linux 12")
    })
    .await;
    let exec = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    let result = result(exec, &pc, Outcome::Ok, exec.issued_at().unwrap());
    let started = Started {
        request_id: result.request_id,
        exec_id: exec,
        attempt: result.attempt,
        pc_id: pc.clone(),
        started_at: result.ended_at,
    };
    let json = serde_json::to_vec(&started).unwrap();
    let subject = subject::event(&pc, subject::EVENT_STARTED);
    js.publish(subject.clone(), json.clone().into())
        .await
        .unwrap()
        .await
        .unwrap();
    world
        .until_exec("it runs", exec, |view| view.counts.running == 1)
        .await;
    send(&js, &[result]).await;
    world
        .until_exec("it has ended", exec, |view| view.ended_at.is_some())
        .await;
    // One that comes late changes nothing.
    js.publish(subject, json.into())
        .await
        .unwrap()
        .await
        .unwrap();
    let events = &world.flow.counters.events;
    wait::until("it is read", Duration::from_secs(30), async || {
        events.stored.get() == 2
    })
    .await;
    assert_eq!(world.view(exec).await.counts.running, 0);
    world.stop().await;
}

async fn results_that_wait_unread_are_not_evicted_but_refused(engine: Engine) {
    let world = World::still_on(engine).await;
    let js = world.js().await;
    let results = js.get_stream("RESULTS").await.unwrap();
    let mut config = results.cached_info().config.clone();
    config.max_bytes = 1 << 20;
    js.update_stream(config).await.unwrap();
    for _ in 0..10 {
        let garbage = vec![b'x'; 60 << 10];
        js.publish("results.pc-1.x", garbage.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    pressure::look(&world.flow).await.unwrap();
    let refused = async || {
        let garbage = vec![b'x'; 900 << 10];
        js.publish("results.pc-1.x", garbage.into())
            .await
            .unwrap()
            .await
            .is_err()
    };
    assert!(refused().await);
    world.spawn();
    wait::until("all are read", wait::LONG, async || {
        world.dead_letters().await.len() == 10
    })
    .await;
    pressure::look(&world.flow).await.unwrap();
    assert!(!refused().await, "it takes results again");
    world.stop().await;
}

on_both!(
    twenty_thousand_results_count_once_although_the_projector_dies_in_the_middle,
    what_cannot_be_read_is_put_aside_with_the_reason_and_stops_nothing,
    a_broker_that_was_put_back_is_read_again_and_nothing_counts_twice,
    what_was_evicted_before_it_was_read_is_a_gap,
    a_run_that_has_begun_is_running_and_hardware_is_on_its_pc,
    results_that_wait_unread_are_not_evicted_but_refused,
);

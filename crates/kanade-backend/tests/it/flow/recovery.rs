//! A broker that lost what it had, and a database that knows less than the broker.

use std::fs;

use kanade_backend::fleet::Operator;
use kanade_shared::api::execs::StopRequest;
use kanade_shared::api::system::SystemQuery;
use kanade_shared::id::JobId;
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::{Reach, StopAction};
use kanade_shared::wire::result::Outcome;
use kanade_testkit::wait;

use super::world::{World, result, send};

#[tokio::test]
async fn a_broker_that_lost_everything_gets_it_again() {
    let mut world = World::start().await;
    let pcs = world.enrol(&["pc-1", "pc-2"]).await;
    let wide = world.exec(None, Reach::Fixed).await.exec_id;
    let own = world.exec(Some(&pcs[..1]), Reach::Fixed).await.exec_id;
    let before = world.document_of(&Scope::All, wide).await;
    world.document_of(&Scope::Pc(pcs[0].clone()), own).await;
    world.nats.kill9();
    world.nats.wipe_store();
    world.nats.restart().await;
    kanade_shared::bootstrap::ensure_jetstream_resources(&world.js().await)
        .await
        .unwrap();
    let again = world.document_of(&Scope::All, wide).await;
    assert!(again.rev > before.rev, "an agent would refuse it otherwise");
    world.document_of(&Scope::Pc(pcs[0].clone()), own).await;
    world.desired(&pcs[1]).await;
    world.stop().await;
}

#[tokio::test]
async fn a_new_database_takes_back_what_the_broker_has() {
    let world = World::start().await;
    let pcs = world.enrol(&["pc-1", "pc-2"]).await;
    let live = world.exec(None, Reach::Fixed).await.exec_id;
    let killed = world.exec(Some(&pcs[..1]), Reach::Fixed).await.exec_id;
    let done = world.exec(Some(&pcs[1..]), Reach::Fixed).await.exec_id;
    let stop = StopRequest {
        action: StopAction::Kill,
        reason: None,
    };
    world
        .flow
        .fleet
        .exec_stop(killed, &stop, &Operator::local())
        .await
        .unwrap();
    let scope = Scope::Pc(pcs[0].clone());
    wait::until("the stop is out", wait::LONG, async || {
        !world.document_of(&scope, killed).await.stops.is_empty()
    })
    .await;
    let now = live.issued_at().unwrap();
    let results = [
        result(done, &pcs[1], Outcome::Ok, now),
        result(live, &pcs[0], Outcome::Ok, now),
    ];
    send(&world.js().await, &results).await;
    world
        .until_exec("it is done", done, |view| view.ended_at.is_some())
        .await;
    let before = world.document_of(&Scope::All, live).await;
    let enrolled = world.desired(&pcs[0]).await.enrolled_at;
    let yaml = "apiVersion: kanade/v1\nkind: Job\nid: hello # by hand\nversion: '1'\nrun:\n  shell: sh\n  script: echo\n";
    let job = JobId::parse("hello").unwrap();
    let operator = Operator::local();
    world
        .flow
        .fleet
        .job_apply(&job, yaml, None, false, &operator)
        .await
        .unwrap();
    let audit_before = audit_ids(&world).await;
    wait::until("the audit rows are on the broker", wait::LONG, async || {
        world.flow.counters.audit_copied.get() == audit_before.len() as u64
    })
    .await;

    let world = world
        .reopen(|folder| {
            for file in fs::read_dir(folder.path()).unwrap() {
                fs::remove_file(file.unwrap().path()).unwrap();
            }
        })
        .await;
    let adopted = world
        .until_exec("the live exec is back", live, |view| {
            view.counts.of(Outcome::Ok) == 1
        })
        .await;
    assert!(adopted.adopted);
    assert_eq!((adopted.counts.targets, adopted.counts.pending), (2, 1));
    let agent = world.flow.fleet.agent_fetch(&pcs[0]).await.unwrap();
    assert_eq!(agent.enrolled_at, enrolled);
    let view = world
        .until_exec("the stop is back", killed, |view| view.stop.is_some())
        .await;
    assert_eq!(view.stop, Some(StopAction::Kill));
    world
        .until_exec("what was done is back", done, |view| {
            view.counts.of(Outcome::Ok) == 1
        })
        .await;
    wait::until("the audit rows are back", wait::LONG, async || {
        let ids = audit_ids(&world).await;
        audit_before.iter().all(|id| ids.contains(id))
    })
    .await;
    let job = world.flow.fleet.job_fetch(&job).await.unwrap();
    assert_eq!(job.yaml.as_deref(), Some(yaml), "byte for byte");
    // What was killed does not come back with the next document of its scope.
    let next = world.exec(Some(&pcs[..1]), Reach::Fixed).await.exec_id;
    let document = world.document_of(&scope, next).await;
    assert!(
        document
            .commands
            .iter()
            .all(|command| command.exec_id != killed)
    );
    assert!(document.stops.iter().any(|stop| stop.exec_id == killed));
    assert!(world.document_of(&Scope::All, live).await.rev >= before.rev);
    // A fixed exec to all goes to the PCs that the database knows, one by one.
    let wide = world.exec(None, Reach::Fixed).await.exec_id;
    for pc in &pcs {
        world.document_of(&Scope::Pc(pc.clone()), wide).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn an_older_copy_of_the_database_learns_what_was_issued_stopped_and_done_since() {
    let world = World::start().await;
    let pcs = world.enrol(&["pc-1", "pc-2"]).await;
    let kept = world.exec(None, Reach::Fixed).await.exec_id;
    world.document_of(&Scope::All, kept).await;
    wait::until("database and broker agree", wait::LONG, async || {
        world.flow.counters.passes.get() > 0
    })
    .await;
    world.stop().await;
    let copy = tempfile::tempdir().unwrap();
    let file = "kanade.db";
    fs::copy(world.folder.path().join(file), copy.path().join(file)).unwrap();
    let world = world.reopen(|_| ()).await;
    let stop = StopRequest {
        action: StopAction::Withdraw,
        reason: None,
    };
    world
        .flow
        .fleet
        .exec_stop(kept, &stop, &Operator::local())
        .await
        .unwrap();
    let late = world.enrol(&["pc-3"]).await;
    let since = world.exec(None, Reach::Fixed).await.exec_id;
    let document = world.document_of(&Scope::All, since).await;
    assert!(document.stops.iter().any(|stop| stop.exec_id == kept));
    let now = since.issued_at().unwrap();
    let results: Vec<_> = [&pcs[0], &late[0]]
        .map(|pc| result(since, pc, Outcome::Ok, now))
        .into();
    send(&world.js().await, &results).await;
    world
        .until_exec("two are done", since, |view| {
            view.counts.of(Outcome::Ok) == 2
        })
        .await;

    let world = world
        .reopen(|folder| {
            for beside in ["kanade.db-wal", "kanade.db-shm"] {
                fs::remove_file(folder.path().join(beside)).ok();
            }
            fs::copy(copy.path().join(file), folder.path().join(file)).unwrap();
        })
        .await;
    let view = world
        .until_exec("what was issued since is back", since, |view| {
            view.counts.of(Outcome::Ok) == 2
        })
        .await;
    assert_eq!((view.counts.targets, view.counts.pending), (3, 1));
    let stopped = world
        .until_exec("the stop is back", kept, |view| view.stop.is_some())
        .await;
    assert_eq!(stopped.counts.of(Outcome::Withdrawn), 2);
    let later = world.exec(Some(&pcs[..1]), Reach::Fixed).await.exec_id;
    world.document_of(&Scope::Pc(pcs[0].clone()), later).await;
    let all = world.document_of(&Scope::All, since).await;
    assert!(all.commands.iter().all(|command| command.exec_id != kept));
    world.stop().await;
}

#[tokio::test]
async fn a_result_of_an_exec_that_nobody_issued_is_put_aside() {
    let world = World::start().await;
    let pcs = world.enrol(&["pc-1"]).await;
    let exec = kanade_shared::id::ExecId::new(chrono::Utc::now(), [9; 10]);
    let forged = result(exec, &pcs[0], Outcome::Ok, chrono::Utc::now());
    send(&world.js().await, &[forged]).await;
    wait::until("it is put aside", wait::LONG, async || {
        world
            .dead_letters()
            .await
            .iter()
            .any(|why| why.contains("was never issued here"))
    })
    .await;
    world.stop().await;
}

async fn audit_ids(world: &World) -> Vec<String> {
    let page = world
        .flow
        .fleet
        .audit_list(&SystemQuery::default())
        .await
        .unwrap();
    page.items.into_iter().map(|row| row.audit_id).collect()
}

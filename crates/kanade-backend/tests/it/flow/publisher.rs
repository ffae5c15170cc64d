//! Documents on the broker say what the database says, whoever else publishes.

use kanade_backend::fleet::Operator;
use kanade_backend::publisher::kept;
use kanade_backend::store::intake::TargetRow;
use kanade_shared::api::catalogue::GroupWrite;
use kanade_shared::api::execs::StopRequest;
use kanade_shared::id::{GroupId, JobId};
use kanade_shared::manifest::JobRun;
use kanade_shared::subject::{self, EXEC_STREAM, Scope};
use kanade_shared::wire::command::{Document, Reach, Rev, ScriptSource, StopAction};
use kanade_testkit::database::Engine;
use kanade_testkit::{on_both, wait};

use super::world::{World, beat, enrol_many, heartbeat, pcs, request};

async fn commands_and_their_stops_are_in_the_documents_of_their_scopes(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1", "pc-2"]).await;
    let wide = world.exec(None, Reach::Fixed).await.exec_id;
    let own = world.exec(Some(&pcs[..1]), Reach::Fixed).await.exec_id;
    let all = world.document_of(&Scope::All, wide).await;
    assert_eq!(all.commands.len(), 1);
    let scope = Scope::Pc(pcs[0].clone());
    let first = world.document_of(&scope, own).await;
    assert!(world.kept(&Scope::Pc(pcs[1].clone())).await.is_none());
    let stop = StopRequest {
        action: StopAction::Withdraw,
        reason: None,
    };
    world
        .flow
        .fleet
        .exec_stop(own, &stop, &Operator::local())
        .await
        .unwrap();
    let stopped = wait::some("the stop", wait::LONG, async || {
        let document = world.document_of(&scope, own).await;
        (!document.stops.is_empty()).then_some(document)
    })
    .await;
    assert!(stopped.commands.is_empty() && stopped.rev > first.rev);
    assert!(world.kept(&scope).await.unwrap().expires_at.is_some());
    world.stop().await;
}

async fn somebody_elses_document_is_replaced_and_never_lost_against(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1"]).await;
    let exec = world.exec(None, Reach::Fixed).await.exec_id;
    let ours = world.document_of(&Scope::All, exec).await;
    let js = world.js().await;
    // Garbage, and then an older document, in the place of ours.
    js.publish("commands.all", "garbage".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let next = world.exec(None, Reach::Fixed).await.exec_id;
    let document = world.document_of(&Scope::All, next).await;
    assert!(document.rev > ours.rev && document.commands.len() == 2);
    let old = Document {
        commands: vec![],
        ..ours
    };
    let json = serde_json::to_vec(&old).unwrap();
    js.publish("commands.all", json.into())
        .await
        .unwrap()
        .await
        .unwrap();
    let last = world.exec(None, Reach::Fixed).await.exec_id;
    assert_eq!(world.document_of(&Scope::All, last).await.commands.len(), 3);
    drop(pcs);
    world.stop().await;
}

async fn garbage_is_replaced_also_where_nothing_is_wanted(engine: Engine) {
    let world = World::still_on(engine).await;
    let js = world.js().await;
    let scope = Scope::Pc("pc-1".parse().unwrap());
    let stored = js.publish(scope.commands(), "garbage".into()).await;
    stored.unwrap().await.unwrap();
    world.spawn();
    let document = wait::some("a document", wait::LONG, async || {
        let kept = world.kept(&scope).await?;
        serde_json::from_slice::<Document>(&kept.payload).ok()
    })
    .await;
    assert!(document.commands.is_empty() && document.stops.is_empty());
    assert_eq!(document.scope, scope);
    world.stop().await;
}

async fn a_definition_that_no_message_can_hold_keeps_nothing_else_from_the_broker(engine: Engine) {
    let world = World::still_on(engine).await;
    let job: kanade_shared::manifest::Job = serde_json::from_value(serde_json::json!({
        "apiVersion": "kanade/v1", "kind": "Job", "id": "big", "version": "1.0.0",
        "run": { "shell": "sh", "script": "true" },
    }))
    .unwrap();
    let mut tx = world.flow.store.begin().await.unwrap();
    let yaml = "#".repeat(2 << 20);
    tx.job_write(&job, &yaml, 1, "local").await.unwrap();
    tx.commit().await.unwrap();
    world.spawn();
    // Its enrolment has an audit row, which is copied after the definitions.
    world.enrol(&["pc-1"]).await;
    let audit = world.js().await.get_stream("AUDIT").await.unwrap();
    wait::until("the audit row is on the broker", wait::LONG, async || {
        let row = audit.get_last_raw_message_by_subject("audit.system").await;
        row.is_ok()
    })
    .await;
    let kept = |subject: &'static str| kept::last(&world.flow.js, "KV_jobs", subject);
    assert!(kept("$KV.jobs.big").await.unwrap().is_some());
    let counters = &world.flow.counters;
    assert!(counters.publishing.failing().is_none() && counters.copying.failing().is_none());
    world.stop().await;
}

async fn a_rev_goes_above_what_any_pc_holds(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1"]).await;
    let exec = world.exec(None, Reach::Fixed).await.exec_id;
    let first = world.document_of(&Scope::All, exec).await;
    let held = Rev(first.rev.0 + 1_000_000);
    let client = world.nats.client().await;
    beat(&client, &heartbeat(&pcs[0], &[(Scope::All, held)])).await;
    wait::until("a rev above it", wait::LONG, async || {
        world.document_of(&Scope::All, exec).await.rev > held
    })
    .await;
    world.stop().await;
}

async fn three_thousand_own_documents_are_published_together(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = pcs(3000);
    enrol_many(&world.flow, &pcs).await;
    let exec = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    for pc in [&pcs[0], &pcs[1500], &pcs[2999]] {
        world.document_of(&Scope::Pc(pc.clone()), exec).await;
    }
    wait::until("all are there", wait::LONG, async || {
        world.flow.counters.documents.get() == 3000
    })
    .await;
    world.stop().await;
}

async fn a_script_is_on_the_broker_before_the_document_that_names_it(engine: Engine) {
    let world = World::start_on(engine).await;
    world.enrol(&["pc-1"]).await;
    let run: JobRun = serde_json::from_value(
        serde_json::json!({ "shell": "sh", "script": format!("# {}", "x".repeat(5000)) }),
    )
    .unwrap();
    let mut asked = request(None, Reach::Fixed, 3600);
    asked.what = kanade_shared::api::execs::ExecWhat::Script(run);
    let issued = world
        .flow
        .fleet
        .exec_issue(&asked, None, &Operator::local())
        .await;
    let exec = issued.unwrap().0.exec_id;
    let document = world.document_of(&Scope::All, exec).await;
    let ScriptSource::Body(body) = &document.commands[0].run.script else {
        panic!(
            "the script is not a body: {:?}",
            document.commands[0].run.script
        );
    };
    let subject = subject::body(&body.sha256);
    let kept = kept::last(&world.flow.js, EXEC_STREAM, &subject)
        .await
        .unwrap()
        .unwrap();
    let text = kanade_shared::body::open(&kept.payload, body).unwrap();
    assert_eq!(text.len(), 5002);
    world.stop().await;
}

async fn definitions_and_groups_are_copied_and_removed(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1"]).await;
    let (fleet, operator) = (&world.flow.fleet, Operator::local());
    let yaml = "apiVersion: kanade/v1\nkind: Job\nid: hello # by hand\nversion: '1'\nrun:\n  shell: sh\n  script: echo\n";
    let job = JobId::parse("hello").unwrap();
    fleet
        .job_apply(&job, yaml, None, false, &operator)
        .await
        .unwrap();
    let value = async |bucket: &str, key: &str| {
        let (stream, subject) = (format!("KV_{bucket}"), format!("$KV.{bucket}.{key}"));
        let kept = kept::last(&world.flow.js, &stream, &subject).await.unwrap();
        kept.filter(|kept| !kept.deleted).map(|kept| kept.payload)
    };
    wait::until("the YAML is there, byte for byte", wait::LONG, async || {
        value("jobs_yaml", "hello").await.as_deref() == Some(yaml.as_bytes())
    })
    .await;
    wait::until("its version is there", wait::LONG, async || {
        value("script_current", "hello").await.as_deref() == Some(b"1")
    })
    .await;
    let group = GroupId::parse("lab").unwrap();
    let write: GroupWrite =
        serde_json::from_value(serde_json::json!({ "members": ["pc-1"] })).unwrap();
    fleet
        .group_apply(&group, &write, None, false, &operator)
        .await
        .unwrap();
    wait::until(
        "the PC's documents name its group",
        wait::LONG,
        async || {
            let groups = value("agent_groups", "pc-1").await;
            world.desired(&pcs[0]).await.groups == [group.clone()]
                && groups.as_deref() == Some(br#"{"groups":["lab"]}"#)
        },
    )
    .await;
    fleet.job_delete(&job, None, &operator).await.unwrap();
    wait::until("its copies are gone", wait::LONG, async || {
        value("jobs_yaml", "hello").await.is_none() && value("jobs", "hello").await.is_none()
    })
    .await;
    world.stop().await;
}

async fn a_broker_that_dies_while_documents_are_published_has_all_of_them_in_the_end(
    engine: Engine,
) {
    let mut world = World::start_on(engine).await;
    let pcs = pcs(2000);
    enrol_many(&world.flow, &pcs).await;
    let exec = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    world.document_of(&Scope::Pc(pcs[0].clone()), exec).await;
    world.nats.kill9();
    world.nats.restart().await;
    let js = world.js().await;
    wait::until(
        "all are there",
        std::time::Duration::from_secs(60),
        async || {
            let there = kept::subjects(&js, EXEC_STREAM, "commands.pc.*").await;
            there.is_ok_and(|there| there.len() == 2000)
        },
    )
    .await;
    world.stop().await;
}

async fn a_document_that_would_be_too_large_lists_its_oldest_commands_and_the_rest_later(
    engine: Engine,
) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1"]).await;
    let scope = Scope::Pc(pcs[0].clone());
    let mut execs = Vec::new();
    // Past the door, which refuses by its own estimate: straight into the database.
    for n in 0..3 {
        let exec = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
        let document = world.document_of(&scope, exec).await;
        let mut command = document.commands.last().unwrap().clone();
        command.exec_id = kanade_shared::id::ExecId::new(command.issued_at, [n; 10]);
        command.run.args = vec!["x".repeat(100_000)];
        execs.push(command);
    }
    let mut tx = world.flow.store.begin().await.unwrap();
    for command in &execs {
        tx.command_adopt(command, false, 0).await.unwrap();
        let target = TargetRow::pending(command.exec_id, pcs[0].clone(), command.attempt, false);
        tx.targets_insert(&[target]).await.unwrap();
    }
    tx.commit().await.unwrap();
    world.flow.publisher.nudge();
    let document = world.document_of(&scope, execs[1].exec_id).await;
    let size = serde_json::to_vec(&document).unwrap().len();
    assert!(size <= kanade_shared::wire::DOCUMENT_MAX_BYTES, "{size}");
    let lists = |n: usize| {
        document
            .commands
            .iter()
            .any(|c| c.exec_id == execs[n].exec_id)
    };
    assert!(lists(0) && lists(1) && !lists(2));
    assert_eq!(world.flow.counters.oversized.get(), 1);
    world.stop().await;
}

#[tokio::test]
async fn many_messages_of_several_publishers_never_wait_for_each_other_for_ever() {
    let nats = kanade_testkit::nats::Nats::start().await;
    kanade_shared::bootstrap::ensure_jetstream_resources(&nats.jetstream().await)
        .await
        .unwrap();
    // Places for acknowledgements: fewer than either wants, as 5,000 are with 10,000 PCs.
    let js = async_nats::jetstream::ContextBuilder::new()
        .max_ack_inflight(8)
        .build(nats.client().await);
    let messages = |kind: &str| -> Vec<kept::Outgoing> {
        let key = |n| format!("$KV.agents_state.{kind}-{n}");
        (0..200)
            .map(|n| kept::Outgoing::plain(key(n), "{}"))
            .collect()
    };
    let (one, other) = (messages("one"), messages("other"));
    let now = chrono::Utc::now();
    let both = async {
        tokio::join!(
            kept::publish(&js, &one, now),
            kept::publish(&js, &other, now)
        )
    };
    let (one, other) = tokio::time::timeout(wait::LONG, both)
        .await
        .expect("both end");
    assert_eq!(one.unwrap().len(), 200);
    assert_eq!(other.unwrap().len(), 200);
}

on_both!(
    commands_and_their_stops_are_in_the_documents_of_their_scopes,
    somebody_elses_document_is_replaced_and_never_lost_against,
    garbage_is_replaced_also_where_nothing_is_wanted,
    a_definition_that_no_message_can_hold_keeps_nothing_else_from_the_broker,
    a_rev_goes_above_what_any_pc_holds,
    three_thousand_own_documents_are_published_together,
    a_script_is_on_the_broker_before_the_document_that_names_it,
    definitions_and_groups_are_copied_and_removed,
    a_broker_that_dies_while_documents_are_published_has_all_of_them_in_the_end,
    a_document_that_would_be_too_large_lists_its_oldest_commands_and_the_rest_later,
);

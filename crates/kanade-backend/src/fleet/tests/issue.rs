//! What a POST of an exec stores, and what it refuses.

use kanade_shared::api::catalogue::GroupWrite;
use kanade_shared::api::execs::{ExecRequest, ExecState, ExecWhat, TargetQuery, Targets};
use kanade_shared::api::system::SystemQuery;
use kanade_shared::body;
use kanade_shared::id::{Attempt, GroupId};
use kanade_shared::wire::command::{Command, Reach, ScriptSource};

use super::{World, everybody, only, pc, pcs, request, script};
use crate::fleet::{FleetError, FleetStatus};
use crate::store::tests::database::{Engine, on_both};

/// The wire's command of the newest attempt, and whether it is for `commands.all`.
async fn command(world: &World, exec_id: kanade_shared::id::ExecId) -> (Command, bool) {
    let mut tx = world.store.begin().await.unwrap();
    let (_, command) = tx.exec_run(exec_id).await.unwrap();
    let wide = tx
        .targets_current(exec_id)
        .await
        .unwrap()
        .iter()
        .all(|target| target.wide);
    (command.unwrap(), wide)
}

async fn an_exec_to_all_has_every_pc_and_goes_into_one_document(engine: Engine) {
    let world = World::on(engine, 3).await;
    let exec = world.issue(everybody()).await;
    assert_eq!((exec.counts.targets, exec.counts.pending), (3, 3));
    assert_eq!(
        (exec.title.as_str(), exec.state),
        ("uptime", ExecState::Running)
    );
    let (command, wide) = command(&world, exec.exec_id).await;
    assert!(wide && command.attempt == Attempt::FIRST);
    assert_eq!(command.issued_at, exec.issued_at);
    assert_eq!((exec.deadline - exec.issued_at).num_seconds(), 3600);
    let audit = world
        .fleet
        .audit_list(&SystemQuery::default())
        .await
        .unwrap();
    let row = &audit.items[0];
    assert_eq!(
        (row.action.as_str(), row.actor.as_str()),
        ("exec.issue", "local")
    );
    assert_eq!(row.object, exec.exec_id.to_string());
    assert_eq!(row.detail["count"], 3);
    assert!(
        row.detail.get("script").is_none(),
        "a script may hold secrets"
    );
}

async fn an_exec_with_exclusions_or_of_a_database_that_is_behind_names_its_pcs(engine: Engine) {
    let world = World::on(engine, 3).await;
    let targets = Targets {
        not_pcs: vec![pc(0)],
        ..everybody()
    };
    let exec = world.issue(targets).await;
    assert_eq!(exec.counts.targets, 2);
    assert!(!command(&world, exec.exec_id).await.1);
    let mut tx = world.store.begin().await.unwrap();
    tx.set_meta("behind_since", "1").await.unwrap();
    tx.commit().await.unwrap();
    let exec = world.issue(everybody()).await;
    assert!(!command(&world, exec.exec_id).await.1);
}

async fn a_pc_that_enrols_later_is_never_a_tie(engine: Engine) {
    let world = World::on(engine, 1).await;
    for n in 1..20 {
        let exec = world.issue(everybody()).await;
        world.enrol(&[pc(n)]).await;
        let agent = world.fleet.agent_fetch(&pc(n)).await.unwrap();
        assert!(agent.enrolled_at > exec.issued_at);
    }
}

async fn names_that_are_unknown_are_refused_with_the_one_that_was_meant(engine: Engine) {
    let world = World::on(engine, 2).await;
    let lab = GroupId::parse("lab").unwrap();
    let write = GroupWrite {
        description: None,
        members: vec![pc(1), pc(7)],
    };
    world
        .fleet
        .group_apply(&lab, &write, None, false, &world.by)
        .await
        .unwrap();
    let lba = Targets {
        groups: vec![GroupId::parse("lba").unwrap()],
        ..Targets::default()
    };
    let error = world
        .fleet
        .exec_issue(&request(lba), None, &world.by)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "group `lba` does not exist");
    assert_eq!(
        error.help().as_deref(),
        Some("`lab`, or `kanade get groups` for all of them")
    );
    assert_eq!(
        (error.status(), error.field()),
        (FleetStatus::Invalid, Some("targets.groups"))
    );
    let of_lab = Targets {
        groups: vec![lab],
        ..Targets::default()
    };
    let exec = world.issue(of_lab).await;
    assert_eq!(
        exec.counts.targets, 1,
        "a member that is not enrolled is no target"
    );
    for nobody in [
        Targets::default(),
        Targets {
            not_pcs: pcs(2),
            ..everybody()
        },
    ] {
        let error = world
            .fleet
            .exec_issue(&request(nobody), None, &world.by)
            .await
            .unwrap_err();
        assert_eq!(error.status(), FleetStatus::Invalid);
    }
    let error = world
        .fleet
        .exec_issue(&request(only(&[pc(9)])), None, &world.by)
        .await;
    assert!(matches!(error, Err(FleetError::UnknownPc { .. })));
}

async fn the_same_key_and_request_is_the_same_exec_and_another_request_a_conflict(engine: Engine) {
    let world = World::on(engine, 2).await;
    let asked = request(everybody());
    let (first, existed) = world
        .fleet
        .exec_issue(&asked, Some("k1"), &world.by)
        .await
        .unwrap();
    assert!(!existed);
    let (again, existed) = world
        .fleet
        .exec_issue(&asked, Some("k1"), &world.by)
        .await
        .unwrap();
    assert!(existed && again.exec_id == first.exec_id);
    let other = ExecRequest {
        deadline_s: Some(60),
        ..asked.clone()
    };
    let error = world
        .fleet
        .exec_issue(&other, Some("k1"), &world.by)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "idempotency.reused");
    let (second, _) = world
        .fleet
        .exec_issue(&asked, Some("k2"), &world.by)
        .await
        .unwrap();
    assert_ne!(second.exec_id, first.exec_id);
}

async fn a_preview_is_hit_exactly_or_not_at_all(engine: Engine) {
    let world = World::on(engine, 3).await;
    let asked = request(everybody());
    let preview = world.fleet.exec_preview(&asked, &world.by).await.unwrap();
    assert_eq!(
        (preview.count, preview.offline, preview.sample.len()),
        (3, 0, 3)
    );
    let with = ExecRequest {
        preview: Some(preview.token),
        ..asked.clone()
    };
    let other = ExecRequest {
        jitter_s: Some(5),
        ..with.clone()
    };
    let error = world
        .fleet
        .exec_issue(&other, None, &world.by)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "preview.other_request");
    world
        .fleet
        .exec_issue(&with, None, &world.by)
        .await
        .unwrap();
    world.enrol(&[pc(3)]).await;
    let error = world
        .fleet
        .exec_issue(&with, None, &world.by)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the targets have changed since the preview: pc-00003 entered"
    );
    let lost = ExecRequest {
        preview: Some("x".into()),
        ..asked
    };
    let error = world
        .fleet
        .exec_issue(&lost, None, &world.by)
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.status()),
        ("preview.expired", FleetStatus::Conflict)
    );
}

async fn a_large_script_travels_apart_and_only_its_command_opens_it(engine: Engine) {
    let world = World::on(engine, 2).await;
    let text = format!("echo {}", "x".repeat(5000));
    let what = ExecWhat::Script(script(&text));
    let asked = ExecRequest {
        what,
        ..request(everybody())
    };
    let (exec, _) = world
        .fleet
        .exec_issue(&asked, None, &world.by)
        .await
        .unwrap();
    let ScriptSource::Body(body_ref) = command(&world, exec.exec_id).await.0.run.script else {
        panic!("5,000 bytes do not ride inside");
    };
    let bytes = world.fleet.body_fetch(&body_ref.sha256).await.unwrap();
    assert_eq!(body::open(&bytes, &body_ref).unwrap(), text);
}

async fn commands_are_refused_while_the_broker_has_no_room_for_them(engine: Engine) {
    let world = World::on(engine, 1).await;
    world.room.note(80_000, 100_000);
    let error = world
        .fleet
        .exec_issue(&request(everybody()), None, &world.by)
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.status()),
        ("exec.full", FleetStatus::Refused)
    );
    world.room.note(10_000, 100_000);
    world.issue(everybody()).await;
}

async fn documents_of_one_pc_stay_under_their_limit(engine: Engine) {
    let world = World::on(engine, 2).await;
    let mut run = script("cat");
    run.stdin = Some("x".repeat(100 * 1024));
    let what = ExecWhat::Script(run);
    let asked = ExecRequest {
        what,
        ..request(only(&[pc(0)]))
    };
    world
        .fleet
        .exec_issue(&asked, None, &world.by)
        .await
        .unwrap();
    world
        .fleet
        .exec_issue(&asked, None, &world.by)
        .await
        .unwrap();
    let error = world
        .fleet
        .exec_issue(&asked, None, &world.by)
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.status()),
        ("request.too_large", FleetStatus::TooLarge)
    );
    let other = ExecRequest {
        targets: only(&[pc(1)]),
        ..asked
    };
    world
        .fleet
        .exec_issue(&other, None, &world.by)
        .await
        .unwrap();
}

async fn an_open_exec_waits_for_late_arrivals_even_with_nobody_there(engine: Engine) {
    let world = World::on(engine, 0).await;
    let asked = ExecRequest {
        reach: Some(Reach::Open),
        ..request(everybody())
    };
    let (exec, _) = world
        .fleet
        .exec_issue(&asked, None, &world.by)
        .await
        .unwrap();
    assert_eq!((exec.state, exec.counts.targets), (ExecState::Running, 0));
}

async fn wrong_requests_name_their_field(engine: Engine) {
    let world = World::on(engine, 1).await;
    let right = request(everybody());
    let wrong = [
        (
            ExecRequest {
                deadline_s: Some(0),
                ..right.clone()
            },
            "deadline_s",
        ),
        (
            ExecRequest {
                jitter_s: Some(3600),
                ..right.clone()
            },
            "jitter_s",
        ),
        (
            ExecRequest {
                what: ExecWhat::Script(script(" ")),
                ..right.clone()
            },
            "run.script",
        ),
        (
            ExecRequest {
                reason: Some("x".repeat(1001)),
                ..right.clone()
            },
            "reason",
        ),
        (
            ExecRequest {
                reach: Some(Reach::Open),
                targets: only(&[pc(0)]),
                ..right.clone()
            },
            "reach",
        ),
    ];
    for (request, field) in wrong {
        let error = world
            .fleet
            .exec_issue(&request, None, &world.by)
            .await
            .unwrap_err();
        assert_eq!(
            (error.field(), error.status()),
            (Some(field), FleetStatus::Invalid)
        );
    }
    let error = world
        .fleet
        .exec_issue(&right, Some("a b"), &world.by)
        .await
        .unwrap_err();
    assert_eq!(error.field(), Some("Idempotency-Key"));
}

async fn an_exec_to_ten_thousand_pcs_is_stored_at_once_with_all_of_them(engine: Engine) {
    let world = World::on(engine, 10_000).await;
    let before = std::time::Instant::now();
    let exec = world.issue(everybody()).await;
    eprintln!("10,000 targets stored in {:?}", before.elapsed());
    assert_eq!(exec.counts.pending, 10_000);
    let query = TargetQuery {
        limit: Some(1),
        ..TargetQuery::default()
    };
    let page = world
        .fleet
        .targets_list(exec.exec_id, &query)
        .await
        .unwrap();
    assert_eq!(page.count.to_string(), "1000+");
    assert!(page.items[0].why.is_some());
}

on_both!(
    an_exec_to_all_has_every_pc_and_goes_into_one_document,
    an_exec_with_exclusions_or_of_a_database_that_is_behind_names_its_pcs,
    a_pc_that_enrols_later_is_never_a_tie,
    names_that_are_unknown_are_refused_with_the_one_that_was_meant,
    the_same_key_and_request_is_the_same_exec_and_another_request_a_conflict,
    a_preview_is_hit_exactly_or_not_at_all,
    a_large_script_travels_apart_and_only_its_command_opens_it,
    commands_are_refused_while_the_broker_has_no_room_for_them,
    documents_of_one_pc_stay_under_their_limit,
    an_open_exec_waits_for_late_arrivals_even_with_nobody_there,
    wrong_requests_name_their_field,
    an_exec_to_ten_thousand_pcs_is_stored_at_once_with_all_of_them,
);

//! What time alone changes.

use chrono::{TimeDelta, Utc};
use kanade_backend::sweep;
use kanade_shared::api::results::ResultQuery;
use kanade_shared::id::PcId;
use kanade_shared::wire::command::Reach;
use kanade_shared::wire::result::Outcome;
use kanade_testkit::database::Engine;
use kanade_testkit::on_both;

use super::world::{World, result, send};

async fn an_overdue_target_expires_with_a_reason_and_a_late_result_replaces_that(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1"]).await;
    let exec = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    let later = Utc::now() + TimeDelta::hours(2);
    sweep::overdue(&world.flow, later).await.unwrap();
    let view = world.view(exec).await;
    assert_eq!(view.counts.of(Outcome::Expired), 1);
    assert!(view.ended_at.is_some());
    let page = world
        .flow
        .fleet
        .targets_list(exec, &Default::default())
        .await
        .unwrap();
    let target = &page.items[0];
    assert!(
        target.provisional
            && target
                .why
                .as_ref()
                .unwrap()
                .text
                .contains("deadline passed")
    );
    let pc: &PcId = &pcs[0];
    let real = result(exec, pc, Outcome::Ok, exec.issued_at().unwrap());
    send(&world.js().await, &[real]).await;
    let view = world
        .until_exec("the real one counts", exec, |view| {
            view.counts.of(Outcome::Ok) == 1
        })
        .await;
    assert_eq!(view.counts.of(Outcome::Expired), 0);
    world.stop().await;
}

async fn what_ended_long_ago_goes_and_what_still_waits_stays(engine: Engine) {
    let world = World::start_on(engine).await;
    let pcs = world.enrol(&["pc-1"]).await;
    let done = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    let waiting = world.exec(Some(&pcs), Reach::Fixed).await.exec_id;
    let mut real = result(done, &pcs[0], Outcome::Ok, done.issued_at().unwrap());
    real.stdout = kanade_shared::wire::result::Output::whole("x".repeat(5000));
    send(&world.js().await, &[real]).await;
    world
        .until_exec("it is done", done, |view| view.ended_at.is_some())
        .await;
    sweep::tidy(&world.flow, Utc::now() + TimeDelta::days(29))
        .await
        .unwrap();
    assert_eq!(world.view(done).await.counts.of(Outcome::Ok), 1);
    sweep::tidy(&world.flow, Utc::now() + TimeDelta::days(31))
        .await
        .unwrap();
    assert!(world.flow.fleet.exec_fetch(done).await.is_err());
    let results = world
        .flow
        .fleet
        .results_list(&ResultQuery::default())
        .await
        .unwrap();
    assert!(results.items.is_empty());
    assert_eq!(world.view(waiting).await.counts.pending, 1);
    world.stop().await;
}

on_both!(
    an_overdue_target_expires_with_a_reason_and_a_late_result_replaces_that,
    what_ended_long_ago_goes_and_what_still_waits_stays,
);

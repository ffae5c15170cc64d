//! What stops and retries do to targets, counters and commands.

use kanade_shared::api::execs::{
    ExecState, RetryRequest, StopRequest, StopView, TargetQuery, TargetState, TargetView,
};
use kanade_shared::id::{Attempt, ExecId};
use kanade_shared::wire::command::{Command, Stop, StopAction};
use kanade_shared::wire::result::Outcome;

use super::{World, everybody, pc};
use crate::fleet::rules::{self, Ledger};
use crate::store::intake::TargetRow;
use crate::store::tests::database::{Engine, on_both};

impl World {
    /// Changes targets of an exec as the projector would.
    pub(super) async fn change(&self, exec_id: ExecId, change: impl Fn(&mut TargetRow)) {
        let mut tx = self.store.begin().await.unwrap();
        let mut ledger = Ledger::new(tx.execs_by_id(&[exec_id]).await.unwrap());
        let mut after = tx.targets_current(exec_id).await.unwrap();
        for target in &mut after {
            let before = target.clone();
            change(target);
            ledger.moved(Some(&before), target);
        }
        tx.targets_update(&after).await.unwrap();
        let now = tx.now();
        tx.execs_update(&ledger.settle(now)).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn stop(&self, exec_id: ExecId, action: StopAction) -> StopView {
        let request = StopRequest {
            action,
            reason: None,
        };
        self.fleet
            .exec_stop(exec_id, &request, &self.by)
            .await
            .unwrap()
    }

    async fn targets(&self, exec_id: ExecId) -> Vec<TargetView> {
        self.fleet
            .targets_list(exec_id, &TargetQuery::default())
            .await
            .unwrap()
            .items
    }
}

pub(super) fn end(target: &mut TargetRow, outcome: Outcome) {
    target.state = TargetState::Ended;
    target.outcome = Some(outcome);
    target.provisional = false;
    target.open = false;
    target.stopping = false;
}

/// Of four PCs the first runs, the second holds the command, the third has ended, and the fourth
/// is offline.
async fn half_way(world: &World) -> ExecId {
    let exec_id = world.issue(everybody()).await.exec_id;
    world.leave(&[pc(3)]).await;
    world
        .change(exec_id, |target| {
            let now = chrono::Utc::now();
            match target.pc_id.as_str() {
                "pc-00000" => assert!(rules::start(target, now)),
                "pc-00001" => assert!(rules::admit(target, now)),
                "pc-00002" => end(target, Outcome::Failed),
                _ => {}
            }
        })
        .await;
    exec_id
}

async fn a_withdrawal_lets_what_runs_run_and_starts_nothing_more(engine: Engine) {
    let world = World::on(engine, 4).await;
    let exec_id = half_way(&world).await;
    let stop = world.stop(exec_id, StopAction::Withdraw).await;
    assert_eq!(
        (stop.never_start, stop.to_kill, stop.already_ended),
        (2, 0, 1)
    );
    let counts = &stop.exec.counts;
    assert_eq!((counts.running, counts.of(Outcome::Withdrawn)), (1, 1));
    assert_eq!(stop.exec.state, ExecState::Running);
    let targets = world.targets(exec_id).await;
    assert!(!targets[0].stopping);
    assert!(targets[1].stopping, "the PC says whether it was in time");
    assert!(targets[3].provisional);
    let why = targets[3].why.as_ref().unwrap();
    assert_eq!(why.text, "stopped by local before it started");
}

async fn a_kill_after_a_withdrawal_tells_what_runs_or_is_about_to_to_end(engine: Engine) {
    let world = World::on(engine, 4).await;
    let exec_id = half_way(&world).await;
    world.stop(exec_id, StopAction::Withdraw).await;
    let stop = world.stop(exec_id, StopAction::Kill).await;
    assert_eq!(
        (stop.never_start, stop.to_kill, stop.already_ended),
        (1, 2, 1)
    );
    assert_eq!(stop.exec.stop, Some(StopAction::Kill));
    assert!(world.targets(exec_id).await[0].stopping);
    let again = world.stop(exec_id, StopAction::Withdraw).await;
    assert_eq!(
        again.exec.stop,
        Some(StopAction::Kill),
        "a withdrawal takes no kill back"
    );
    let mut tx = world.store.begin().await.unwrap();
    let entries = tx.scope_all_entries().await.unwrap();
    assert_eq!(entries[0].stop, Some(StopAction::Kill));
}

async fn a_stopped_exec_ends_with_its_last_run_and_real_results_replace_the_backends_word(
    engine: Engine,
) {
    let world = World::on(engine, 4).await;
    let exec_id = half_way(&world).await;
    world.stop(exec_id, StopAction::Kill).await;
    world
        .change(exec_id, |target| {
            if target.pc_id == pc(0) {
                end(target, Outcome::Killed);
            }
            if target.pc_id == pc(1) {
                end(target, Outcome::Ok);
            }
        })
        .await;
    let exec = world.fleet.exec_fetch(exec_id).await.unwrap();
    assert_eq!(exec.state, ExecState::Ended);
    let counts = &exec.counts;
    assert_eq!(
        (counts.of(Outcome::Ok), counts.of(Outcome::Withdrawn)),
        (1, 1)
    );
    assert_eq!((counts.of(Outcome::Killed), counts.waiting()), (1, 0));
}

async fn a_retry_is_a_new_attempt_of_those_that_failed(engine: Engine) {
    let world = World::on(engine, 4).await;
    let exec_id = half_way(&world).await;
    world
        .change(exec_id, |target| {
            if target.state != TargetState::Ended {
                end(target, Outcome::Ok);
            }
        })
        .await;
    let retry = RetryRequest {
        outcomes: vec![],
        deadline_s: Some(60),
        reason: None,
    };
    let exec = world
        .fleet
        .exec_retry(exec_id, &retry, None, &world.by)
        .await
        .unwrap();
    assert_eq!((exec.state, exec.counts.targets), (ExecState::Running, 4));
    assert_eq!((exec.counts.pending, exec.counts.of(Outcome::Ok)), (1, 3));
    assert_eq!(exec.counts.of(Outcome::Failed), 0);
    let targets = world.targets(exec_id).await;
    assert_eq!(targets.len(), 4, "one target for each PC");
    assert!(
        targets[2].attempt > Attempt(1_000_000_000_000),
        "drawn like a rev"
    );
    assert_eq!(targets[2].state, TargetState::Pending);
    assert_eq!(targets[1].attempt, Attempt::FIRST);
    let error = world
        .fleet
        .exec_retry(exec_id, &retry, None, &world.by)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "exec.nothing_to_retry");
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(
        tx.targets_current(exec_id)
            .await
            .unwrap()
            .iter()
            .filter(|t| !t.wide)
            .count(),
        1
    );
}

async fn attempts_are_never_drawn_twice_though_the_clock_stands(engine: Engine) {
    let world = World::on(engine, 1).await;
    let exec_id = world.issue(everybody()).await.exec_id;
    let mut last = Attempt::FIRST;
    for _ in 0..5 {
        world
            .change(exec_id, |target| end(target, Outcome::Failed))
            .await;
        let retry = RetryRequest {
            outcomes: vec![Outcome::Failed],
            deadline_s: None,
            reason: None,
        };
        world
            .fleet
            .exec_retry(exec_id, &retry, None, &world.by)
            .await
            .unwrap();
        let attempt = world.targets(exec_id).await[0].attempt;
        assert!(attempt > last);
        last = attempt;
    }
}

async fn a_retry_of_a_stopped_exec_runs_and_can_be_stopped_again(engine: Engine) {
    let world = World::on(engine, 2).await;
    let exec_id = world.issue(everybody()).await.exec_id;
    world.leave(&[pc(0), pc(1)]).await;
    assert_eq!(
        world.stop(exec_id, StopAction::Withdraw).await.exec.state,
        ExecState::Ended
    );
    let retry = RetryRequest {
        outcomes: vec![],
        deadline_s: None,
        reason: None,
    };
    let exec = world
        .fleet
        .exec_retry(exec_id, &retry, None, &world.by)
        .await
        .unwrap();
    assert_eq!((exec.state, exec.counts.pending), (ExecState::Running, 2));
    assert_eq!(exec.stop, None, "the stop was of the attempt before");
    let stop = world.stop(exec_id, StopAction::Withdraw).await;
    assert_eq!((stop.never_start, stop.exec.state), (2, ExecState::Ended));
    assert_eq!(stop.exec.stop, Some(StopAction::Withdraw));
}

async fn a_retry_sent_again_with_its_key_is_one_attempt_and_another_request_a_conflict(
    engine: Engine,
) {
    let world = World::on(engine, 2).await;
    let exec_id = world.issue(everybody()).await.exec_id;
    let fail = || world.change(exec_id, |target| end(target, Outcome::Failed));
    fail().await;
    let retry = RetryRequest {
        outcomes: vec![Outcome::Failed],
        deadline_s: None,
        reason: None,
    };
    let ask = async |retry: &RetryRequest, key| {
        world
            .fleet
            .exec_retry(exec_id, retry, Some(key), &world.by)
            .await
    };
    let attempt = async || world.targets(exec_id).await[0].attempt;
    ask(&retry, "k1").await.unwrap();
    let second = attempt().await;
    assert!(second > Attempt::FIRST);
    // The answer was lost, and before it is asked for again the second attempt has failed, too.
    fail().await;
    let again = ask(&retry, "k1").await.unwrap();
    assert_eq!((again.exec_id, attempt().await), (exec_id, second));
    let other = RetryRequest {
        deadline_s: Some(60),
        ..retry.clone()
    };
    let error = ask(&other, "k1").await.unwrap_err();
    assert_eq!(error.code(), "idempotency.reused");
    assert_eq!(attempt().await, second);
    ask(&retry, "k2").await.unwrap();
    assert!(attempt().await > second);
}

async fn a_retry_after_a_kill_is_withdrawn_without_a_kill_and_the_old_command_stays_killed(
    engine: Engine,
) {
    let world = World::on(engine, 1).await;
    let exec_id = world.issue(everybody()).await.exec_id;
    world.stop(exec_id, StopAction::Kill).await;
    world
        .change(exec_id, |target| end(target, Outcome::Killed))
        .await;
    let retry = RetryRequest {
        outcomes: vec![Outcome::Killed],
        deadline_s: None,
        reason: None,
    };
    let exec = world
        .fleet
        .exec_retry(exec_id, &retry, None, &world.by)
        .await
        .unwrap();
    assert_eq!((exec.state, exec.stop), (ExecState::Running, None));
    world
        .change(exec_id, |target| {
            assert!(!target.newest || rules::start(target, chrono::Utc::now()));
        })
        .await;
    let stop = world.stop(exec_id, StopAction::Withdraw).await;
    assert_eq!((stop.to_kill, stop.never_start), (0, 0), "it runs on");
    assert_eq!(stop.exec.stop, Some(StopAction::Withdraw));
    let mut tx = world.store.begin().await.unwrap();
    let entries = tx.scope_all_entries().await.unwrap();
    assert_eq!(entries[0].stop, Some(StopAction::Kill));
}

async fn what_a_document_tells_of_a_stop_is_shown_only_of_the_newest_attempt(engine: Engine) {
    let world = World::on(engine, 1).await;
    let exec_id = world.issue(everybody()).await.exec_id;
    let mut tx = world.store.begin().await.unwrap();
    let first = tx.scope_all_entries().await.unwrap().remove(0);
    let stop = |attempt| Stop {
        exec_id,
        attempt,
        action: StopAction::Kill,
        reach: first.key.reach,
        issued_at: first.key.issued_at,
        deadline: first.key.deadline,
        until: first.key.over_at,
    };
    assert!(tx.stop_adopt(&stop(Attempt::FIRST)).await.unwrap());
    let shown = tx.exec_find(exec_id).await.unwrap().unwrap().stop;
    assert_eq!(shown, Some(StopAction::Kill));
    let second = Command {
        attempt: Attempt(2),
        ..first.command.clone().unwrap()
    };
    assert!(tx.command_adopt(&second, false, 1).await.unwrap());
    let shown = tx.exec_find(exec_id).await.unwrap().unwrap().stop;
    assert_eq!(shown, None, "a new attempt is not stopped");
    tx.stop_adopt(&stop(Attempt::FIRST)).await.unwrap();
    let shown = tx.exec_find(exec_id).await.unwrap().unwrap().stop;
    assert_eq!(shown, None, "nor by the old stop told again");
    assert!(tx.stop_adopt(&stop(second.attempt)).await.unwrap());
    let shown = tx.exec_find(exec_id).await.unwrap().unwrap().stop;
    assert_eq!(shown, Some(StopAction::Kill));
}

on_both!(
    a_withdrawal_lets_what_runs_run_and_starts_nothing_more,
    a_kill_after_a_withdrawal_tells_what_runs_or_is_about_to_to_end,
    a_stopped_exec_ends_with_its_last_run_and_real_results_replace_the_backends_word,
    a_retry_is_a_new_attempt_of_those_that_failed,
    attempts_are_never_drawn_twice_though_the_clock_stands,
    a_retry_of_a_stopped_exec_runs_and_can_be_stopped_again,
    a_retry_sent_again_with_its_key_is_one_attempt_and_another_request_a_conflict,
    a_retry_after_a_kill_is_withdrawn_without_a_kill_and_the_old_command_stays_killed,
    what_a_document_tells_of_a_stop_is_shown_only_of_the_newest_attempt,
);

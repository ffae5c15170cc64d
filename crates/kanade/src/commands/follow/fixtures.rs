//! Execs and targets for the tests.

use kanade_shared::api::execs::{Counts, ExecState, ExecView, TargetState, TargetView, Targets};
use kanade_shared::api::results::{OutputView, ResultView};
use kanade_shared::id::{Attempt, ExecId, PcId, RequestId};
use kanade_shared::wire::command::Reach;
use kanade_shared::wire::result::{Outcome, Reason};

pub(crate) fn exec(state: ExecState, counts: Counts) -> ExecView {
    let at = |text: &str| text.parse().unwrap();
    ExecView {
        exec_id: ExecId::parse("0193a7f2000070008000000000000001").unwrap(),
        job_id: None,
        job_version: None,
        title: "df -h /".into(),
        state,
        reach: Reach::Fixed,
        targets: Targets {
            all: true,
            ..Targets::default()
        },
        issued_by: "local".into(),
        issued_at: at("2026-11-23T13:32:00Z"),
        deadline: at("2026-11-23T14:32:00Z"),
        reason: None,
        stop: None,
        ended_at: None,
        adopted: false,
        counts,
    }
}

pub(crate) fn counts(waiting: u64, ended: &[(Outcome, u64)]) -> Counts {
    Counts {
        targets: waiting + ended.iter().map(|(_, many)| many).sum::<u64>(),
        pending: waiting,
        admitted: 0,
        running: 0,
        ended: ended.iter().copied().collect(),
    }
}

pub(crate) fn target(pc: &str, attempt: u64, outcome: Option<Outcome>) -> TargetView {
    let pc_id = PcId::parse(pc).unwrap();
    let exec = exec(ExecState::Running, Counts::default());
    let request_id = RequestId::derive(exec.exec_id, &pc_id, Attempt(attempt));
    TargetView {
        pc_id,
        attempt: Attempt(attempt),
        request_id,
        state: if outcome.is_some() {
            TargetState::Ended
        } else {
            TargetState::Pending
        },
        outcome,
        provisional: false,
        why: None,
        exit_code: None,
        started_at: None,
        ended_at: None,
        stopping: false,
    }
}

pub(crate) fn offline(pc: &str) -> TargetView {
    let text = "offline since 09:12, queued, expires 14:32";
    TargetView {
        why: Some(Reason::new("pc.offline", text)),
        ..target(pc, 1, None)
    }
}

pub(crate) fn result(target: &TargetView) -> ResultView {
    let at = "2026-11-23T13:32:01Z".parse().unwrap();
    ResultView {
        request_id: target.request_id,
        exec_id: exec(ExecState::Running, Counts::default()).exec_id,
        attempt: target.attempt,
        pc_id: target.pc_id.clone(),
        job_id: None,
        outcome: target.outcome.unwrap_or(Outcome::Ok),
        reason: None,
        exit_code: target.exit_code,
        tries: 1,
        started_at: None,
        ended_at: at,
        stored_at: at,
        stdout: OutputView::default(),
        stderr: OutputView::default(),
    }
}

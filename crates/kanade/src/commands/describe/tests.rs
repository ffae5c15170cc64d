//! What a person reads of one thing.

use super::*;
use crate::commands::follow::fixtures;
use kanade_shared::api::execs::ExecState;
use kanade_shared::wire::result::Outcome;

fn when() -> When {
    let offset = chrono::FixedOffset::east_opt(0).unwrap();
    When {
        now: "2026-11-23T13:40:00Z".parse().unwrap(),
        offset,
    }
}

#[test]
fn an_exec_says_what_who_and_until_when() {
    let counts = fixtures::counts(2, &[(Outcome::Ok, 35), (Outcome::Failed, 1)]);
    let exec = fixtures::exec(ExecState::Running, counts);
    insta::assert_snapshot!(exec_text(&exec, &when(), Paint::Plain), @"
    exec         0193a7f2000070008000000000000001
    what         df -h /
    state        running
    pcs          38: 35 ok · 1 failed · 2 waiting
    targets      all
    issued       13:32 (8m ago) by local
    deadline     14:32
    ");
}

#[test]
fn a_pc_of_an_exec_says_why() {
    let exec = fixtures::exec(ExecState::Running, fixtures::counts(1, &[]));
    let target = fixtures::offline("lab-19");
    insta::assert_snapshot!(target_text(&exec, &target, &when(), Paint::Plain), @"
    pc           lab-19
    exec         0193a7f20000  df -h /
    state        pending
    why          offline since 09:12, queued, expires 14:32 (pc.offline)
    run          4ecb1fdfc10789f5b146373f76dfb086
    ");
}

#[test]
fn a_result_shows_how_its_output_begins() {
    let mut result = fixtures::result(&fixtures::target("lab-19", 1, Some(Outcome::Failed)));
    result.exit_code = Some(1);
    result.stderr = OutputView {
        head: "df: /: Input/output error\n".into(),
        stored_bytes: 26,
        total_bytes: 3 << 20,
        truncated_bytes: 1 << 20,
        sha256: None,
    };
    insta::assert_snapshot!(result_text(&result, &when(), Paint::Plain), @"
    run          4ecb1fdfc10789f5b146373f76dfb086
    exec         0193a7f2000070008000000000000001
    pc           lab-19
    outcome      failed
    exit code    1
    tries        1
    ended        13:32 (7m ago)
    stored       13:32 (7m ago)
    stdout       0 B
    stderr       3 MiB, 1 MiB cut from the middle
      │ df: /: Input/output error

    kanade logs 4ecb1fdfc10789f5b146373f76dfb086 shows all of it
    ");
}

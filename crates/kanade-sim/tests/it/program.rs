//! The program as a person meets it.

use std::process::Command;

use kanade_testkit::fleet::Fleet;

use crate::sim::{Sim, run_on_all};

fn program(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_kanade-sim"))
        .args(arguments)
        .output()
        .expect("the program can be started");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (text, output.status.code())
}

#[tokio::test]
async fn piped_it_writes_plain_lines_and_a_summary() {
    let fleet = Fleet::start().await;
    let sim = Sim::up(&fleet, "sim", 10, &[]).await;
    run_on_all(&fleet).await;
    let text = sim.stop().await;
    assert!(
        text.starts_with("10 agents, sim-00001 to sim-00010, to "),
        "{text}"
    );
    assert!(
        text.contains("done once for all: parsing a document"),
        "{text}"
    );
    assert!(text.contains("runs         10 started\n"), "{text}");
    assert!(
        text.contains("results      10 acknowledged, 0 tries were not, 0 never sent\n"),
        "{text}"
    );
    assert!(!text.contains('\r') && !text.contains('\x1b'), "{text}");
}

#[test]
fn what_is_wrong_is_told_in_one_sentence() {
    let (text, code) = program(&["agents", "--join", "/nowhere.json"]);
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with("error: could not read `/nowhere.json`"),
        "{text}"
    );
    let (text, code) = program(&["agents", "--join", "x", "--failures", "many"]);
    assert_eq!(code, Some(2));
    assert!(
        text.contains("`many` is no share; write `2%` or `0.5%`"),
        "{text}"
    );
}

//! What a person reads of an exec.

use kanade_shared::api::execs::ExecState;

use super::super::fixtures;
use super::super::state::{Offline, Shows};
use super::*;
use crate::context::Endpoint;
use crate::output::buffer::Buffer;
use crate::output::paint::Paint;

fn output(text: &str) -> OutputView {
    let bytes = text.len() as u64;
    OutputView {
        head: text.into(),
        stored_bytes: bytes,
        total_bytes: bytes,
        ..Default::default()
    }
}

fn with(target: &TargetView, stdout: &str, stderr: &str) -> ResultView {
    ResultView {
        stdout: output(stdout),
        stderr: output(stderr),
        ..fixtures::result(target)
    }
}

/// Everything that is printed, data and words together, as on a terminal.
async fn screen_of(follow: &mut Follow, fold: Fold, format: Format, verdict: Verdict) -> String {
    let buffer = Buffer::default();
    let screen = Screen::of_buffers(buffer.clone(), buffer.clone(), Paint::Plain);
    let endpoint = Endpoint {
        url: "http://127.0.0.1:1".into(),
        token: None,
    };
    let client = Client::new(endpoint).unwrap();
    let waiting = Waiting {
        fold,
        offline: Offline::Leave,
        shows: Shows::All,
        give_up: None,
        format,
    };
    let mut shown = Shown::new(&client, &screen, waiting, follow.exec().counts.targets > 5);
    shown.news(follow).await.unwrap();
    shown
        .end(follow, verdict, Duration::from_millis(1_140))
        .await
        .unwrap();
    buffer.text()
}

fn mixed() -> Follow {
    let ok = fixtures::target("lab-1", 1, Some(Outcome::Ok));
    let mut bad = fixtures::target("lab-19", 1, Some(Outcome::Failed));
    bad.exit_code = Some(1);
    let ended = [(Outcome::Ok, 1), (Outcome::Failed, 1)];
    let exec = fixtures::exec(ExecState::Running, fixtures::counts(1, &ended));
    let mut follow = Follow::new(exec.clone(), Shows::All);
    let results = vec![
        with(&ok, "61G 27%\nsecond\n", ""),
        with(&bad, "", "df: /: Input/output error\n"),
    ];
    follow.take_lists(exec, vec![ok, bad, fixtures::offline("lab-3")], results);
    follow
}

#[tokio::test]
async fn a_few_pcs_are_shown_line_by_line() {
    let text = screen_of(
        &mut mixed(),
        Fold::Many,
        Format::Table,
        Verdict::OnlyOffline,
    )
    .await;
    insta::assert_snapshot!(text, @"
    lab-1   │ 61G 27%
    lab-1   │ second
    lab-19  │ df: /: Input/output error
    lab-19  exit 1
    lab-3  pending  offline since 09:12, queued, expires 14:32

    1 ok · 1 failed · 1 waiting · 1.1 s      kanade watch 0193a7f20000   kanade retry 0193a7f20000 --failed
    ");
}

#[tokio::test]
async fn many_pcs_are_folded() {
    let targets: Vec<TargetView> = (0..7)
        .map(|n| fixtures::target(&format!("pc-{n}"), 1, Some(Outcome::Ok)))
        .collect();
    let results = targets
        .iter()
        .map(|target| with(target, "same\n", ""))
        .collect();
    let exec = fixtures::exec(ExecState::Ended, fixtures::counts(0, &[(Outcome::Ok, 7)]));
    let mut follow = Follow::new(exec.clone(), Shows::All);
    follow.take_lists(exec, targets, results);
    let text = screen_of(&mut follow, Fold::Many, Format::Table, Verdict::Ended).await;
    insta::assert_snapshot!(text, @"
    7 PCs say   pc-0 pc-1 pc-2 pc-3 pc-4 pc-5 pc-6
      │ same

    7 ok · 1.1 s
    ");
}

#[tokio::test]
async fn an_interrupt_says_how_to_go_on() {
    let text = screen_of(
        &mut mixed(),
        Fold::Always,
        Format::Table,
        Verdict::Interrupted,
    )
    .await;
    insta::assert_snapshot!(text, @"
    lab-1 says
      │ 61G 27%
      │ second
    lab-19  exit 1
      │ df: /: Input/output error
    lab-3  pending  offline since 09:12, queued, expires 14:32
    it goes on without you

    1 ok · 1 failed · 1 waiting · 1.1 s      kanade watch 0193a7f20000   kanade kill 0193a7f20000   kanade retry 0193a7f20000 --failed
    ");
}

#[tokio::test]
async fn for_programs_there_is_everything_in_one_document() {
    let text = screen_of(&mut mixed(), Fold::Many, Format::Json, Verdict::OnlyOffline).await;
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["exec"]["counts"]["targets"], 3);
    let of = |pc: &str| {
        let targets = report["targets"].as_array().unwrap();
        targets
            .iter()
            .find(|target| target["pc_id"] == pc)
            .unwrap()
            .clone()
    };
    assert_eq!(of("lab-1")["stdout"], "61G 27%\nsecond\n");
    assert_eq!(of("lab-19")["stderr"], "df: /: Input/output error\n");
    assert_eq!(of("lab-3")["why"]["code"], "pc.offline");
    assert!(of("lab-3").get("stdout").is_none());
}

#[test]
fn the_head_says_who_is_not_there() {
    let when = When {
        now: "2026-11-23T13:32:00Z".parse().unwrap(),
        offset: chrono::FixedOffset::east_opt(0).unwrap(),
    };
    insta::assert_snapshot!(head(&mixed(), &when), @"exec 0193a7f20000  3 PCs: 1 offline (kept for them until 14:32)");
}

#[test]
fn outputs_of_which_the_end_is_not_known_are_not_put_together() {
    let long = |pc: &str, sha256: Option<&str>| {
        let mut result = with(&fixtures::target(pc, 1, Some(Outcome::Ok)), "same head", "");
        result.stdout.stored_bytes = 5_000;
        result.stdout.sha256 = sha256.map(Into::into);
        key(&result)
    };
    assert_eq!(long("a", Some("x")), long("b", Some("x")));
    assert_ne!(long("a", Some("x")), long("b", Some("y")));
    assert_ne!(long("a", None), long("b", None));
}

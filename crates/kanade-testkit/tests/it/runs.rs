//! From a request to results: who runs what, how often, and in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use kanade_shared::api::execs::{ExecState, ExecWhat, Targets};
use kanade_shared::api::results::OutputPage;
use kanade_shared::id::{GroupId, PcId, RequestId};
use kanade_shared::wire::command::{Reach, Shell, StopAction};
use kanade_shared::wire::result::Outcome;
use kanade_testkit::fleet::{Fleet, exec, script, targets};
use kanade_testkit::wait;
use reqwest::Method;
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_script_runs_once_on_each_pc_and_its_words_come_back() {
    let mut fleet = Fleet::start().await;
    fleet.agents(3).await;
    let run = fleet.counted("hello", "echo \"hello from $KANADE_PC\"; echo oops >&2");
    let exec = fleet.run(run, &["all"]).await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(ended.counts.ended, BTreeMap::from([(Outcome::Ok, 3)]));
    assert_eq!(fleet.ran("hello").values().sum::<usize>(), 3);
    let mut results = fleet.backend.results(exec.exec_id).await;
    results.sort_by(|a, b| a.pc_id.cmp(&b.pc_id));
    let said: Vec<&str> = results
        .iter()
        .map(|result| result.stdout.head.trim())
        .collect();
    assert_eq!(
        said,
        ["hello from pc-1", "hello from pc-2", "hello from pc-3"]
    );
    assert!(results.iter().all(|result| result.stderr.head == "oops\n"));
    assert!(
        results
            .iter()
            .all(|result| result.exit_code == Some(0) && result.tries == 1)
    );
}

#[tokio::test]
async fn what_is_excluded_does_not_run_and_a_group_means_its_members() {
    let mut fleet = Fleet::start().await;
    fleet.agents(3).await;
    let path = "groups/lab";
    let lab = json!({ "members": ["pc-1", "pc-2"] });
    let applied = fleet
        .backend
        .call::<serde_json::Value>(Method::PUT, path, Some(&lab))
        .await;
    applied.unwrap();
    let lab = || vec![GroupId::parse("lab").unwrap()];
    let in_lab = Targets {
        groups: lab(),
        ..Targets::default()
    };
    let one = fleet
        .backend
        .issue(&exec(fleet.counted("lab", ""), in_lab))
        .await
        .unwrap();
    let but = Targets {
        all: true,
        not_groups: lab(),
        ..Targets::default()
    };
    let two = fleet
        .backend
        .issue(&exec(fleet.counted("others", ""), but))
        .await
        .unwrap();
    fleet.backend.ended(one.exec_id, SOON).await;
    fleet.backend.ended(two.exec_id, SOON).await;
    assert_eq!(
        fleet.ran("lab").into_keys().collect::<Vec<_>>(),
        ["pc-1", "pc-2"]
    );
    assert_eq!(
        fleet.ran("others").into_keys().collect::<Vec<_>>(),
        ["pc-3"]
    );
}

#[tokio::test]
async fn nobody_and_unknown_groups_are_refused_at_the_door() {
    let fleet = Fleet::start().await;
    let nobody = exec(script("true"), Targets::default());
    assert_eq!(fleet.backend.issue(&nobody).await.unwrap_err().status, 400);
    let missing = Targets {
        groups: vec![GroupId::parse("lba").unwrap()],
        ..Targets::default()
    };
    let refused = fleet
        .backend
        .issue(&exec(script("true"), missing))
        .await
        .unwrap_err();
    assert!(refused.title.contains("lba"), "{refused:?}");
    let missing = exec(script("true"), targets(&["no-such-pc"]));
    let refused = fleet.backend.issue(&missing).await.unwrap_err();
    assert!(refused.title.contains("no-such-pc"), "{refused:?}");
    let execs: Vec<serde_json::Value> = fleet.backend.all("execs").await;
    assert!(
        execs.is_empty(),
        "nothing is left of a refused request: {execs:?}"
    );
}

#[tokio::test]
async fn an_agent_that_was_off_catches_up_once_and_in_order() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    fleet.pc("pc-1").stop().await;
    fleet.wait_until_offline("pc-1").await;
    let order = fleet.folder().join("order");
    let mut execs = Vec::new();
    for n in 1..=5 {
        let run = fleet.counted(
            &format!("job-{n}"),
            &format!("echo {n} >> '{}'", order.display()),
        );
        let mut request = exec(run, targets(&["pc-1"]));
        request.deadline_s = Some(if n == 3 { 1 } else { 3600 });
        execs.push(fleet.backend.issue(&request).await.unwrap());
    }
    wait::until("the third has expired", wait::LONG, async || {
        fleet.backend.exec(execs[2].exec_id).await.deadline < chrono::Utc::now()
    })
    .await;
    fleet.agent("pc-1").await;
    for (n, exec) in execs.iter().enumerate() {
        let ended = fleet.backend.ended(exec.exec_id, SOON).await;
        let expected = if n == 2 {
            Outcome::Expired
        } else {
            Outcome::Ok
        };
        assert_eq!(
            ended.counts.of(expected),
            1,
            "exec {}: {:?}",
            n + 1,
            ended.counts
        );
    }
    assert_eq!(std::fs::read_to_string(order).unwrap(), "1\n2\n4\n5\n");
    let target = &fleet.backend.targets(execs[2].exec_id).await[0];
    let why = target
        .why
        .as_ref()
        .map(|why| why.text.clone())
        .unwrap_or_default();
    assert!(why.contains("deadline"), "{why}");
}

#[tokio::test]
async fn a_pc_that_enrols_later_joins_open_execs_only() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    let fixed = fleet.run(fleet.counted("fixed", ""), &["all"]).await;
    let mut open = exec(fleet.counted("open", ""), targets(&["all"]));
    open.reach = Some(Reach::Open);
    open.deadline_s = Some(3600);
    let open = fleet.backend.issue(&open).await.unwrap();
    fleet.backend.ended(fixed.exec_id, SOON).await;
    fleet.agent("pc-2").await;
    wait::until("the late PC ran the open exec", wait::LONG, async || {
        fleet.ran("open").len() == 2
    })
    .await;
    // The late PC is in step: what comes now, it runs.
    let probe = fleet.run(fleet.counted("probe", ""), &["all"]).await;
    fleet.backend.ended(probe.exec_id, SOON).await;
    assert_eq!(fleet.ran("fixed"), BTreeMap::from([("pc-1".to_owned(), 1)]));
    assert!(fleet.ran("open").values().all(|runs| *runs == 1));
    assert_eq!(
        fleet.backend.exec(open.exec_id).await.state,
        ExecState::Running,
        "more may join"
    );
}

#[tokio::test]
async fn a_kill_ends_what_runs_and_everything_that_it_started() {
    let mut fleet = Fleet::start().await;
    fleet.agents(2).await;
    let alive = fleet.folder().join("alive");
    let text = format!(
        "(while true; do date >> '{0}'.$KANADE_PC; sleep 0.05; done) & sleep 600",
        alive.display()
    );
    let exec = fleet.run(fleet.counted("long", &text), &["all"]).await;
    wait::until("both run", wait::LONG, async || {
        fleet.ran("long").len() == 2
    })
    .await;
    fleet
        .backend
        .stop_exec(exec.exec_id, StopAction::Kill)
        .await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Killed), 2, "{:?}", ended.counts);
    let size =
        |pc: &str| std::fs::metadata(format!("{}.{pc}", alive.display())).map_or(0, |m| m.len());
    let before = (size("pc-1"), size("pc-2"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((size("pc-1"), size("pc-2")), before, "a child lives on");
}

#[tokio::test]
async fn what_is_withdrawn_while_a_pc_is_off_never_starts_there() {
    let mut fleet = Fleet::start().await;
    fleet.agents(2).await;
    fleet.pc("pc-2").stop().await;
    fleet.wait_until_offline("pc-2").await;
    let exec = fleet.run(fleet.counted("stopped", ""), &["all"]).await;
    wait::until("the one that is on has run", wait::LONG, async || {
        fleet.ran("stopped").len() == 1
    })
    .await;
    fleet
        .backend
        .stop_exec(exec.exec_id, StopAction::Withdraw)
        .await;
    fleet.agent("pc-2").await;
    let probe = fleet.run(fleet.counted("probe", ""), &["all"]).await;
    fleet.backend.ended(probe.exec_id, SOON).await;
    assert_eq!(
        fleet.ran("stopped"),
        BTreeMap::from([("pc-1".to_owned(), 1)])
    );
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(
        (
            ended.counts.of(Outcome::Ok),
            ended.counts.of(Outcome::Withdrawn)
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn a_retry_runs_again_only_where_it_failed() {
    let mut fleet = Fleet::start().await;
    fleet.agents(2).await;
    let fixed = fleet.folder().join("fixed");
    let text = format!(
        "[ $KANADE_PC = pc-1 ] || [ -e '{}' ] || exit 7",
        fixed.display()
    );
    let exec = fleet.run(fleet.counted("flaky", &text), &["all"]).await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(
        (
            ended.counts.of(Outcome::Ok),
            ended.counts.of(Outcome::Failed)
        ),
        (1, 1)
    );
    std::fs::write(&fixed, "").unwrap();
    fleet.backend.retry_exec(exec.exec_id).await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 2, "{:?}", ended.counts);
    assert_eq!(
        fleet.ran("flaky"),
        BTreeMap::from([("pc-1".to_owned(), 1), ("pc-2".to_owned(), 2)])
    );
}

#[tokio::test]
async fn large_scripts_and_large_output_arrive_whole() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    // Over 512 KiB, so that it goes by HTTPS; its output is over 256 KiB, so that goes by HTTPS, too.
    let padding = format!("# {}\n", "é".repeat(300_000));
    let text =
        format!("{padding}i=0; while [ $i -lt 40000 ]; do echo \"line $i\"; i=$((i+1)); done");
    let exec = fleet.run(script(&text), &["pc-1"]).await;
    let ended = fleet.backend.ended(exec.exec_id, SOON).await;
    assert_eq!(
        ended.counts.of(Outcome::Ok),
        1,
        "{:?}",
        fleet.backend.targets(exec.exec_id).await
    );
    let result = &fleet.backend.results(exec.exec_id).await[0];
    let expected: String = (0..40_000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(result.stdout.total_bytes, expected.len() as u64);
    let got = whole_output(&fleet, result.request_id).await;
    assert!(
        got == expected,
        "{} bytes came back of {}",
        got.len(),
        expected.len()
    );
}

#[tokio::test]
async fn a_large_output_ends_with_its_last_line_whatever_was_cut_or_replaced_before_it() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    for (what, total_bytes) in [
        // Over the cap, so that a line says in the middle what was cut.
        ("yes | head -c 10000000; echo END", 10_000_004),
        // No UTF-8, so that it is longer as text.
        (
            "head -c 400000 /dev/zero | tr '\\000' '\\377'; echo END",
            400_004,
        ),
        // The same, small enough for its result.
        (
            "head -c 1000 /dev/zero | tr '\\000' '\\377'; echo END",
            1_004,
        ),
    ] {
        let exec = fleet.run(script(what), &["pc-1"]).await;
        fleet.backend.ended(exec.exec_id, SOON).await;
        let result = &fleet.backend.results(exec.exec_id).await[0];
        assert_eq!(result.stdout.total_bytes, total_bytes, "{what}");
        let got = whole_output(&fleet, result.request_id).await;
        assert!(got.ends_with("END\n"), "{what}: {} bytes", got.len());
        let cut = got.contains(" bytes cut …]\n");
        assert_eq!(cut, result.stdout.truncated_bytes > 0, "{what}");
    }
}

/// Everything of a run's stdout that can be read, page by page.
async fn whole_output(fleet: &Fleet, run: RequestId) -> String {
    let (mut got, mut offset) = (String::new(), Some(0));
    while let Some(from) = offset {
        let path = format!("results/{run}/output?offset={from}");
        let page: OutputPage = fleet.backend.get(&path).await;
        got.push_str(&page.text);
        assert!(
            page.next_offset.is_some() || got.len() as u64 == page.stored_bytes,
            "{} bytes came of {}",
            got.len(),
            page.stored_bytes
        );
        offset = page.next_offset;
    }
    got
}

#[tokio::test]
async fn a_script_that_cannot_be_started_still_ends_in_a_result_with_a_sentence() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    let mut run = script("echo never");
    run.cwd = Some("/no/such/folder".into());
    let one = fleet.run(run, &["pc-1"]).await;
    let mut run = script("echo never");
    run.shell = Shell::Powershell;
    let two = fleet.run(run, &["pc-1"]).await;
    for (exec, word) in [(one, "/no/such/folder"), (two, "powershell")] {
        let ended = fleet.backend.ended(exec.exec_id, SOON).await;
        assert_eq!(ended.counts.of(Outcome::Failed), 1, "{:?}", ended.counts);
        let result = &fleet.backend.results(exec.exec_id).await[0];
        let reason = result
            .reason
            .as_ref()
            .map(|reason| reason.text.clone())
            .unwrap_or_default();
        assert!(reason.contains(word), "{reason}");
        assert_eq!(result.exit_code, None);
    }
}

#[tokio::test]
async fn the_same_request_sent_twice_is_one_exec() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    let request = exec(fleet.counted("once", ""), targets(&["pc-1"]));
    let http = reqwest::Client::new();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answer = http
            .post(format!("{}/api/v1/execs", fleet.backend.url()))
            .bearer_auth(fleet.backend.token())
            .header("Idempotency-Key", "0123456789abcdef")
            .json(&request)
            .send()
            .await
            .unwrap();
        let exec: serde_json::Value = answer.json().await.unwrap();
        ids.push(exec["exec_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    fleet.backend.ended(ids[0].parse().unwrap(), SOON).await;
    assert_eq!(fleet.ran("once"), BTreeMap::from([("pc-1".to_owned(), 1)]));
}

#[tokio::test]
async fn a_preview_hits_exactly_what_it_showed_or_nothing() {
    let mut fleet = Fleet::start().await;
    fleet.agent("pc-1").await;
    let mut request = exec(fleet.counted("previewed", ""), targets(&["all"]));
    let preview: kanade_shared::api::execs::ExecPreview = fleet
        .backend
        .call(Method::POST, "execs?dry_run=true", Some(&request))
        .await
        .unwrap();
    assert_eq!(
        (preview.count, preview.sample),
        (1, vec![PcId::parse("pc-1").unwrap()])
    );
    fleet.agent("pc-2").await;
    request.preview = Some(preview.token);
    match fleet.backend.issue(&request).await {
        Ok(exec) => {
            fleet.backend.ended(exec.exec_id, SOON).await;
            assert_eq!(
                fleet.ran("previewed").into_keys().collect::<Vec<_>>(),
                ["pc-1"]
            );
        }
        Err(refused) => assert_eq!(refused.status, 409, "{refused:?}"),
    }
    let ExecWhat::Script(run) = &mut request.what else {
        unreachable!("it is a script")
    };
    run.script.push_str("echo more");
    assert_eq!(
        fleet.backend.issue(&request).await.unwrap_err().status,
        409,
        "another script is another request"
    );
}

#[tokio::test]
async fn a_pc_that_joins_a_group_later_joins_its_open_execs() {
    let mut fleet = Fleet::start().await;
    fleet.agents(2).await;
    let members = async |pcs: &[&str]| {
        let lab = json!({ "members": pcs });
        let path = "groups/lab";
        let applied = fleet
            .backend
            .call::<serde_json::Value>(Method::PUT, path, Some(&lab))
            .await;
        applied.unwrap();
    };
    members(&["pc-1"]).await;
    let lab = Targets {
        groups: vec![GroupId::parse("lab").unwrap()],
        ..Targets::default()
    };
    let mut open = exec(fleet.counted("open", ""), lab.clone());
    open.reach = Some(Reach::Open);
    let open = fleet.backend.issue(&open).await.unwrap();
    let fixed = fleet
        .backend
        .issue(&exec(fleet.counted("fixed", ""), lab))
        .await
        .unwrap();
    fleet.backend.ended(fixed.exec_id, SOON).await;
    members(&["pc-1", "pc-2"]).await;
    wait::until("the late member ran it", wait::LONG, async || {
        fleet.ran("open").len() == 2
    })
    .await;
    fleet
        .backend
        .stop_exec(open.exec_id, StopAction::Withdraw)
        .await;
    let ended = fleet.backend.ended(open.exec_id, SOON).await;
    assert_eq!(ended.counts.of(Outcome::Ok), 2, "{:?}", ended.counts);
    assert!(fleet.ran("open").values().all(|runs| *runs == 1));
    assert_eq!(fleet.ran("fixed"), BTreeMap::from([("pc-1".to_owned(), 1)]));
}

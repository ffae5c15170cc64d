//! Manifests: what people may write, and what they are told when it is wrong.

use kanade_shared::manifest::{Job, duration};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{cases, samples};

fn written(job: &Job) -> Value {
    serde_json::to_value(job).unwrap()
}

/// The sample with `value` at `path`, and what its check says: `field: what`, or what the reader
/// says when it does not get so far.
fn check(path: &str, value: Value) -> Vec<String> {
    let mut job = written(&samples::job_full());
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = job.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.insert(key.to_owned(), value);
    match serde_json::from_value::<Job>(job) {
        Ok(job) => match job.check() {
            Ok(()) => vec![],
            Err(wrong) => wrong.iter().map(ToString::to_string).collect(),
        },
        Err(error) => vec![format!("not read: {error}")],
    }
}

fn refused(path: &str, value: Value, says: &str) {
    let said = check(path, value.clone());
    let shown: String = value.to_string().chars().take(80).collect();
    assert!(
        said.iter().any(|line| line.starts_with(says)),
        "{path} = {shown}: expected `{says}…`, got {said:?}"
    );
}

#[test]
fn the_samples_keep_every_rule() {
    assert_eq!(samples::job_minimal().check(), Ok(()));
    assert_eq!(samples::job_full().check(), Ok(()));
}

#[test]
fn each_rule_has_its_sentence() {
    let day = 24 * 3600;
    refused(
        "/apiVersion",
        json!("kanade/v2"),
        "apiVersion: is `kanade/v2`; expected `kanade/v1`",
    );
    for version in ["", " ", " 1", "1\n", &"x".repeat(65)] {
        refused(
            "/version",
            json!(version),
            "version: must be 1 to 64 characters",
        );
    }
    refused("/run/script", json!(" \n\t"), "run.script: is empty");
    refused("/run/script", json!("a\0b"), "run.script: has a NUL");
    refused(
        "/run/script",
        json!("x".repeat((4 << 20) + 1)),
        "run.script: is over 4 MiB",
    );
    refused("/run/timeout", json!("0s"), "run.timeout: must be 1s to 7d");
    refused(
        "/run/timeout",
        json!(format!("{}s", 7 * day + 1)),
        "run.timeout: must be 1s to 7d",
    );
    refused("/run/jitter", json!("8d"), "run.jitter: must be at most 7d");
    refused("/run/tries", json!(0), "run.tries: must be 1 to 11");
    refused("/run/tries", json!(12), "run.tries: must be 1 to 11");
    refused(
        "/run/backoff",
        json!("61m"),
        "run.backoff: must be at most 1h",
    );
    for name in ["", "A=B", "A\0", "1A", "GRÜN", "A B", "ProgramFiles(x86)"] {
        refused(
            "/run/env",
            json!({name: "x"}),
            "run.env: has a name that is not letters, digits and `_`",
        );
    }
    refused(
        "/run/env",
        json!({"A": "\0"}),
        "run: a value of env or args has a NUL",
    );
    refused(
        "/run/args",
        json!(["a", "\0"]),
        "run: a value of env or args has a NUL",
    );
    refused(
        "/run/outputCapBytes",
        json!(1023),
        "run.outputCapBytes: must be 1 KiB to 64 MiB",
    );
    refused(
        "/run/outputCapBytes",
        json!((64 << 20) + 1),
        "run.outputCapBytes: must be 1 KiB to",
    );
}

#[test]
fn the_edges_of_each_rule_are_allowed() {
    let edges = [
        ("/version", json!("x".repeat(64))),
        ("/run/script", json!("x".repeat(4 << 20))),
        ("/run/timeout", json!("1s")),
        ("/run/timeout", json!("7d")),
        ("/run/jitter", json!("7d")),
        ("/run/tries", json!(1)),
        ("/run/tries", json!(11)),
        ("/run/backoff", json!("1h")),
        ("/run/env", json!({"A_1": "=", "_": "日本"})),
        ("/run/outputCapBytes", json!(1024)),
        ("/run/outputCapBytes", json!(64 << 20)),
        ("/staleness", json!({"mode": "cached"})),
        ("/staleness", json!({"mode": "unchecked"})),
    ];
    for (path, value) in edges {
        assert_eq!(check(path, value), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let mut job = samples::job_full();
    job.api_version = "v1".into();
    job.version = String::new();
    job.run.timeout = 0;
    job.run.tries = 0;
    let fields: Vec<&str> = job.check().unwrap_err().iter().map(|e| e.field).collect();
    assert_eq!(
        fields,
        ["apiVersion", "version", "run.timeout", "run.tries"]
    );
}

#[test]
fn an_unknown_key_is_refused_at_every_level() {
    let unknown = "not read: unknown field `frobnicate`";
    refused("/frobnicate", json!(1), unknown);
    refused("/run/frobnicate", json!(1), unknown);
    for mode in ["cached", "strict", "unchecked"] {
        let mut staleness = json!({"mode": mode, "frobnicate": 1});
        if mode == "strict" {
            staleness["max_age_s"] = json!(60);
        }
        refused("/staleness", staleness, unknown);
    }
    refused(
        "/staleness",
        json!({"mode": "cached", "max_age_s": 60}),
        "not read: unknown field",
    );
    assert_eq!(
        check("/run/env", json!({"frobnicate": "1"})),
        Vec::<String>::new()
    );
}

#[test]
fn a_word_or_a_name_that_nobody_knows_is_refused() {
    refused(
        "/kind",
        json!("Task"),
        "not read: unknown variant `Task`, expected `Job`",
    );
    refused(
        "/id",
        json!("disk report"),
        "not read: job id `disk report` has ` `",
    );
    refused(
        "/run/shell",
        json!("fish"),
        "not read: unknown variant `fish`, expected one of `sh`",
    );
    refused(
        "/run/runAs",
        json!("root"),
        "not read: unknown variant `root`",
    );
    refused(
        "/staleness",
        json!({"mode": "lenient"}),
        "not read: unknown variant `lenient`",
    );
    refused(
        "/staleness",
        json!({"mode": "strict"}),
        "not read: missing field `max_age_s`",
    );
}

#[test]
fn what_must_be_written_is_named_when_it_is_missing() {
    for field in ["apiVersion", "kind", "id", "version", "run"] {
        let mut job = written(&samples::job_full());
        job.as_object_mut().unwrap().remove(field);
        let error = serde_json::from_value::<Job>(job).unwrap_err().to_string();
        assert_eq!(error, format!("missing field `{field}`"));
    }
    let bare = json!({
        "apiVersion": "kanade/v1", "kind": "Job", "id": "disk-report", "version": "1",
        "run": {"shell": "sh", "script": "df -h"},
    });
    assert_eq!(
        serde_json::from_value::<Job>(bare).unwrap(),
        samples::job_minimal()
    );
}

#[test]
fn durations_are_whole_seconds_with_a_unit() {
    let read = [
        ("0s", 0),
        ("90s", 90),
        ("10m", 600),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        (" 2d ", 172_800),
        ("1w", 604_800),
        ("1day", 86_400),
        ("1.5h", 5400),
    ];
    for (text, seconds) in read {
        assert_eq!(duration::parse(text), Ok(seconds), "{text}");
    }
    let bad = [
        "",
        " ",
        "10",
        "m",
        "-1s",
        "10x",
        "1h m",
        "５s",
        "99999999999d",
    ];
    for text in bad {
        let error = duration::parse(text).unwrap_err();
        assert!(
            error.contains("write `90s`, `10m`, `1h 30m` or `2d`"),
            "{error}"
        );
    }
    for text in ["500ms", "1.5s", "1s 1ns", "1s 999999us"] {
        assert!(
            duration::parse(text).is_err(),
            "{text} would lose a part of a second"
        );
    }
    assert_eq!(duration::format(5400), "1h 30m");
    assert_eq!(duration::format(0), "0s");
    refused(
        "/run/timeout",
        json!("10"),
        "not read: `10` is not a duration",
    );
    refused("/run/timeout", json!(10), "not read: invalid type");
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn any_number_of_seconds_reads_back(seconds in any::<u32>()) {
        prop_assert_eq!(duration::parse(&duration::format(seconds)), Ok(seconds));
    }

    #[test]
    fn any_text_is_a_duration_or_is_refused(
        text in "(?s).{0,20}|([0-9]{1,22} ?(s|m|h|d|w|M|y|ms|ns|years) ?){1,4}",
    ) {
        if let Ok(seconds) = duration::parse(&text) {
            prop_assert_eq!(duration::parse(&duration::format(seconds)), Ok(seconds));
        }
    }
}

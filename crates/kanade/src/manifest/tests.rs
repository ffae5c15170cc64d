//! What a person sees of a file that is not right.

use super::*;

fn wrong(text: &str) -> String {
    let document = Document { text, line: 0 };
    match check(text) {
        Ok(job) => format!("{job} is fine"),
        Err(mistakes) => show(document, &mistakes),
    }
}

const GOOD: &str = "\
# cleans up
apiVersion: kanade/v1
kind: Job
id: cleanup-temp
version: 1.4.0
run:
  shell: sh
  timeout: 10m
  env: {A: 1, B: two}
  args: [x, 2]
  script: |
    rm -rf /tmp/x
    ---
  tries: 3
";

#[test]
fn a_good_job_is_fine() {
    assert_eq!(wrong(GOOD), "cleanup-temp is fine");
}

#[test]
fn every_problem_is_said_at_once_with_its_line_and_the_nearest_word() {
    let text = GOOD
        .replace("timeout:", "timout:")
        .replace("shell: sh", "shell: powershel   # the old one")
        .replace("id: cleanup-temp", "id: Cleanup Temp")
        .replace("tries: 3", "tries: [3]\n  backoff: 10");
    insta::assert_snapshot!(wrong(&text), @"
     4 │ id: Cleanup Temp
       │     ^^^^^^^^^^^^ job id `Cleanup Temp` has `C`; only a-z, 0-9, `-` and `_` are allowed
     7 │   shell: powershel   # the old one
       │          ^^^^^^^^^ one of: sh, bash, pwsh, powershell, cmd
     8 │   timout: 10m
       │   ^^^^^^ unknown key; did you mean `timeout`?
    14 │   tries: [3]
       │          ^ expected one value
    15 │   backoff: 10
       │            ^^ `10` is not a duration; write `90s`, `10m`, `1h 30m` or `2d`
    ");
}

#[test]
fn what_is_missing_is_named() {
    insta::assert_snapshot!(wrong("apiVersion: kanade/v2\nkind: Job\nid: a\nrun:\n  shell: sh\n"), @"
    1 │ apiVersion: kanade/v2
      │ ^ the job has no `version`
      │             ^^^^^^^^^ expected `kanade/v1`
    5 │   shell: sh
      │   ^ `run` has no `script`
    ");
    insta::assert_snapshot!(wrong("just text"), @"
    1 │ just text
      │ ^^^^^^^^^ expected keys: apiVersion, kind, id, version, description, run, supersede, staleness
    ");
}

#[test]
fn rules_beyond_the_kinds_of_values_point_at_their_value() {
    let text = GOOD
        .replace("tries: 3", "tries: 30")
        .replace("timeout: 10m", "timeout: 0s");
    insta::assert_snapshot!(wrong(&text), @"
     8 │   timeout: 0s
       │            ^^ `timeout` must be 1s to 7d
    14 │   tries: 30
       │          ^^ `tries` must be 1 to 11
    ");
    let text = format!("{GOOD}staleness: {{mode: strict}}\n");
    insta::assert_snapshot!(wrong(&text), @"
    15 │ staleness: {mode: strict}
       │ ^ `max_age_s` is missing
    ");
}

#[test]
fn what_is_no_yaml_is_shown_where_it_breaks() {
    insta::assert_snapshot!(wrong("id: a\nid: b\n"), @"
    2 │ id: b
      │ ^ key `id` is there twice
    ");
    insta::assert_snapshot!(wrong("id: [a\nrun: }\n"), @"
    2 │ run: }
      │    ^ illegal placement of ':' indicator
    ");
    insta::assert_snapshot!(wrong("id: \"a\n"), @r#"
    1 │ id: "a
      │     ^ unclosed quote
    "#);
}

#[test]
fn documents_keep_their_bytes_and_lines() {
    let text = "# only words\n---\na: 1\n--- # second\nb: |\n  x\n---\n";
    let found: Vec<(&str, usize)> = documents(text)
        .into_iter()
        .map(|document| (document.text, document.line))
        .collect();
    assert_eq!(found, [("a: 1\n", 2), ("b: |\n  x\n", 4)]);
    assert_eq!(
        documents(GOOD),
        [Document {
            text: GOOD,
            line: 0
        }]
    );
    assert_eq!(documents("\n# nothing\n"), []);
}

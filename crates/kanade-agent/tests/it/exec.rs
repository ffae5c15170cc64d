//! Runs of real scripts that end by themselves: codes, arguments, input, output.

use std::collections::BTreeMap;
use std::sync::Arc;

use kanade_agent::exec::{HowEnded, RunSpec, TailBuffer};
use kanade_agent::platform::{self, Launch};
use kanade_shared::wire::command::{RunAs, Shell};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::runs::{Pc, check, exited, sh};

#[tokio::test]
async fn the_exit_code_and_both_outputs_come_back() {
    let pc = Pc::new();
    let end = pc.run(sh("echo out; echo err >&2; exit 7")).await;
    assert_eq!(end.how, exited(7));
    assert_eq!(
        (end.stdout.to_text().as_str(), end.stderr.to_text().as_str()),
        ("out\n", "err\n")
    );
    assert!(end.began && !end.pipe_held && end.reason().is_none());
    assert_eq!(pc.left_in_runs(), 0);
}

#[tokio::test]
async fn a_program_that_a_signal_ends_has_no_exit_code() {
    let end = Pc::new().run(sh("kill -SEGV $$")).await;
    assert_eq!(
        end.how,
        HowEnded::Exited {
            code: None,
            signal: Some(11)
        }
    );
    assert_eq!(end.exit_code(), None);
    assert_eq!(
        end.reason().unwrap().text,
        "ended by signal 11 (segmentation fault)"
    );
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let args = [
        "two words",
        "",
        "it's \"quoted\"",
        "line\nbreak",
        "grüße €",
        "$HOME `id` * \\",
        "-n",
    ];
    let spec = RunSpec {
        args: args.map(str::to_owned).to_vec(),
        ..sh("for arg in \"$@\"; do printf '<%s>' \"$arg\"; done")
    };
    let expected: String = args.iter().map(|arg| format!("<{arg}>")).collect();
    assert_eq!(Pc::new().run(spec).await.stdout.to_text(), expected);
}

#[tokio::test]
async fn standard_input_is_what_was_given_and_else_empty() {
    let pc = Pc::new();
    let given = "first\nsecond €\n".repeat(20_000);
    let spec = RunSpec {
        stdin: Some(given.clone()),
        ..sh("cat")
    };
    assert_eq!(pc.run(spec).await.stdout.to_text(), given);
    assert_eq!(pc.run(sh("cat")).await.stdout.total_bytes, 0);
}

#[tokio::test]
async fn the_environment_holds_what_was_given_and_the_runs_marker() {
    let env = BTreeMap::from([("GREETING".to_owned(), "hi \"there\"\n€".to_owned())]);
    let spec = RunSpec {
        env,
        ..sh("printf '%s|%s' \"$GREETING\" \"$KANADE_RUN\"")
    };
    let expected = format!("hi \"there\"\n€|{}", spec.request_id);
    assert_eq!(Pc::new().run(spec).await.stdout.to_text(), expected);
}

#[tokio::test]
async fn a_program_gets_no_variable_of_the_agents_that_it_was_not_given() {
    let launch = Launch {
        run: "some-run".to_owned(),
        program: "/usr/bin/env".into(),
        args: Vec::new(),
        env: BTreeMap::from([("ONLY".to_owned(), "this".to_owned())]),
        cwd: None,
        stdin: None,
    };
    let launched = platform::current().launch(&launch).unwrap();
    launched.tree.release().unwrap();
    let output = launched.child.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // Shells add some of their own.
    let of_shells = ["PWD=", "OLDPWD=", "SHLVL=", "_="];
    let given = |line: &&str| !of_shells.iter().any(|name| line.starts_with(name));
    assert_eq!(
        text.lines().filter(given).collect::<Vec<_>>(),
        ["ONLY=this"]
    );
}

#[tokio::test]
async fn the_working_folder_is_the_one_given() {
    let pc = Pc::new();
    let folder = pc.path("a folder");
    std::fs::create_dir(&folder).unwrap();
    let spec = RunSpec {
        cwd: Some(folder.clone()),
        ..sh("pwd -P; cat \"$0\" >/dev/null")
    };
    let end = pc.run(spec).await;
    let real = std::fs::canonicalize(folder).unwrap();
    assert_eq!(end.stdout.to_text().trim_end(), real.to_str().unwrap());
    assert_eq!(end.how, exited(0));
}

#[tokio::test]
async fn what_cannot_start_is_told_in_a_sentence() {
    let pc = Pc::new();
    let missing = pc.path("nowhere");
    let cases = [
        (
            RunSpec {
                shell: Shell::Cmd,
                ..sh("x")
            },
            "shell.missing",
            "shell `cmd` is not installed",
        ),
        (
            RunSpec {
                cwd: Some(missing.clone()),
                ..sh("x")
            },
            "cwd.missing",
            missing.as_str(),
        ),
        (
            RunSpec {
                cwd: Some("tmp".into()),
                ..sh("x")
            },
            "cwd.missing",
            "not an absolute path",
        ),
        (
            RunSpec {
                run_as: RunAs::User,
                ..sh("x")
            },
            "run_as.unsupported",
            "`user`",
        ),
        (
            RunSpec {
                args: vec!["a\0b".into()],
                ..sh("x")
            },
            "run.nul",
            "argument 1",
        ),
        (
            RunSpec {
                args: vec!["x".repeat(3_000_000)],
                ..sh("x")
            },
            "shell.start",
            "could not start",
        ),
    ];
    for (spec, code, text) in cases {
        let end = pc.run(spec).await;
        let HowEnded::NotStarted { reason } = &end.how else {
            panic!("{code}: {:?}", end.how)
        };
        assert_eq!(reason.code, code);
        assert!(reason.text.contains(text), "{}", reason.text);
        assert!(!end.began);
    }
    assert_eq!(pc.left_in_runs(), 0);
}

#[tokio::test]
async fn a_script_with_windows_line_ends_runs() {
    let end = Pc::new()
        .run(sh("if true; then\r\n  echo yes\r\nfi\r\nexit 3\r\n"))
        .await;
    assert_eq!(
        (end.stdout.to_text().as_str(), end.how),
        ("yes\n", exited(3))
    );
}

#[tokio::test]
async fn bash_is_bash() {
    let spec = RunSpec {
        shell: Shell::Bash,
        ..sh("a=(x y); echo \"${a[1]}\" \"${BASH_VERSION:+bash}\"")
    };
    assert_eq!(Pc::new().run(spec).await.stdout.to_text(), "y bash\n");
}

#[tokio::test]
async fn large_output_keeps_both_ends_and_its_true_size() {
    let script = "echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last";
    let end = Pc::new()
        .run(RunSpec {
            output_cap_bytes: 90_000,
            ..sh(script)
        })
        .await;
    assert_eq!(end.how, exited(0));
    assert_eq!(
        (end.stdout.head.len(), end.stdout.tail.len()),
        (60_000, 30_000)
    );
    assert_eq!(end.stdout.total_bytes, 50_000_012);
    assert_eq!(end.stdout.truncated_bytes, 50_000_012 - 90_000);
    let text = end.stdout.to_text();
    assert!(text.starts_with("first\nxxx") && text.ends_with("xxx\nlast\n"));
    assert!(text.contains("\n[… 49910012 bytes cut …]\n"));
}

#[tokio::test]
async fn binary_output_is_kept_byte_for_byte_and_shown_with_replacements() {
    let end = Pc::new().run(sh(r"printf 'a\000b\377c'")).await;
    assert_eq!(end.stdout.head, b"a\0b\xFFc");
    assert_eq!(end.stdout.to_text(), "a\0b\u{FFFD}c");
}

#[tokio::test]
async fn the_live_tail_shows_output_before_the_end() {
    let pc = Pc::new();
    let go = pc.path("go");
    let spec = sh(&format!(
        "echo early; until [ -e '{go}' ]; do sleep 0.02; done; echo late"
    ));
    let tail = TailBuffer::new();
    let mut reader = tail.subscribe();
    let (_stop, stopped) = watch::channel(None);
    let watching = async {
        let first = reader.next(1000).await.unwrap();
        assert_eq!((first.stdout.as_str(), first.ended), ("early\n", false));
        std::fs::write(&go, "").unwrap();
        let mut rest = String::new();
        while let Some(piece) = reader.next(1000).await {
            rest.push_str(&piece.stdout);
        }
        rest
    };
    let (end, rest) = tokio::join!(
        check(&pc.runner, spec, stopped, &tail, |_| Ok(())),
        watching
    );
    assert_eq!((rest.as_str(), end.how), ("late\n", exited(0)));
}

#[tokio::test]
async fn fifty_runs_at_once_do_not_mix() {
    let pc = Arc::new(Pc::new());
    let mut runs = JoinSet::new();
    for number in 0..50 {
        let spec = RunSpec {
            args: vec![number.to_string()],
            stdin: Some(format!("in {number}")),
            ..sh("sleep 0.2; echo \"$1 $(cat)\"; exit \"$1\"")
        };
        let pc = Arc::clone(&pc);
        runs.spawn(async move { (number, pc.run(spec).await) });
    }
    while let Some(ended) = runs.join_next().await {
        let (number, end) = ended.unwrap();
        assert_eq!(end.how, exited(number));
        assert_eq!(end.stdout.to_text(), format!("{number} in {number}\n"));
    }
    assert_eq!(pc.left_in_runs(), 0);
}

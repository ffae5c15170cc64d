//! Runs on Windows: the command prompt, job objects, the console's text.

use std::time::Duration;

use kanade_agent::exec::{HowEnded, RunSpec, StopKind, TailBuffer};
use kanade_agent::platform::{self, Platform, Windows};
use kanade_shared::wire::command::Shell;
use tokio::sync::watch;

use crate::runs::{Pc, check, exited, sh, until};

fn cmd(script: &str) -> RunSpec {
    RunSpec {
        shell: Shell::Cmd,
        ..sh(script)
    }
}

#[tokio::test]
async fn the_exit_code_and_both_outputs_come_back() {
    let pc = Pc::new();
    let end = pc.run(cmd("echo out\necho err 1>&2\nexit 7\n")).await;
    assert_eq!(end.how, exited(7), "{end:?}");
    assert_eq!(end.stdout.to_text().trim_end(), "out");
    assert_eq!(end.stderr.to_text().trim_end(), "err");
}

#[tokio::test]
async fn exit_b_at_the_end_is_the_exit_code() {
    assert_eq!(Pc::new().run(cmd("exit /b 3")).await.how, exited(3));
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let args = ["two words", "", "a&b|c", "^caret", "(x)"];
    let spec = RunSpec {
        args: args.map(str::to_owned).to_vec(),
        ..cmd("echo %1\necho %2\necho %3\necho %4\necho %5")
    };
    // The command prompt keeps the quotes with an argument; without them `&` would be a command.
    let expected: String = args.iter().map(|arg| format!("\"{arg}\"\r\n")).collect();
    assert_eq!(Pc::new().run(spec).await.stdout.to_text(), expected);
}

#[tokio::test]
async fn standard_input_is_what_was_given() {
    let spec = RunSpec {
        stdin: Some("b\r\na\r\n".to_owned()),
        ..cmd("set /p line=\necho got %line%")
    };
    let text = Pc::new().run(spec).await.stdout.to_text();
    assert!(text.contains("got b"), "{text}");
}

#[tokio::test]
async fn a_timeout_ends_the_run() {
    let limit = Duration::from_secs(2);
    let end = Pc::new()
        .run(RunSpec {
            timeout: limit,
            ..cmd(":again\ngoto again")
        })
        .await;
    assert_eq!((end.how, end.survivors), (HowEnded::TimedOut { limit }, 0));
}

#[tokio::test]
async fn a_kill_ends_the_children_too() {
    let pc = Pc::new();
    let (stop, stopped) = watch::channel(None);
    let tail = TailBuffer::new();
    let mut reader = tail.subscribe();
    let killing = async {
        reader.next(1000).await.unwrap();
        stop.send(Some(StopKind::Kill)).unwrap();
    };
    let spec = cmd("echo ready\nstart /b cmd /c \":again & goto again\"\n:again\ngoto again");
    let (end, ()) = tokio::join!(check(&pc.runner, spec, stopped, &tail, |_| Ok(())), killing);
    assert_eq!(
        (end.how, end.survivors),
        (HowEnded::Killed(StopKind::Kill), 0)
    );
}

#[tokio::test]
async fn a_run_that_could_not_be_noted_never_begins() {
    let pc = Pc::new();
    let effect = pc.path("effect");
    let (_stop, stopped) = watch::channel(None);
    let note = |_| Err("the disk is full".to_owned());
    let spec = cmd(&format!("echo x >\"{effect}\""));
    let end = check(&pc.runner, spec, stopped, &TailBuffer::new(), note).await;
    assert!(matches!(end.how, HowEnded::NotStarted { .. }));
    assert!(!std::path::Path::new(&effect).exists());
}

#[tokio::test]
async fn a_process_that_was_noted_is_found_by_its_mark_until_it_has_gone() {
    let pc = Pc::new();
    let (_stop, stopped) = watch::channel(None);
    let (sender, receiver) = std::sync::mpsc::channel();
    let tail = TailBuffer::new();
    let mut reader = tail.subscribe();
    let note =
        move |mark: platform::ProcessMark| sender.send(mark).map_err(|error| error.to_string());
    let killing = async {
        reader.next(1000).await.unwrap();
        let mark = receiver.recv().unwrap();
        let stranger = platform::ProcessMark {
            started: mark.started + 1,
            ..mark.clone()
        };
        assert_eq!(Windows.kill_leftovers(&stranger).killed, 0);
        assert_eq!(Windows.kill_leftovers(&mark).killed, 1);
        mark
    };
    let spec = cmd("echo ready\n:again\ngoto again");
    let (_, mark) = tokio::join!(check(&pc.runner, spec, stopped, &tail, note), killing);
    until("nothing is left", || {
        Windows.kill_leftovers(&mark).killed == 0
    })
    .await;
}

#[test]
fn the_system_tells_its_facts() {
    let folder = tempfile::tempdir().unwrap();
    assert!(platform::disk_free(folder.path()).unwrap() > 0);
    assert!(!platform::host_name().unwrap().is_empty());
    let inner = folder.path().join("private");
    platform::create_private_dir(&inner).unwrap();
    platform::create_private_dir(&inner).unwrap();
    platform::write_private(&inner.join("a"), b"old").unwrap();
    platform::write_private(&inner.join("a"), b"new").unwrap();
    assert_eq!(std::fs::read(inner.join("a")).unwrap(), b"new");
}

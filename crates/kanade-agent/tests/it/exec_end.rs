//! The end of runs that are stopped, refused or abandoned, and of all that came of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kanade_agent::exec::{HowEnded, RunEnd, RunSpec, StopKind, TailBuffer};
use kanade_agent::platform::{self, Argument, Launch, Launched, Platform, ProcessMark, Unix};
use kanade_shared::wire::result::Outcome;
use tokio::sync::{oneshot, watch};

use crate::runs::{Pc, check, exited, is_gone, lines, sh, until};

/// Starts children of every kind, each of which writes its process id, and waits for ever.
fn family(pc: &Pc) -> (String, [String; 4]) {
    let files = ["plain", "session", "deaf", "orphan"].map(|name| pc.path(name));
    let [plain, session, deaf, orphan] = &files;
    let script = format!(
        "rm -f {plain} {session} {deaf} {orphan}
         sh -c 'echo $$ >{plain}; exec sleep 1000' &
         setsid sh -c 'echo $$ >{session}; exec sleep 1000' &
         sh -c 'trap \"\" TERM; echo $$ >{deaf}; while :; do sleep 0.1; done' &
         setsid sh -c 'setsid sh -c \"echo \\$\\$ >{orphan}; exec sleep 1000\" & exit 0' &
         until [ -s {plain} ] && [ -s {session} ] && [ -s {deaf} ] && [ -s {orphan} ]; do sleep 0.02; done
         echo ready
         trap '' TERM
         while :; do sleep 0.1; done"
    );
    (script, files)
}

/// Runs a script with ever longer limits until it has said that it is ready before its limit came,
/// so that a busy machine makes the test slower and not wrong.
async fn run_into_its_limit(pc: &Pc, script: &str) -> RunEnd {
    for seconds in [1, 2, 4, 8, 16, 32] {
        let limit = Duration::from_secs(seconds);
        let end = pc
            .run(RunSpec {
                timeout: limit,
                ..sh(script)
            })
            .await;
        assert_eq!(end.how, HowEnded::TimedOut { limit });
        if end.stdout.to_text() == "ready\n" {
            return end;
        }
    }
    panic!("the script was never ready");
}

async fn a_timeout_ends_the_family(pc: Pc) {
    let pc = pc.with_graces(Duration::from_millis(300), Duration::from_secs(2));
    let (script, files) = family(&pc);
    let end = run_into_its_limit(&pc, &script).await;
    assert_eq!(
        (end.exit_code(), end.survivors, end.pipe_held),
        (None, 0, false)
    );
    assert_eq!(
        (end.outcome(), end.reason().unwrap().code),
        (Outcome::TimedOut, "run.timeout".into())
    );
    for file in files {
        assert!(is_gone(&file), "{file}");
    }
}

#[tokio::test]
async fn a_timeout_ends_the_whole_family() {
    a_timeout_ends_the_family(Pc::new()).await;
}

#[tokio::test]
async fn a_timeout_ends_the_whole_family_without_cgroups_too() {
    a_timeout_ends_the_family(Pc::on(Arc::new(Unix::without_cgroups()))).await;
}

#[tokio::test]
async fn only_a_cgroup_finds_what_hides_its_session_parent_and_marker() {
    let pc = Pc::new().with_graces(Duration::from_millis(100), Duration::from_millis(100));
    let hidden = pc.path("hidden");
    let script = format!(
        "rm -f {hidden}
         env -u KANADE_RUN setsid sh -c 'setsid sh -c \"echo \\$\\$ >{hidden}; exec sleep 1000\" & exit 0'
         until [ -s {hidden} ]; do sleep 0.02; done
         echo ready
         sleep 1000"
    );
    run_into_its_limit(&pc, &script).await;
    let gone = is_gone(&hidden);
    if !gone {
        std::process::Command::new("kill")
            .args(["-9", &lines(&hidden)[0]])
            .status()
            .unwrap();
    }
    assert_eq!(gone, Unix::detect().has_cgroups());
}

#[tokio::test]
async fn a_script_that_is_asked_to_stop_has_time_to_tidy_up() {
    let pc = Pc::new();
    let tidied = pc.path("tidied");
    let script = format!(
        "trap 'sleep 0.3; echo done >{tidied}; exit 0' TERM
         echo ready
         while :; do sleep 0.05; done"
    );
    run_into_its_limit(&pc, &script).await;
    assert_eq!(lines(&tidied), ["done"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nobody_waits_for_the_dead_of_a_script_that_was_asked_to_stop() {
    // Longer than the test has.
    let pc = Pc::new().with_graces(Duration::from_secs(3600), Duration::from_secs(2));
    let parent = pc.path("parent");
    // The child stays in the group; its parent leaves it, and never asks how the child ended.
    let script = format!(
        "rm -f {parent}
         sh -c 'sleep 1000 & exec setsid sh -c \"echo \\$\\$ >{parent}; exec sleep 1000\"' &
         trap 'exit 0' TERM
         until [ -s {parent} ]; do sleep 0.02; done
         echo ready
         while :; do sleep 0.05; done"
    );
    run_into_its_limit(&pc, &script).await;
    assert!(is_gone(&parent));
}

#[tokio::test]
async fn a_kill_ends_a_run_and_names_no_exit_code() {
    let pc = Pc::new().with_graces(Duration::from_millis(300), Duration::from_secs(2));
    let (script, files) = family(&pc);
    let (stop, stopped) = watch::channel(None);
    let tail = TailBuffer::new();
    let mut reader = tail.subscribe();
    let killing = async {
        reader.next(1000).await.unwrap();
        stop.send(Some(StopKind::Kill)).unwrap();
    };
    let (end, ()) = tokio::join!(
        check(&pc.runner, sh(&script), stopped, &tail, |_| Ok(())),
        killing
    );
    assert_eq!(end.how, HowEnded::Killed(StopKind::Kill));
    assert!(end.began && files.iter().all(|file| is_gone(file)));
}

#[tokio::test]
async fn a_kill_before_the_start_starts_nothing() {
    let pc = Pc::new();
    let effect = pc.path("effect");
    let (_stop, stopped) = watch::channel(Some(StopKind::Kill));
    let end = check(
        &pc.runner,
        sh(&format!("echo x >{effect}")),
        stopped,
        &TailBuffer::new(),
        |_| Ok(()),
    )
    .await;
    assert_eq!(
        (end.how, end.began),
        (HowEnded::Killed(StopKind::Kill), false)
    );
    assert!(!Path::new(&effect).exists());
}

#[tokio::test]
async fn a_kill_while_the_journal_is_written_starts_nothing() {
    let pc = Pc::new();
    let effect = pc.path("effect");
    let (stop, stopped) = watch::channel(None);
    let note = move |_| {
        stop.send(Some(StopKind::Kill))
            .map_err(|error| error.to_string())
    };
    let end = check(
        &pc.runner,
        sh(&format!("echo x >{effect}")),
        stopped,
        &TailBuffer::new(),
        note,
    )
    .await;
    assert_eq!(
        (end.how, end.began),
        (HowEnded::Killed(StopKind::Kill), false)
    );
    assert!(!Path::new(&effect).exists());
}

#[tokio::test]
async fn nobody_left_to_stop_a_run_does_not_stop_it() {
    let pc = Pc::new();
    let (stop, stopped) = watch::channel(None);
    drop(stop);
    let end = check(
        &pc.runner,
        sh("sleep 0.2; echo x"),
        stopped,
        &TailBuffer::new(),
        |_| Ok(()),
    )
    .await;
    assert_eq!(end.how, exited(0));
}

#[tokio::test]
async fn a_pipe_held_by_a_child_does_not_hold_the_run() {
    let pc = Pc::new().with_graces(Duration::from_secs(5), Duration::from_millis(300));
    let pid = pc.path("pid");
    let end = pc
        .run(sh(&format!("sleep 1000 & echo $! >{pid}; echo done")))
        .await;
    assert_eq!((end.how, end.pipe_held), (exited(0), true));
    assert_eq!(end.stdout.to_text(), "done\n");
    // What a script leaves behind on purpose lives on after a normal exit.
    assert!(!is_gone(&pid));
    assert!(
        std::process::Command::new("kill")
            .arg(&lines(&pid)[0])
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_run_that_could_not_be_noted_never_begins() {
    let pc = Pc::new();
    let effect = pc.path("effect");
    let (_stop, stopped) = watch::channel(None);
    let mut marked = None;
    let note = |mark: ProcessMark| {
        marked = Some(mark.pid);
        Err("the disk is full".to_owned())
    };
    let end = check(
        &pc.runner,
        sh(&format!("echo x >{effect}")),
        stopped,
        &TailBuffer::new(),
        note,
    )
    .await;
    let HowEnded::NotStarted { reason } = end.how else {
        panic!("{:?}", end.how)
    };
    assert_eq!(
        reason.text,
        "could not note the run in the journal: the disk is full"
    );
    assert!(!Path::new(&effect).exists());
    assert!(!Path::new(&format!("/proc/{}", marked.unwrap())).exists());
    assert_eq!(pc.left_in_runs(), 0);
}

#[tokio::test]
async fn a_run_is_noted_before_it_begins() {
    let pc = Pc::new();
    let effect = pc.path("effect");
    let seen = effect.clone();
    let (_stop, stopped) = watch::channel(None);
    let note = move |mark: ProcessMark| {
        assert!(mark.pid > 1 && mark.started > 0 && !mark.boot_id.is_empty());
        let stored = serde_json::to_string(&mark).unwrap();
        assert_eq!(serde_json::from_str::<ProcessMark>(&stored).unwrap(), mark);
        assert!(!Path::new(&seen).exists());
        Ok(())
    };
    let end = check(
        &pc.runner,
        sh(&format!("echo x >{effect}")),
        stopped,
        &TailBuffer::new(),
        note,
    )
    .await;
    assert_eq!(end.how, exited(0));
    assert!(Path::new(&effect).exists());
}

#[tokio::test]
async fn a_program_whose_agent_dies_before_the_release_never_begins() {
    let pc = Pc::new();
    let effect = pc.path("effect");
    let launch = Launch {
        run: "some-run".to_owned(),
        program: "/usr/bin/touch".into(),
        args: vec![Argument::Plain(effect.clone())],
        env: BTreeMap::new(),
        cwd: None,
        stdin: None,
    };
    let Launched {
        mut child, tree, ..
    } = platform::current().launch(&launch).unwrap();
    // What the kernel does with the pipe of an agent that was killed.
    drop(tree);
    assert!(!child.wait().await.unwrap().success());
    assert!(!Path::new(&effect).exists());
}

/// Runs the family as a process of its own would, and forgets it as a crash does: nothing of the
/// run's clean-up is done.
async fn abandon(pc: &Pc, script: String) -> ProcessMark {
    let (marked, mark) = oneshot::channel();
    let tail = TailBuffer::new();
    let mut reader = tail.subscribe();
    let runner = pc.runner.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (_stop, stopped) = watch::channel(None);
            let note = |mark| {
                marked.send(mark).unwrap();
                Ok(())
            };
            let mut run = Box::pin(check(&runner, sh(&script), stopped, &tail, note));
            tokio::select! {
                end = &mut run => panic!("ended early: {end:?}"),
                _ = reader.next(1000) => std::mem::forget(run),
            }
        });
    })
    .join()
    .unwrap();
    mark.await.unwrap()
}

async fn leftovers_are_found(pc: Pc, platform: Unix) {
    let (script, files) = family(&pc);
    let mark = abandon(&pc, script).await;
    assert!(files.iter().all(|file| !is_gone(file)));
    let other_boot = ProcessMark {
        boot_id: "another".to_owned(),
        ..mark.clone()
    };
    assert_eq!(platform.kill_leftovers(&other_boot).killed, 0);
    assert!(files.iter().all(|file| !is_gone(file)));

    let leftovers = platform.kill_leftovers(&mark);
    assert!(
        leftovers.killed >= 5 && leftovers.survivors == 0,
        "{leftovers:?}"
    );
    assert!(files.iter().all(|file| is_gone(file)));
    assert_eq!(platform.kill_leftovers(&mark).killed, 0);
}

#[tokio::test]
async fn what_a_crash_left_is_killed_in_the_next_life() {
    leftovers_are_found(Pc::new(), Unix::detect()).await;
}

#[tokio::test]
async fn what_a_crash_left_is_killed_without_cgroups_too() {
    leftovers_are_found(
        Pc::on(Arc::new(Unix::without_cgroups())),
        Unix::without_cgroups(),
    )
    .await;
}

#[tokio::test]
async fn a_process_that_only_has_the_same_id_is_spared() {
    let pc = Pc::new();
    let mut stranger = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    let mark = ProcessMark {
        run: "some-run".to_owned(),
        pid: stranger.id(),
        started: 1,
        boot_id: kanade_agent::platform::boot_id().unwrap(),
        cgroup: Some(pc.folder.path().to_owned()),
    };
    assert_eq!(Unix::detect().kill_leftovers(&mark).killed, 0);
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_dropped_run_leaves_no_process() {
    let pc = Pc::new();
    let (script, files) = family(&pc);
    let tail = TailBuffer::new();
    let mut reader = tail.subscribe();
    let (_stop, stopped) = watch::channel(None);
    {
        let mut run = Box::pin(check(&pc.runner, sh(&script), stopped, &tail, |_| Ok(())));
        tokio::select! {
            end = &mut run => panic!("ended early: {end:?}"),
            _ = reader.next(1000) => {}
        }
    }
    until("the family has gone", || {
        files.iter().all(|file| is_gone(file))
    })
    .await;
    assert_eq!(pc.left_in_runs(), 0);
}

//! Results on disk through every step of their life.

use chrono::DateTime;
use kanade_shared::id::{Attempt, ExecId, PcId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::result::Outcome;

use super::*;

fn result(n: u8, stdout: String, stderr: String) -> RunResult {
    let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    RunResult {
        request_id: RequestId::from_uuid(uuid::Uuid::from_bytes([n; 16])),
        exec_id: ExecId::new(at, [n; 10]),
        attempt: Attempt::FIRST,
        pc_id: PcId::parse("pc-1").unwrap(),
        scope: Scope::All,
        job_id: None,
        job_version: None,
        outcome: Outcome::Ok,
        reason: None,
        exit_code: Some(0),
        tries: 1,
        started_at: None,
        ended_at: at,
        stdout: Output::whole(stdout),
        stderr: Output::whole(stderr),
    }
}

fn waiting(outbox: &OutboxFiles) -> Vec<Stored> {
    outbox
        .load()
        .unwrap()
        .into_iter()
        .map(|(stored, _)| stored)
        .collect()
}

fn outbox(folder: &tempfile::TempDir) -> OutboxFiles {
    OutboxFiles::new(DataFolder::open(folder.path()).unwrap())
}

fn sizes(stdout: usize, stderr: usize, letter: &str) -> (usize, usize) {
    let mut result = result(1, letter.repeat(stdout), letter.repeat(stderr));
    let large = take_large(&mut result).unwrap();
    assert!(encoded_bytes(&result).unwrap() <= RESULT_MAX_BYTES);
    let size = |stream| {
        large
            .iter()
            .find(|(s, _)| *s == stream)
            .map_or(0, |(_, t)| t.len())
    };
    (size(OutputStream::Stdout), size(OutputStream::Stderr))
}

#[test]
fn small_output_rides_inside_and_large_output_lies_beside() {
    let limit = INLINE_OUTPUT_MAX_BYTES;
    assert_eq!(sizes(limit, limit, "x"), (0, 0));
    assert_eq!(sizes(limit + 1, limit, "x"), (limit + 1, 0));
    assert_eq!(sizes(0, limit + 1, "x"), (0, limit + 1));
    // A NUL takes six bytes in JSON, so two streams under their limit are too much together.
    assert_eq!(sizes(100_000, 90_000, "\0"), (100_000, 0));
    assert_eq!(sizes(limit, limit - 1, "\0"), (limit, limit - 1));
}

#[test]
fn a_result_waits_until_it_is_acknowledged_and_can_be_sent_again_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = outbox(&folder);
    let text = "x".repeat(300_000);
    let stored = outbox
        .store(result(1, text.clone(), String::new()))
        .unwrap();
    assert!(stored.uploads && stored.disk_bytes > 300_000 && stored.message_bytes < 2_000);
    assert_eq!(waiting(&outbox), [stored]);
    let Found::Whole(kept) = outbox.read(stored.request_id).unwrap() else {
        panic!()
    };
    let upload = outbox.upload_path(stored.request_id, &kept.uploads[0]);
    assert_eq!(fs::read_to_string(&upload).unwrap(), text);

    outbox.acknowledged(stored.request_id).unwrap();
    assert_eq!(waiting(&outbox), []);
    assert_eq!(outbox.again(stored.request_id).unwrap(), Some(stored));
    assert_eq!(fs::read_to_string(&upload).unwrap(), text);

    outbox.forget(stored.request_id).unwrap();
    assert_eq!(
        waiting(&outbox),
        [stored],
        "what was not sent is not forgotten"
    );
    outbox.acknowledged(stored.request_id).unwrap();
    outbox.forget(stored.request_id).unwrap();
    assert_eq!(outbox.again(stored.request_id).unwrap(), None);
    assert!(!upload.exists());
}

#[test]
fn the_first_result_of_a_run_counts() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = outbox(&folder);
    outbox
        .store(result(1, "first".into(), String::new()))
        .unwrap();
    let stored = outbox
        .store(result(1, "second".into(), String::new()))
        .unwrap();
    let Found::Whole(kept) = outbox.read(stored.request_id).unwrap() else {
        panic!()
    };
    assert_eq!(kept.result.stdout.text, "first");
}

#[test]
fn a_crash_between_the_stream_and_its_result_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = outbox(&folder);
    let rest = folder
        .path()
        .join(format!("outbox/{}.stdout", "ab".repeat(16)));
    fs::write(&rest, b"text").unwrap();
    assert_eq!(waiting(&outbox), []);
    assert!(!rest.exists());
}

#[test]
fn one_damaged_result_does_not_hold_up_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = outbox(&folder);
    let first = outbox
        .store(result(1, String::new(), String::new()))
        .unwrap();
    let second = outbox
        .store(result(2, String::new(), String::new()))
        .unwrap();
    fs::write(outbox.path(OUTBOX, first.request_id), b"{\"sha2").unwrap();
    assert_eq!(waiting(&outbox), [second]);
    let aside = fs::read_dir(folder.path().join("damaged")).unwrap().count();
    assert_eq!(aside, 1);
}

#[test]
fn copies_of_large_streams_are_bounded_and_the_newest_stay() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = OutboxFiles {
        copies_max_bytes: 700_000,
        ..outbox(&folder)
    };
    let ids = [1, 2, 3].map(|n| {
        let text = "x".repeat(300_000);
        let stored = outbox.store(result(n, text, String::new())).unwrap();
        outbox.acknowledged(stored.request_id).unwrap();
        stored.request_id
    });
    let copy = |id| outbox.stream_path(SENT, id, OutputStream::Stdout).exists();
    assert_eq!(ids.map(copy), [false, true, true]);
    assert!(
        outbox.again(ids[0]).unwrap().is_some(),
        "the result itself stays"
    );
}

#[test]
fn copies_go_with_the_journals_entries() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = outbox(&folder);
    for n in 1..=2 {
        let stored = outbox
            .store(result(n, String::new(), String::new()))
            .unwrap();
        outbox.acknowledged(stored.request_id).unwrap();
    }
    let kept = result(2, String::new(), String::new()).request_id;
    outbox.forget_all_but(|id| id == kept).unwrap();
    assert_eq!(
        outbox
            .again(result(1, String::new(), String::new()).request_id)
            .unwrap(),
        None
    );
    assert!(outbox.again(kept).unwrap().is_some());
}

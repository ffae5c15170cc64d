//! Golden files: the shapes that peers of other versions know.
//!
//! Each file is compared with its typed value both ways, and read with fields from the future in
//! every object of it. `tests/golden/README.md` says how one is added.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::LazyLock;

use kanade_shared::body;
use kanade_shared::id::{Attempt, ExecId, PcId, RequestId};
use kanade_shared::signing::{Kind, canonical};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::samples;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// The golden file of this name; adds one that is not there yet when asked to.
fn file(name: &str, written: &Value) -> Value {
    let path = folder().join(format!("{name}.json"));
    if !path.exists() && std::env::var("KANADE_GOLDEN").as_deref() == Ok("add") {
        let text = serde_json::to_string_pretty(written).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// Every golden file, by its name.
pub(crate) static ALL: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let mut files: Vec<(String, Value)> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect();
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    files
});

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let written = serde_json::to_value(value).unwrap();
    let golden = file(name, &written);
    assert_eq!(written, golden, "{name}: what is written is another shape");
    let read: T = serde_json::from_value(golden).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(&read, value, "{name}: what is read is another value");
}

/// `golden` with a field from the future in every object but those whose keys are free.
fn from_the_future(golden: &Value) -> Value {
    match golden {
        Value::Object(fields) => {
            let free = |key: &str| ["env", "labels", "pins"].contains(&key);
            let mut grown: serde_json::Map<_, _> = fields
                .iter()
                .map(|(key, value)| {
                    let value = if free(key) {
                        value.clone()
                    } else {
                        from_the_future(value)
                    };
                    (key.clone(), value)
                })
                .collect();
            grown.insert("from_the_future".into(), json!({"deep": [1, null, "x"]}));
            grown.insert("and_nothing".into(), Value::Null);
            Value::Object(grown)
        }
        Value::Array(items) => items.iter().map(from_the_future).collect(),
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            scalar.clone()
        }
    }
}

fn check_future<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let grown = from_the_future(&serde_json::to_value(value).unwrap());
    let read: T = serde_json::from_value(grown).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(&read, value, "{name}: a field it does not know changed it");
}

/// Does the same with each payload of the wire; manifests are not among them, since they refuse
/// what they don't know.
macro_rules! each_payload {
    ($check:ident) => {
        $check("document", &samples::document());
        $check("document_empty", &samples::document_empty());
        $check("run_result_minimal", &samples::run_result_minimal());
        $check("run_result_full", &samples::run_result_full());
        $check("started", &samples::started());
        $check("heartbeat_minimal", &samples::heartbeat_minimal());
        $check("heartbeat_full", &samples::heartbeat_full());
        $check("agent_desired", &samples::agent_desired());
        $check("brake", &samples::brake());
        $check("brake_released", &samples::brake_released());
        $check("hardware", &samples::hardware());
        $check("time_request", &samples::time_request());
        $check("time_reply", &samples::time_reply());
        $check("tail_request", &samples::tail_request());
        $check("tail_chunk", &samples::tail_chunk());
        $check("results_request", &samples::results_request());
        $check("ack_taken", &samples::ack_taken());
        $check("ack_refused", &samples::ack_refused());
    };
}

#[test]
fn golden_payloads_read_and_write_as_peers_know_them() {
    each_payload!(check);
}

#[test]
fn golden_jobs_read_and_write_as_they_were_stored() {
    check("job_minimal", &samples::job_minimal());
    check("job_full", &samples::job_full());
}

#[test]
fn a_field_from_the_future_changes_no_payload() {
    each_payload!(check_future);
}

#[test]
fn golden_signatures_are_over_the_same_bytes() {
    let signed = |kind, word: &str, scope: &str, rev: u64, at: i64, body: &str| {
        json!({
            "kind": word, "scope": scope, "rev": rev, "issued_at_ms": at, "body": body,
            "canonical_hex": hex::encode(canonical(kind, scope, rev, at, body.as_bytes())),
        })
    };
    let cases = json!([
        signed(
            Kind::Commands,
            "commands",
            "all",
            1,
            1_800_000_000_000,
            "{}"
        ),
        signed(Kind::Desired, "desired", "pc.pc-1", u64::MAX, -1, "é\u{0}"),
        signed(Kind::Brake, "brake", "", 0, 0, ""),
    ]);
    assert_eq!(cases, file("signing", &cases));
}

#[test]
fn golden_request_ids_are_the_same_at_both_ends() {
    let derived = |exec: &str, pc: &str, attempt| {
        let (exec_id, pc_id) = (ExecId::parse(exec).unwrap(), PcId::parse(pc).unwrap());
        let request_id = RequestId::derive(exec_id, &pc_id, Attempt(attempt));
        json!({"exec_id": exec, "pc_id": pc, "attempt": attempt, "request_id": request_id})
    };
    let exec = "018bcfe568007707870707070707070a";
    let cases = json!([
        derived(exec, "pc-1", 1),
        derived(exec, "pc-1", 1_800_000_000_000),
        derived(exec, "pc-10", 1),
        derived("00000000000000000000000000000000", "_", 0),
    ]);
    assert_eq!(cases, file("request_id", &cases));
}

#[test]
fn golden_bodies_open() {
    let text = "echo 日本語\n";
    let (bytes, body_ref) = body::seal(text, [7; body::KEY_BYTES]);
    let sealed = json!({"text": text, "bytes_hex": hex::encode(&bytes), "body_ref": body_ref});
    let golden = file("body", &sealed);
    assert_eq!(sealed, golden);
    let bytes = hex::decode(golden["bytes_hex"].as_str().unwrap()).unwrap();
    let body_ref = serde_json::from_value(golden["body_ref"].clone()).unwrap();
    assert_eq!(body::open(&bytes, &body_ref).as_deref(), Ok(text));
}

#[test]
fn no_golden_file_is_without_a_test() {
    let here = include_str!("golden.rs");
    let names: BTreeSet<String> = ALL.iter().map(|(name, _)| name.clone()).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(here.contains(&format!("\"{name}\"")), "{name}");
    }
}

//! Bytes from anybody: whatever they are, a reader accepts or refuses them, and what it accepted
//! can be worked with.

use std::fmt::Debug;

use kanade_shared::document::{Revision, ScopeState, foreign, revise};
use kanade_shared::id::{ExecId, GroupId, PcId};
use kanade_shared::manifest::Job;
use kanade_shared::subject::Scope;
use kanade_shared::wire::agent::{
    Ack, ResultsRequest, TailChunk, TailRequest, TimeReply, TimeRequest,
};
use kanade_shared::wire::command::{Document, Rev};
use kanade_shared::wire::desired::{AgentDesired, Brake};
use kanade_shared::wire::heartbeat::Heartbeat;
use kanade_shared::wire::inventory::Hardware;
use kanade_shared::wire::result::{RunResult, Started};
use proptest::prelude::*;
use proptest::sample::Index;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::wire::round_trip;
use crate::{cases, golden, samples};

/// What agents and backends of this version do with what they could read.
fn work_with(document: &Document) {
    let now = samples::at(0);
    for command in &document.commands {
        assert!(command.over_at() >= command.deadline);
        let _ = (command.exec_id.issued_at(), command.exec_id.short());
    }
    for recorded in [Rev(0), document.rev] {
        let state = ScopeState {
            recorded,
            floor: document.rev,
            entries: vec![],
        };
        let taken = foreign(document, recorded);
        assert_eq!(taken.is_some(), document.rev > recorded);
        let revision = revise(&document.scope, Some(document), &state, now);
        assert!(matches!(revision, Revision::Keep | Revision::Publish(_)));
    }
}

/// Gives the bytes to every reader; what one accepts has to be written and read again.
fn check_bytes(bytes: &[u8]) {
    fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
        let value: T = serde_json::from_slice(bytes).ok()?;
        round_trip(&value);
        Some(value)
    }
    if let Some(document) = read::<Document>(bytes) {
        work_with(&document);
    }
    if let Some(job) = read::<Job>(bytes) {
        let _ = job.check();
    }
    read::<RunResult>(bytes);
    read::<Started>(bytes);
    read::<Heartbeat>(bytes);
    read::<Hardware>(bytes);
    read::<AgentDesired>(bytes);
    read::<Brake>(bytes);
    read::<TimeRequest>(bytes);
    read::<TimeReply>(bytes);
    read::<TailRequest>(bytes);
    read::<TailChunk>(bytes);
    read::<ResultsRequest>(bytes);
    read::<Ack>(bytes);
}

/// A change of a golden file: of its bytes, or of one value in it.
#[derive(Debug, Clone)]
enum Mutation {
    Byte(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index, Index),
    Value(Index, Value),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let odd = proptest::sample::select(vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u32::MAX),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("\u{0}\u{fffd}日本語"),
        json!("all"),
        json!("pc."),
        json!("ffffffffffffffffffffffffffffffff"),
        json!("ffffffff-ffff-ffff-ffff-ffffffffffff"),
        json!("9999-12-31T23:59:59.999999999Z"),
        json!("9999-12-31T23:59:60-23:59"),
        json!("0000-01-01T00:00:00+23:59"),
        json!("+262142-12-31T23:59:59Z"),
        json!("584942417355y"),
        json!([]),
        json!({}),
        json!([[[[{}]]]]),
    ]);
    prop_oneof![
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        1 => (any::<Index>(), any::<Vec<u8>>()).prop_map(|(at, more)| Mutation::Insert(at, more)),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Mutation::Cut(from, to)),
        4 => (any::<Index>(), odd).prop_map(|(at, odd)| Mutation::Value(at, odd)),
    ]
}

/// Every value within `value`, itself included.
fn nodes<'a>(value: &'a Value, found: &mut Vec<String>, path: &str) {
    found.push(path.to_owned());
    let children: Vec<(String, &'a Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(n, v)| (n.to_string(), v))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![],
    };
    for (key, child) in children {
        nodes(child, found, &format!("{path}/{key}"));
    }
}

fn mutate(mut value: Value, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        if let Mutation::Value(at, odd) = mutation {
            let mut paths = vec![];
            nodes(&value, &mut paths, "");
            let path = at.get(&paths);
            *value.pointer_mut(path).unwrap() = odd.clone();
        }
    }
    let mut bytes = serde_json::to_vec(&value).unwrap();
    for mutation in mutations {
        match mutation {
            Mutation::Byte(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Mutation::Insert(at, more) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Mutation::Cut(from, to) if !bytes.is_empty() => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                bytes.drain(from.min(to)..from.max(to));
            }
            Mutation::Byte(..) | Mutation::Cut(..) | Mutation::Value(..) => {}
        }
    }
    bytes
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
        check_bytes(&bytes);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}:,\"0-9a-z_. -]{0,200}") {
        check_bytes(text.as_bytes());
    }

    #[test]
    fn a_damaged_payload_is_read_or_refused(
        file in any::<Index>(),
        mutations in proptest::collection::vec(mutation(), 1..4),
    ) {
        check_bytes(&mutate(file.get(&golden::ALL).1.clone(), &mutations));
    }

    #[test]
    fn an_id_is_read_or_refused(text in "(?s).{0,40}|[0-9a-fA-F-]{30,38}") {
        if let Ok(id) = ExecId::parse(&text) {
            prop_assert_eq!(ExecId::parse(&id.to_string()), Ok(id));
        }
        if let Ok(scope) = Scope::parse(&text) {
            prop_assert_eq!(scope.to_string(), text.clone());
        }
        if let Ok(id) = PcId::from_host_name(&text) {
            prop_assert_eq!(PcId::parse(id.as_str()), Ok(id));
        }
        prop_assert_eq!(GroupId::parse(&text).is_ok(), PcId::parse(&text).is_ok());
    }
}

#[test]
fn nesting_without_end_is_refused() {
    for open in ["[", "{\"a\":", "{\"commands\":[", "{\"run\":{\"env\":"] {
        check_bytes(open.repeat(100_000).as_bytes());
    }
}

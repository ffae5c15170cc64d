//! An exec to many agents: from the POST until every result is committed and sent on SSE.

use std::time::{Duration, Instant};

use kanade_shared::api::execs::{ExecRequest, Targets};
use kanade_shared::id::{GroupId, PcId};
use kanade_testkit::backend::Backend;
use kanade_testkit::fleet;

use super::http::ExecListener;

/// Far more than any promise.
const WITHIN: Duration = Duration::from_secs(120);

/// Every PC.
pub(super) fn all() -> Targets {
    Targets {
        all: true,
        ..Targets::default()
    }
}

/// The members of a group.
pub(super) fn group(group_id: &str) -> Targets {
    let group_id = GroupId::parse(group_id).expect("the bench's groups have names that can be");
    Targets {
        groups: vec![group_id],
        ..Targets::default()
    }
}

/// Issues an exec of a short script; how long until `agents` results were heard, in seconds.
pub(super) async fn seconds(backend: &Backend, targets: Targets, agents: u64) -> f64 {
    let http = reqwest::Client::new();
    let request = request(targets);
    let begun = Instant::now();
    let exec = backend.issue(&request).await;
    let exec = exec.unwrap_or_else(|refused| panic!("the exec was refused: {refused:?}"));
    let posted = begun.elapsed();
    let mut listener = ExecListener::open(backend, &http, exec.exec_id).await;
    let before = backend.exec(exec.exec_id).await;
    let early: u64 = before.counts.ended.values().sum();
    assert_eq!(
        early, 0,
        "results were stored before the listener was there"
    );
    let heard = listener.until(agents, agents, WITHIN).await;
    let took = begun.elapsed();
    tracing::info!(?posted, ?took, heard.results, "exec");
    took.as_secs_f64()
}

/// A script that simulated agents take no time for.
pub(super) fn request(targets: Targets) -> ExecRequest {
    fleet::exec(fleet::script("echo hello from $KANADE_PC"), targets)
}

/// Makes a group of the first PCs of a simulated fleet.
pub(super) async fn make_group(backend: &Backend, group_id: &str, members: u32) {
    let pcs: Vec<PcId> = (1..=members)
        .filter_map(|n| PcId::parse(&format!("sim-{n:05}")).ok())
        .collect();
    let path = format!("groups/{group_id}");
    let body = serde_json::json!({ "members": pcs });
    let made: Result<serde_json::Value, _> =
        backend.call(reqwest::Method::PUT, &path, Some(&body)).await;
    made.unwrap_or_else(|refused| panic!("the group was refused: {refused:?}"));
}

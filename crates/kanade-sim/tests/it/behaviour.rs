//! Behaviour as the backend sees it.

use std::collections::BTreeMap;

use kanade_shared::id::ExecId;
use kanade_shared::wire::result::Outcome;
use kanade_testkit::fleet::Fleet;

use crate::sim::{Sim, run_on_all};

/// Outcomes by PC, of those whose id begins so, without that beginning.
async fn outcomes(fleet: &Fleet, exec: ExecId, prefix: &str) -> BTreeMap<String, Outcome> {
    let results = fleet.backend.results(exec).await.into_iter();
    results
        .filter_map(|result| {
            let number = result.pc_id.as_str().strip_prefix(prefix)?.to_owned();
            Some((number, result.outcome))
        })
        .collect()
}

#[tokio::test]
async fn the_same_seed_makes_the_same_pcs_fail() {
    let fleet = Fleet::start().await;
    let share = ["--failures", "40%", "--seed"];
    let _one = Sim::start(&fleet, "one", 25, &[&share[..], &["7"]].concat());
    let _same = Sim::start(&fleet, "same", 25, &[&share[..], &["7"]].concat());
    let _other = Sim::up(&fleet, "other", 25, &[&share[..], &["8"]].concat()).await;
    kanade_testkit::wait::until("all are online", crate::sim::WITHIN, async || {
        let system: kanade_shared::api::system::SystemView = fleet.backend.get("system").await;
        system.agents_online == 75
    })
    .await;
    let exec = run_on_all(&fleet).await.exec_id;
    let one = outcomes(&fleet, exec, "one-").await;
    assert_eq!(one.len(), 25);
    assert!(one.values().any(|outcome| *outcome == Outcome::Failed));
    assert_eq!(one, outcomes(&fleet, exec, "same-").await);
    assert_ne!(one, outcomes(&fleet, exec, "other-").await);
}

#[tokio::test]
async fn slow_links_are_late_and_lose_nothing() {
    let fleet = Fleet::start().await;
    let slow = ["--slow-links", "100%", "--link-delay", "50ms..300ms"];
    let _sim = Sim::up(&fleet, "sim", 20, &slow).await;
    for _ in 0..3 {
        assert_eq!(run_on_all(&fleet).await.counts.of(Outcome::Ok), 20);
    }
}

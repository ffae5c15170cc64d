//! No list reads a whole large table or sorts it: every combination of filters and sorts is
//! asked for its plan.

use kanade_shared::api::agents::{AgentQuery, Presence};
use kanade_shared::api::execs::{ExecQuery, ExecState, TargetQuery, TargetState};
use kanade_shared::api::results::ResultQuery;
use kanade_shared::id::{ExecId, GroupId, JobId, PcId};
use kanade_shared::wire::result::Outcome;

use super::{folder, open};
use crate::store::agents::{self, AgentSort};
use crate::store::page::{Order, Slice};
use crate::store::sql::QueryBuilder;
use crate::store::{Store, execs, queue, results, targets};

fn exec_id() -> ExecId {
    ExecId::new(chrono::DateTime::UNIX_EPOCH, [0; 10])
}

pub(super) fn slices<K: Clone>(key: K) -> [Slice<K>; 4] {
    [
        (None, Order::Up),
        (None, Order::Down),
        (Some(key.clone()), Order::Up),
        (Some(key), Order::Down),
    ]
    .map(|(after, order)| Slice {
        after,
        order,
        limit: 100,
    })
}

/// The steps of a statement's plan.
async fn plan(store: &Store, select: QueryBuilder) -> Vec<String> {
    let mut conn = store.read().await.unwrap();
    let rows = select
        .after("EXPLAIN QUERY PLAN ")
        .build()
        .fetch_all(&mut conn)
        .await
        .unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

/// The steps of a plan that read all of a table, or sort.
async fn slow_steps(store: &Store, select: QueryBuilder) -> Vec<String> {
    let mut steps = plan(store, select).await;
    steps.retain(|step| {
        // A count goes over its own at most 1,001 rows.
        let by_index =
            step.contains("USING") || step.contains("(subquery") || step.contains("found");
        step.contains("TEMP B-TREE") || (step.starts_with("SCAN") && !by_index)
    });
    steps
}

/// A count as it is asked.
pub(super) fn closed(mut count: QueryBuilder) -> QueryBuilder {
    count.push(" LIMIT 1001) AS found");
    count
}

async fn quick(store: &Store, select: QueryBuilder, allowed: &[&str]) {
    let text = format!("{select:?}");
    let slow = slow_steps(store, select).await;
    let refused: Vec<_> = slow
        .iter()
        .filter(|step| !allowed.contains(&step.as_str()))
        .collect();
    assert!(refused.is_empty(), "{refused:?}\n{text}");
}

#[tokio::test]
async fn lists_of_results_go_by_an_index() {
    let folder = folder();
    let store = open(folder.path()).await;
    let one = ResultQuery::default();
    let queries = [
        ResultQuery {
            exec_id: Some(exec_id()),
            ..one.clone()
        },
        ResultQuery {
            pc_id: Some(PcId::parse("a").unwrap()),
            ..one.clone()
        },
        ResultQuery {
            job_id: Some(JobId::parse("a").unwrap()),
            ..one.clone()
        },
        ResultQuery {
            outcome: Some(Outcome::Failed),
            ..one.clone()
        },
        ResultQuery {
            exec_id: Some(exec_id()),
            outcome: Some(Outcome::Failed),
            ..one.clone()
        },
    ];
    for slice in slices(7) {
        // Without a filter the table itself is in the order of the list.
        quick(&store, results::page_of(&one, &slice), &["SCAN results"]).await;
        for query in &queries {
            quick(&store, results::page_of(query, &slice), &[]).await;
        }
    }
    for query in &queries {
        quick(&store, closed(results::matching(query)), &[]).await;
    }
}

#[tokio::test]
async fn a_list_of_results_goes_by_its_narrowest_filter() {
    let folder = folder();
    let store = open(folder.path()).await;
    let of_job = ResultQuery {
        job_id: Some(JobId::parse("a").unwrap()),
        outcome: Some(Outcome::Ok),
        ..ResultQuery::default()
    };
    let of_pc = ResultQuery {
        pc_id: Some(PcId::parse("a").unwrap()),
        ..of_job.clone()
    };
    for (query, index) in [
        (of_job, "results_by_job_and_outcome"),
        (of_pc, "results_by_pc"),
    ] {
        for slice in slices(7) {
            let plan = plan(&store, results::page_of(&query, &slice)).await;
            assert!(plan.iter().any(|step| step.contains(index)), "{plan:?}");
        }
    }
}

#[tokio::test]
async fn lists_of_execs_go_by_an_index() {
    let folder = folder();
    let store = open(folder.path()).await;
    let one = ExecQuery::default();
    let job_id = Some(JobId::parse("a").unwrap());
    let queries = [
        one.clone(),
        ExecQuery {
            state: Some(ExecState::Running),
            ..one.clone()
        },
        ExecQuery {
            state: Some(ExecState::Ended),
            ..one.clone()
        },
        ExecQuery {
            job_id: job_id.clone(),
            ..one.clone()
        },
        ExecQuery {
            job_id,
            state: Some(ExecState::Running),
            ..one
        },
    ];
    for slice in slices(exec_id()) {
        for query in &queries {
            for prefix in [None, Some((exec_id(), exec_id()))] {
                let select = execs::page_of(query, prefix, &slice);
                // The table is in the order of its ids.
                quick(&store, select, &["SCAN e"]).await;
            }
        }
    }
}

#[tokio::test]
async fn lists_of_targets_and_agents_go_by_an_index() {
    let folder = folder();
    let store = open(folder.path()).await;
    let every = TargetQuery::default();
    for query in [
        every.clone(),
        TargetQuery {
            state: Some(TargetState::Pending),
            ..every.clone()
        },
        TargetQuery {
            outcome: Some(Outcome::Ok),
            ..every
        },
    ] {
        for slice in slices(String::new()) {
            quick(&store, targets::page_of(exec_id(), &query, &slice), &[]).await;
        }
        quick(&store, closed(targets::matching(exec_id(), &query)), &[]).await;
    }
    let every = AgentQuery::default();
    for query in [
        every.clone(),
        AgentQuery {
            presence: Some(Presence::Online),
            ..every.clone()
        },
        AgentQuery {
            group: Some(GroupId::parse("a").unwrap()),
            ..every
        },
    ] {
        for sort in [AgentSort::PcId, AgentSort::Since, AgentSort::HeartbeatAt] {
            for slice in slices((0, String::new())) {
                // A fleet's members of a group are few enough to be sorted.
                let sorted = ["USE TEMP B-TREE FOR ORDER BY"];
                let allowed: &[&str] = if query.group.is_some() || query.presence.is_some() {
                    &sorted
                } else {
                    &[]
                };
                quick(&store, agents::page_of(&query, sort, &slice), allowed).await;
            }
        }
    }
}

#[tokio::test]
async fn what_waits_for_a_pc_is_found_by_an_index() {
    let folder = folder();
    let store = open(folder.path()).await;
    let select = || queue::select(&PcId::parse("a").unwrap(), 500);
    // What waits for one PC is little enough to be sorted.
    quick(&store, select(), &["USE TEMP B-TREE FOR ORDER BY"]).await;
    let plan = plan(&store, select()).await;
    let index = "targets_open_by_pc";
    assert!(plan.iter().any(|step| step.contains(index)), "{plan:?}");
}

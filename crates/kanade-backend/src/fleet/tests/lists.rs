//! Pages, filters, definitions.

use std::collections::BTreeSet;

use chrono::Utc;
use kanade_shared::api::agents::{AgentQuery, Presence};
use kanade_shared::api::catalogue::{Change, GroupWrite, NameQuery};
use kanade_shared::api::execs::{ExecQuery, ExecState};
use kanade_shared::api::results::{OutputQuery, ResultQuery};
use kanade_shared::api::system::SystemQuery;
use kanade_shared::id::{Attempt, ExecId, GroupId, JobId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::result::{Outcome, Output, RunResult};

use super::{World, everybody, pc, pcs};
use crate::fleet::FleetStatus;
use crate::store::received::NewResult;
use crate::store::tests::database::{Engine, on_both};

async fn pages_have_no_gaps_and_no_doubles_while_rows_are_added(engine: Engine) {
    let world = World::on(engine, 1).await;
    let mut issued = BTreeSet::new();
    for _ in 0..7 {
        issued.insert(world.issue(everybody()).await.exec_id);
    }
    for sort in ["-issued_at", "issued_at"] {
        let mut query = ExecQuery {
            limit: Some(2),
            sort: Some(sort.into()),
            ..ExecQuery::default()
        };
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let page = world.fleet.execs_list(&query).await.unwrap();
            seen.extend(page.items.iter().map(|exec| exec.exec_id));
            pages += 1;
            if pages < 4 {
                world.issue(everybody()).await;
            }
            let Some(next) = page.next else { break };
            query.cursor = Some(next);
        }
        let unique: BTreeSet<_> = seen.iter().copied().collect();
        assert_eq!(unique.len(), seen.len(), "no doubles");
        assert!(issued.is_subset(&unique), "no gaps");
        let mut sorted = seen.clone();
        sorted.sort();
        if sort.starts_with('-') {
            sorted.reverse();
        }
        assert_eq!(seen, sorted);
    }
}

async fn agents_are_found_by_presence_group_and_text_in_every_order(engine: Engine) {
    let world = World::on(engine, 25).await;
    let mut tx = world.store.begin().await.unwrap();
    tx.pcs_presence(&pcs(5), false).await.unwrap();
    tx.commit().await.unwrap();
    let lab = GroupId::parse("lab").unwrap();
    let write = GroupWrite {
        description: None,
        members: pcs(10),
    };
    world
        .fleet
        .group_apply(&lab, &write, None, false, &world.by)
        .await
        .unwrap();
    for sort in [
        "pc_id",
        "-pc_id",
        "since",
        "-since",
        "heartbeat_at",
        "-heartbeat_at",
    ] {
        let mut query = AgentQuery {
            limit: Some(3),
            sort: Some(sort.into()),
            group: Some(lab.clone()),
            presence: Some(Presence::Online),
            search: Some("pc-0".into()),
            ..AgentQuery::default()
        };
        let mut seen = Vec::new();
        loop {
            let page = world.fleet.agents_list(&query).await.unwrap();
            assert_eq!((page.count.at_least, page.count.exact), (5, true));
            assert!(page.items.iter().all(|agent| agent.groups == [lab.clone()]));
            seen.extend(page.items.into_iter().map(|agent| agent.pc_id));
            let Some(next) = page.next else { break };
            query.cursor = Some(next);
        }
        seen.sort();
        assert_eq!(seen, pcs(10)[5..], "{sort}");
    }
    let query = AgentQuery {
        search: Some("%".into()),
        ..AgentQuery::default()
    };
    let page = world.fleet.agents_list(&query).await.unwrap();
    assert!(page.items.is_empty(), "a search is text, not a pattern");
    assert_eq!(world.fleet.system_counts().await.unwrap(), (25, 20, 0));
}

async fn execs_are_found_by_state_and_by_the_beginning_of_their_id(engine: Engine) {
    let world = World::on(engine, 1).await;
    let exec_id = world.issue(everybody()).await.exec_id;
    let short = exec_id.short();
    assert_eq!(world.fleet.exec_resolve(&short).await.unwrap(), exec_id);
    assert_eq!(
        world
            .fleet
            .exec_resolve(&exec_id.to_string())
            .await
            .unwrap(),
        exec_id
    );
    world.issue(everybody()).await;
    let error = world.fleet.exec_resolve(&short[..4]).await.unwrap_err();
    assert_eq!(
        (error.code(), error.status()),
        ("exec.ambiguous", FleetStatus::Conflict)
    );
    assert!(error.to_string().contains(&exec_id.to_string()));
    assert_eq!(
        world.fleet.exec_resolve("ffff").await.unwrap_err().code(),
        "exec.unknown"
    );
    for wrong in ["fff", "xyzxyz", ""] {
        let error = world.fleet.exec_resolve(wrong).await.unwrap_err();
        assert_eq!(error.status(), FleetStatus::Invalid);
    }
    let query = ExecQuery {
        state: Some(ExecState::Running),
        ..ExecQuery::default()
    };
    assert_eq!(
        world.fleet.execs_list(&query).await.unwrap().count.at_least,
        2
    );
    let query = ExecQuery {
        state: Some(ExecState::Ended),
        ..ExecQuery::default()
    };
    assert_eq!(
        world.fleet.execs_list(&query).await.unwrap().count.at_least,
        0
    );
    let query = ExecQuery {
        prefix: Some(short),
        ..ExecQuery::default()
    };
    assert_eq!(world.fleet.execs_list(&query).await.unwrap().items.len(), 1);
}

fn run_result(exec_id: ExecId, n: usize, stdout: &str) -> RunResult {
    RunResult {
        request_id: RequestId::derive(exec_id, &pc(n), Attempt::FIRST),
        exec_id,
        attempt: Attempt::FIRST,
        pc_id: pc(n),
        scope: Scope::All,
        job_id: None,
        job_version: None,
        outcome: if n == 0 { Outcome::Failed } else { Outcome::Ok },
        reason: None,
        exit_code: Some(0),
        tries: 1,
        started_at: None,
        ended_at: Utc::now(),
        stdout: Output::whole(stdout),
        stderr: Output::default(),
    }
}

async fn store_results(world: &World, results: &[RunResult]) {
    let mut tx = world.store.begin().await.unwrap();
    let new = |result| NewResult {
        result,
        job_id: None,
        sequence: 1,
        unverified: false,
    };
    let new: Vec<NewResult<'_>> = results.iter().map(new).collect();
    let now = tx.now();
    tx.results_insert(&new, now).await.unwrap();
    tx.commit().await.unwrap();
}

async fn the_size_of_an_output_is_that_of_its_text_not_of_the_bytes_that_became_it(engine: Engine) {
    let world = World::on(engine, 1).await;
    let exec_id = world.issue(everybody()).await.exec_id;
    let text = format!("{}END\n", "\u{fffd}".repeat(500));
    let mut result = run_result(exec_id, 0, &text);
    result.stdout.total_bytes = 504;
    let run = result.request_id;
    store_results(&world, &[result]).await;
    let stored = world.fleet.result_fetch(run).await.unwrap().stdout;
    assert_eq!(
        (stored.stored_bytes, stored.total_bytes),
        (text.len() as u64, 504)
    );
    let page = world
        .fleet
        .result_output(run, &OutputQuery::default())
        .await
        .unwrap();
    assert_eq!((page.text, page.next_offset), (text, None));
}

async fn results_are_listed_with_heads_and_read_in_pages(engine: Engine) {
    let world = World::on(engine, 3).await;
    let exec_id = world.issue(everybody()).await.exec_id;
    let long = "日本語".repeat(60_000);
    let results = [
        run_result(exec_id, 0, "short"),
        run_result(exec_id, 1, &long),
        run_result(exec_id, 2, &long),
    ];
    store_results(&world, &results).await;
    let query = ResultQuery {
        exec_id: Some(exec_id),
        limit: Some(2),
        ..ResultQuery::default()
    };
    let page = world.fleet.results_list(&query).await.unwrap();
    assert_eq!(page.items[0].pc_id, pc(2), "the newest first");
    let query = ResultQuery {
        cursor: page.next,
        ..query
    };
    let rest = world.fleet.results_list(&query).await.unwrap();
    assert_eq!(
        (rest.items.len(), rest.next, rest.count.at_least),
        (1, None, 3)
    );
    let short = &rest.items[0];
    assert_eq!(
        (short.stdout.head.as_str(), short.stdout.stored_bytes),
        ("short", 5)
    );
    let [second, first] = [&page.items[0], &page.items[1]];
    assert_eq!(first.stdout.head.chars().count(), 400);
    assert_eq!(first.stdout.stored_bytes, long.len() as u64);
    assert_eq!(
        first.stdout.sha256, second.stdout.sha256,
        "equal outputs have equal hashes"
    );
    assert!(first.stdout.sha256.is_some() && first.stdout.sha256 != short.stdout.sha256);
    let query = ResultQuery {
        outcome: Some(Outcome::Failed),
        ..ResultQuery::default()
    };
    assert_eq!(
        world.fleet.results_list(&query).await.unwrap().items.len(),
        1
    );

    let (mut text, mut offset) = (String::new(), 0);
    loop {
        let query = OutputQuery {
            offset,
            limit: Some(100_000),
            ..OutputQuery::default()
        };
        let page = world
            .fleet
            .result_output(first.request_id, &query)
            .await
            .unwrap();
        text.push_str(&page.text);
        let Some(next) = page.next_offset else { break };
        offset = next;
    }
    assert_eq!(text, long);
    let beyond = OutputQuery {
        offset: 99,
        ..OutputQuery::default()
    };
    let page = world
        .fleet
        .result_output(short.request_id, &beyond)
        .await
        .unwrap();
    assert_eq!((page.text.as_str(), page.next_offset), ("", None));
    let unknown = RequestId::derive(exec_id, &pc(9), Attempt::FIRST);
    let error = world
        .fleet
        .result_output(unknown, &OutputQuery::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.status()),
        ("result.unknown", FleetStatus::NotFound)
    );
}

const YAML: &str = "apiVersion: kanade/v1
kind: Job
id: hello
version: 1.0.0
run:
  shell: sh
  script: echo hello # kept
";

async fn a_job_is_kept_byte_for_byte_and_counts_its_changes(engine: Engine) {
    let world = World::on(engine, 1).await;
    let (fleet, by) = (&world.fleet, &world.by);
    let id = JobId::parse("hello").unwrap();
    let dry = fleet.job_apply(&id, YAML, None, true, by).await.unwrap();
    assert_eq!(dry.change, Change::Created);
    assert!(
        fleet.job_fetch(&id).await.is_err(),
        "a dry run stores nothing"
    );
    let first = fleet.job_apply(&id, YAML, None, false, by).await.unwrap();
    assert_eq!((first.change, first.revision), (Change::Created, 1));
    let same = fleet
        .job_apply(&id, YAML, Some(1), false, by)
        .await
        .unwrap();
    assert_eq!((same.change, same.revision), (Change::Unchanged, 1));
    let changed = YAML.replace("1.0.0", "1.1.0");
    let error = fleet
        .job_apply(&id, &changed, Some(7), false, by)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "job `hello` has revision 1, not 7");
    let second = fleet
        .job_apply(&id, &changed, Some(1), false, by)
        .await
        .unwrap();
    assert_eq!((second.change, second.revision), (Change::Updated, 2));
    let job = fleet.job_fetch(&id).await.unwrap();
    assert_eq!(job.yaml.as_deref(), Some(changed.as_str()));
    assert_eq!(
        (job.version.as_str(), job.updated_by.as_str()),
        ("1.1.0", "local")
    );
    let list = fleet.jobs_list(&NameQuery::default()).await.unwrap();
    assert!(list.items[0].yaml.is_none());
    fleet.job_delete(&id, Some(2), by).await.unwrap();
    let error = fleet.job_delete(&id, None, by).await.unwrap_err();
    assert_eq!(
        (error.code(), error.status()),
        ("job.unknown", FleetStatus::NotFound)
    );
    let actions = fleet.audit_list(&SystemQuery::default()).await.unwrap();
    let actions: Vec<&str> = actions
        .items
        .iter()
        .map(|row| row.action.as_str())
        .collect();
    assert_eq!(actions[..3], ["job.delete", "job.apply", "job.apply"]);
}

async fn a_definition_that_is_wrong_is_refused_with_all_that_is_wrong(engine: Engine) {
    let world = World::on(engine, 0).await;
    let id = JobId::parse("hello").unwrap();
    let wrong = YAML
        .replace("echo hello # kept", "''")
        .replace("kanade/v1", "kanade/v9");
    let error = world
        .fleet
        .job_apply(&id, &wrong, None, false, &world.by)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("2 problems in job `hello`: apiVersion: is")
    );
    let typo = YAML.replace("script", "scirpt");
    let error = world
        .fleet
        .job_apply(&id, &typo, None, false, &world.by)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "definition.unreadable");
    assert!(error.to_string().contains("scirpt"), "{error}");
    let other = JobId::parse("other").unwrap();
    let error = world
        .fleet
        .job_apply(&other, YAML, None, false, &world.by)
        .await
        .unwrap_err();
    assert_eq!(error.field(), Some("id"));
}

async fn a_group_has_its_members_once_and_sorted(engine: Engine) {
    let world = World::on(engine, 3).await;
    let (fleet, by) = (&world.fleet, &world.by);
    let id = GroupId::parse("lab").unwrap();
    let write = GroupWrite {
        description: None,
        members: vec![pc(2), pc(0), pc(2)],
    };
    fleet
        .group_apply(&id, &write, None, false, by)
        .await
        .unwrap();
    let group = fleet.group_fetch(&id).await.unwrap();
    assert_eq!(group.members.as_deref(), Some(&[pc(0), pc(2)][..]));
    let again = fleet
        .group_apply(&id, &write, None, false, by)
        .await
        .unwrap();
    assert_eq!(again.change, Change::Unchanged);
    let groups = fleet.agent_fetch(&pc(2)).await.unwrap().groups;
    assert_eq!(groups, std::slice::from_ref(&id));
    let list = fleet.groups_list(&NameQuery::default()).await.unwrap();
    assert_eq!(
        (list.items[0].member_count, list.items[0].members.is_none()),
        (2, true)
    );
    fleet.group_delete(&id, None, by).await.unwrap();
    assert!(fleet.agent_fetch(&pc(2)).await.unwrap().groups.is_empty());
    let error = fleet.group_fetch(&id).await.unwrap_err();
    assert_eq!(error.status(), FleetStatus::NotFound);
}

on_both!(
    pages_have_no_gaps_and_no_doubles_while_rows_are_added,
    agents_are_found_by_presence_group_and_text_in_every_order,
    execs_are_found_by_state_and_by_the_beginning_of_their_id,
    the_size_of_an_output_is_that_of_its_text_not_of_the_bytes_that_became_it,
    results_are_listed_with_heads_and_read_in_pages,
    a_job_is_kept_byte_for_byte_and_counts_its_changes,
    a_definition_that_is_wrong_is_refused_with_all_that_is_wrong,
    a_group_has_its_members_once_and_sorted,
);

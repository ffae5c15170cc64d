//! On PostgreSQL a list reads the pages that it needs, by the server's own count: on tables of a
//! size at which it would otherwise choose to read them whole.

use kanade_shared::api::agents::{AgentQuery, Presence};
use kanade_shared::api::execs::{ExecQuery, ExecState, TargetQuery, TargetState};
use kanade_shared::api::results::ResultQuery;
use kanade_shared::id::{ExecId, GroupId, JobId, PcId};
use kanade_shared::wire::result::Outcome;

use super::database::{Database, Engine};
use super::plans::{closed, slices};
use crate::store::agents::{self, AgentSort};
use crate::store::sql::{self, QueryBuilder};
use crate::store::{Store, convert, execs, results, targets};

/// Pages of 8 KiB that a list of 100 rows may read: a few for each row. The table of results has
/// about 1,800, its targets 1,000.
const LIST: u64 = 450;

/// Pages that a count up to 1,001 may read, when each row is in another one.
const COUNT: u64 = 1_100;

const EXECS: i64 = 30;

/// 30 execs to 2,000 PCs, with their results.
async fn filled(database: &Database) -> Store {
    let store = database.open().await;
    let mut tx = store.begin().await.unwrap();
    for statement in [
        "INSERT INTO pcs (pc_id, enrolled_at, presence_since, online, heartbeat_at)
         SELECT 'pc-' || lpad(n::text, 5, '0'), n, n / 7, (n % 10 > 0)::int, n / 3
         FROM generate_series(0, 1999) n",
        "INSERT INTO groups (group_id, revision, updated_at) VALUES ('lab', 1, 1)",
        "INSERT INTO group_members (group_id, pc_id) SELECT 'lab', pc_id FROM pcs LIMIT 50",
        "INSERT INTO execs (exec_id, job_id, title, reach, issued_by, issued_at, deadline, ended_at)
         SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), 'job-' || n % 5, 'uptime', 'fixed', 'me',
           n, n, CASE WHEN n % 10 > 0 THEN n END FROM generate_series(1, 30) n",
        "INSERT INTO exec_details (exec_id, targets, run) SELECT exec_id, '{}', '{}' FROM execs",
        "INSERT INTO commands (exec_id, attempt, wide, reach, issued_at, deadline, over_at)
         SELECT exec_id, 1, 1, 'fixed', 1, 1, 1 FROM execs",
        "INSERT INTO targets (exec_id, pc_id, attempt, request_id, state, outcome, wide, open)
         SELECT exec_id, pc_id, 1, decode(md5(exec_id::text || pc_id), 'hex'), 'ended',
           CASE WHEN p.enrolled_at % 100 = 0 THEN 'failed' ELSE 'ok' END, 1, 0
         FROM execs CROSS JOIN pcs p ORDER BY exec_id, pc_id",
        "INSERT INTO results (request_id, exec_id, attempt, pc_id, job_id, outcome, tries, ended_at,
           stored_at, stream_seq, stdout_total, stdout_truncated, stderr_total, stderr_truncated,
           stdout, stderr)
         SELECT request_id, t.exec_id, 1, pc_id, job_id, outcome, 1, 1, 1, 1, 9, 0, 0, 0,
           'some line', ''
         FROM targets t JOIN execs e ON e.exec_id = t.exec_id ORDER BY t.exec_id, pc_id",
    ] {
        sql::query(statement).execute(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut conn = store.read().await.unwrap();
    sql::query("VACUUM ANALYZE")
        .execute(&mut conn)
        .await
        .unwrap();
    drop(conn);
    store
}

fn exec_id(n: i64) -> ExecId {
    convert::exec_id(&i128::from(n).to_be_bytes()).unwrap()
}

/// Runs the statement and fails when it read more pages than that.
async fn reads_at_most(store: &Store, pages: u64, select: QueryBuilder) {
    let text = format!("{select:?}");
    let mut conn = store.read().await.unwrap();
    let plan: Vec<String> = select
        .after("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) ")
        .build_query_scalar()
        .fetch_all(&mut conn)
        .await
        .unwrap();
    let line = plan.iter().find(|line| line.contains("Buffers:"));
    let read: u64 = line
        .unwrap_or(&String::new())
        .split([' ', '='])
        .filter_map(|word| word.parse::<u64>().ok())
        .sum();
    let plan = plan.join("\n");
    assert!(read <= pages, "{read} pages were read for {text}\n{plan}");
    assert!(read > 0, "the plan says how much was read:\n{plan}");
}

#[tokio::test]
async fn lists_of_results_read_what_they_show() {
    let database = Database::new(Engine::Postgres).await;
    let store = filled(&database).await;
    let one = ResultQuery::default();
    let of_pc = ResultQuery {
        pc_id: Some(PcId::parse("pc-00100").unwrap()),
        ..one.clone()
    };
    let of_exec = ResultQuery {
        exec_id: Some(exec_id(15)),
        ..one.clone()
    };
    let of_job = ResultQuery {
        job_id: Some(JobId::parse("job-3").unwrap()),
        ..one.clone()
    };
    let with = |query: &ResultQuery, outcome| ResultQuery {
        outcome: Some(outcome),
        ..query.clone()
    };
    let (failed, ok) = (Outcome::Failed, Outcome::Ok);
    let queries = [
        with(&of_pc, failed),
        with(&of_pc, ok),
        with(&of_job, failed),
        with(&of_job, ok),
        with(&one, failed),
        with(&one, ok),
        with(&one, Outcome::Killed),
        of_pc,
        of_exec,
        of_job,
        one,
    ];
    for query in &queries {
        for slice in slices(30_000) {
            reads_at_most(&store, LIST, results::page_of(query, &slice)).await;
        }
        reads_at_most(&store, COUNT, closed(results::matching(query))).await;
    }
}

#[tokio::test]
async fn lists_of_targets_execs_and_agents_read_what_they_show() {
    let database = Database::new(Engine::Postgres).await;
    let store = filled(&database).await;
    let every = TargetQuery::default();
    for query in [
        TargetQuery {
            state: Some(TargetState::Pending),
            ..every.clone()
        },
        TargetQuery {
            outcome: Some(Outcome::Ok),
            ..every.clone()
        },
        every,
    ] {
        for slice in slices("pc-01000".to_owned()) {
            // Each target comes with its command and its PC.
            let select = targets::page_of(exec_id(7), &query, &slice);
            reads_at_most(&store, 2 * LIST, select).await;
        }
        let count = closed(targets::matching(exec_id(7), &query));
        reads_at_most(&store, COUNT, count).await;
    }
    let every = ExecQuery::default();
    for query in [
        ExecQuery {
            state: Some(ExecState::Running),
            ..every.clone()
        },
        ExecQuery {
            job_id: Some(JobId::parse("job-1").unwrap()),
            ..every.clone()
        },
        every,
    ] {
        for slice in slices(exec_id(EXECS / 2)) {
            let select = execs::page_of(&query, None, &slice);
            reads_at_most(&store, LIST, select).await;
        }
    }
    let every = AgentQuery::default();
    for query in [
        AgentQuery {
            presence: Some(Presence::Offline),
            ..every.clone()
        },
        AgentQuery {
            group: Some(GroupId::parse("lab").unwrap()),
            ..every.clone()
        },
        every,
    ] {
        for sort in [AgentSort::PcId, AgentSort::Since, AgentSort::HeartbeatAt] {
            for slice in slices((100, "pc-01000".to_owned())) {
                let select = agents::page_of(&query, sort, &slice);
                reads_at_most(&store, LIST, select).await;
            }
        }
    }
}

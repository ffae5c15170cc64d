//! A database of every earlier step is brought up to date, and keeps what it held.
//!
//! Step N is made by the migrations up to N (whose texts never change) and the rows in
//! `steps/N.json`, which are added with the migration and never edited. A new migration needs its
//! file there, with at least one row in every table.

use std::collections::BTreeMap;

use kanade_shared::api::agents::AgentQuery;
use kanade_shared::api::execs::{ExecQuery, TargetQuery};
use kanade_shared::api::results::{ResultQuery, Stream};
use kanade_shared::id::{JobId, PcId};
use serde_json::{Value, json};

use super::database::{Database, Engine, on_both};
use super::shape::shape;
use crate::store::agents::AgentSort;
use crate::store::page::{Order, Slice};
use crate::store::results::OutputPlace;
use crate::store::sql::{Conn, QueryBuilder};
use crate::store::{Place, Store, postgres, sqlite};

/// Rows of one step, by table.
type Rows = BTreeMap<String, Vec<BTreeMap<String, Value>>>;

const STEPS: [(i64, &str); 2] = [
    (1, include_str!("steps/0001.json")),
    (2, include_str!("steps/0002.json")),
];

/// Makes the database of this step.
async fn made(database: &Database, step: i64, rows: &str) {
    let mut conn = match database.place() {
        Place::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true);
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            sqlite::MIGRATIONS.run_to(step, &pool).await.unwrap();
            Conn::Sqlite(pool.acquire().await.unwrap())
        }
        Place::Postgres(place) => {
            let pool = sqlx::PgPool::connect_with(place.options()).await.unwrap();
            postgres::MIGRATIONS.run_to(step, &pool).await.unwrap();
            Conn::Postgres(pool.acquire().await.unwrap())
        }
    };
    let rows: Rows = serde_json::from_str(rows).unwrap();
    // Members of groups come after the groups.
    for (table, rows) in rows.iter().rev().filter(|(table, _)| *table == "groups") {
        insert(&mut conn, table, rows).await;
    }
    for (table, rows) in rows.iter().filter(|(table, _)| *table != "groups") {
        insert(&mut conn, table, rows).await;
    }
}

async fn insert(conn: &mut Conn, table: &str, rows: &[BTreeMap<String, Value>]) {
    for row in rows {
        let columns: Vec<&str> = row.keys().map(String::as_str).collect();
        let columns = columns.join(", ");
        let mut insert = QueryBuilder::new(format!("INSERT INTO {table} ({columns}) "));
        insert.push_values([row], |mut values, row| {
            for value in row.values() {
                if let Some(n) = value.as_i64() {
                    values.push_bind(n);
                } else if let Some(text) = value.as_str() {
                    values.push_bind(text);
                } else {
                    let bytes = hex::decode(value["hex"].as_str().unwrap());
                    values.push_bind(bytes.unwrap());
                }
            }
        });
        let done = insert.build().execute(conn).await;
        done.unwrap_or_else(|error| panic!("{table}: {row:?}: {error}"));
    }
}

fn first<K>(after: Option<K>) -> Slice<K> {
    Slice {
        after,
        order: Order::Up,
        limit: 100,
    }
}

/// Everything that people see of it.
async fn seen(store: &Store) -> Value {
    let every = ExecQuery::default();
    let (execs, _) = store.execs_list(&every, None, &first(None)).await.unwrap();
    let mut targets = Vec::new();
    for exec in &execs {
        let every = TargetQuery::default();
        let list = store.targets_list(exec.exec_id, &every, &first(None)).await;
        targets.extend(list.unwrap().0.into_iter().map(|facts| facts.target.view()));
    }
    let every = ResultQuery::default();
    let (results, _) = store.results_list(&every, &first(None)).await.unwrap();
    let (_, longest) = results.last().unwrap();
    let output = store.result_output(longest.request_id, Stream::Stdout, 990, 100);
    let output = output.await.unwrap();
    let Some(OutputPlace::Here {
        bytes,
        stored_bytes,
    }) = output
    else {
        panic!("long output is in the database: {output:?}");
    };
    let every = AgentQuery::default();
    let agents = store
        .agents_list(&every, AgentSort::PcId, &first(None))
        .await
        .unwrap();
    let newest = Slice {
        after: None,
        order: Order::Down,
        limit: 100,
    };
    let mut tx = store.begin().await.unwrap();
    let position = tx.position_find("RESULTS").await.unwrap().unwrap();
    json!({
        "agents": agents.0,
        "groups": store.groups_list(None, &first(None)).await.unwrap().0,
        "job": store.job_find(&JobId::parse("cleanup").unwrap()).await.unwrap(),
        "execs": execs,
        "targets": targets,
        "results": results,
        "output": [String::from_utf8(bytes).unwrap(), stored_bytes.to_string()],
        "journal": store.journal_find(&PcId::parse("pc-1").unwrap()).await.unwrap().map(|j| j.counter),
        "audit": store.audit_list(&first(Some(uuid::Uuid::nil()))).await.unwrap().0,
        "dead_letters": store.dead_letters_list(&newest).await.unwrap().0,
        "gaps": store.gaps_list(&first(None)).await.unwrap().0,
        "position": [position.sequence.to_string(), position.at_ns.to_string()],
        "change": store.last_change().await.unwrap(),
        "settled_at": store.settled_at().await.unwrap(),
    })
}

async fn a_database_of_every_step_is_brought_up_to_date_and_keeps_its_rows(engine: Engine) {
    let fresh = Database::new(engine).await;
    let fresh = shape(&fresh.open().await, engine).await;
    for (step, rows) in STEPS {
        let database = Database::new(engine).await;
        made(&database, step, rows).await;
        let store = database.open().await;
        assert_eq!(shape(&store, engine).await, fresh, "of step {step}");
        insta::assert_json_snapshot!(format!("step_{step}"), seen(&store).await);
        if step >= 2 {
            let mut token = [0; 32];
            token[31] = 0x22;
            assert!(store.session_find(&token).await.unwrap().is_some());
        }
    }
}

async fn every_step_has_its_rows(engine: Engine) {
    let migrations = match engine {
        Engine::Sqlite => &sqlite::MIGRATIONS,
        Engine::Postgres => &postgres::MIGRATIONS,
    };
    let steps: Vec<i64> = migrations.iter().map(|step| step.version).collect();
    assert_eq!(steps, STEPS.map(|(step, _)| step), "steps/N.json for each");
    let database = Database::new(engine).await;
    let store = database.open().await;
    let shape = shape(&store, engine).await;
    let newest: Rows = serde_json::from_str(STEPS.last().unwrap().1).unwrap();
    let tables: Vec<_> = shape.keys().collect();
    assert_eq!(tables, newest.keys().collect::<Vec<_>>(), "a row of each");
}

async fn a_database_of_a_newer_version_is_left_alone(engine: Engine) {
    let database = Database::new(engine).await;
    let store = database.open().await;
    let mut tx = store.begin().await.unwrap();
    let mut insert = QueryBuilder::new(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) ",
    );
    insert.push_either(
        "VALUES (9999, 'later', 1, x'00', 0)",
        "VALUES (9999, 'later', true, '', 0)",
    );
    insert.build().execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    drop(store);
    let error = Store::open_at(&database.place()).await.err().unwrap();
    assert_eq!(error.code(), "store.migrate", "{error:?}");
    assert_eq!(
        error.help(),
        Some("start the version of kanade-backend that made it")
    );
}

on_both!(
    a_database_of_every_step_is_brought_up_to_date_and_keeps_its_rows,
    every_step_has_its_rows,
    a_database_of_a_newer_version_is_left_alone,
);

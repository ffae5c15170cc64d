//! Both databases have the same tables, columns, keys and indexes: their catalogues are read and
//! compared. What differs on purpose is said in PostgreSQL's first migration.

use std::collections::BTreeMap;

use super::database::{Database, Engine};
use crate::store::Store;
use crate::store::sql;

/// What a database has, in words that do not depend on its kind.
type Shape = BTreeMap<String, Vec<String>>;

/// Tables that one of them has for itself.
const OWN: [&str; 3] = ["lease", "_sqlx_migrations", "sqlite_sequence"];

pub(super) async fn shape(store: &Store, engine: Engine) -> Shape {
    let mut shape = match engine {
        Engine::Sqlite => of_sqlite(store).await,
        Engine::Postgres => of_postgres(store).await,
    };
    shape.retain(|name, _| !OWN.contains(&name.as_str()));
    for lines in shape.values_mut() {
        lines.sort();
    }
    shape
}

async fn of_sqlite(store: &Store) -> Shape {
    let mut conn = store.read().await.unwrap();
    let tables: Vec<String> =
        sql::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    let mut shape = Shape::new();
    for table in tables {
        let mut lines = Vec::new();
        let columns = sql::query(
            "SELECT name, type, \"notnull\" AS required, dflt_value, pk FROM pragma_table_info($1)",
        )
        .bind(&table)
        .fetch_all(&mut conn)
        .await
        .unwrap();
        let mut number = String::new();
        for row in columns {
            let (name, kind): (&str, &str) = (row.get("name"), row.get("type"));
            let key: i64 = row.get("pk");
            // SQLite lets a key be absent by its letter, and never in a table without row ids.
            let required = row.get::<bool, _>("required") || key > 0;
            let default: Option<&str> = row.get("dflt_value");
            lines.push(column(name, kind, required, default));
            if key > 0 {
                lines.push(format!("key {key} {name}"));
            }
            if key == 1 && kind == "INTEGER" {
                number = format!(", {name}");
            }
        }
        let indexes = sql::query(
            "SELECT l.name, l.origin, l.\"unique\" AS only_one, l.partial,
               (SELECT group_concat(c, ', ') FROM (
                  SELECT COALESCE(i.name, '(expression)') AS c FROM pragma_index_info(l.name) i
                  ORDER BY i.seqno)) AS columns,
               (SELECT sql FROM sqlite_master m WHERE m.name = l.name) AS text
             FROM pragma_index_list($1) l WHERE l.origin <> 'pk'",
        )
        .bind(&table)
        .fetch_all(&mut conn)
        .await
        .unwrap();
        for row in indexes {
            let columns: &str = row.get("columns");
            if row.get::<&str, _>("origin") == "u" {
                lines.push(format!("unique ({columns})"));
                continue;
            }
            let only_one: bool = row.get("only_one");
            let text: &str = row.get("text");
            let partial = text.split_once(" WHERE ").map(|(_, when)| when);
            let number = if only_one { "" } else { &number };
            let columns = format!("{columns}{number}");
            lines.push(index(row.get("name"), only_one, &columns, partial));
        }
        let references = sql::query(
            "SELECT \"from\" AS own, \"table\" AS other, on_delete
             FROM pragma_foreign_key_list($1)",
        )
        .bind(&table)
        .fetch_all(&mut conn)
        .await
        .unwrap();
        for row in references {
            let (own, other): (&str, &str) = (row.get("own"), row.get("other"));
            let on_delete: &str = row.get("on_delete");
            lines.push(format!("{own} is in {other}, {on_delete}"));
        }
        shape.insert(table, lines);
    }
    shape
}

async fn of_postgres(store: &Store) -> Shape {
    let mut conn = store.read().await.unwrap();
    let mut shape = Shape::new();
    let columns = sql::query(
        "SELECT c.relname::text AS table_name, a.attname::text AS name,
           format_type(a.atttypid, NULL) AS type, a.attnotnull::int AS required,
           pg_get_expr(d.adbin, d.adrelid) AS default_value,
           COALESCE(array_position(k.conkey, a.attnum), 0) AS pk,
           COALESCE(co.collname::text, '') AS collation
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
         LEFT JOIN pg_collation co ON co.oid = a.attcollation
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
           AND NOT a.attisdropped",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    for row in columns {
        let (table, name): (String, &str) = (row.get("table_name"), row.get("name"));
        let kind = match row.get("type") {
            "bigint" | "smallint" => "INTEGER",
            "bytea" => "BLOB",
            "text" => "TEXT",
            other => other,
        };
        if kind == "TEXT" && !OWN.contains(&table.as_str()) {
            assert_eq!(row.get::<&str, _>("collation"), "C", "{table}.{name}");
        }
        let default: Option<String> = row.get("default_value");
        let default = default.map(|text| text.replace("::text", ""));
        let lines = shape.entry(table).or_default();
        lines.push(column(name, kind, row.get("required"), default.as_deref()));
        let key: i64 = row.get("pk");
        if key > 0 {
            lines.push(format!("key {key} {name}"));
        }
    }
    let indexes = sql::query(
        "SELECT t.relname::text AS table_name, c.relname::text AS name,
           i.indisunique::int AS only_one, (k.oid IS NOT NULL)::int AS of_constraint,
           pg_get_expr(i.indpred, i.indrelid) AS partial,
           (SELECT string_agg(COALESCE(a.attname::text, '(expression)'), ', ' ORDER BY n)
            FROM generate_subscripts(i.indkey, 1) n
            LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[n]
              AND a.attnum > 0) AS columns
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
         LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype = 'u'
         WHERE t.relnamespace = 'public'::regnamespace AND NOT i.indisprimary",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    for row in indexes {
        let columns: &str = row.get("columns");
        let partial: Option<&str> = row.get("partial");
        let partial = partial.map(|text| text.trim_matches(['(', ')']));
        let line = if row.get("of_constraint") {
            format!("unique ({columns})")
        } else {
            index(row.get("name"), row.get("only_one"), columns, partial)
        };
        shape.entry(row.get("table_name")).or_default().push(line);
    }
    let references = sql::query(
        "SELECT k.conrelid::regclass::text AS table_name, k.confrelid::regclass::text AS other,
           a.attname::text AS own, CASE k.confdeltype WHEN 'c' THEN 'CASCADE' ELSE 'NO ACTION' END
             AS on_delete
         FROM pg_constraint k
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
         WHERE k.contype = 'f'",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    for row in references {
        let (own, other): (&str, &str) = (row.get("own"), row.get("other"));
        let on_delete: &str = row.get("on_delete");
        let line = format!("{own} is in {other}, {on_delete}");
        shape.entry(row.get("table_name")).or_default().push(line);
    }
    shape
}

fn column(name: &str, kind: &str, required: bool, default: Option<&str>) -> String {
    let required = if required { " NOT NULL" } else { "" };
    let default = default.map_or_else(String::new, |text| format!(" DEFAULT {text}"));
    format!("{name} {kind}{required}{default}")
}

fn index(name: &str, only_one: bool, columns: &str, partial: Option<&str>) -> String {
    let only_one = if only_one { "unique " } else { "" };
    let partial = partial.map_or_else(String::new, |when| format!(" WHERE {when}"));
    format!("{only_one}index {name} ({columns}){partial}")
}

#[tokio::test]
async fn both_databases_have_the_same_tables_and_indexes() {
    let mut shapes = Vec::new();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let database = Database::new(engine).await;
        shapes.push(shape(&database.open().await, engine).await);
    }
    let (sqlite, postgres) = (&shapes[0], &shapes[1]);
    let names = |shape: &Shape| shape.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(sqlite), names(postgres));
    assert!(sqlite.len() > 10, "the tables were read: {sqlite:?}");
    for (table, lines) in sqlite {
        assert_eq!(lines, &postgres[table], "{table}");
    }
}

//! What only a PostgreSQL does: it goes away, belongs to somebody else, or refuses.

use std::sync::Arc;
use std::time::Duration;

use kanade_testkit::postgres::Postgres;
use kanade_testkit::wait;

use super::database::{Database, Engine};
use super::pcs;
use crate::store::{Place, PostgresPlace, Store, StoreError, failed, sql};

/// Where another backend finds the same database.
fn place_of(url: &str, folder: &tempfile::TempDir) -> Place {
    Place::Postgres(Box::new(
        PostgresPlace::parse(url, None, folder.path()).unwrap(),
    ))
}

async fn enrol(store: &Store, range: std::ops::Range<usize>) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.pcs_enrol(&pcs(range)).await?;
    tx.commit().await
}

#[tokio::test]
async fn a_second_backend_waits_and_has_the_database_as_soon_as_the_first_has_ended() {
    let database = Database::new(Engine::Postgres).await;
    let first = database.open().await;
    let other = tempfile::tempdir().unwrap();
    let url = database.server.as_ref().unwrap().url();
    let place = place_of(&url, &other);
    let second = tokio::spawn(async move { Store::open_at(&place).await });
    enrol(&first, 0..1).await.unwrap();
    assert!(!second.is_finished(), "two backends have the database");
    first.close().await;
    let second = second.await.unwrap().unwrap();
    enrol(&second, 1..2).await.unwrap();
    assert_eq!(second.agents_count().await.unwrap(), (2, 0));
}

#[tokio::test]
async fn a_second_process_on_one_data_folder_is_refused() {
    let database = Database::new(Engine::Postgres).await;
    let _first = database.open().await;
    let error = Store::open_at(&database.place()).await.err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
}

#[tokio::test]
async fn a_backend_that_was_overtaken_can_write_nothing_and_is_told_by_whom() {
    let database = Database::new(Engine::Postgres).await;
    let first = database.open().await;
    let mut begun = first.begin().await.unwrap();
    begun.pcs_enrol(&pcs(0..1)).await.unwrap();
    // Nobody renews the lease: to the others this backend hangs, in the middle of a transaction.
    let other = tempfile::tempdir().unwrap();
    let url = database.server.as_ref().unwrap().url();
    let second = Store::open_at(&place_of(&url, &other)).await.unwrap();
    enrol(&second, 1..2).await.unwrap();
    let late = begun.commit().await;
    assert!(late.is_err(), "what was begun before must not be stored");
    let error = enrol(&first, 2..3).await.unwrap_err();
    assert_eq!(error.code(), "store.taken_over");
    let by = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&by), "{error}");
    assert!(first.lost().is_cancelled() && first.taken_over().is_some());
    assert!(!second.lost().is_cancelled());
    assert_eq!(second.agents_count().await.unwrap(), (1, 0));
}

#[tokio::test]
async fn a_backend_that_was_killed_has_its_own_database_back_at_once() {
    let database = Database::new(Engine::Postgres).await;
    let first = database.open().await;
    enrol(&first, 0..1).await.unwrap();
    // Gone without giving anything back.
    drop(first);
    let again = tokio::time::timeout(Duration::from_secs(5), database.open()).await;
    enrol(&again.unwrap(), 1..2).await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_killed_is_used_again_as_soon_as_it_is_back() {
    let mut database = Database::new(Engine::Postgres).await;
    let store = database.open().await;
    enrol(&store, 0..1).await.unwrap();
    let server = database.server.as_mut().unwrap();
    let mut begun = store.begin().await.unwrap();
    begun.pcs_enrol(&pcs(1..2)).await.unwrap();
    server.kill9();
    let error = begun.commit().await.unwrap_err();
    assert_eq!(error.code(), "store.away", "{error:?}");
    assert_eq!(
        error.to_string(),
        "could not store a change: the database does not answer"
    );
    let error = store.last_change().await.unwrap_err();
    assert_eq!(error.code(), "store.away", "{error:?}");
    assert!(error.is_passing() && error.help().is_some());
    server.spawn().await;
    enrol(&store, 1..2).await.unwrap();
    assert_eq!(store.agents_count().await.unwrap(), (2, 0));
}

#[tokio::test]
async fn transactions_wait_for_each_other_and_none_is_lost() {
    let database = Database::new(Engine::Postgres).await;
    let store = Arc::new(database.open().await);
    let before = store.last_change().await.unwrap();
    let each = (0..20).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut tx = store.begin().await.unwrap();
            tx.next_change();
            tx.pcs_enrol(&pcs(n..n + 1)).await.unwrap();
            tx.commit().await.unwrap();
        })
    });
    for one in each.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert_eq!(store.last_change().await.unwrap(), before + 20);
    assert_eq!(store.agents_count().await.unwrap(), (20, 0));
}

#[tokio::test]
async fn a_login_that_is_refused_is_told_with_the_way_out() {
    let server = Postgres::start_with_password("right").await;
    let folder = tempfile::tempdir().unwrap();
    let with = |password| {
        let place = PostgresPlace::parse(&server.url(), Some(password), folder.path());
        Place::Postgres(Box::new(place.unwrap()))
    };
    let error = Store::open_at(&with("wrong")).await.err().unwrap();
    assert_eq!(error.code(), "store.open");
    assert!(error.help().unwrap().contains("password_file"), "{error:?}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    Store::open_at(&with("right")).await.unwrap();
    let elsewhere = server.url().replace("/postgres?", "/missing?");
    let place = PostgresPlace::parse(&elsewhere, Some("right"), folder.path()).unwrap();
    let place = Place::Postgres(Box::new(place));
    let error = wait::some(
        "the folder is free again",
        wait::LONG,
        async || match Store::open_at(&place).await {
            Err(StoreError::InUse { .. }) | Ok(_) => None,
            Err(error) => Some(error),
        },
    )
    .await;
    assert!(
        error.help().unwrap().contains("CREATE DATABASE"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_full_disk_is_told_in_words_and_passes() {
    let database = Database::new(Engine::Postgres).await;
    let store = database.open().await;
    let mut tx = store.begin().await.unwrap();
    // As the server says it, without a disk to fill.
    let raised = sql::query("DO $$ BEGIN RAISE 'no room' USING ERRCODE = 'disk_full'; END $$")
        .execute(&mut tx)
        .await;
    let error = failed("enrol PCs")(raised.unwrap_err());
    assert_eq!(
        error.to_string(),
        "could not enrol PCs: the disk of the database is full"
    );
    assert!(error.is_passing());
    drop(tx);
    enrol(&store, 0..3).await.unwrap();
    assert_eq!(store.agents_count().await.unwrap(), (3, 0));
}

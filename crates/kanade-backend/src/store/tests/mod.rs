//! The database itself: opening, its clock, a full disk, and the plans of its lists.

pub(crate) mod database;
mod pages;
mod plans;
mod postgres;
mod shape;
mod steps;

use std::path::Path;

use kanade_shared::id::PcId;
use tempfile::TempDir;

use self::database::{Database, Engine, on_both};
use super::sql::QueryBuilder;
use super::{Store, StoreError};

async fn open(folder: &Path) -> Store {
    Store::open(&folder.join("kanade.db")).await.unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn pcs(range: std::ops::Range<usize>) -> Vec<PcId> {
    range
        .map(|n| PcId::parse(&format!("pc-{n:06}")).unwrap())
        .collect()
}

#[tokio::test]
async fn a_second_backend_is_refused_in_one_sentence_and_the_next_one_is_not() {
    let folder = folder();
    let first = open(folder.path()).await;
    let second = Store::open(&folder.path().join("kanade.db")).await;
    let error = second.err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }));
    assert!(
        error
            .to_string()
            .ends_with("kanade.db is in use by another backend")
    );
    first.close().await;
    drop(first);
    open(folder.path()).await;
}

async fn the_clock_and_the_change_number_never_go_back(engine: Engine) {
    let database = Database::new(engine).await;
    let far = (chrono::Utc::now() + chrono::Duration::days(3)).timestamp_millis();
    let last = {
        let store = database.open().await;
        let mut tx = store.begin().await.unwrap();
        tx.set_meta("clock", &far.to_string()).await.unwrap();
        // Undone by the commit's own value unless the transaction began after it.
        drop(tx);
        let mut tx = store.begin().await.unwrap();
        let (first, change) = (tx.now(), tx.next_change());
        tx.commit().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        assert!(tx.now() > first);
        assert_eq!(tx.next_change(), change + 1);
        let now = tx.now();
        tx.commit().await.unwrap();
        assert_eq!(store.last_change().await.unwrap(), change + 1);
        store.close().await;
        now
    };
    let store = database.open().await;
    assert!(store.begin().await.unwrap().now() > last);
}

async fn what_was_not_committed_is_not_there(engine: Engine) {
    let database = Database::new(engine).await;
    let store = database.open().await;
    let mut tx = store.begin().await.unwrap();
    tx.pcs_enrol(&pcs(0..3)).await.unwrap();
    drop(tx);
    assert_eq!(store.agents_count().await.unwrap(), (0, 0));
}

on_both!(
    the_clock_and_the_change_number_never_go_back,
    what_was_not_committed_is_not_there,
);

#[tokio::test]
async fn a_full_disk_is_told_in_words_and_passes_when_there_is_room() {
    let folder = folder();
    let store = open(folder.path()).await;
    let mut tx = store.begin().await.unwrap();
    let pages: i64 = super::sql::query_scalar("PRAGMA page_count")
        .fetch_one(&mut tx)
        .await
        .unwrap();
    drop(tx);
    limit(&store, pages + 2).await;
    let mut tx = store.begin().await.unwrap();
    let error = tx.pcs_enrol(&pcs(0..5000)).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "could not enrol PCs: the disk of the database is full"
    );
    drop(tx);
    // What fits goes on meanwhile, and all of it when there is room again.
    let mut tx = store.begin().await.unwrap();
    tx.set_meta("small", "fits").await.unwrap();
    tx.commit().await.unwrap();
    limit(&store, 1_000_000).await;
    let mut tx = store.begin().await.unwrap();
    tx.pcs_enrol(&pcs(0..5000)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.agents_count().await.unwrap(), (5000, 0));
}

async fn limit(store: &Store, pages: i64) {
    let mut tx = store.begin().await.unwrap();
    let mut pragma = QueryBuilder::new(format!("PRAGMA max_page_count = {pages}"));
    pragma.build().execute(&mut tx).await.unwrap();
}

//! A database of either kind for one test, and tests that run on both.

pub(crate) use kanade_testkit::database::Engine;
pub(crate) use kanade_testkit::on_both;
use kanade_testkit::postgres::Postgres;
use tempfile::TempDir;

use crate::store::{Place, PostgresPlace, Store};

/// An empty database in a folder or on a server of its own.
pub(crate) struct Database {
    pub(crate) folder: TempDir,
    pub(crate) server: Option<Postgres>,
}

impl Database {
    pub(crate) async fn new(engine: Engine) -> Self {
        let server = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Postgres::start().await),
        };
        let folder = tempfile::tempdir().unwrap();
        Self { folder, server }
    }

    pub(crate) fn place(&self) -> Place {
        match &self.server {
            None => Place::Sqlite(self.folder.path().join("kanade.db")),
            Some(server) => {
                let place = PostgresPlace::parse(&server.url(), None, self.folder.path());
                Place::Postgres(Box::new(place.unwrap()))
            }
        }
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open_at(&self.place()).await.unwrap()
    }
}

//! A database of either kind for one test, and tests that run on both.

use kanade_testkit::postgres::Postgres;
use tempfile::TempDir;

use crate::store::{Place, PostgresPlace, Store};

/// Which kind of database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

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

/// Makes each of these functions, which take an [`Engine`], a test on both.
macro_rules! on_both {
    ($($(#[$attribute:meta])* $test:ident),+ $(,)?) => {
        mod on_sqlite {
            $($(#[$attribute])* #[tokio::test] async fn $test() {
                super::$test($crate::store::tests::database::Engine::Sqlite).await;
            })+
        }
        mod on_postgres {
            $($(#[$attribute])* #[tokio::test] async fn $test() {
                super::$test($crate::store::tests::database::Engine::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_both;

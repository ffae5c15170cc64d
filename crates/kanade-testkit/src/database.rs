//! Which database a test runs on, and tests that run on both.

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// SQLite in a file of the backend.
    Sqlite,
    /// A PostgreSQL of the test's own.
    Postgres,
}

/// Makes each of these functions, which take an [`Engine`], a test on both.
#[macro_export]
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $test() {
                super::$test($crate::database::Engine::Sqlite).await;
            })+
        }
        #[cfg(unix)]
        mod on_postgres {
            $(#[tokio::test] async fn $test() {
                super::$test($crate::database::Engine::Postgres).await;
            })+
        }
    };
}

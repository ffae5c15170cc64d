//! Statements that both databases take: one copy of each, run on the connection at hand.
//!
//! [`query`] is a text with `$1`, `$2` …; a [`QueryBuilder`] puts one together from pieces, and
//! rows and lists of values in it are written as each database does them best. A [`Conn`] is
//! either database's connection, a [`Row`] either's row.
//!
//! **Invariant:** a value is bound, never pasted into a text; what is pasted is text of our own.
//! **Invariant:** the types are few (see [`value`]): numbers of 64 bits, flags, text and bytes.

mod render;
pub(crate) mod value;

use std::fmt::{self, Write as _};
use std::marker::PhantomData;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Postgres, SqlSafeStr as _, Sqlite, Transaction};

use render::Piece;
use value::{Column, Value};

/// A connection to either database, in a transaction or not.
pub enum Conn {
    /// SQLite, each statement for itself.
    Sqlite(PoolConnection<Sqlite>),
    /// SQLite, in a transaction.
    SqliteTx(Transaction<'static, Sqlite>),
    /// PostgreSQL, each statement for itself.
    Postgres(PoolConnection<Postgres>),
    /// PostgreSQL, in a transaction.
    PostgresTx(Transaction<'static, Postgres>),
}

enum Link<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Conn {
    fn link(&mut self) -> Link<'_> {
        match self {
            Self::Sqlite(conn) => Link::Sqlite(conn),
            Self::SqliteTx(tx) => Link::Sqlite(tx),
            Self::Postgres(conn) => Link::Postgres(conn),
            Self::PostgresTx(tx) => Link::Postgres(tx),
        }
    }

    /// Makes what a transaction did lasting.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::SqliteTx(tx) => tx.commit().await,
            Self::PostgresTx(tx) => tx.commit().await,
            Self::Sqlite(_) | Self::Postgres(_) => Ok(()),
        }
    }
}

/// A row of either database.
pub(crate) enum Row {
    /// SQLite's.
    Sqlite(SqliteRow),
    /// PostgreSQL's.
    Postgres(PgRow),
}

impl Row {
    /// A column, by its name or number.
    ///
    /// # Panics
    /// When the statement has no such column of this type: both are in the same file.
    pub(crate) fn get<'r, T: Column<'r>, I>(&'r self, index: I) -> T
    where
        I: sqlx::ColumnIndex<SqliteRow> + sqlx::ColumnIndex<PgRow> + fmt::Debug + Copy,
    {
        let read = match self {
            Self::Sqlite(row) => T::of_sqlite(row, index),
            Self::Postgres(row) => T::of_postgres(row, index),
        };
        read.unwrap_or_else(|error| panic!("column {index:?} of a statement of ours: {error}"))
    }
}

/// A statement with its values.
#[must_use]
pub(crate) struct Query {
    text: Text,
    values: Vec<Value>,
}

enum Text {
    /// With `$1`, `$2` … for the values.
    Fixed(&'static str),
    /// Of pieces that have their own values.
    Built(Vec<Piece>),
}

/// A statement of one text for both.
pub(crate) fn query(text: &'static str) -> Query {
    Query {
        text: Text::Fixed(text),
        values: Vec::new(),
    }
}

/// A statement whose rows have one column.
pub(crate) fn query_scalar<T>(text: &'static str) -> Scalar<T> {
    Scalar(query(text), PhantomData)
}

/// What a statement without rows did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done(u64);

impl Done {
    /// Rows that it inserted, changed or deleted.
    pub(crate) fn rows_affected(self) -> u64 {
        self.0
    }
}

impl Query {
    /// The value of the next `$`.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    fn sqlite(
        self,
    ) -> Result<sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>, sqlx::Error>
    {
        let (text, mut arguments) = match self.text {
            Text::Fixed(text) => (text.into_sql_str(), Default::default()),
            Text::Built(pieces) => render::sqlite(pieces).map_err(sqlx::Error::Encode)?,
        };
        for value in self.values {
            render::sqlite_value(&mut arguments, value).map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(text, arguments))
    }

    fn postgres(
        self,
    ) -> Result<sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments>, sqlx::Error>
    {
        let (text, mut arguments) = match self.text {
            Text::Fixed(text) => (text.into_sql_str(), Default::default()),
            Text::Built(pieces) => render::postgres(pieces).map_err(sqlx::Error::Encode)?,
        };
        for value in self.values {
            render::postgres_value(&mut arguments, value).map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(text, arguments))
    }

    /// Runs it for what it does.
    pub(crate) async fn execute(self, conn: &mut Conn) -> Result<Done, sqlx::Error> {
        Ok(Done(match conn.link() {
            Link::Sqlite(conn) => self.sqlite()?.execute(conn).await?.rows_affected(),
            Link::Postgres(conn) => self.postgres()?.execute(conn).await?.rows_affected(),
        }))
    }

    /// All its rows.
    pub(crate) async fn fetch_all(self, conn: &mut Conn) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match conn.link() {
            Link::Sqlite(conn) => {
                let rows = self.sqlite()?.fetch_all(conn).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Link::Postgres(conn) => {
                let rows = self.postgres()?.fetch_all(conn).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Its first row, if there is one.
    pub(crate) async fn fetch_optional(self, conn: &mut Conn) -> Result<Option<Row>, sqlx::Error> {
        Ok(match conn.link() {
            Link::Sqlite(conn) => self.sqlite()?.fetch_optional(conn).await?.map(Row::Sqlite),
            Link::Postgres(conn) => {
                let row = self.postgres()?.fetch_optional(conn).await?;
                row.map(Row::Postgres)
            }
        })
    }

    /// Its one row.
    pub(crate) async fn fetch_one(self, conn: &mut Conn) -> Result<Row, sqlx::Error> {
        let row = self.fetch_optional(conn).await?;
        row.ok_or(sqlx::Error::RowNotFound)
    }
}

/// A statement whose rows have one column.
#[must_use]
pub(crate) struct Scalar<T>(Query, PhantomData<T>);

impl<T: for<'r> Column<'r>> Scalar<T> {
    /// The value of the next `$`.
    pub(crate) fn bind(self, value: impl Into<Value>) -> Self {
        Self(self.0.bind(value), PhantomData)
    }

    /// The column of all rows.
    pub(crate) async fn fetch_all(self, conn: &mut Conn) -> Result<Vec<T>, sqlx::Error> {
        let rows = self.0.fetch_all(conn).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The column of the first row, if there is one.
    pub(crate) async fn fetch_optional(self, conn: &mut Conn) -> Result<Option<T>, sqlx::Error> {
        let row = self.0.fetch_optional(conn).await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// The column of the one row.
    pub(crate) async fn fetch_one(self, conn: &mut Conn) -> Result<T, sqlx::Error> {
        Ok(self.0.fetch_one(conn).await?.get(0))
    }
}

/// Puts a statement together.
#[derive(Debug)]
pub(crate) struct QueryBuilder {
    pieces: Vec<Piece>,
}

impl QueryBuilder {
    /// Begins with this text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            pieces: vec![Piece::Sql(text.into())],
        }
    }

    /// Adds text of our own.
    pub(crate) fn push(&mut self, text: impl fmt::Display) -> &mut Self {
        if let Some(Piece::Sql(last)) = self.pieces.last_mut() {
            // A `String` takes whatever is written.
            write!(last, "{text}").ok();
        } else {
            self.pieces.push(Piece::Sql(text.to_string()));
        }
        self
    }

    /// Adds text that is not the same in both.
    pub(crate) fn push_either(
        &mut self,
        sqlite: &'static str,
        postgres: &'static str,
    ) -> &mut Self {
        self.pieces.push(Piece::Either(sqlite, postgres));
        self
    }

    /// The statement with this before it, such as `EXPLAIN`.
    #[cfg(test)]
    pub(crate) fn after(self, before: &str) -> Self {
        let mut pieces = vec![Piece::Sql(before.to_owned())];
        pieces.extend(self.pieces);
        Self { pieces }
    }

    /// Adds an inner join whose left side is read first. SQLite is told to: it has no figures of
    /// how large tables are. PostgreSQL has, and knows no such word.
    pub(crate) fn push_inner_join(&mut self) -> &mut Self {
        self.push_either(" CROSS JOIN", " JOIN")
    }

    /// Adds a value.
    pub(crate) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.pieces.push(Piece::One(value.into()));
        self
    }

    /// Adds a condition on the column before it: that it is one of these.
    pub(crate) fn push_in<V: Into<Value>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        let values = values.into_iter().map(Into::into).collect();
        self.pieces.push(Piece::List(values));
        self
    }

    /// Adds rows of values, as `VALUES` would; their columns are `column1`, `column2` …
    pub(crate) fn push_values<R>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
        mut push: impl FnMut(RowOfValues<'_>, R),
    ) -> &mut Self {
        let (mut values, mut width) = (Vec::new(), 0);
        for row in rows {
            let before = values.len();
            push(RowOfValues(&mut values), row);
            width = values.len() - before;
        }
        self.pieces.push(Piece::Rows { width, values });
        self
    }

    /// The statement; the builder is empty then.
    pub(crate) fn build(&mut self) -> Query {
        Query {
            text: Text::Built(std::mem::take(&mut self.pieces)),
            values: Vec::new(),
        }
    }

    /// The statement, for rows of one column.
    pub(crate) fn build_query_scalar<T>(&mut self) -> Scalar<T> {
        Scalar(self.build(), PhantomData)
    }
}

/// The values of one row.
pub(crate) struct RowOfValues<'v>(&'v mut Vec<Value>);

impl RowOfValues<'_> {
    /// Adds a value.
    pub(crate) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.0.push(value.into());
        self
    }
}

//! Pages by key: what every list statement shares.
//!
//! A list takes a [`Slice`] (where to begin, how many) and answers one row more than it was asked
//! for, so that the caller knows whether there is a next page without counting.

use kanade_shared::api::Count;

use super::convert::count;
use super::sql::{Conn, QueryBuilder};
use super::{StoreError, failed};

/// Rows are counted exactly up to this number.
pub const COUNT_MAX: u64 = 1_000;

/// Which direction a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Up,
    /// Largest key first.
    Down,
}

impl Order {
    /// `>` or `<`: what comes after a key.
    pub(super) fn after(self) -> &'static str {
        match self {
            Self::Up => ">",
            Self::Down => "<",
        }
    }

    /// `ASC` or `DESC`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Up => "ASC",
            Self::Down => "DESC",
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice<K> {
    /// Key of the last row that was seen.
    pub after: Option<K>,
    /// Which direction.
    pub order: Order,
    /// Most rows to give.
    pub limit: u32,
}

impl<K> Slice<K> {
    /// Rows to ask for: one more than will be given.
    pub(super) fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

/// Counts what `select` (a `SELECT 1 FROM … WHERE …`) gives, exactly up to [`COUNT_MAX`].
pub(super) async fn counted(conn: &mut Conn, select: QueryBuilder) -> Result<Count, StoreError> {
    let mut select = select;
    select
        .push(" LIMIT ")
        .push_bind(i64::try_from(COUNT_MAX + 1).unwrap_or(i64::MAX))
        .push(") AS found");
    let found: i64 = select
        .build_query_scalar()
        .fetch_one(conn)
        .await
        .map_err(failed("count rows"))?;
    let at_least = count(found).min(COUNT_MAX);
    Ok(Count {
        at_least,
        exact: count(found) <= COUNT_MAX,
    })
}

/// The beginning of a statement for [`counted`].
pub(super) fn count_of(table: &'static str) -> QueryBuilder {
    QueryBuilder::new(format!(
        "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE 1 = 1"
    ))
}

//! Values of statements, and columns of rows: the few types that both databases have.
//!
//! A flag is a number, 0 or 1, in both. Text with a NUL is no text to PostgreSQL: there the
//! character becomes U+FFFD; what must keep it is bytes.

use sqlx::postgres::{PgRow, PgValueRef};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row as _, ValueRef};

/// A value to bind, of a type that is known even when it is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! values {
    ($variant:ident: $($type:ty => |$value:ident| $into:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                Self::$variant(Some($into))
            }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value.map(|$value| $into))
            }
        }
    )*};
}

values!(Int: i64 => |n| n, i32 => |n| n.into(), u32 => |n| n.into(), bool => |flag| flag.into());
values!(Text: String => |text| text, &str => |text| text.to_owned(),
    &String => |text| text.clone());
values!(Bytes: Vec<u8> => |bytes| bytes, &[u8] => |bytes| bytes.to_vec(),
    &Vec<u8> => |bytes| bytes.clone());

/// A column's type in Rust.
pub(crate) trait Column<'r>: Sized {
    /// Reads it from a row of SQLite.
    fn of_sqlite<I: sqlx::ColumnIndex<SqliteRow>>(
        row: &'r SqliteRow,
        index: I,
    ) -> Result<Self, sqlx::Error>;

    /// Reads it from a row of PostgreSQL.
    fn of_postgres<I: sqlx::ColumnIndex<PgRow>>(
        row: &'r PgRow,
        index: I,
    ) -> Result<Self, sqlx::Error>;
}

macro_rules! column {
    ($($type:ty => $read:expr),* $(,)?) => {$(
        impl<'r> Column<'r> for $type {
            fn of_sqlite<I: sqlx::ColumnIndex<SqliteRow>>(
                row: &'r SqliteRow,
                index: I,
            ) -> Result<Self, sqlx::Error> {
                row.try_get(index)
            }

            fn of_postgres<I: sqlx::ColumnIndex<PgRow>>(
                row: &'r PgRow,
                index: I,
            ) -> Result<Self, sqlx::Error> {
                let read: fn(PgValueRef<'r>) -> Result<$type, sqlx::Error> = $read;
                read(row.try_get_raw(index)?)
            }
        }

        impl<'r> Column<'r> for Option<$type> {
            fn of_sqlite<I: sqlx::ColumnIndex<SqliteRow>>(
                row: &'r SqliteRow,
                index: I,
            ) -> Result<Self, sqlx::Error> {
                row.try_get(index)
            }

            fn of_postgres<I: sqlx::ColumnIndex<PgRow>>(
                row: &'r PgRow,
                index: I,
            ) -> Result<Self, sqlx::Error> {
                let value = row.try_get_raw(index)?;
                if value.is_null() {
                    return Ok(None);
                }
                let read: fn(PgValueRef<'r>) -> Result<$type, sqlx::Error> = $read;
                read(value).map(Some)
            }
        }
    )*};
}

column! {
    i64 => integer,
    i32 => |value| {
        let n = integer(value)?;
        i32::try_from(n).map_err(|error| sqlx::Error::Decode(error.into()))
    },
    bool => |value| Ok(integer(value)? != 0),
    &'r str => decoded,
    String => decoded,
    &'r [u8] => decoded,
    Vec<u8> => decoded,
}

fn decoded<'r, T: Decode<'r, Postgres>>(value: PgValueRef<'r>) -> Result<T, sqlx::Error> {
    T::decode(value).map_err(sqlx::Error::Decode)
}

/// A number of any width, or a truth value: an expression has its own type in PostgreSQL.
fn integer(value: PgValueRef<'_>) -> Result<i64, sqlx::Error> {
    let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
    if let Ok([byte]) = <[u8; 1]>::try_from(bytes) {
        return Ok(byte.into());
    }
    if let Ok(bytes) = <[u8; 2]>::try_from(bytes) {
        return Ok(i16::from_be_bytes(bytes).into());
    }
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Ok(i32::from_be_bytes(bytes).into());
    }
    if let Ok(bytes) = <[u8; 8]>::try_from(bytes) {
        return Ok(i64::from_be_bytes(bytes));
    }
    Err(sqlx::Error::Decode(
        "not a number of at most 8 bytes".into(),
    ))
}

//! A statement's text and values in the dialect of each database.
//!
//! What differs is decided here alone: rows of values are `VALUES (…), (…)` in SQLite and one
//! `unnest` of an array a column in PostgreSQL, a list is `IN (…)` or `= ANY (…)`. So in
//! PostgreSQL a statement of many rows has one text, however many there are.

use std::fmt::Write as _;

use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::value::Value;

/// A piece of a statement that is put together.
#[derive(Debug)]
pub(super) enum Piece {
    /// Text of our own.
    Sql(String),
    /// Text of our own that only one of them takes: SQLite's, then PostgreSQL's.
    Either(&'static str, &'static str),
    /// One value.
    One(Value),
    /// Values that a column is compared with.
    List(Vec<Value>),
    /// Rows of `width` values each, one after another.
    Rows { width: usize, values: Vec<Value> },
}

/// Text and values for SQLite.
pub(super) fn sqlite(pieces: Vec<Piece>) -> Result<(SqlStr, SqliteArguments), BoxDynError> {
    let (mut text, mut arguments) = (String::new(), SqliteArguments::default());
    for piece in pieces {
        match piece {
            Piece::Sql(sql) => text.push_str(&sql),
            Piece::Either(sql, _) => text.push_str(sql),
            Piece::One(value) => {
                text.push('?');
                sqlite_value(&mut arguments, value)?;
            }
            Piece::List(values) => {
                text.push_str(" IN (");
                marks(&mut text, values.len());
                text.push(')');
                for value in values {
                    sqlite_value(&mut arguments, value)?;
                }
            }
            Piece::Rows { width, values } => {
                text.push_str("VALUES ");
                let rows = values.len().checked_div(width).unwrap_or(0);
                for row in 0..rows {
                    text.push_str(if row == 0 { "(" } else { "), (" });
                    marks(&mut text, width);
                }
                text.push(')');
                for value in values {
                    sqlite_value(&mut arguments, value)?;
                }
            }
        }
    }
    Ok((AssertSqlSafe(text).into_sql_str(), arguments))
}

fn marks(text: &mut String, count: usize) {
    for n in 0..count {
        text.push_str(if n == 0 { "?" } else { ", ?" });
    }
}

/// Adds one value.
pub(super) fn sqlite_value(
    arguments: &mut SqliteArguments,
    value: Value,
) -> Result<(), BoxDynError> {
    match value {
        Value::Int(value) => arguments.add(value),
        Value::Text(value) => arguments.add(value),
        Value::Bytes(value) => arguments.add(value),
    }
}

/// Text and values for PostgreSQL.
pub(super) fn postgres(pieces: Vec<Piece>) -> Result<(SqlStr, PgArguments), BoxDynError> {
    let (mut text, mut arguments) = (String::new(), PgArguments::default());
    for piece in pieces {
        match piece {
            Piece::Sql(sql) => text.push_str(&sql),
            Piece::Either(_, sql) => text.push_str(sql),
            Piece::One(value) => {
                postgres_value(&mut arguments, value)?;
                write!(text, "${}", arguments.len())?;
            }
            Piece::List(values) => {
                array(&mut arguments, values)?;
                write!(text, " = ANY (${})", arguments.len())?;
            }
            Piece::Rows { width, values } => {
                text.push_str("SELECT * FROM unnest(");
                for (n, column) in columns(width, values).into_iter().enumerate() {
                    array(&mut arguments, column)?;
                    let comma = if n == 0 { "" } else { ", " };
                    write!(text, "{comma}${}", arguments.len())?;
                }
                // The names that columns of `VALUES` have.
                text.push_str(") AS many (");
                for n in 1..=width {
                    let comma = if n == 1 { "" } else { ", " };
                    write!(text, "{comma}column{n}")?;
                }
                text.push(')');
            }
        }
    }
    Ok((AssertSqlSafe(text).into_sql_str(), arguments))
}

fn columns(width: usize, values: Vec<Value>) -> Vec<Vec<Value>> {
    let rows = values.len().checked_div(width).unwrap_or(0);
    let mut columns: Vec<Vec<Value>> = (0..width).map(|_| Vec::with_capacity(rows)).collect();
    for (n, value) in values.into_iter().enumerate() {
        columns[n % width].push(value);
    }
    columns
}

/// Adds one value.
pub(super) fn postgres_value(arguments: &mut PgArguments, value: Value) -> Result<(), BoxDynError> {
    match value {
        Value::Int(value) => arguments.add(value),
        Value::Text(value) => arguments.add(value.map(without_nul)),
        Value::Bytes(value) => arguments.add(value),
    }
}

/// Adds values of one type as an array; their type is the first one's.
fn array(arguments: &mut PgArguments, values: Vec<Value>) -> Result<(), BoxDynError> {
    macro_rules! of {
        ($variant:ident, $into:expr) => {
            values
                .into_iter()
                .map(|value| match value {
                    Value::$variant(value) => Ok(value.map($into)),
                    other => Err(format!("{other:?} among values of another type")),
                })
                .collect::<Result<Vec<_>, _>>()?
        };
    }
    match values.first() {
        Some(Value::Int(_)) => arguments.add(of!(Int, |n| n)),
        Some(Value::Bytes(_)) => arguments.add(of!(Bytes, |bytes| bytes)),
        Some(Value::Text(_)) | None => arguments.add(of!(Text, without_nul)),
    }
}

fn without_nul(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

//! Statements and columns: from SQLite's values to the domain's.
//!
//! A value that this program did not write becomes an error of rusqlite, which [`corruption`] turns
//! into the port's.

use std::error::Error;

use rusqlite::types::{Type, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row, RowIndex};
use serde::Serialize;

use crate::domain::{Counts, Hold, MessageId, Quantity, Timestamp};
use crate::store::state::StateError;
use crate::store::{PageRequest, StoreError, read, state};

/// A column's value is not what this program writes.
#[derive(Debug, thiserror::Error)]
#[error(
    "the column {column} of store.db {source}; restore the file from a backup, or run a newer release"
)]
struct UnreadableColumn<E: Error + 'static> {
    column: &'static str,
    source: E,
}

/// What is wrong with a value that has no error of its own.
#[derive(Debug, thiserror::Error)]
#[error("holds a value that this release does not know")]
pub(super) struct UnknownValue;

/// Wraps what was found into rusqlite's error for values.
pub(super) fn unreadable(source: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, source.into())
}

/// A state as text.
pub(super) fn encoded<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    state::encode(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Turns an error of stored values into the port's `Corrupt` or `Newer`; returns any other as it is.
pub(super) fn corruption(error: rusqlite::Error) -> Result<StoreError, rusqlite::Error> {
    if let rusqlite::Error::FromSqlConversionFailure(_, _, source) = error {
        let other = |source: Box<dyn Error + Send + Sync>| StoreError::Corrupt {
            detail: source.to_string(),
        };
        return Ok(source.downcast::<StateError>().map_or_else(other, |error| (*error).into()));
    }
    if let rusqlite::Error::InvalidColumnType(..)
    | rusqlite::Error::IntegralValueOutOfRange(..)
    | rusqlite::Error::Utf8Error(..) = error
    {
        let detail = format!("store.db: {error}; restore the file from a backup");
        return Ok(StoreError::Corrupt { detail });
    }
    Err(error)
}

/// A text without a copy.
pub(super) fn text<'row>(row: &'row Row<'_>, column: impl RowIndex) -> rusqlite::Result<&'row str> {
    row.get_ref(column)?.as_str().map_err(unreadable)
}

/// A text that `parse` reads.
pub(super) fn parsed<T, E: Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    parse(text(row, column)?).map_err(|source| unreadable(UnreadableColumn { column, source }))
}

/// A text that `parse` reads, or nothing.
pub(super) fn parsed_if_any<T, E: Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    if row.get_ref(column)? == ValueRef::Null {
        return Ok(None);
    }
    parsed(row, column, parse).map(Some)
}

/// The id of a message.
pub(super) fn message_id(row: &Row<'_>) -> rusqlite::Result<MessageId> {
    parsed(row, "message_id", |text| text.parse().map(MessageId))
}

/// A point in time.
pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_micros)
}

/// Three counts in three columns that follow each other.
pub(super) fn counts(row: &Row<'_>, first: usize) -> rusqlite::Result<Counts> {
    Ok(Counts {
        received: quantity(row, first)?,
        committed: quantity(row, first + 1)?,
        fulfilled: quantity(row, first + 2)?,
    })
}

/// A number of millionths.
pub(super) fn quantity(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<Quantity> {
    row.get(column).map(Quantity::from_millionths)
}

/// What an order holds, of two columns.
pub(super) fn hold(row: &Row<'_>) -> rusqlite::Result<Hold> {
    Ok(Hold { committed: quantity(row, "committed")?, fulfilled: quantity(row, "fulfilled")? })
}

/// A number that is never negative.
pub(super) fn natural(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

/// A `LIMIT` for this many rows.
pub(super) fn at_most(rows: usize) -> i64 {
    i64::try_from(read::at_most(rows)).unwrap_or(i64::MAX)
}

/// A `LIMIT` for the rows of a page.
pub(super) fn rows_of(page: &PageRequest) -> i64 {
    i64::try_from(page.rows()).unwrap_or(i64::MAX)
}

/// Every row that a statement finds.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(values, read)?.collect()
}

/// The first row that a statement finds.
pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached(sql)?.query_row(values, read).optional()
}

/// Runs a statement that writes; returns how many rows it changed.
pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    values: impl Params,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(values)
}

/// The first value after every text that starts with `prefix`, in SQLite's order of values.
///
/// Texts are compared byte by byte, and UTF-8 keeps the order of characters: the next text is the
/// prefix with its last character replaced by the next one. A BLOB comes after every text.
pub(super) fn after_prefix(prefix: &str) -> Value {
    let mut kept = prefix.chars();
    while let Some(last) = kept.next_back() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            let mut end = kept.as_str().to_owned();
            end.push(next);
            return Value::Text(end);
        }
    }
    Value::Blob(Vec::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_before(text: &str, end: &Value) -> bool {
        if let Value::Text(end) = end { text < end.as_str() } else { true }
    }

    #[test]
    fn the_last_character_is_replaced_by_the_next() {
        for (prefix, end) in
            [("a", "b"), ("a%", "a&"), ("\u{d7ff}", "\u{e000}"), ("a\u{10ffff}", "b")]
        {
            assert_eq!(after_prefix(prefix), Value::Text(end.to_owned()), "{prefix:?}");
        }
        assert_eq!(after_prefix(""), Value::Blob(Vec::new()));
        assert_eq!(after_prefix("\u{10ffff}"), Value::Blob(Vec::new()));
    }

    proptest! {
        #[test]
        fn a_range_holds_what_starts_with_the_prefix_and_nothing_else(
            prefix in "[ab%\u{10fffe}\u{10ffff}]{0,3}",
            text in "[ab%\u{10fffe}\u{10ffff}]{0,5}",
        ) {
            let in_range = text >= prefix && is_before(&text, &after_prefix(&prefix));
            prop_assert_eq!(in_range, text.starts_with(&prefix));
        }
    }
}

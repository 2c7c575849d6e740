//! From answers of Redis to values of the domain.
//!
//! A value that is not what this program writes is the port's `Corrupt`, and names its key.

use std::fmt::Display;

use redis::{Cmd, FromRedisValue, Value};

use super::client::Client;
use super::failure::corrupt;
use crate::domain::{Counts, Hold, Quantity, Timestamp};
use crate::store::{Revision, StoreError};

/// So many members of a list or fields of a hash are read at once.
pub(super) const READ_STEP: usize = 1000;

/// Reads an answer as a type of the client library's.
pub(super) fn read<T: FromRedisValue>(key: &str, value: Value) -> Result<T, StoreError> {
    T::from_redis_value(value).map_err(|_| unreadable(key))
}

/// The values of fields, with one command.
pub(super) async fn values(
    client: &Client,
    hash: &str,
    fields: &[String],
) -> Result<Vec<Option<String>>, StoreError> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    client.query(&Cmd::hmget(hash, fields)).await
}

/// Reads a text with a parser.
pub(super) fn parsed<T, E: Display>(
    key: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, StoreError> {
    parse(text).map_err(|error| corrupt(format!("{key} holds a value that {error}")))
}

/// The error of a key that holds a value which no release wrote.
pub(super) fn unreadable(key: &str) -> StoreError {
    corrupt(format!("{key} holds a value that this release does not know"))
}

/// A whole number.
pub(super) fn number<T: std::str::FromStr>(key: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| unreadable(key))
}

/// Millionths, as many as there are numbers with spaces between them.
pub(super) fn quantities<const N: usize>(
    key: &str,
    text: &str,
) -> Result<[Quantity; N], StoreError> {
    let all = text.split(' ').map(|part| number(key, part).map(Quantity::from_millionths));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    all.try_into().map_err(|_| unreadable(key))
}

/// What an order holds.
pub(super) fn hold(key: &str, text: &str) -> Result<Hold, StoreError> {
    let [committed, fulfilled] = quantities(key, text)?;
    Ok(Hold { committed, fulfilled })
}

/// The text that [`hold`] reads.
pub(super) fn hold_text(hold: &Hold) -> String {
    format!("{} {}", hold.committed.millionths(), hold.fulfilled.millionths())
}

/// Three counts with spaces between them.
pub(super) fn counts(key: &str, text: &str) -> Result<Counts, StoreError> {
    let [received, committed, fulfilled] = quantities(key, text)?;
    Ok(Counts { received, committed, fulfilled })
}

/// A point in time, in microseconds.
pub(super) fn time(key: &str, text: &str) -> Result<Timestamp, StoreError> {
    number(key, text).map(Timestamp::from_micros)
}

/// A revision.
pub(super) fn revision(key: &str, text: &str) -> Result<Revision, StoreError> {
    number(key, text).map(Revision)
}

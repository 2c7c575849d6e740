//! Reading the change feed.

use rusqlite::{Connection, Row};

use super::column;
use crate::domain::{Cause, Identifier, OrderId, StockKey};
use crate::store::Change;

/// The epoch of the Store.
pub(super) fn epoch(connection: &Connection) -> rusqlite::Result<String> {
    connection.prepare_cached("SELECT epoch FROM meta")?.query_row((), |row| row.get(0))
}

/// Reads a change of the feed.
pub(super) fn change(row: &Row<'_>, epoch: &str) -> rusqlite::Result<Change> {
    let cause = match column::text(row, "cause")? {
        "order" => Cause::Order(column::parsed(row, "cause_id", OrderId::parse)?),
        "receipt" => Cause::Receipt(column::parsed(row, "cause_id", Identifier::parse)?),
        "repair" => Cause::Repair(column::parsed(row, "cause_id", Identifier::parse)?),
        _ => return Err(column::unreadable(column::UnknownValue)),
    };
    Ok(Change {
        sequence: column::natural(row, "sequence")?,
        epoch: epoch.to_owned(),
        at: column::time(row, "at")?,
        key: column::parsed(row, "key", StockKey::parse)?,
        cause,
        message_id: column::message_id(row)?,
        delta: column::counts(row, 0)?,
        after: column::counts(row, 3)?,
    })
}

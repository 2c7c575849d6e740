//! Names of closed orders, and each site's watermark.

use rusqlite::{Connection, OptionalExtension};

use super::column;
use crate::domain::{ClosedName, OrderId, Timestamp};
use crate::store::Closing;

/// A closing in the form in which it is written.
pub(super) struct PreparedClosing {
    names: Vec<(String, bool)>,
    before: i64,
}

impl PreparedClosing {
    pub(super) fn new(closing: &Closing) -> Self {
        let prepared = |(name, closed): &(OrderId, ClosedName)| {
            (name.to_string(), *closed == ClosedName::BesideAnId)
        };
        Self {
            names: closing.names.iter().map(prepared).collect(),
            before: closing.before.micros(),
        }
    }

    /// Remembers the names, and raises the watermark of a site that is known. That a name was seen
    /// beside an id is never forgotten.
    pub(super) fn write(&self, connection: &Connection, site: &str) -> rusqlite::Result<()> {
        for (name, is_beside_an_id) in &self.names {
            connection
                .prepare_cached(
                    "INSERT INTO closed_names (site, name, beside_an_id) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (site, name) DO UPDATE SET \
                     beside_an_id = max(beside_an_id, excluded.beside_an_id)",
                )?
                .execute((site, name, is_beside_an_id))?;
        }
        connection
            .prepare_cached(
                "UPDATE sites SET closed_before = max(closed_before, ?2) WHERE site = ?1",
            )?
            .execute((site, self.before))
            .map(drop)
    }
}

/// What is remembered of a name.
pub(super) fn find(
    connection: &Connection,
    site: &str,
    name: &str,
) -> rusqlite::Result<Option<ClosedName>> {
    connection
        .prepare_cached("SELECT beside_an_id FROM closed_names WHERE site = ?1 AND name = ?2")?
        .query_row((site, name), |row| {
            let is_beside_an_id = row.get("beside_an_id")?;
            Ok(if is_beside_an_id { ClosedName::BesideAnId } else { ClosedName::Itself })
        })
        .optional()
}

/// What was received before it is taken for known where an order is closed.
pub(super) fn watermark(connection: &Connection, site: &str) -> rusqlite::Result<Timestamp> {
    connection
        .prepare_cached("SELECT closed_before FROM sites WHERE site = ?1")?
        .query_row((site,), |row| column::time(row, "closed_before"))
        .optional()
        .map(Option::unwrap_or_default)
}

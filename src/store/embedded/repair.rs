//! Setting what an item counts, for audits that repair.

use rusqlite::{Connection, OptionalExtension};

use super::column;
use super::stock::INSERT_CHANGE;
use crate::domain::{Counts, Quantity, Site};
use crate::store::ItemRepair;

/// See [`UpkeepStore::repair_item`](crate::store::UpkeepStore::repair_item).
pub(super) fn item(
    connection: &Connection,
    site: &Site,
    repair: &ItemRepair,
) -> rusqlite::Result<bool> {
    let (site, key) = (site.as_str(), repair.key.to_string());
    let found = connection
        .prepare_cached(
            "SELECT received, committed, fulfilled FROM stock WHERE site = ?1 AND key = ?2",
        )?
        .query_row((site, &key), |row| column::counts(row, 0))
        .optional()?;
    if found.unwrap_or_default() != repair.read {
        return Ok(false);
    }
    let [received, committed, fulfilled] = millionths(repair.counts);
    connection
        .prepare_cached(
            "INSERT INTO stock (site, key, received, committed, fulfilled) \
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (site, key) DO UPDATE SET \
             received = excluded.received, committed = excluded.committed, \
             fulfilled = excluded.fulfilled, is_counted = 1",
        )?
        .execute((site, &key, received, committed, fulfilled))?;
    let sequence: i64 = connection
        .prepare_cached(
            "INSERT INTO sites (site, last_sequence) VALUES (?1, 1) ON CONFLICT (site) \
             DO UPDATE SET last_sequence = last_sequence + 1 RETURNING last_sequence",
        )?
        .query_row((site,), |row| row.get(0))?;
    let [delta_received, delta_committed, delta_fulfilled] = millionths(repair.delta);
    connection.prepare_cached(INSERT_CHANGE)?.execute((
        site,
        sequence,
        repair.at.micros(),
        &key,
        "repair",
        repair.actor.as_str(),
        repair.message_id.to_string(),
        delta_received,
        delta_committed,
        delta_fulfilled,
        received,
        committed,
        fulfilled,
    ))?;
    Ok(true)
}

fn millionths(counts: Counts) -> [i64; 3] {
    [counts.received, counts.committed, counts.fulfilled].map(Quantity::millionths)
}

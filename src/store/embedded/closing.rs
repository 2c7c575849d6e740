//! Orders that are settled, and their closing.

use rusqlite::{Connection, OptionalExtension};

use super::{column, entity};
use crate::domain::{OrderId, Remains, STOCK_TOTAL_MAX, Site, Timestamp};
use crate::store::{
    Closing, EntityId, EntityName, Page, Revision, SettledOrder, StoreError, state,
};

/// A place in the list of settled orders: when it was settled, and its row.
pub(super) type Cursor = (i64, i64);

pub(super) fn parse_cursor(text: Option<&str>) -> Result<Cursor, StoreError> {
    let Some(text) = text else { return Ok((i64::MIN, 0)) };
    let parts = text.split_once('.');
    parts
        .and_then(|(at, row)| Some((at.parse().ok()?, row.parse().ok()?)))
        .ok_or_else(|| StoreError::Rejected { source: "the cursor is not one of this list".into() })
}

/// Lists orders that were settled before a time, the longest settled first.
pub(super) fn settled(
    connection: &Connection,
    before: Timestamp,
    (at, row): Cursor,
    limit: usize,
) -> rusqlite::Result<Page<SettledOrder>> {
    let items = connection
        .prepare_cached(
            "SELECT settled_at, rowid AS place, site, id, rev, state FROM orders \
             WHERE settled_at < ?1 AND (settled_at, rowid) > (?2, ?3) \
             ORDER BY settled_at, rowid LIMIT ?4",
        )?
        .query_map((before.micros(), at, row, column::page_and_one(limit)), |row| {
            let site = column::parsed(row, "site", Site::parse)?;
            let order = column::parsed(row, "id", OrderId::parse)?;
            let entity = EntityId { site: site.clone(), name: EntityName::Order(order.clone()) };
            let state = state::decode(&entity, column::text(row, "state")?);
            let state = state.map_err(column::unreadable)?;
            let revision = entity::revision(row.get("rev")?);
            let cursor: Cursor = (row.get("settled_at")?, row.get("place")?);
            Ok((cursor, SettledOrder { site, order, revision, state }))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let page = column::page(items, limit, |((at, row), _)| format!("{at}.{row}"));
    let items = page.items.into_iter().map(|(_, settled)| settled).collect();
    Ok(Page { items, next: page.next })
}

/// Closes an order if it still is as it was loaded; whether it did.
pub(super) fn close(connection: &Connection, closing: &Closing) -> rusqlite::Result<bool> {
    let (site, order) = (closing.site.as_str(), closing.order.to_string());
    if !is_countable(connection, site, &closing.remains)? {
        return Ok(false);
    }
    let found: Option<Revision> = connection
        .prepare_cached(
            "DELETE FROM orders WHERE site = ?1 AND id = ?2 AND rev = ?3 RETURNING rev",
        )?
        .query_row((site, &order, closing.loaded.0.cast_signed()), |row| {
            row.get(0).map(entity::revision)
        })
        .optional()?;
    if found.is_none() {
        return Ok(false);
    }
    for (key, fulfilled) in &closing.remains.fulfilled {
        let key = key.to_string();
        connection
            .prepare_cached("DELETE FROM holds WHERE site = ?1 AND key = ?2 AND order_id = ?3")?
            .execute((site, &key, &order))?;
        connection
            .prepare_cached(
                "UPDATE stock SET closed_orders = closed_orders + 1, \
                 closed_fulfilled = closed_fulfilled + ?3 WHERE site = ?1 AND key = ?2",
            )?
            .execute((site, &key, fulfilled.millionths()))?;
    }
    for name in &closing.remains.forgotten {
        connection
            .prepare_cached("DELETE FROM aliases WHERE site = ?1 AND alias = ?2 AND order_id = ?3")?
            .execute((site, name.to_string(), &order))?;
    }
    connection
        .prepare_cached(
            "INSERT INTO closed (site, order_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute((site, &order))?;
    connection
        .prepare_cached(
            "UPDATE sites SET closed_before = max(coalesce(closed_before, ?2), ?2) WHERE site = ?1",
        )?
        .execute((site, closing.before.micros()))?;
    Ok(true)
}

/// Whether what closed orders keep of each item stays within the limit of counts with these.
fn is_countable(connection: &Connection, site: &str, remains: &Remains) -> rusqlite::Result<bool> {
    for (key, fulfilled) in &remains.fulfilled {
        let kept: Option<i64> = connection
            .prepare_cached("SELECT closed_fulfilled FROM stock WHERE site = ?1 AND key = ?2")?
            .query_row((site, key.to_string()), |row| row.get(0))
            .optional()?;
        let sum = kept.unwrap_or_default().checked_add(fulfilled.millionths());
        if sum.is_none_or(|sum| sum > STOCK_TOTAL_MAX) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The site's watermark, if the order was closed.
pub(super) fn find(
    connection: &Connection,
    site: &str,
    order: &str,
) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached(
            "SELECT closed_before FROM sites WHERE site = ?1 AND EXISTS \
             (SELECT 1 FROM closed WHERE closed.site = ?1 AND order_id = ?2)",
        )?
        .query_row((site, order), |row| column::time(row, "closed_before"))
        .optional()
}

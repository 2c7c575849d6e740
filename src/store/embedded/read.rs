//! Lists and single things for people and for the API, each read on one snapshot.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::column;
use crate::domain::{CatalogueId, Cause, Hold, Identifier, OrderId, Site, StockKey};
use crate::store::{
    Catalogue, Change, EntityId, EntityName, HeldBy, Page, PageRequest, StockDetail, StockItem,
    state,
};

/// SQL that says of a row of `stock` whether nobody counts it: the catalogue says so, or it is
/// nothing but a line of an order.
macro_rules! is_untracked {
    () => {
        "(stock.key GLOB 'line:*' OR EXISTS (SELECT 1 FROM untracked \
         WHERE untracked.site = stock.site AND untracked.key = stock.key))"
    };
}

/// An item's row, with the first of the names that the catalogue gives it, or else a line's.
const STOCK_ITEM: &str = concat!(
    "SELECT received, committed, fulfilled, key, ",
    is_untracked!(),
    " AS is_untracked, \
     coalesce((SELECT name FROM catalogue_names AS given \
       WHERE given.site = stock.site AND given.key = stock.key \
       ORDER BY deleted, entry LIMIT 1), line_name) AS name \
     FROM stock WHERE site = :site AND is_counted"
);

pub(super) fn sites(connection: &Connection) -> rusqlite::Result<Vec<Site>> {
    connection
        .prepare_cached("SELECT site FROM sites ORDER BY site")?
        .query_map((), |row| column::parsed(row, "site", Site::parse))?
        .collect()
}

pub(super) fn stock(
    connection: &Connection,
    site: &Site,
    prefix: Option<&str>,
    page: &PageRequest,
) -> rusqlite::Result<Page<StockItem>> {
    let after = page.after.as_deref().unwrap_or_default();
    let limit = column::page_and_one(page.limit);
    let item = |row: &Row<'_>| stock_item_of(row, site);
    // Every text starts with the empty one: no need to look for it.
    let items = match prefix.filter(|prefix| !prefix.is_empty()) {
        None => connection
            .prepare_cached(&format!("{STOCK_ITEM} AND key > :after ORDER BY key LIMIT :limit"))?
            .query_map(
                named_params! {":site": site.as_str(), ":after": after, ":limit": limit},
                item,
            )?
            .collect::<rusqlite::Result<Vec<_>>>()?,
        Some(prefix) => {
            let lowercase = prefix.to_lowercase();
            connection
                .prepare_cached(&format!("{STOCK_ITEM} AND key IN ({WANTED}) ORDER BY key"))?
                .query_map(
                    named_params! {
                        ":site": site.as_str(),
                        ":after": after,
                        ":prefix": prefix,
                        ":behind_prefix": column::behind_prefix(prefix),
                        ":lowercase": lowercase,
                        ":behind_lowercase": column::behind_prefix(&lowercase),
                        ":limit": limit,
                    },
                    item,
                )?
                .collect::<rusqlite::Result<Vec<_>>>()?
        }
    };
    Ok(column::page(items, page.limit, |item| item.key.to_string()))
}

/// The keys of a page of items whose key, or whose shown name, starts with what is wanted.
///
/// Every part is a range of an index. A page starts at the cursor or at the prefix, whichever comes
/// later; the key that *is* the prefix is a part of its own, so that both can be left out. Left to
/// itself, SQLite would read the names in order of key, and all of them for a rare name.
const WANTED: &str = "SELECT key FROM stock WHERE site = :site AND is_counted \
       AND key > max(:after, :prefix) AND key < :behind_prefix \
     UNION SELECT key FROM stock \
       WHERE site = :site AND is_counted AND key = :prefix AND key > :after \
     UNION SELECT shown.key FROM catalogue_names AS shown \
       INDEXED BY catalogue_names_in_lowercase \
       WHERE shown.site = :site \
       AND shown.lowercase >= :lowercase AND shown.lowercase < :behind_lowercase \
       AND shown.key > :after \
       AND EXISTS (SELECT 1 FROM stock \
         WHERE stock.site = :site AND stock.key = shown.key AND is_counted) \
       AND NOT EXISTS (SELECT 1 FROM catalogue_names AS better WHERE better.site = :site \
         AND better.key = shown.key \
         AND (better.deleted, better.entry) < (shown.deleted, shown.entry)) \
     UNION SELECT line.key FROM stock AS line INDEXED BY stock_by_line_name \
       WHERE line.site = :site AND line.is_counted \
       AND line.line_lowercase >= :lowercase AND line.line_lowercase < :behind_lowercase \
       AND line.key > :after \
       AND NOT EXISTS (SELECT 1 FROM catalogue_names AS given \
         WHERE given.site = :site AND given.key = line.key) \
     ORDER BY 1 LIMIT :limit";

pub(super) fn stock_item(
    connection: &Connection,
    site: &Site,
    key: &StockKey,
    holds: &PageRequest,
) -> rusqlite::Result<Option<StockDetail>> {
    let key = key.to_string();
    let item = connection
        .prepare_cached(&format!("{STOCK_ITEM} AND key = :key"))?
        .query_row(named_params! {":site": site.as_str(), ":key": key}, |row| {
            stock_item_of(row, site)
        })
        .optional()?;
    let Some(item) = item else { return Ok(None) };
    let after = holds.after.as_deref().unwrap_or_default();
    let held = connection
        .prepare_cached(
            "SELECT order_id, committed, fulfilled FROM holds \
             WHERE site = ?1 AND key = ?2 AND order_id > ?3 ORDER BY order_id LIMIT ?4",
        )?
        .query_map((site.as_str(), &key, after, column::page_and_one(holds.limit)), held_by)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let (closed_orders, closed_fulfilled) = connection
        .prepare_cached(
            "SELECT closed_orders, closed_fulfilled FROM stock WHERE site = ?1 AND key = ?2",
        )?
        .query_row((site.as_str(), &key), |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), column::quantity(row, 1)?))
        })?;
    let dead: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM dead_letters WHERE site = ?1 AND failed_at IS NOT NULL",
        )?
        .query_row((site.as_str(),), |row| row.get(0))?;
    Ok(Some(StockDetail {
        item,
        holds: column::page(held, holds.limit, |held| held.order.to_string()),
        closed_orders,
        closed_fulfilled,
        dead: dead.cast_unsigned(),
    }))
}

pub(super) fn catalogue(
    connection: &Connection,
    site: &Site,
    page: &PageRequest,
) -> rusqlite::Result<Page<Catalogue>> {
    let after = page.after.as_deref().unwrap_or_default();
    let items = connection
        .prepare_cached(
            "SELECT id, state FROM catalogue WHERE site = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        )?
        .query_map((site.as_str(), after, column::page_and_one(page.limit)), |row| {
            let id = column::parsed(row, "id", CatalogueId::parse)?;
            let name = EntityName::Catalogue(id.clone());
            let entity = EntityId { site: site.clone(), name };
            let entry = state::decode(&entity, column::text(row, "state")?);
            Ok(Catalogue { id, entry: entry.map_err(column::unreadable)? })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(column::page(items, page.limit, |item| item.id.to_string()))
}

pub(super) fn changes(
    connection: &Connection,
    site: &Site,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Change>> {
    let epoch: String =
        connection.prepare_cached("SELECT epoch FROM meta")?.query_row((), |row| row.get(0))?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "SELECT delta_received, delta_committed, delta_fulfilled, \
             received, committed, fulfilled, sequence, at, key, cause, cause_id, message_id \
             FROM changes WHERE site = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
        )?
        .query_map((site.as_str(), after, column::at_most(limit)), |row| {
            let key = column::parsed(row, "key", StockKey::parse)?;
            let cause = match column::text(row, "cause")? {
                "order" => Cause::Order(column::parsed(row, "cause_id", OrderId::parse)?),
                "receipt" => Cause::Receipt(column::parsed(row, "cause_id", Identifier::parse)?),
                "repair" => Cause::Repair(column::parsed(row, "cause_id", Identifier::parse)?),
                _ => return Err(column::unreadable(column::UnknownValue)),
            };
            Ok(Change {
                sequence: row.get::<_, i64>("sequence")?.cast_unsigned(),
                epoch: epoch.clone(),
                at: column::time(row, "at")?,
                key,
                cause,
                message_id: column::message_id(row)?,
                delta: column::counts(row, 0)?,
                after: column::counts(row, 3)?,
            })
        })?
        .collect()
}

/// Totals are within 4e18 of zero: a difference of two fits 64 bits, one of three would not.
pub(super) fn oversold(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(concat!(
            "SELECT count(*) FROM stock WHERE received - committed < fulfilled AND NOT ",
            is_untracked!()
        ))?
        .query_row((), |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
}

fn stock_item_of(row: &Row<'_>, site: &Site) -> rusqlite::Result<StockItem> {
    Ok(StockItem {
        site: site.clone(),
        key: column::parsed(row, "key", StockKey::parse)?,
        name: row.get("name")?,
        is_untracked: row.get("is_untracked")?,
        counts: column::counts(row, 0)?,
    })
}

fn held_by(row: &Row<'_>) -> rusqlite::Result<HeldBy> {
    let order = column::parsed(row, "order_id", OrderId::parse)?;
    let committed = column::quantity(row, "committed")?;
    let fulfilled = column::quantity(row, "fulfilled")?;
    Ok(HeldBy { order, hold: Hold { committed, fulfilled } })
}

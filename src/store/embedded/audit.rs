//! Reading for audits: orders, and every hold and item page by page.
//!
//! What is compared is read on one snapshot, so a commit that is written meanwhile is seen in both
//! or in neither.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{column, entity};
use crate::domain::{
    Counts, Hold, Identifier, OrderId, Quantity, Receipt, ReceiptId, Record, Site, StockKey,
};
use crate::store::{
    AuditedHold, AuditedItem, AuditedOrder, EntityId, EntityName, EntityState, Page, PageRequest,
    Revision, state,
};

/// Stands between the parts of a cursor; no name has a control character.
const BETWEEN: char = '\n';

/// Reads records beside what is held for them; one that is not there is left out.
pub(super) fn orders(
    connection: &Connection,
    site: &Site,
    orders: &[OrderId],
) -> rusqlite::Result<Vec<AuditedOrder>> {
    let mut audited = Vec::with_capacity(orders.len());
    for order in orders {
        if let Some((revision, record)) = record(connection, site, order)? {
            let held = held_by(connection, site, order, record.applied.keys())?;
            audited.push(AuditedOrder { order: order.clone(), revision, record, held });
        }
    }
    Ok(audited)
}

fn record(
    connection: &Connection,
    site: &Site,
    order: &OrderId,
) -> rusqlite::Result<Option<(Revision, Record)>> {
    let entity = EntityId { site: site.clone(), name: EntityName::Order(order.clone()) };
    let loaded = entity::load(connection, &entity)?;
    Ok(loaded.and_then(|loaded| match loaded.state {
        EntityState::Order(record) => Some((loaded.revision, *record)),
        EntityState::Catalogue(_) | EntityState::Receipt(_) => None,
    }))
}

/// What items say that an order holds.
fn held_by<'a>(
    connection: &Connection,
    site: &Site,
    order: &OrderId,
    keys: impl Iterator<Item = &'a StockKey>,
) -> rusqlite::Result<BTreeMap<StockKey, Hold>> {
    let order = order.to_string();
    let mut held = BTreeMap::new();
    for key in keys {
        let found = connection
            .prepare_cached(
                "SELECT committed, fulfilled FROM holds \
                 WHERE site = ?1 AND key = ?2 AND order_id = ?3",
            )?
            .query_row((site.as_str(), key.to_string(), &order), hold)
            .optional()?;
        held.extend(found.map(|found| (key.clone(), found)));
    }
    Ok(held)
}

pub(super) fn holds(
    connection: &Connection,
    site: &Site,
    page: &PageRequest,
) -> rusqlite::Result<Page<AuditedHold>> {
    let after = page.after.as_deref().unwrap_or_default();
    let (key, order) = after.split_once(BETWEEN).unwrap_or((after, ""));
    let mut holds = connection
        .prepare_cached(
            "SELECT committed, fulfilled, key, order_id FROM holds \
             WHERE site = ?1 AND (key, order_id) > (?2, ?3) ORDER BY key, order_id LIMIT ?4",
        )?
        .query_map((site.as_str(), key, order, column::page_and_one(page.limit)), |row| {
            Ok(AuditedHold {
                key: column::parsed(row, "key", StockKey::parse)?,
                order: column::parsed(row, "order_id", OrderId::parse)?,
                held: hold(row)?,
                applied: None,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for audited in &mut holds {
        let applied = |record: Option<(Revision, Record)>| {
            let held = record.and_then(|(_, record)| record.applied.get(&audited.key).copied());
            held.unwrap_or_default()
        };
        audited.applied = match record(connection, site, &audited.order) {
            Ok(record) => Some(applied(record)),
            // Of an order that cannot be read is told with the orders.
            Err(error) => column::corruption(error).map(|_| None)?,
        };
    }
    Ok(column::page(holds, page.limit, |it| format!("{}{BETWEEN}{}", it.key, it.order)))
}

fn hold(row: &Row<'_>) -> rusqlite::Result<Hold> {
    let committed = column::quantity(row, "committed")?;
    Ok(Hold { committed, fulfilled: column::quantity(row, "fulfilled")? })
}

/// The keys of a page: each part is a range of an index, and stops at the page's end.
const KEYS: &str = "SELECT key FROM \
       (SELECT key FROM stock WHERE site = :site AND is_counted AND key > :after \
       ORDER BY key LIMIT :limit) \
     UNION SELECT key FROM (SELECT DISTINCT key FROM holds \
       WHERE site = :site AND key > :after ORDER BY key LIMIT :limit) \
     UNION SELECT key FROM (SELECT DISTINCT key FROM receipts \
       WHERE site = :site AND key > :after ORDER BY key LIMIT :limit) \
     ORDER BY 1 LIMIT :limit";

pub(super) fn items(
    connection: &Connection,
    site: &Site,
    page: &PageRequest,
) -> rusqlite::Result<Page<AuditedItem>> {
    let after = page.after.as_deref().unwrap_or_default();
    let limit = column::page_and_one(page.limit);
    let keys = connection
        .prepare_cached(KEYS)?
        .query_map(
            named_params! {":site": site.as_str(), ":after": after, ":limit": limit},
            |row| column::parsed(row, "key", StockKey::parse),
        )?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let audited = keys.into_iter().map(|key| {
        let counts = connection
            .prepare_cached(
                "SELECT received, committed, fulfilled FROM stock WHERE site = ?1 AND key = ?2",
            )?
            .query_row((site.as_str(), key.to_string()), |row| column::counts(row, 0))
            .optional()?;
        let sums = sums(connection, site, &key)?;
        Ok(AuditedItem { key, counts: counts.unwrap_or_default(), sums })
    });
    let audited = audited.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(column::page(audited, page.limit, |item| item.key.to_string()))
}

/// What an item is made of; `None` if that is more than can be counted. Added up here and not by
/// SQL, whose `sum` fails where a sum does not fit.
fn sums(connection: &Connection, site: &Site, key: &StockKey) -> rusqlite::Result<Option<Counts>> {
    let mut sums = Some(Counts::default());
    let mut add = |received: Quantity, held: Hold| {
        sums = sums.and_then(|sums| {
            Some(Counts {
                received: sums.received.checked_add(received)?,
                committed: sums.committed.checked_add(held.committed)?,
                fulfilled: sums.fulfilled.checked_add(held.fulfilled)?,
            })
        });
    };
    let mut holds = connection
        .prepare_cached("SELECT committed, fulfilled FROM holds WHERE site = ?1 AND key = ?2")?;
    let mut rows = holds.query((site.as_str(), key.to_string()))?;
    while let Some(row) = rows.next()? {
        add(Quantity::ZERO, hold(row)?);
    }
    // What closed orders keep stands in the item itself.
    let mut closed = connection.prepare_cached(
        "SELECT 0 AS committed, closed_fulfilled AS fulfilled FROM stock \
         WHERE site = ?1 AND key = ?2",
    )?;
    let mut rows = closed.query((site.as_str(), key.to_string()))?;
    while let Some(row) = rows.next()? {
        add(Quantity::ZERO, hold(row)?);
    }
    let mut receipts = connection
        .prepare_cached("SELECT reference, state FROM receipts WHERE site = ?1 AND key = ?2")?;
    let mut rows = receipts.query((site.as_str(), key.to_string()))?;
    while let Some(row) = rows.next()? {
        add(receipt(row, site, key)?.received(), Hold::default());
    }
    Ok(sums)
}

fn receipt(row: &Row<'_>, site: &Site, key: &StockKey) -> rusqlite::Result<Receipt> {
    let reference = column::parsed(row, "reference", Identifier::parse)?;
    let name = EntityName::Receipt(ReceiptId { key: key.clone(), reference });
    let entity = EntityId { site: site.clone(), name };
    state::decode(&entity, column::text(row, "state")?).map_err(column::unreadable)
}

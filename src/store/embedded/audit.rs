//! Reading for audits and for recomputing: every order, hold and item, page by page.
//!
//! What is compared is read on one snapshot, so a commit that is written meanwhile is seen in both
//! or in neither.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::read::has_alias_conflict;
use super::{column, entity};
use crate::domain::{
    Counts, Hold, Identifier, OrderId, OrderState, Quantity, Receipt, ReceiptId, Site, StockKey,
};
use crate::store::{
    AuditedHold, AuditedItem, AuditedOrder, EntityId, EntityName, EntityState, Page, PageRequest,
    StoredOrder, state,
};

/// Stands between the parts of a cursor; no name has a control character.
const BETWEEN: char = '\n';

pub(super) fn orders(
    connection: &Connection,
    site: &Site,
    page: &PageRequest,
) -> rusqlite::Result<Page<StoredOrder>> {
    let after = page.after.as_deref().unwrap_or_default();
    let mut orders = connection
        .prepare_cached(
            "SELECT id, rev, state FROM orders WHERE site = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        )?
        .query_map((site.as_str(), after, column::page_and_one(page.limit)), |row| {
            stored_order(row, site)
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for stored in &mut orders {
        stored.alias_conflict = has_alias_conflict(connection, site, &stored.order, &stored.state)?;
    }
    Ok(column::page(orders, page.limit, |stored| stored.order.to_string()))
}

fn stored_order(row: &Row<'_>, site: &Site) -> rusqlite::Result<StoredOrder> {
    let order = column::parsed(row, "id", OrderId::parse)?;
    let entity = EntityId { site: site.clone(), name: EntityName::Order(order) };
    let state: OrderState =
        state::decode(&entity, column::text(row, "state")?).map_err(column::unreadable)?;
    let EntityName::Order(order) = entity.name else {
        return Err(column::unreadable(column::UnknownValue));
    };
    let revision = entity::revision(row.get("rev")?);
    Ok(StoredOrder { site: entity.site, order, revision, state, alias_conflict: false })
}

pub(super) fn audited_orders(
    connection: &Connection,
    site: &Site,
    page: &PageRequest,
) -> rusqlite::Result<Page<AuditedOrder>> {
    let Page { items, next } = orders(connection, site, page)?;
    let audited = items.into_iter().map(|stored| {
        let held = held_by(connection, &stored)?;
        Ok(AuditedOrder { stored, held })
    });
    Ok(Page { items: audited.collect::<rusqlite::Result<Vec<_>>>()?, next })
}

/// What the items that an order says it holds say of it.
fn held_by(
    connection: &Connection,
    stored: &StoredOrder,
) -> rusqlite::Result<BTreeMap<StockKey, Hold>> {
    let order = stored.order.to_string();
    let mut held = BTreeMap::new();
    for key in stored.state.applied.keys() {
        let found = connection
            .prepare_cached(
                "SELECT committed, fulfilled FROM holds \
                 WHERE site = ?1 AND key = ?2 AND order_id = ?3",
            )?
            .query_row((stored.site.as_str(), key.to_string(), &order), hold)
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
                applied: Hold::default(),
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for audited in &mut holds {
        let name = EntityName::Order(audited.order.clone());
        let loaded = entity::load(connection, &EntityId { site: site.clone(), name })?;
        if let Some(EntityState::Order(state)) = loaded.map(|loaded| loaded.state) {
            audited.applied = state.applied.get(&audited.key).copied().unwrap_or_default();
        }
    }
    Ok(column::page(holds, page.limit, |it| format!("{}{BETWEEN}{}", it.key, it.order)))
}

fn hold(row: &Row<'_>) -> rusqlite::Result<Hold> {
    let committed = column::quantity(row, "committed")?;
    Ok(Hold { committed, fulfilled: column::quantity(row, "fulfilled")? })
}

/// The keys of a page: each part is a range of an index, and stops at the page's end.
const KEYS: &str = "SELECT key FROM \
       (SELECT key FROM stock WHERE site = :site AND key > :after ORDER BY key LIMIT :limit) \
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
        add(receipt(row, site, key)?.content.received(), Hold::default());
    }
    Ok(sums)
}

fn receipt(row: &Row<'_>, site: &Site, key: &StockKey) -> rusqlite::Result<Receipt> {
    let reference = column::parsed(row, "reference", Identifier::parse)?;
    let name = EntityName::Receipt(ReceiptId { key: key.clone(), reference });
    let entity = EntityId { site: site.clone(), name };
    state::decode(&entity, column::text(row, "state")?).map_err(column::unreadable)
}

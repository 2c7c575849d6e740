//! What audits, the leader's duties and a new policy need.
//!
//! What an audit compares is read on one snapshot, so a commit that is written meanwhile is seen in
//! both or in neither.

use async_trait::async_trait;
use rusqlite::{Connection, Row, named_params};

use super::item::{self, item};
use super::note::Gap;
use super::stock::PreparedChange;
use super::{EmbeddedStore, column, dead_letters, entity, leader_clock, pause, policy, replays};
use crate::clock;
use crate::domain::{
    Cause, Counts, Hold, Identifier, LeaderClock, Link, OrderId, Pause, Policy, PolicyInForce,
    PolicyOrigin, Quantity, Receipt, ReceiptId, Site, StockChange, StockKey, Timestamp,
};
use crate::store::{
    AuditedHold, AuditedItem, AuditedOrder, DeadLetterName, EntityId, EntityName, Fence,
    ItemRepair, Loaded, LoadedDeadLetter, Page, PageRequest, ReadStore, ReplayId, StoreError,
    UpkeepStore, state,
};

/// Stands between the parts of a cursor; no name has a control character.
const SEPARATOR: char = '\n';
/// Entries of a change feed that one transaction removes at most.
const TRIM_MAX: usize = 1000;

#[async_trait]
impl UpkeepStore for EmbeddedStore {
    async fn replace_policy(
        &self,
        policy: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError> {
        self.put_policy(policy, origin, policy::REPLACE).await
    }

    async fn pause(&self, pause: &Pause) -> Result<Pause, StoreError> {
        let pause = pause.clone();
        self.write(move |connection| pause::begin(connection, &pause)).await
    }

    async fn resume(&self) -> Result<Option<Pause>, StoreError> {
        self.write(pause::end).await
    }

    async fn links(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<(OrderId, Link)>, StoreError> {
        let (site, page) = (site.clone(), page.clone());
        self.read(move |connection| {
            let links = column::all(
                connection,
                "SELECT name, ids FROM links WHERE site = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
                (site.as_str(), page.after_text(), column::rows_of(&page)),
                |row| {
                    let name = column::parsed(row, "name", OrderId::parse)?;
                    Ok((name, column::parsed(row, "ids", Link::parse)?))
                },
            )?;
            Ok(page.cut(links, |(name, _)| name.to_string()))
        })
        .await
    }

    async fn audit_orders(
        &self,
        site: &Site,
        orders: &[OrderId],
    ) -> Result<Vec<AuditedOrder>, StoreError> {
        let (site, orders) = (site.clone(), orders.to_vec());
        self.read(move |connection| {
            let audited = orders.iter().map(|order| audited_order(connection, &site, order));
            audited.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn audit_holds(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedHold>, StoreError> {
        let (site, page) = (site.clone(), page.clone());
        self.read(move |connection| {
            let after = page.after_text();
            let (key, order) = after.split_once(SEPARATOR).unwrap_or((after, ""));
            let holds = column::all(
                connection,
                "SELECT committed, fulfilled, key, order_id FROM items JOIN holds USING (item) \
                   WHERE site = ?1 AND key = ?2 AND order_id > ?3 \
                 UNION ALL \
                 SELECT committed, fulfilled, key, order_id FROM items JOIN holds USING (item) \
                   WHERE site = ?1 AND key > ?2 \
                 ORDER BY key, order_id LIMIT ?4",
                (site.as_str(), key, order, column::rows_of(&page)),
                |row| audited_hold(connection, &site, row),
            )?;
            Ok(page.cut(holds, |it| format!("{}{SEPARATOR}{}", it.key, it.order)))
        })
        .await
    }

    async fn audit_items(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedItem>, StoreError> {
        let (site, page) = (site.clone(), page.clone());
        self.read(move |connection| {
            let values = named_params! {
                ":site": site.as_str(),
                ":after": page.after_text(),
                ":limit": column::rows_of(&page),
            };
            let keys = column::all(connection, AUDITED_KEYS, values, |row| {
                column::parsed(row, "key", StockKey::parse)
            })?;
            let mut keys = page.cut(keys, ToString::to_string);
            let mut items = Vec::new();
            for key in std::mem::take(&mut keys.items) {
                let counts = counts(connection, &site, &key)?;
                let sums = sums(connection, &site, &key)?;
                // Of many items only a name is known.
                if counts.is_some() || sums != Some(Counts::default()) {
                    items.push(AuditedItem { key, counts: counts.unwrap_or_default(), sums });
                }
            }
            Ok(keys.with(items))
        })
        .await
    }

    async fn repair_item(&self, site: &Site, repair: ItemRepair) -> Result<bool, StoreError> {
        let site = site.clone();
        self.write(move |connection| repair_item(connection, &site, &repair)).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(clock::now())
    }

    async fn trim_changes(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        for site in self.sites().await? {
            let trimmed = self.write(move |connection| trim(connection, &site, before)).await?;
            removed += u64::try_from(trimmed).unwrap_or(u64::MAX);
        }
        Ok(removed)
    }

    async fn ended_dead_letters(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<LoadedDeadLetter>, StoreError> {
        self.read(move |connection| dead_letters::ended(connection, before, limit)).await
    }

    async fn replay_chunk(
        &self,
        id: ReplayId,
        chunk: u32,
    ) -> Result<Vec<DeadLetterName>, StoreError> {
        self.read(move |connection| replays::chunk(connection, id, chunk)).await
    }

    async fn lead_replays(&self, leader: Fence) -> Result<Option<Fence>, StoreError> {
        self.write(move |connection| replays::lead(connection, leader)).await
    }

    async fn leader_clock(&self) -> Result<Option<LeaderClock>, StoreError> {
        self.read(leader_clock::find).await
    }

    /// Whoever leads has the lock of the directory: there is no later leader.
    async fn record_leader_clock(
        &self,
        clock: LeaderClock,
        _: Option<Fence>,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| leader_clock::record(connection, clock)).await?;
        Ok(true)
    }

    /// A file that has a site was not begun empty beside a journal, unless webhooks arrived before
    /// it was rebuilt; what it lacks besides, the leader finds out.
    async fn is_complete(&self) -> Result<bool, StoreError> {
        Ok(!self.sites().await?.is_empty() && self.gap().await? != Some(Gap::Found))
    }

    /// The file's sites are the record, unless the leader has found a gap.
    async fn record_complete(&self) -> Result<(), StoreError> {
        self.accept_gap().await
    }
}

fn audited_order(
    connection: &Connection,
    site: &Site,
    order: &OrderId,
) -> rusqlite::Result<Option<AuditedOrder>> {
    let Some(loaded) = entity::load(connection, &EntityId::order(site, order))? else {
        return Ok(None);
    };
    let revision = loaded.revision;
    let Some(record) = loaded.into_record() else { return Ok(None) };
    let name = order.to_string();
    let held = record.applied.keys().map(|key| {
        let found = column::first(
            connection,
            concat!(
                "SELECT committed, fulfilled FROM holds WHERE item = ",
                item!(),
                " AND order_id = ?3"
            ),
            (site.as_str(), key.to_string(), &name),
            column::hold,
        );
        Ok(found?.map(|hold| (key.clone(), hold)))
    });
    let held = held.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?;
    Ok(Some(AuditedOrder { order: order.clone(), revision, record, held }))
}

fn audited_hold(
    connection: &Connection,
    site: &Site,
    row: &Row<'_>,
) -> rusqlite::Result<AuditedHold> {
    let key = column::parsed(row, "key", StockKey::parse)?;
    let order = column::parsed(row, "order_id", OrderId::parse)?;
    let applied = match entity::load(connection, &EntityId::order(site, &order)) {
        Ok(loaded) => {
            Some(loaded.and_then(Loaded::into_record).map_or_else(Hold::default, |record| {
                record.applied.get(&key).copied().unwrap_or_default()
            }))
        }
        // An order that cannot be read is reported with the orders.
        Err(error) => column::corruption(error).map(|_| None)?,
    };
    Ok(AuditedHold { key, order, held: column::hold(row)?, applied })
}

/// The keys of a page: each part is a range of an index, and stops at the page's end.
const AUDITED_KEYS: &str = "SELECT key FROM \
       (SELECT key FROM stock WHERE site = :site AND is_counted AND key > :after \
       ORDER BY key LIMIT :limit) \
     UNION SELECT key FROM (SELECT key FROM items WHERE site = :site AND key > :after \
       ORDER BY key LIMIT :limit) \
     UNION SELECT key FROM (SELECT DISTINCT key FROM receipts \
       WHERE site = :site AND key > :after ORDER BY key LIMIT :limit) \
     ORDER BY 1 LIMIT :limit";

/// What an item counts, if it counts anything.
fn counts(
    connection: &Connection,
    site: &Site,
    key: &StockKey,
) -> rusqlite::Result<Option<Counts>> {
    column::first(
        connection,
        "SELECT received, committed, fulfilled FROM stock \
         WHERE site = ?1 AND key = ?2 AND is_counted",
        (site.as_str(), key.to_string()),
        |row| column::counts(row, 0),
    )
}

/// What an item is made of; `None` if that is more than can be counted. Added up here and not by
/// SQL, whose `sum` fails where a sum does not fit.
fn sums(connection: &Connection, site: &Site, key: &StockKey) -> rusqlite::Result<Option<Counts>> {
    let values = (site.as_str(), key.to_string());
    let mut parts = column::all(
        connection,
        // What closed orders keep is in the item's own row.
        concat!(
            "SELECT committed, fulfilled FROM holds WHERE item = ",
            item!(),
            " UNION ALL SELECT 0, closed_fulfilled FROM stock WHERE site = ?1 AND key = ?2"
        ),
        (&values.0, &values.1),
        |row| {
            let Hold { committed, fulfilled } = column::hold(row)?;
            Ok(Counts { received: Quantity::ZERO, committed, fulfilled })
        },
    )?;
    parts.extend(column::all(
        connection,
        "SELECT reference, state FROM receipts WHERE site = ?1 AND key = ?2",
        values,
        |row| {
            let received = receipt(row, site, key)?.received();
            Ok(Counts { received, ..Counts::default() })
        },
    )?);
    Ok(AuditedItem::sum(parts))
}

fn receipt(row: &Row<'_>, site: &Site, key: &StockKey) -> rusqlite::Result<Receipt> {
    let reference = column::parsed(row, "reference", Identifier::parse)?;
    let name = EntityName::Receipt(ReceiptId { key: key.clone(), reference });
    let entity = EntityId { site: site.clone(), name };
    state::decode(&entity, column::text(row, "state")?).map_err(column::unreadable)
}

fn repair_item(
    connection: &Connection,
    site: &Site,
    repair: &ItemRepair,
) -> rusqlite::Result<bool> {
    if counts(connection, site, &repair.key)?.unwrap_or_default() != repair.read {
        return Ok(false);
    }
    let (site, key) = (site.as_str(), repair.key.to_string());
    let Counts { received, committed, fulfilled } = repair.counts;
    item::number(connection, site, &key)?;
    column::execute(
        connection,
        "INSERT INTO stock (site, key, received, committed, fulfilled) \
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (site, key) DO UPDATE SET \
         received = excluded.received, committed = excluded.committed, \
         fulfilled = excluded.fulfilled, is_counted = 1",
        (site, &key, received.millionths(), committed.millionths(), fulfilled.millionths()),
    )?;
    let sequence: i64 = connection
        .prepare_cached(
            "INSERT INTO sites (site, last_sequence) VALUES (?1, 1) ON CONFLICT (site) \
             DO UPDATE SET last_sequence = last_sequence + 1 RETURNING last_sequence",
        )?
        .query_row((site,), |row| row.get(0))?;
    let change = PreparedChange::new(&StockChange {
        key: repair.key.clone(),
        cause: Cause::Repair(repair.actor.clone()),
        delta: repair.delta,
        hold: None,
        closed: None,
    });
    let mut insert = PreparedChange::inserter(connection)?;
    let origin = (repair.at.micros(), &*repair.message_id.to_string());
    change.insert(&mut insert, (site, sequence), origin, repair.counts)?;
    Ok(true)
}

/// Removes some of a site's oldest entries, as long as they are from before a time; returns how
/// many.
fn trim(connection: &Connection, site: &Site, before: Timestamp) -> rusqlite::Result<usize> {
    // Times need not grow with the sequence: what comes after a younger entry stays with it, so
    // that the feed has no gap.
    let oldest: Vec<(i64, i64)> = column::all(
        connection,
        "SELECT sequence, at FROM changes WHERE site = ?1 ORDER BY sequence LIMIT ?2",
        (site.as_str(), column::at_most(TRIM_MAX)),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let last = oldest.iter().take_while(|(_, at)| *at < before.micros()).last();
    let Some((last, _)) = last else { return Ok(0) };
    column::execute(
        connection,
        "DELETE FROM changes WHERE site = ?1 AND sequence <= ?2",
        (site.as_str(), last),
    )
}

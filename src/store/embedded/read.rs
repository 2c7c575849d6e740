//! Lists and single things for people and for the API, each read on one snapshot.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, Params, Row, named_params};

use super::feed::{change, epoch};
use super::item::item;
use super::{EmbeddedStore, column, commit, dead_letters, heartbeats, names, replays};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::{
    CatalogueId, ClosedName, Identifier, List, OrderId, PolicyOrigin, ReceiptId, Site, StockKey,
    StockKeyKind, Timestamp,
};
use crate::store::{
    Catalogue, Change, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, DeadLetterTotals,
    Direction, EntityId, EntityName, FeedStart, HeldBy, Listed, LoadedDeadLetter, LoadedReplay,
    Page, PageRequest, ReadStore, ReplayId, ReplayList, ReplayPlace, StockDetail, StockItem,
    StoreError, StoredReceipt, state,
};

/// SQL for whether nobody counts a row of `stock`: the catalogue marks it so, or it is only a line of
/// an order.
macro_rules! is_untracked {
    () => {
        "(stock.key GLOB 'line:*' OR EXISTS (SELECT 1 FROM untracked \
         WHERE untracked.site = stock.site AND untracked.key = stock.key))"
    };
}

#[async_trait]
impl ReadStore for EmbeddedStore {
    async fn policy_origin(&self) -> Result<Option<PolicyOrigin>, StoreError> {
        self.read(|connection| {
            column::first(connection, "SELECT actor, at FROM policy", (), |row| {
                Ok(PolicyOrigin { actor: row.get("actor")?, at: column::time(row, "at")? })
            })
        })
        .await
    }

    async fn sites(&self) -> Result<Vec<Site>, StoreError> {
        self.read(|connection| {
            column::all(connection, "SELECT site FROM sites ORDER BY site", (), |row| {
                column::parsed(row, "site", Site::parse)
            })
        })
        .await
    }

    async fn stock(
        &self,
        site: &Site,
        prefix: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<StockItem>, StoreError> {
        // Every text starts with the empty one: there is nothing to look for.
        let prefix = prefix.filter(|prefix| !prefix.is_empty()).map(str::to_owned);
        let (site, page) = (site.clone(), page.clone());
        self.read(move |connection| {
            let items = match prefix {
                Some(prefix) => items_with_prefix(connection, &site, &prefix, &page)?,
                None => column::all(
                    connection,
                    &format!("{STOCK_ITEM} AND key > :after ORDER BY key LIMIT :limit"),
                    named_params! {
                        ":site": site.as_str(),
                        ":after": page.after_text(),
                        ":limit": column::rows_of(&page),
                    },
                    |row| stock_item(row, &site),
                )?,
            };
            Ok(page.cut(items, |item| item.key.to_string()))
        })
        .await
    }

    async fn stock_item(
        &self,
        site: &Site,
        key: &StockKey,
        holds: &PageRequest,
    ) -> Result<Option<StockDetail>, StoreError> {
        let (site, key, holds) = (site.clone(), key.to_string(), holds.clone());
        self.read(move |connection| stock_detail(connection, &site, &key, &holds)).await
    }

    async fn receipts(
        &self,
        site: &Site,
        key: &StockKey,
        page: &PageRequest,
    ) -> Result<Page<StoredReceipt>, StoreError> {
        let (site, key, page) = (site.clone(), key.clone(), page.clone());
        self.read(move |connection| {
            let receipts = column::all(
                connection,
                "SELECT reference, state FROM receipts WHERE site = ?1 AND key = ?2 \
                 AND reference > ?3 ORDER BY reference LIMIT ?4",
                (site.as_str(), key.to_string(), page.after_text(), column::rows_of(&page)),
                |row| {
                    let reference = column::parsed(row, "reference", Identifier::parse)?;
                    let id = ReceiptId { key: key.clone(), reference: reference.clone() };
                    let entity = EntityId { site: site.clone(), name: EntityName::Receipt(id) };
                    let receipt = state::decode(&entity, column::text(row, "state")?);
                    let receipt = receipt.map_err(column::unreadable)?;
                    Ok(StoredReceipt { reference, receipt })
                },
            )?;
            Ok(page.cut(receipts, |receipt| receipt.reference.to_string()))
        })
        .await
    }

    async fn closed(
        &self,
        site: &Site,
        names: &[OrderId],
    ) -> Result<(Vec<Option<ClosedName>>, Timestamp), StoreError> {
        let (site, names) = (site.clone(), names.to_vec());
        self.read(move |connection| {
            let find = |name| commit::closed_name(connection, site.as_str(), name);
            let closed = names.iter().map(find).collect::<rusqlite::Result<_>>()?;
            Ok((closed, commit::watermark(connection, site.as_str())?))
        })
        .await
    }

    async fn listed(
        &self,
        site: &Site,
        list: List,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<Listed>, StoreError> {
        let (site, page, cursor) = (site.clone(), page.clone(), Listed::parse_cursor(page)?);
        let (select, first) = match direction {
            Direction::OldestFirst => (
                "SELECT at, name FROM order_lists WHERE site = ?1 AND list = ?2 \
                 AND (at, name) > (?3, ?4) ORDER BY at, name LIMIT ?5",
                (i64::MIN, Value::Text(String::new())),
            ),
            Direction::NewestFirst => (
                "SELECT at, name FROM order_lists WHERE site = ?1 AND list = ?2 \
                 AND (at, name) < (?3, ?4) ORDER BY at DESC, name DESC LIMIT ?5",
                // A BLOB is greater than every text.
                (i64::MAX, Value::Blob(Vec::new())),
            ),
        };
        let (at, name) = cursor.map_or(first, |(at, name)| (at, Value::Text(name)));
        self.read(move |connection| {
            let values = (site.as_str(), list.as_str(), at, name, column::rows_of(&page));
            let orders = column::all(connection, select, values, |row| {
                let order = column::parsed(row, "name", OrderId::parse)?;
                Ok(Listed { order, at: column::time(row, "at")? })
            })?;
            Ok(page.cut(orders, Listed::cursor))
        })
        .await
    }

    /// Each site's part of the list is a range of the table.
    async fn count_listed(&self, list: List) -> Result<u64, StoreError> {
        self.count(
            "SELECT coalesce(sum((SELECT count(*) FROM order_lists \
             WHERE order_lists.site = sites.site AND list = ?1)), 0) FROM sites",
            [list.as_str()],
        )
        .await
    }

    async fn items_named(
        &self,
        site: &Site,
        kind: Option<StockKeyKind>,
        name: &Identifier,
        limit: usize,
    ) -> Result<Vec<StockKey>, StoreError> {
        let (site, name) = (site.clone(), name.clone());
        self.read(move |connection| names::items_named(connection, &site, kind, &name, limit)).await
    }

    async fn catalogue(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<Catalogue>, StoreError> {
        let (site, page) = (site.clone(), page.clone());
        self.read(move |connection| {
            let entries = column::all(
                connection,
                "SELECT id, state FROM catalogue WHERE site = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
                (site.as_str(), page.after_text(), column::rows_of(&page)),
                |row| {
                    let id = column::parsed(row, "id", CatalogueId::parse)?;
                    let name = EntityName::Catalogue(id.clone());
                    let entity = EntityId { site: site.clone(), name };
                    let entry = state::decode(&entity, column::text(row, "state")?);
                    Ok(Catalogue { id, entry: entry.map_err(column::unreadable)? })
                },
            )?;
            Ok(page.cut(entries, |entry| entry.id.to_string()))
        })
        .await
    }

    async fn changes(
        &self,
        site: &Site,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let site = site.clone();
        self.read(move |connection| {
            let epoch = epoch(connection)?;
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            column::all(
                connection,
                "SELECT delta_received, delta_committed, delta_fulfilled, \
                 received, committed, fulfilled, sequence, at, key, cause, cause_id, message_id \
                 FROM changes WHERE site = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
                (site.as_str(), after, column::at_most(limit)),
                |row| change(row, &epoch),
            )
        })
        .await
    }

    async fn feed_start(&self, site: &Site) -> Result<FeedStart, StoreError> {
        let site = site.clone();
        self.read(move |connection| {
            // Sequences have no gaps: what comes before the first that is kept was trimmed, and all
            // of them if none is kept.
            let found = column::first(
                connection,
                "SELECT coalesce((SELECT min(sequence) - 1 FROM changes WHERE site = ?1), \
                 last_sequence), last_sequence FROM sites WHERE site = ?1",
                [site.as_str()],
                |row| Ok((column::natural(row, 0)?, column::natural(row, 1)?)),
            )?;
            let (trimmed, last) = found.unwrap_or_default();
            Ok(FeedStart { epoch: epoch(connection)?, trimmed, last })
        })
        .await
    }

    /// Totals are within 4e18 of zero: a difference of two fits 64 bits, one of three would not.
    async fn oversold(&self) -> Result<u64, StoreError> {
        self.count(
            concat!(
                "SELECT count(*) FROM stock WHERE received - committed < fulfilled AND NOT ",
                is_untracked!()
            ),
            (),
        )
        .await
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, StoreError> {
        self.read(heartbeats::all).await
    }

    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterPlace>,
        limit: usize,
    ) -> Result<Vec<LoadedDeadLetter>, StoreError> {
        let selection = dead_letters::Selection::new(filter, after, limit);
        self.read(move |connection| dead_letters::list(connection, &selection)).await
    }

    async fn dead_letter_groups(&self) -> Result<Vec<DeadLetterGroup>, StoreError> {
        self.read(dead_letters::groups).await
    }

    async fn dead_letter_totals(&self) -> Result<DeadLetterTotals, StoreError> {
        self.read(dead_letters::totals).await
    }

    async fn load_replay(&self, id: ReplayId) -> Result<Option<LoadedReplay>, StoreError> {
        self.read(move |connection| replays::load(connection, id)).await
    }

    async fn list_replays(
        &self,
        list: ReplayList,
        after: Option<ReplayPlace>,
        limit: usize,
    ) -> Result<Vec<LoadedReplay>, StoreError> {
        self.read(move |connection| replays::list(connection, list, after, limit)).await
    }

    fn is_volatile(&self) -> Option<bool> {
        Some(false)
    }

    fn failovers(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }
}

impl EmbeddedStore {
    /// The one number that a statement finds.
    async fn count(
        &self,
        sql: &'static str,
        values: impl Params + Send + 'static,
    ) -> Result<u64, StoreError> {
        let count = self.read(move |connection| {
            column::first(connection, sql, values, |row| column::natural(row, 0))
        });
        Ok(count.await?.unwrap_or_default())
    }
}

/// An item's row, with the first of the names that the catalogue gives it, or else a line's.
const STOCK_ITEM: &str = concat!(
    "SELECT received, committed, fulfilled, closed_orders, closed_fulfilled, key, ",
    is_untracked!(),
    " AS is_untracked, \
     coalesce((SELECT name FROM catalogue_names AS given \
       WHERE given.site = stock.site AND given.key = stock.key \
       ORDER BY deleted, entry LIMIT 1), line_name) AS name \
     FROM stock WHERE site = :site AND is_counted"
);

fn stock_item(row: &Row<'_>, site: &Site) -> rusqlite::Result<StockItem> {
    Ok(StockItem {
        site: site.clone(),
        key: column::parsed(row, "key", StockKey::parse)?,
        name: row.get("name")?,
        is_untracked: row.get("is_untracked")?,
        counts: column::counts(row, 0)?,
    })
}

/// The keys of a page of items whose key, or whose shown name, starts with what is wanted.
///
/// Every part is a range of an index. A page starts at the cursor or at the prefix, whichever comes
/// later; the key that *is* the prefix is a part of its own, so that both can be left out. Left to
/// itself, SQLite would read the names in order of key, and all of them for a rare name.
const WANTED: &str = "SELECT key FROM stock WHERE site = :site AND is_counted \
       AND key > max(:after, :prefix) AND key < :after_prefix \
     UNION SELECT key FROM stock \
       WHERE site = :site AND is_counted AND key = :prefix AND key > :after \
     UNION SELECT shown.key FROM catalogue_names AS shown \
       INDEXED BY catalogue_names_in_lowercase \
       WHERE shown.site = :site \
       AND shown.lowercase >= :lowercase AND shown.lowercase < :after_lowercase \
       AND shown.key > :after \
       AND EXISTS (SELECT 1 FROM stock \
         WHERE stock.site = :site AND stock.key = shown.key AND is_counted) \
       AND NOT EXISTS (SELECT 1 FROM catalogue_names AS better WHERE better.site = :site \
         AND better.key = shown.key \
         AND (better.deleted, better.entry) < (shown.deleted, shown.entry)) \
     UNION SELECT line.key FROM stock AS line INDEXED BY stock_by_line_name \
       WHERE line.site = :site AND line.is_counted \
       AND line.line_lowercase >= :lowercase AND line.line_lowercase < :after_lowercase \
       AND line.key > :after \
       AND NOT EXISTS (SELECT 1 FROM catalogue_names AS given \
         WHERE given.site = :site AND given.key = line.key) \
     ORDER BY 1 LIMIT :limit";

fn items_with_prefix(
    connection: &Connection,
    site: &Site,
    prefix: &str,
    page: &PageRequest,
) -> rusqlite::Result<Vec<StockItem>> {
    let lowercase = prefix.to_lowercase();
    column::all(
        connection,
        &format!("{STOCK_ITEM} AND key IN ({WANTED}) ORDER BY key"),
        named_params! {
            ":site": site.as_str(),
            ":after": page.after_text(),
            ":prefix": prefix,
            ":after_prefix": column::after_prefix(prefix),
            ":lowercase": lowercase,
            ":after_lowercase": column::after_prefix(&lowercase),
            ":limit": column::rows_of(page),
        },
        |row| stock_item(row, site),
    )
}

fn stock_detail(
    connection: &Connection,
    site: &Site,
    key: &str,
    holds: &PageRequest,
) -> rusqlite::Result<Option<StockDetail>> {
    let item = column::first(
        connection,
        &format!("{STOCK_ITEM} AND key = :key"),
        named_params! {":site": site.as_str(), ":key": key},
        |row| {
            let closed_fulfilled = column::quantity(row, "closed_fulfilled")?;
            let closed_orders = column::natural(row, "closed_orders")?;
            Ok((stock_item(row, site)?, closed_orders, closed_fulfilled))
        },
    )?;
    let Some((item, closed_orders, closed_fulfilled)) = item else { return Ok(None) };
    let held = column::all(
        connection,
        concat!(
            "SELECT order_id, committed, fulfilled FROM holds WHERE item = ",
            item!(),
            " AND order_id > ?3 ORDER BY order_id LIMIT ?4"
        ),
        (site.as_str(), key, holds.after_text(), column::rows_of(holds)),
        |row| {
            let order = column::parsed(row, "order_id", OrderId::parse)?;
            Ok(HeldBy { order, hold: column::hold(row)? })
        },
    )?;
    let dead = column::first(
        connection,
        "SELECT count(*) FROM dead_letters WHERE site = ?1 AND failed_at IS NOT NULL",
        [site.as_str()],
        |row| column::natural(row, 0),
    )?;
    let holds = holds.cut(held, |held| held.order.to_string());
    let dead = dead.unwrap_or_default();
    Ok(Some(StockDetail { item, holds, closed_orders, closed_fulfilled, dead }))
}

//! Lists and single things for people and for the API.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use redis::{Cmd, Value};

use super::call::list_key;
use super::value::{self, parsed, read};
use super::{RedisStore, closed, dead_letters, feed, heartbeats, names, range, sites, stock};
use crate::domain::heartbeat::Heartbeat;
use crate::domain::{
    CatalogueId, ClosedName, Identifier, List, OrderId, PolicyOrigin, ReceiptId, Site, StockKey,
    StockKeyKind, Timestamp,
};
use crate::store::{
    Asked, Catalogue, Change, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, DeadLetterTotals,
    Direction, EntityId, EntityName, EntityState, FeedStart, HeldBy, Listed, LoadedDeadLetter,
    LoadedReplay, Page, PageRequest, ReadStore, ReplayId, ReplayList, ReplayPlace, StateStore,
    StockDetail, StockItem, StoreError, StoredReceipt,
};

#[async_trait]
impl ReadStore for RedisStore {
    async fn policy_origin(&self) -> Result<Option<PolicyOrigin>, StoreError> {
        let key = self.client.keys().global("policy");
        let found: (Option<String>, Option<String>) =
            self.client.query(&Cmd::hmget(&key, &["actor", "at"])).await?;
        let (Some(actor), Some(at)) = found else { return Ok(None) };
        Ok(Some(PolicyOrigin { actor, at: value::time(&key, &at)? }))
    }

    async fn sites(&self) -> Result<Vec<Site>, StoreError> {
        sites::list(&self.client).await
    }

    async fn stock(
        &self,
        site: &Site,
        prefix: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<StockItem>, StoreError> {
        let (client, items) = (&self.client, self.client.key(site, &["items"]));
        let (after, limit) = (page.after.as_deref(), page.rows());
        // Every text starts with the empty one: there is nothing to look for.
        let keys: BTreeSet<String> = match prefix.filter(|prefix| !prefix.is_empty()) {
            None => client.query(&range::after(&items, after, limit)).await?,
            Some(prefix) => {
                let by_key = range::with_prefix(&items, prefix, after, limit);
                let mut keys: BTreeSet<String> = client.query(&by_key).await?;
                keys.extend(names::with_prefix(client, site, prefix, after).await?);
                keys
            }
        };
        let keys = page.cut(keys.into_iter().take(limit).collect(), String::clone);
        let items = stock::items(client, site, &keys.items).await?;
        Ok(keys.with(items))
    }

    async fn stock_item(
        &self,
        site: &Site,
        key: &StockKey,
        holds: &PageRequest,
    ) -> Result<Option<StockDetail>, StoreError> {
        let (client, key) = (&self.client, key.to_string());
        let find = Cmd::zscore(client.key(site, &["items"]), &key);
        if client.query::<Value>(&find).await? == Value::Nil {
            return Ok(None);
        }
        let items = stock::items(client, site, std::slice::from_ref(&key)).await?;
        let Some(item) = items.into_iter().next() else { return Ok(None) };
        let holds_key = client.key(site, &["holds", &key]);
        let closed: Option<String> = client.query(&Cmd::hget(&holds_key, stock::CLOSED)).await?;
        let (closed_orders, closed_fulfilled) = stock::closed(&holds_key, closed.as_deref())?;
        let held = stock::holds(client, &holds_key, holds.after.as_deref(), holds.rows()).await?;
        let held = held.into_iter().map(|(order, hold)| {
            let order = parsed(&holds_key, &order, OrderId::parse)?;
            Ok(HeldBy { order, hold: value::hold(&holds_key, &hold)? })
        });
        let held = held.collect::<Result<Vec<_>, StoreError>>()?;
        let holds = holds.cut(held, |held| held.order.to_string());
        let dead = dead_letters::parked_of(client, site).await?;
        Ok(Some(StockDetail { item, holds, closed_orders, closed_fulfilled, dead }))
    }

    async fn receipts(
        &self,
        site: &Site,
        key: &StockKey,
        page: &PageRequest,
    ) -> Result<Page<StoredReceipt>, StoreError> {
        let list = self.client.key(site, &["receipts", &key.to_string()]);
        let received: BTreeMap<String, String> = self.client.query(&Cmd::hgetall(&list)).await?;
        let after = page.after.as_deref().unwrap_or_default();
        let references = received.into_keys().filter(|reference| reference.as_str() > after);
        let references = page.cut(references.take(page.rows()).collect(), String::clone);
        let ids = references.items.iter().map(|text| {
            let reference = parsed(&list, text, Identifier::parse)?;
            Ok(ReceiptId { key: key.clone(), reference })
        });
        let ids = ids.collect::<Result<Vec<_>, StoreError>>()?;
        let entity =
            |id: &ReceiptId| EntityId { site: site.clone(), name: EntityName::Receipt(id.clone()) };
        let asked = Asked { entities: ids.iter().map(entity).collect(), links: Vec::new() };
        let loaded = self.load(&asked).await?.entities;
        let receipts = ids.into_iter().zip(loaded).filter_map(|(id, loaded)| match loaded?.state {
            EntityState::Receipt(receipt) => {
                Some(StoredReceipt { reference: id.reference, receipt })
            }
            EntityState::Order(_) | EntityState::Catalogue(_) => None,
        });
        let receipts = receipts.collect();
        Ok(references.with(receipts))
    }

    async fn closed(
        &self,
        site: &Site,
        names: &[OrderId],
    ) -> Result<(Vec<Option<ClosedName>>, Timestamp), StoreError> {
        closed::find(&self.client, site, names).await
    }

    /// A page of a list: by time, and among equal times by name.
    async fn listed(
        &self,
        site: &Site,
        list: List,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<Listed>, StoreError> {
        let key = list_key(self.client.keys(), site, list);
        let after = Listed::parse_cursor(page)?;
        let start = after.as_ref().map(|(at, _)| at.to_string());
        let is_after = |at: i64, name: &str| {
            after.as_ref().is_none_or(|(last_at, last)| match direction {
                Direction::OldestFirst => (at, name) > (*last_at, last),
                Direction::NewestFirst => (at, name) < (*last_at, last),
            })
        };
        let (mut orders, mut offset, step) = (Vec::new(), 0, page.rows().min(value::READ_STEP));
        loop {
            let start = |first| start.as_deref().unwrap_or(first);
            let mut range = redis::cmd("ZRANGE");
            range.arg(&key);
            match direction {
                Direction::OldestFirst => range.arg(start("-inf")).arg("+inf").arg("BYSCORE"),
                Direction::NewestFirst => {
                    range.arg(start("+inf")).arg("-inf").arg("BYSCORE").arg("REV")
                }
            };
            range.arg("LIMIT").arg(offset).arg(step).arg("WITHSCORES");
            let found: Vec<(String, i64)> = self.client.query(&range).await?;
            offset += found.len();
            let is_last = found.len() < step;
            // Those of the cursor's own moment are in order of name.
            for (name, at) in found.into_iter().filter(|(name, at)| is_after(*at, name)) {
                let order = parsed(&key, &name, OrderId::parse)?;
                orders.push(Listed { order, at: Timestamp::from_micros(at) });
            }
            if is_last || orders.len() >= page.rows() {
                orders.truncate(page.rows());
                return Ok(page.cut(orders, Listed::cursor));
            }
        }
    }

    async fn count_listed(&self, list: List) -> Result<u64, StoreError> {
        let sites = sites::list(&self.client).await?;
        let count = |site| {
            let key = list_key(self.client.keys(), site, list);
            let count = Cmd::zcard(&key);
            (key, count)
        };
        let answers = self.client.query_all(sites.iter().map(count).collect()).await?;
        answers.into_iter().map(|answer| read::<u64>("a list of orders", answer)).sum()
    }

    async fn items_named(
        &self,
        site: &Site,
        kind: Option<StockKeyKind>,
        name: &Identifier,
        limit: usize,
    ) -> Result<Vec<StockKey>, StoreError> {
        names::items_named(&self.client, site, kind, name, limit).await
    }

    async fn catalogue(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<Catalogue>, StoreError> {
        let list = self.client.key(site, &["catalogue"]);
        let names = range::after(&list, page.after.as_deref(), page.rows());
        let names = page.cut(self.client.query::<Vec<String>>(&names).await?, String::clone);
        let ids = names.items.iter().map(|name| parsed(&list, name, CatalogueId::parse));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let entity = |id: &CatalogueId| EntityId {
            site: site.clone(),
            name: EntityName::Catalogue(id.clone()),
        };
        let asked = Asked { entities: ids.iter().map(entity).collect(), links: Vec::new() };
        let loaded = self.load(&asked).await?.entities;
        let items = ids.into_iter().zip(loaded).filter_map(|(id, loaded)| match loaded?.state {
            EntityState::Catalogue(entry) => Some(Catalogue { id, entry }),
            EntityState::Order(_) | EntityState::Receipt(_) => None,
        });
        let items = items.collect();
        Ok(names.with(items))
    }

    async fn changes(
        &self,
        site: &Site,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        feed::changes(&self.client, site, after, limit).await
    }

    async fn feed_start(&self, site: &Site) -> Result<FeedStart, StoreError> {
        feed::start(&self.client, site).await
    }

    async fn oversold(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        let sites = sites::list(&self.client).await?;
        let scan = |key: &str, cursor: u64| {
            let mut scan = redis::cmd("SSCAN");
            scan.arg(key).arg(cursor).arg("COUNT").arg(value::READ_STEP);
            scan
        };
        let first = |site| {
            let key = self.client.key(site, &["oversold"]);
            let first = scan(&key, 0);
            (key, first)
        };
        // All sites at once first: of many, few have any.
        let firsts = self.client.query_all(sites.iter().map(first).collect()).await?;
        for (site, first) in sites.into_iter().zip(firsts) {
            if read::<(u64, Vec<String>)>("oversold items", first)? == (0, Vec::new()) {
                continue;
            }
            let oversold = self.client.key(&site, &["oversold"]);
            let (mut keys, mut cursor) = (BTreeSet::new(), 0_u64);
            loop {
                let scan = scan(&oversold, cursor);
                let found: Vec<String>;
                (cursor, found) = self.client.query(&scan).await?;
                // One that was found before may be found again.
                let new = found.into_iter().filter(|key| keys.insert(key.clone()));
                let new: Vec<String> = new.collect();
                for is_untracked in stock::untracked(&self.client, &site, &new).await? {
                    count += u64::from(!is_untracked);
                }
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(count)
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, StoreError> {
        heartbeats::all(&self.client).await
    }

    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterPlace>,
        limit: usize,
    ) -> Result<Vec<LoadedDeadLetter>, StoreError> {
        dead_letters::list(&self.client, filter, after, limit).await
    }

    async fn dead_letter_groups(&self) -> Result<Vec<DeadLetterGroup>, StoreError> {
        dead_letters::groups(&self.client).await
    }

    async fn dead_letter_totals(&self) -> Result<DeadLetterTotals, StoreError> {
        dead_letters::totals(&self.client).await
    }

    async fn load_replay(&self, id: ReplayId) -> Result<Option<LoadedReplay>, StoreError> {
        dead_letters::load_replay(&self.client, id).await
    }

    async fn list_replays(
        &self,
        list: ReplayList,
        after: Option<ReplayPlace>,
        limit: usize,
    ) -> Result<Vec<LoadedReplay>, StoreError> {
        dead_letters::list_replays(&self.client, list, after, limit).await
    }

    /// A server without an append-only file has nothing of its last writes on disk.
    fn is_volatile(&self) -> Option<bool> {
        self.client.servers().is_volatile()
    }

    /// A replica was promoted, or a server began anew: writes that were answered just before may be
    /// lost.
    fn failovers(&self) -> u64 {
        self.client.servers().failovers()
    }
}

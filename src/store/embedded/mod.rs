//! The Store in one SQLite file, `store.db`.
//!
//! Every call is one job on the file: reads see one snapshot of what is committed, writes share
//! the writer's next group and answer when it is durable. Several processes may have the file
//! open; the writer's lock makes them take turns, so a revision that was compared is still there
//! when its commit is written.
//!
//! # Invariants
//! - Everything that can refuse a commit is looked at before its first write.
//! - Names are bound as values, each in a column of its own; no SQL is made of them.
//! - No rule is applied here.

mod audit;
mod closing;
mod column;
mod commit;
mod dead_letters;
mod entity;
mod feed;
mod file;
mod item;
mod links;
mod lists;
mod names;
mod policy;
mod read;
mod repair;
mod replays;
mod schema;
mod stock;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use rusqlite::Connection;

use self::commit::PreparedCommit;
use super::{
    Asked, AuditedHold, AuditedItem, AuditedOrder, Catalogue, Change, Commit, Committed,
    DeadLetterCommit, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, DeadLetterTotals,
    DeadLettersCommitted, Direction, FeedStart, Fence, Found, ItemRepair, LetterName, Listed,
    LoadedDeadLetter, LoadedReplay, Page, PageRequest, PolicyInForce, ReadStore, ReplayId,
    ReplayList, ReplayPlace, StateStore, StockDetail, StockItem, StoreError, UpkeepStore, state,
};
use crate::domain::{
    ClosedName, Identifier, Link, List, MessageId, OrderId, Policy, PolicyOrigin, Site, StockKey,
    StockKeyKind, Timestamp,
};
use crate::sqlite::Database;

/// A Store in a directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    database: Database,
}

#[async_trait]
impl StateStore for EmbeddedStore {
    async fn load(&self, asked: &Asked) -> Result<Found, StoreError> {
        let asked = asked.clone();
        self.read(move |connection| {
            let entities = asked.entities.iter().map(|entity| entity::load(connection, entity));
            let links = asked.links.iter().map(|(site, name)| links::find(connection, site, name));
            Ok(Found {
                entities: entities.collect::<rusqlite::Result<_>>()?,
                links: links.collect::<rusqlite::Result<_>>()?,
            })
        })
        .await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>, StoreError> {
        let commits =
            commits.iter().map(PreparedCommit::new).collect::<Result<Vec<_>, StoreError>>()?;
        let write = move |connection: &Connection| {
            let in_force = policy::revision(connection)?;
            commits.iter().map(|commit| commit.write(connection, in_force)).collect()
        };
        Ok(self.database.write(write).await?)
    }

    async fn policy(&self) -> Result<Option<PolicyInForce>, StoreError> {
        self.read(policy::find).await
    }

    async fn adopt_policy(
        &self,
        proposed: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError> {
        // Not only for speed: a worker then starts also while nothing can be written.
        if let Some(in_force) = self.read(policy::find).await? {
            return Ok(in_force);
        }
        let (proposed, origin) = (state::encode(proposed)?, origin.clone());
        let propose = move |connection: &_| policy::propose(connection, &proposed, &origin);
        self.database.write(propose).await?;
        let in_force = self.read(policy::find).await?;
        in_force.ok_or_else(|| StoreError::Corrupt {
            detail: "store.db lost the policy that was just recorded; restore it from a backup"
                .to_owned(),
        })
    }

    async fn load_dead_letters(
        &self,
        ids: &[MessageId],
        with_bodies: bool,
    ) -> Result<Vec<Option<LoadedDeadLetter>>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |connection| dead_letters::load(connection, &ids, with_bodies)).await
    }

    async fn commit_dead_letters(
        &self,
        commits: Vec<DeadLetterCommit>,
    ) -> Result<Vec<DeadLettersCommitted>, StoreError> {
        if commits.is_empty() {
            return Ok(Vec::new());
        }
        let commits = commits.into_iter().map(dead_letters::PreparedCommit::new);
        let commits = commits.collect::<Result<Vec<_>, StoreError>>()?;
        let write = move |connection: &Connection| {
            commits.iter().map(|commit| commit.write(connection)).collect()
        };
        Ok(self.database.write(write).await?)
    }

    fn memory_max(&self) -> Option<u64> {
        None
    }

    /// Writes for real: a transaction without a change would not notice a full disk.
    async fn check(&self) -> Result<(), StoreError> {
        self.read(|connection| {
            connection.prepare_cached("SELECT probes FROM meta")?.query_row((), |_| Ok(()))
        })
        .await?;
        let write = |connection: &Connection| {
            connection.prepare_cached("UPDATE meta SET probes = probes + 1")?.execute(())
        };
        self.database.write(write).await?;
        Ok(())
    }

    async fn close(&self) {
        self.database.close().await;
    }
}

#[async_trait]
impl ReadStore for EmbeddedStore {
    async fn policy_origin(&self) -> Result<Option<PolicyOrigin>, StoreError> {
        self.read(policy::origin).await
    }

    async fn sites(&self) -> Result<Vec<Site>, StoreError> {
        self.read(read::sites).await
    }

    async fn stock(
        &self,
        site: &Site,
        prefix: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<StockItem>, StoreError> {
        let (site, prefix, page) = (site.clone(), prefix.map(str::to_owned), page.clone());
        self.read(move |connection| read::stock(connection, &site, prefix.as_deref(), &page)).await
    }

    async fn stock_item(
        &self,
        site: &Site,
        key: &StockKey,
        holds: &PageRequest,
    ) -> Result<Option<StockDetail>, StoreError> {
        let (site, key, holds) = (site.clone(), key.clone(), holds.clone());
        self.read(move |connection| read::stock_item(connection, &site, &key, &holds)).await
    }

    async fn closed(
        &self,
        site: &Site,
        names: &[OrderId],
    ) -> Result<(Vec<Option<ClosedName>>, Timestamp), StoreError> {
        let (site, names) = (site.clone(), names.to_vec());
        self.read(move |connection| {
            let find = |name: &OrderId| closing::find(connection, site.as_str(), &name.to_string());
            let closed = names.iter().map(find).collect::<rusqlite::Result<_>>()?;
            Ok((closed, closing::watermark(connection, site.as_str())?))
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
        let cursor = lists::parse_cursor(page.after.as_deref(), direction)?;
        let (site, limit) = (site.clone(), page.limit);
        self.read(move |connection| lists::page(connection, &site, list, direction, &cursor, limit))
            .await
    }

    async fn count_listed(&self, list: List) -> Result<u64, StoreError> {
        self.read(move |connection| lists::count(connection, list)).await
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
        self.read(move |connection| read::catalogue(connection, &site, &page)).await
    }

    async fn changes(
        &self,
        site: &Site,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let site = site.clone();
        self.read(move |connection| read::changes(connection, &site, after, limit)).await
    }

    async fn feed_start(&self, site: &Site) -> Result<FeedStart, StoreError> {
        let site = site.clone();
        self.read(move |connection| feed::start(connection, &site)).await
    }

    async fn oversold(&self) -> Result<u64, StoreError> {
        self.read(read::oversold).await
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
        0
    }
}

#[async_trait]
impl UpkeepStore for EmbeddedStore {
    async fn replace_policy(
        &self,
        policy: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError> {
        let (policy, origin) = (state::encode(policy)?, origin.clone());
        let replace = move |connection: &Connection| policy::replace(connection, &policy, &origin);
        Ok(self.database.write(replace).await?)
    }

    async fn links(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<(OrderId, Link)>, StoreError> {
        let (site, page) = (site.clone(), page.clone());
        self.read(move |connection| links::list(connection, &site, &page)).await
    }

    async fn audit_orders(
        &self,
        site: &Site,
        orders: &[OrderId],
    ) -> Result<Vec<AuditedOrder>, StoreError> {
        let (site, orders) = (site.clone(), orders.to_vec());
        self.read(move |connection| audit::orders(connection, &site, &orders)).await
    }

    async fn audit_holds(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedHold>, StoreError> {
        let (site, page) = (site.clone(), page.clone());
        self.read(move |connection| audit::holds(connection, &site, &page)).await
    }

    async fn audit_items(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedItem>, StoreError> {
        let (site, page) = (site.clone(), page.clone());
        self.read(move |connection| audit::items(connection, &site, &page)).await
    }

    async fn repair_item(&self, site: &Site, repair: ItemRepair) -> Result<bool, StoreError> {
        let site = site.clone();
        let write = move |connection: &_| repair::item(connection, &site, &repair);
        Ok(self.database.write(write).await?)
    }

    async fn trim_changes(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        for site in self.sites().await? {
            let mut may_go_on = true;
            while may_go_on {
                let site = site.clone();
                let step = move |connection: &Connection| feed::trim(connection, &site, before);
                let (count, more) = self.database.write(step).await?;
                removed += count;
                may_go_on = more;
            }
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

    async fn replay_chunk(&self, id: ReplayId, chunk: u32) -> Result<Vec<LetterName>, StoreError> {
        self.read(move |connection| replays::chunk(connection, id, chunk)).await
    }

    async fn lead_replays(&self, leader: Fence) -> Result<Option<Fence>, StoreError> {
        Ok(self.database.write(move |connection| replays::lead(connection, leader)).await?)
    }

    /// A file that has a site was not begun empty beside a journal, unless webhooks came before it
    /// was rebuilt: a person who replaces the file is told to stop the service before.
    async fn is_whole(&self) -> Result<bool, StoreError> {
        Ok(!self.sites().await?.is_empty())
    }

    /// The file's sites say so by themselves.
    async fn note_whole(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

//! The Store in Redis: one server, a master that Sentinels name, or a cluster.
//!
//! Every write is one script, which runs alone and names all keys that it touches. Keys of a site
//! are in one hash slot, so that a commit is one step wherever the site lives.
//!
//! What was answered outlives this process. What of it outlives the server is the server's to say:
//! all with `appendfsync always`, all but the last second with `everysec`, and a replica that is
//! promoted may miss what had not reached it. [`RedisStore::failovers`] counts when that may have
//! happened: the journal has the webhooks of those moments.
//!
//! # Invariants
//! - Everything that can refuse a write is looked at before its first write: Redis undoes nothing.
//! - Nothing that was sent is sent again by itself: a commit without an answer was written or not,
//!   and a fresh load finds out which.
//! - No quantity is a float that is not exact: Lua's numbers are floats, so counts are texts there,
//!   and long ones are added in parts.
//! - No rule is applied here.

mod audit;
mod call;
mod client;
mod closed;
mod commit;
mod connection;
mod dead_letters;
mod entity;
mod failure;
mod feed;
mod history;
mod keys;
mod layout;
mod lease;
mod lex;
mod moment;
mod names;
mod options;
mod orders;
mod refusal;
mod relay;
mod repair;
mod script;
mod server;
mod sites;
mod slot;
mod stock;
mod value;

use async_trait::async_trait;

use self::client::Client;
pub use self::history::KnownHistory;
pub use self::options::{RedisMode, RedisOptions};
pub use self::relay::Relayed;
use super::{
    Asked, AuditedHold, AuditedItem, AuditedOrder, Catalogue, Change, Commit, Committed,
    DeadLetterCommit, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, DeadLetterTotals,
    DeadLettersCommitted, Direction, FeedStart, Fence, Found, ItemRepair, LetterName, Listed,
    LoadedDeadLetter, LoadedReplay, Page, PageRequest, PolicyInForce, ReadStore, ReplayId,
    ReplayList, ReplayPlace, StateStore, StockDetail, StockItem, StoreError, UpkeepStore,
};
use crate::domain::{
    ClosedName, Identifier, Link, List, MessageId, OrderId, Policy, PolicyOrigin, Site, StockKey,
    StockKeyKind, Timestamp,
};

/// A Store in Redis.
#[derive(Debug)]
pub struct RedisStore {
    client: Client,
    announces: bool,
}

impl RedisStore {
    /// A Store that need not be reachable yet, for services: calls fail as unavailable until it is.
    pub fn start(options: &RedisOptions) -> Result<Self, StoreError> {
        Ok(Self { client: Client::new(options)?, announces: options.announces })
    }

    /// A Store that is reachable now, for commands. A server that may drop keys when it is full, or
    /// is too old, is rejected.
    pub async fn connect(options: &RedisOptions) -> Result<Self, StoreError> {
        let store = Self::start(options)?;
        store.client.connect().await?;
        Ok(store)
    }
}

#[async_trait]
impl StateStore for RedisStore {
    async fn load(&self, asked: &Asked) -> Result<Found, StoreError> {
        entity::load(&self.client, asked).await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>, StoreError> {
        let committed = commit::commit(&self.client, &commits).await?;
        if self.announces {
            relay::note_news(&self.client, &commits, &committed).await;
        }
        Ok(committed)
    }

    async fn policy(&self) -> Result<Option<PolicyInForce>, StoreError> {
        sites::policy(&self.client).await
    }

    async fn adopt_policy(
        &self,
        proposed: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError> {
        sites::adopt_policy(&self.client, proposed, origin).await
    }

    async fn load_dead_letters(
        &self,
        ids: &[MessageId],
        with_bodies: bool,
    ) -> Result<Vec<Option<LoadedDeadLetter>>, StoreError> {
        dead_letters::load(&self.client, ids, with_bodies).await
    }

    async fn commit_dead_letters(
        &self,
        commits: Vec<DeadLetterCommit>,
    ) -> Result<Vec<DeadLettersCommitted>, StoreError> {
        dead_letters::commit(&self.client, commits).await
    }

    fn memory_max(&self) -> Option<u64> {
        self.client.memory_max()
    }

    /// Writes for real: a server that is full, or no master, still answers to who only asks.
    async fn check(&self) -> Result<(), StoreError> {
        let mut write = redis::cmd("SET");
        write.arg(self.client.keys().global("probe")).arg(1);
        self.client.query::<()>(&write).await?;
        self.client.look_again().await
    }

    async fn close(&self) {
        self.client.close();
    }
}

#[async_trait]
impl ReadStore for RedisStore {
    async fn policy_origin(&self) -> Result<Option<PolicyOrigin>, StoreError> {
        sites::policy_origin(&self.client).await
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
        stock::stock(&self.client, site, prefix, page).await
    }

    async fn stock_item(
        &self,
        site: &Site,
        key: &StockKey,
        holds: &PageRequest,
    ) -> Result<Option<StockDetail>, StoreError> {
        stock::stock_item(&self.client, site, key, holds).await
    }

    async fn closed(
        &self,
        site: &Site,
        names: &[OrderId],
    ) -> Result<(Vec<Option<ClosedName>>, Timestamp), StoreError> {
        closed::closed(&self.client, site, names).await
    }

    async fn listed(
        &self,
        site: &Site,
        list: List,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<Listed>, StoreError> {
        orders::listed(&self.client, site, list, direction, page).await
    }

    async fn count_listed(&self, list: List) -> Result<u64, StoreError> {
        orders::count_listed(&self.client, list).await
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
        stock::catalogue(&self.client, site, page).await
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
        stock::oversold(&self.client).await
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
        self.client.is_volatile()
    }

    /// A replica was promoted, or a server began anew: writes that were answered just before may be
    /// lost.
    fn failovers(&self) -> u64 {
        self.client.failovers()
    }
}

#[async_trait]
impl UpkeepStore for RedisStore {
    async fn replace_policy(
        &self,
        policy: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError> {
        sites::replace_policy(&self.client, policy, origin).await
    }

    async fn links(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<(OrderId, Link)>, StoreError> {
        orders::links(&self.client, site, page).await
    }

    async fn audit_orders(
        &self,
        site: &Site,
        orders: &[OrderId],
    ) -> Result<Vec<AuditedOrder>, StoreError> {
        audit::orders(&self.client, site, orders).await
    }

    async fn audit_holds(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedHold>, StoreError> {
        audit::holds(&self.client, site, page).await
    }

    async fn audit_items(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedItem>, StoreError> {
        audit::items(&self.client, site, page).await
    }

    async fn repair_item(&self, site: &Site, repair: ItemRepair) -> Result<bool, StoreError> {
        let is_written = repair::item(&self.client, site, &repair).await?;
        if is_written && self.announces {
            relay::note_news_of(&self.client, [site]).await;
        }
        Ok(is_written)
    }

    async fn trim_changes(&self, before: Timestamp) -> Result<u64, StoreError> {
        feed::trim(&self.client, before).await
    }

    async fn ended_dead_letters(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<LoadedDeadLetter>, StoreError> {
        dead_letters::ended(&self.client, before, limit).await
    }

    async fn replay_chunk(&self, id: ReplayId, chunk: u32) -> Result<Vec<LetterName>, StoreError> {
        dead_letters::replay_chunk(&self.client, id, chunk).await
    }

    async fn lead_replays(&self, leader: Fence) -> Result<Option<Fence>, StoreError> {
        dead_letters::lead_replays(&self.client, leader).await
    }

    async fn is_whole(&self) -> Result<bool, StoreError> {
        history::is_whole(&self.client).await
    }

    async fn note_whole(&self) -> Result<(), StoreError> {
        history::note_whole(&self.client).await
    }
}

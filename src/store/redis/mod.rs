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
mod entity;
mod failure;
mod feed;
mod history;
mod keys;
mod layout;
mod lease;
mod letters;
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
use uuid::Uuid;

use self::client::Client;
pub use self::history::KnownHistory;
pub use self::options::{RedisMode, RedisOptions};
pub use self::relay::Relayed;
use super::{
    Asked, AuditedHold, AuditedItem, AuditedOrder, Catalogue, Change, Commit, Committed,
    DeadLetter, DeadLetterFilter, DeadLetterSummary, Direction, FeedStart, Found, ItemRepair,
    Listed, Page, PageRequest, PolicyInForce, StockDetail, StockItem, Store, StoreError,
};
use super::{DeadLetterGroup, Ending, Fence, LetterEdit, LetterName, NewReplay, Replay, ReplayId};
use crate::clock;
use crate::domain::{
    ClosedName, Code, Identifier, Link, List, MessageId, OrderId, Policy, PolicyOrigin, Site,
    StockKey, StockKeyKind, Timestamp,
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
impl Store for RedisStore {
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

    async fn policy_origin(&self) -> Result<Option<PolicyOrigin>, StoreError> {
        sites::policy_origin(&self.client).await
    }

    async fn park(&self, letters: Vec<DeadLetter>) -> Result<(), StoreError> {
        letters::park(&self.client, letters, clock::now()).await
    }

    async fn end_letters(
        &self,
        letters: Vec<LetterName>,
        ending: Ending,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        letters::end_letters(&self.client, letters, ending, at).await
    }

    async fn edit_letter(&self, edit: LetterEdit) -> Result<(), StoreError> {
        letters::edit_letter(&self.client, edit).await
    }

    async fn expire_letters(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(Code, u64)>, StoreError> {
        letters::expire_letters(&self.client, before, now).await
    }

    async fn dead_letter_groups(&self) -> Result<Vec<DeadLetterGroup>, StoreError> {
        letters::dead_letter_groups(&self.client).await
    }

    async fn make_replay(&self, replay: NewReplay) -> Result<Replay, StoreError> {
        letters::make_replay(&self.client, replay).await
    }

    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        letters::replay(&self.client, id).await
    }

    async fn cancel_replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        letters::cancel_replay(&self.client, id).await
    }

    async fn replay_of(&self, id: MessageId) -> Result<Option<ReplayId>, StoreError> {
        letters::replay_of(&self.client, id).await
    }

    async fn open_replays(&self) -> Result<Vec<Replay>, StoreError> {
        letters::open_replays(&self.client).await
    }

    async fn lease_replays(
        &self,
        owner: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, StoreError> {
        letters::lease_replays(&self.client, owner, now, until).await
    }

    async fn unsent_letters(
        &self,
        id: ReplayId,
        limit: usize,
    ) -> Result<Vec<(LetterName, Option<DeadLetter>)>, StoreError> {
        letters::unsent_letters(&self.client, id, limit).await
    }

    async fn note_sent(
        &self,
        id: ReplayId,
        fence: Fence,
        letters: Vec<LetterName>,
    ) -> Result<bool, StoreError> {
        letters::note_sent(&self.client, id, fence, letters).await
    }

    async fn note_outcomes(
        &self,
        id: ReplayId,
        fence: Fence,
    ) -> Result<Option<Replay>, StoreError> {
        letters::note_outcomes(&self.client, id, fence).await
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

    async fn trim_changes(&self, before: Timestamp) -> Result<u64, StoreError> {
        feed::trim(&self.client, before).await
    }

    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        page: &PageRequest,
    ) -> Result<Page<DeadLetterSummary>, StoreError> {
        letters::dead_letters(&self.client, filter, page).await
    }

    async fn dead_letter(&self, id: MessageId) -> Result<Option<DeadLetter>, StoreError> {
        letters::dead_letter(&self.client, id).await
    }

    async fn dead_letter_counts(&self) -> Result<Vec<(Code, u64)>, StoreError> {
        letters::dead_letter_counts(&self.client).await
    }

    async fn oversold(&self) -> Result<u64, StoreError> {
        stock::oversold(&self.client).await
    }

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

    async fn is_whole(&self) -> Result<bool, StoreError> {
        history::is_whole(&self.client).await
    }

    async fn note_whole(&self) -> Result<(), StoreError> {
        history::note_whole(&self.client).await
    }

    /// Writes for real: a server that is full, or no master, still answers to who only asks.
    async fn check(&self) -> Result<(), StoreError> {
        let mut write = redis::cmd("SET");
        write.arg(self.client.keys().global("probe")).arg(1);
        self.client.query::<()>(&write).await?;
        self.client.look_again().await
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

    async fn close(&self) {
        self.client.close();
    }
}

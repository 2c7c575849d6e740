//! The port to the state: orders, stock, the change feed, the catalogue, the policy and parked
//! dead letters.
//!
//! Two backends keep the same promises (`tests/it/conformance` names them): [`embedded`], a
//! SQLite file, and Redis. Callers hold an `Arc<dyn Store>`. The rules are not here: a Store
//! compares revisions, checks ranges, adds and appends.
//!
//! # Invariants
//! - A [`Commit`] is written whole or not at all, and never twice: the revision it was computed
//!   from must still be there.
//! - The sum of what orders hold of a stock item, and of what closed orders left, is its
//!   `committed` and `fulfilled`.
//! - An order that was closed is never written again.
//! - No order is written under a policy that is not in force.
//! - No type of a database's client library crosses this port.

mod audit_rows;
pub mod changes;
mod commit;
mod dead_letters;
pub mod embedded;
mod named;
pub mod orders;
mod read;
pub mod redis;
pub mod state;
mod validation;

use std::fmt::Debug;

use async_trait::async_trait;

pub use audit_rows::{AuditedHold, AuditedItem, AuditedOrder, ItemRepair};
pub use commit::{
    Asked, Change, Closing, Commit, Committed, Direction, EntityId, FeedStart, Found, Listed,
    Loaded, Revision,
};
pub use dead_letters::{
    DeadLetterCommit, DeadLetterEdit, DeadLetterGroup, DeadLetterPlace, DeadLetterTotals,
    DeadLetterWrite, DeadLettersCommitted, LoadedDeadLetter, LoadedReplay, NewReplay,
    REPLAY_DEAD_LETTERS_MAX, ReplayList, ReplayPlace, ReplayWrite, Unsent,
};
pub use read::{
    Catalogue, DeadLetter, DeadLetterFilter, DeadLetterSummary, HeldBy, Page, PageRequest,
    StockDetail, StockItem,
};

use crate::domain::dead_letter::DeadLetterState;
pub use crate::domain::dead_letter::{
    DeadLetterName, Ending, Fence, Pace, Position, Replay, ReplayId, ReplayState,
};
use crate::domain::{
    ClosedName, Identifier, LeaderClock, Link, List, MessageId, OrderId, Policy, PolicyOrigin,
    Site, StockKey, StockKeyKind, Timestamp,
};
pub use crate::domain::{EntityName, EntityState, PolicyInForce};

/// A whole Store, for processes that do several of these things.
pub trait Store: StateStore + ReadStore + UpkeepStore {}

impl<T: StateStore + ReadStore + UpkeepStore> Store for T {}

/// The state that events act on: what workers load and commit.
#[async_trait]
pub trait StateStore: Debug + Send + Sync + 'static {
    /// Reads entities and links, in the order asked for, in one round trip; `None` for what nothing
    /// was committed of.
    async fn load(&self, asked: &Asked) -> Result<Found, StoreError>;

    /// Writes commits one after the other, each whole or not at all, and returns results in their order. At
    /// most one commit of an entity may be in one call; several may have read one link, and each
    /// must have read it as those before it leave it. Returns once what it reports would survive a
    /// crash.
    ///
    /// Dies before the answer: each commit is written or not; computing it again from a fresh
    /// [`load`](Self::load) finds out which. Cancelling the call leaves the same question open.
    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>, StoreError>;

    /// The policy in force; `None` before the first was recorded.
    async fn policy(&self) -> Result<Option<PolicyInForce>, StoreError>;

    /// Records the first policy, or returns the one that is in force already.
    async fn adopt_policy(
        &self,
        proposed: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError>;

    /// Reads the states of dead letters, in the order asked for, and their bodies if wanted.
    async fn load_dead_letters(
        &self,
        ids: &[MessageId],
        with_bodies: bool,
    ) -> Result<Vec<Option<LoadedDeadLetter>>, StoreError>;

    /// Writes commits of dead letters, each whole or not at all, and returns results in their order. At
    /// most one commit of a dead letter or replay may be in one call; counters may be in several.
    ///
    /// Dies before the answer: each commit is written or not; deciding again from what is loaded
    /// then finds out which.
    async fn commit_dead_letters(
        &self,
        commits: Vec<DeadLetterCommit>,
    ) -> Result<Vec<DeadLettersCommitted>, StoreError>;

    /// Puts a state in the place of one that cannot be read, whatever that is, and removes its
    /// bodies and its places in lists.
    async fn overwrite_dead_letter(
        &self,
        id: MessageId,
        state: DeadLetterState,
    ) -> Result<(), StoreError>;

    /// How many bytes its server may take in all, as the last [`check`](StateStore::check) found it;
    /// `None` where nothing bounds it, or nobody knows.
    fn memory_max(&self) -> Option<u64>;

    /// Checks whether the Store could load and commit now.
    async fn check(&self) -> Result<(), StoreError>;

    /// Checks whether it could now load and commit what is of a site, where one site may be away
    /// and others not.
    async fn check_site(&self, site: &Site) -> Result<(), StoreError>;

    /// Waits for what is in progress, then releases all resources.
    async fn close(&self);
}

/// What people, metrics and listeners read.
#[async_trait]
pub trait ReadStore: Debug + Send + Sync + 'static {
    /// Who put the policy in force, and when; `None` before the first was recorded.
    async fn policy_origin(&self) -> Result<Option<PolicyOrigin>, StoreError>;

    /// Every site that anything was committed for, in order of name; possibly also one whose first
    /// commit was in progress when its process died, or was refused.
    async fn sites(&self) -> Result<Vec<Site>, StoreError>;

    /// A site's stock items in order of key; `prefix` selects by the start of key or name.
    async fn stock(
        &self,
        site: &Site,
        prefix: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<StockItem>, StoreError>;

    /// One stock item with a page of the orders that hold it; `None` if it was never counted.
    async fn stock_item(
        &self,
        site: &Site,
        key: &StockKey,
        holds: &PageRequest,
    ) -> Result<Option<StockDetail>, StoreError>;

    /// What is known of the closing of orders of these names, in the order asked for, and the site's
    /// watermark: what was received before it counts as known where an order is closed.
    async fn closed(
        &self,
        site: &Site,
        names: &[OrderId],
    ) -> Result<(Vec<Option<ClosedName>>, Timestamp), StoreError>;

    /// The orders of a list by the time of their last commit, and among equal times by name; each by
    /// the name that it is shown by. An order that is committed while pages are read moves to the
    /// newest end: oldest first, none is missed.
    async fn listed(
        &self,
        site: &Site,
        list: List,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<Listed>, StoreError>;

    /// How many orders are in a list, over all sites.
    async fn count_listed(&self, list: List) -> Result<u64, StoreError>;

    /// The items that orders or the catalogue call by a name, in order of key; at most so many.
    /// Without a kind, by that name of any kind.
    async fn items_named(
        &self,
        site: &Site,
        kind: Option<StockKeyKind>,
        name: &Identifier,
        limit: usize,
    ) -> Result<Vec<StockKey>, StoreError>;

    /// A site's catalogue entries in order of kind and id.
    async fn catalogue(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<Catalogue>, StoreError>;

    /// A site's change feed after a sequence number, oldest first.
    async fn changes(
        &self,
        site: &Site,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError>;

    /// Where a site's change feed begins.
    async fn feed_start(&self, site: &Site) -> Result<FeedStart, StoreError>;

    /// How many stock items have less than nothing available.
    async fn oversold(&self) -> Result<u64, StoreError>;

    /// Parked dead letters after a place, oldest first failure first; at most so many.
    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterPlace>,
        limit: usize,
    ) -> Result<Vec<LoadedDeadLetter>, StoreError>;

    /// Parked dead letters by reason, site and event's name; the largest groups first.
    async fn dead_letter_groups(&self) -> Result<Vec<DeadLetterGroup>, StoreError>;

    /// How much is parked.
    async fn dead_letter_totals(&self) -> Result<DeadLetterTotals, StoreError>;

    /// Reads a replay and its counters, both at one moment.
    async fn load_replay(&self, id: ReplayId) -> Result<Option<LoadedReplay>, StoreError>;

    /// The replays of a list after a place, oldest first; at most so many.
    async fn list_replays(
        &self,
        list: ReplayList,
        after: Option<ReplayPlace>,
        limit: usize,
    ) -> Result<Vec<LoadedReplay>, StoreError>;

    /// Whether committed data would be lost with the server, as the last
    /// [`check`](StateStore::check) found it; `None` while nobody knows.
    fn is_volatile(&self) -> Option<bool>;

    /// How often this handle found that another server, or an older state of it, had replaced the
    /// one before; in the embedded backend, that one of its two files had been replaced.
    fn failovers(&self) -> u64;
}

/// What audits, the leader's duties and a new policy need.
#[async_trait]
pub trait UpkeepStore: Debug + Send + Sync + 'static {
    /// Puts a policy in force under the next revision, unless it is the one in force; returns what
    /// is in force then. From that moment no order is committed under another revision.
    async fn replace_policy(
        &self,
        policy: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError>;

    /// What was seen beside the site's second names and invoice numbers, in an order of the Store's
    /// own. A page may have more than is asked for; a link that is there all the while is on at
    /// least one.
    async fn links(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<(OrderId, Link)>, StoreError>;

    /// Records of orders, in the order asked for, each beside what the items say that it holds, both
    /// at one moment; one that is not there is left out.
    async fn audit_orders(
        &self,
        site: &Site,
        orders: &[OrderId],
    ) -> Result<Vec<AuditedOrder>, StoreError>;

    /// What a site's items record of orders' holds, each beside what the order records, both read at
    /// one moment.
    async fn audit_holds(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedHold>, StoreError>;

    /// A site's items in order of key, and every key that something is held or received of, each
    /// beside the sums of what it is made of, both at one moment.
    async fn audit_items(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedItem>, StoreError>;

    /// Sets what an item counts, with an entry in the change feed; `false`, and nothing is written,
    /// if it no longer counts what was read.
    ///
    /// Dies before the answer: it is written or not, and reading the item again finds out which.
    async fn repair_item(&self, site: &Site, repair: ItemRepair) -> Result<bool, StoreError>;

    /// The time by the one clock that all processes on this Store share.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Removes entries of every site's change feed that are older than a time and before any
    /// younger one, of each site the oldest, a bounded number; returns how many, 0 if none is left. Sequence numbers go on as if they were there.
    ///
    /// Dies or is cancelled in between: some are removed, and the next call removes the others.
    async fn trim_changes(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Messages that are no longer parked and were last heard of before a time; at most so many.
    async fn ended_dead_letters(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<LoadedDeadLetter>, StoreError>;

    /// A part of the list of a replay; empty if there is none.
    async fn replay_chunk(
        &self,
        id: ReplayId,
        chunk: u32,
    ) -> Result<Vec<DeadLetterName>, StoreError>;

    /// Records that the leader of this number runs replays; `None` if a later one does. The number
    /// that it returns differs for every leader, and for a restarted server; a commit under another
    /// number is refused.
    async fn lead_replays(&self, leader: Fence) -> Result<Option<Fence>, StoreError>;

    /// The times of the leader that were recorded; `None` before the first.
    async fn leader_clock(&self) -> Result<Option<LeaderClock>, StoreError>;

    /// Records times of the leader; a person does so without a fence. `false`, and nothing is
    /// written, if a later leader has recorded some.
    async fn record_leader_clock(
        &self,
        clock: LeaderClock,
        fence: Option<Fence>,
    ) -> Result<bool, StoreError>;

    /// Whether the Store has everything from its beginning on, as far as is known. A new one does
    /// not: whether there is a journal is not recorded yet.
    async fn is_complete(&self) -> Result<bool, StoreError>;

    /// Records that it does: the whole journal went through the workers, or there is none, or a
    /// person accepts a part.
    async fn record_complete(&self) -> Result<(), StoreError>;
}

/// Why the Store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached; the same call may work later.
    #[error("the store is unavailable")]
    Unavailable {
        /// The backend's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It will never take this call.
    #[error("the store refused the call")]
    Rejected {
        /// The backend's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A newer release wrote what was asked for; it was not touched.
    #[error("the store was written by a newer release: {detail}")]
    Newer {
        /// What was found, and what to do.
        detail: String,
    },
    /// It has data of a release whose data this one does not read; it was not touched.
    #[error("the store has data of an older release: {detail}")]
    Older {
        /// What was found, and what to do.
        detail: String,
    },
    /// Its data is not what this program writes.
    #[error("the store's data cannot be used: {detail}")]
    Corrupt {
        /// What was found, and what to do.
        detail: String,
    },
}

impl StoreError {
    /// Whether the same call may work later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether what was asked for is there and cannot be read; something else may be readable.
    pub const fn is_of_data(&self) -> bool {
        matches!(self, Self::Newer { .. } | Self::Corrupt { .. })
    }
}

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

mod commit;
pub mod embedded;
mod form;
mod letter;
mod named;
pub mod orders;
mod read;
pub mod redis;
pub mod state;
mod sums;

use std::fmt::Debug;

use async_trait::async_trait;
use uuid::Uuid;

pub use commit::{
    Asked, Change, Closing, Commit, Committed, Direction, EntityId, FeedStart, Found, Listed,
    Loaded, Revision,
};
pub use letter::{
    DeadLetterGroup, Ending, Fence, LetterEdit, LetterName, NewReplay, Pace, REPLAY_LETTERS_MAX,
    Replay, ReplayId, ReplayState,
};
pub use read::{
    Catalogue, DeadLetter, DeadLetterFilter, DeadLetterSummary, HeldBy, Page, PageRequest,
    StockDetail, StockItem,
};
pub use sums::{AuditedHold, AuditedItem, AuditedOrder, ItemRepair};

use crate::domain::{
    ClosedName, Identifier, Link, List, MessageId, OrderId, Policy, PolicyOrigin, Site, StockKey,
    StockKeyKind, Timestamp,
};
pub use crate::domain::{EntityName, EntityState, PolicyInForce};

/// The state that events act on, and its reading.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// Reads entities and links, in the order asked for, in one round trip; `None` for what nothing
    /// was committed of.
    async fn load(&self, asked: &Asked) -> Result<Found, StoreError>;

    /// Writes commits one after the other, each whole or not at all, and answers in their order. At
    /// most one commit of an entity may be in one call; several may have read one link, and each
    /// must have read it as those before it leave it. Returns once what it answers for would survive
    /// a crash.
    ///
    /// Dies before the answer: each commit is written or not; computing it again from a fresh
    /// [`load`](Store::load) finds out which. Cancelling the call leaves the same question open.
    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>, StoreError>;

    /// The policy in force; `None` before the first was recorded.
    async fn policy(&self) -> Result<Option<PolicyInForce>, StoreError>;

    /// Records the first policy, or answers with the one that is in force already.
    async fn adopt_policy(
        &self,
        proposed: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError>;

    /// Who put the policy in force, and when; `None` before the first was recorded.
    async fn policy_origin(&self) -> Result<Option<PolicyOrigin>, StoreError>;

    /// Files dead letters. One whose message id and generation are there already, or were there,
    /// changes nothing; one of a later generation takes the place of the earlier, and keeps its
    /// first failure and first body.
    ///
    /// Dies before the answer: some are filed, and filing all again changes nothing for those.
    async fn park(&self, letters: Vec<DeadLetter>) -> Result<(), StoreError>;

    /// Ends letters: they and their earlier generations go, and are never parked again. A discard
    /// ends the message: also a generation that came back meanwhile, or will.
    ///
    /// Dies before the answer: some are over, and ending all again changes nothing for those.
    async fn end_letters(
        &self,
        letters: Vec<LetterName>,
        ending: Ending,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Gives a letter another body. It keeps its id and its first body; one that is parked later
    /// gets the new body then, also as a later generation, and one that has ended stays ended.
    async fn edit_letter(&self, edit: LetterEdit) -> Result<(), StoreError>;

    /// Ends letters that failed first before a time and are in no replay, and forgets endings, edits
    /// and replays that are as old. Answers with how many letters those were, for each reason; a
    /// bounded number a call, so nothing is left when it answers with none.
    async fn expire_letters(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(crate::domain::Code, u64)>, StoreError>;

    /// Parked dead letters by reason, site and event's name.
    async fn dead_letter_groups(&self) -> Result<Vec<DeadLetterGroup>, StoreError>;

    /// Makes a replay of the letters that the filter selects now; each is in one replay at a time.
    /// More than [`REPLAY_LETTERS_MAX`] are rejected.
    ///
    /// Dies before the answer: the replay runs, or is never seen; then its letters are free again,
    /// at the latest after some minutes.
    async fn make_replay(&self, replay: NewReplay) -> Result<Replay, StoreError>;

    /// A replay and how far it is.
    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError>;

    /// Stops a replay: letters that were not sent are free again.
    async fn cancel_replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError>;

    /// The running replay that a message's parked letter is in.
    async fn replay_of(&self, id: MessageId) -> Result<Option<ReplayId>, StoreError>;

    /// Replays that run, or have letters without an outcome; oldest first.
    async fn open_replays(&self) -> Result<Vec<Replay>, StoreError>;

    /// Takes or renews the lease of whoever runs replays; `None` while another holds it. The
    /// number is another for every holder. Before a new holder, letters of running replays that
    /// were sent and are still parked count as not sent: nobody knows whether they are in the
    /// queue, and sending them again is harmless.
    async fn lease_replays(
        &self,
        owner: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, StoreError>;

    /// The next letters of a running replay that were not sent yet, with their bodies; `None` for
    /// one that has ended. At most so many, and fewer only if there are no more or hundreds.
    async fn unsent_letters(
        &self,
        id: ReplayId,
        limit: usize,
    ) -> Result<Vec<(LetterName, Option<DeadLetter>)>, StoreError>;

    /// Notes that letters were sent; `false`, and nothing is noted, if the lease is another's.
    async fn note_sent(
        &self,
        id: ReplayId,
        fence: Fence,
        letters: Vec<LetterName>,
    ) -> Result<bool, StoreError>;

    /// Notes what became of the letters that were sent, and ends the replay if it is done or too
    /// many came back; `None`, and nothing is noted, if the lease is another's.
    async fn note_outcomes(&self, id: ReplayId, fence: Fence)
    -> Result<Option<Replay>, StoreError>;

    /// Whether the Store has everything from its beginning on, as far as is known. One that is new
    /// has not, as nobody told it yet whether there is a journal.
    async fn is_whole(&self) -> Result<bool, StoreError>;

    /// Notes that it has: the whole journal was put through the workers, or there is none, or a
    /// person is content with a part.
    async fn note_whole(&self) -> Result<(), StoreError>;

    /// Every site that anything was committed for, in order of name; and maybe one whose first
    /// commit was under way when its process died, or was refused.
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
    /// watermark: what was received before it is taken for known where an order is closed.
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

    /// A site's change feed from behind a sequence number, oldest first.
    async fn changes(
        &self,
        site: &Site,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError>;

    /// Where a site's change feed begins.
    async fn feed_start(&self, site: &Site) -> Result<FeedStart, StoreError>;

    /// Removes the entries of every site's change feed that are older than a time and before any
    /// younger one; answers with how many. Sequence numbers go on as if they were there.
    ///
    /// Dies or is cancelled in between: some are removed, and the next call removes the others.
    async fn trim_changes(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Parked dead letters, oldest first failure first, without their bodies. One that is parked all the
    /// while that pages are read is on exactly one of them.
    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        page: &PageRequest,
    ) -> Result<Page<DeadLetterSummary>, StoreError>;

    /// One parked dead letter with its body; of several generations the newest.
    async fn dead_letter(&self, id: MessageId) -> Result<Option<DeadLetter>, StoreError>;

    /// How many dead letters are parked for each reason.
    async fn dead_letter_counts(&self) -> Result<Vec<(crate::domain::Code, u64)>, StoreError>;

    /// How many stock items have less than nothing available.
    async fn oversold(&self) -> Result<u64, StoreError>;

    /// Puts a policy in force under the next revision, unless it is the one in force; answers with
    /// what is in force then. From that moment no order is committed under another revision.
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

    /// What a site's items say that orders hold, each beside what the order says, both at one
    /// moment.
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

    /// Sets what an item counts, and tells the change feed so; `false`, and nothing is written, if
    /// it counts something else by now than was read.
    ///
    /// Dies before the answer: it is written or not, and reading the item again finds out which.
    async fn repair_item(&self, site: &Site, repair: ItemRepair) -> Result<bool, StoreError>;

    /// Asks whether the Store could load and commit now.
    async fn check(&self) -> Result<(), StoreError>;

    /// Whether what was answered would be gone with the server, as the last
    /// [`check`](Store::check) found it; `None` while nobody knows.
    fn is_volatile(&self) -> Option<bool>;

    /// How often this handle found that another server, or an older state of it, had taken the
    /// place of the one before; a file never does.
    fn failovers(&self) -> u64;

    /// Waits for what is under way, then lets go of all resources.
    async fn close(&self);
}

/// Why the Store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away; the same call may work later.
    #[error("the store is unavailable")]
    Unavailable {
        /// What the backend said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It will never take this call.
    #[error("the store refused the call")]
    Rejected {
        /// What the backend said.
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

//! What is read and written: entities, links, and commits that change them.

use std::fmt;

use super::{EntityName, EntityState, PageRequest, StoreError};
use crate::domain::{
    Cause, ClosedName, Counts, ItemNames, Link, MessageId, OrderId, PolicyRevision, Record, Site,
    StockChange, StockKey, Timestamp, TotalError, Write,
};

/// Something that events act on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId {
    /// The shop.
    pub site: Site,
    /// Which of its entities.
    pub name: EntityName,
}

impl EntityId {
    /// A record of an order.
    pub(super) fn order(site: &Site, name: &OrderId) -> Self {
        Self { site: site.clone(), name: EntityName::Order(name.clone()) }
    }
}

/// As people read it: `order id:1 of site alpha`.
impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            EntityName::Order(order) => write!(f, "order {order}")?,
            EntityName::Catalogue(entry) => write!(f, "catalogue entry {entry}")?,
            EntityName::Receipt(receipt) => {
                write!(f, "receipt {} of {}", receipt.reference, receipt.key)?;
            }
        }
        write!(f, " of site {}", self.site)
    }
}

/// A random token that every commit of an entity replaces; compared for equality only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(pub u64);

/// An entity's state and the revision that a commit of it must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The token of this state.
    pub revision: Revision,
    /// The state.
    pub state: EntityState,
}

impl Loaded {
    /// The record, if it is one of an order.
    pub(super) fn into_record(self) -> Option<Record> {
        match self.state {
            EntityState::Order(record) => Some(*record),
            EntityState::Catalogue(_) | EntityState::Receipt(_) => None,
        }
    }
}

/// What to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Entities.
    pub entities: Vec<EntityId>,
    /// Second names and invoice numbers of orders.
    pub links: Vec<(Site, OrderId)>,
}

/// What was read, in the order asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Entities.
    pub entities: Vec<Option<Loaded>>,
    /// What was seen beside the names.
    pub links: Vec<Option<Link>>,
}

/// What one decision changes: all of it is written, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The shop.
    pub site: Site,
    /// Every entity that the decision was computed from, with its revision; `None` if there was no
    /// state. All that is written is among them.
    pub read: Vec<(EntityName, Option<Revision>)>,
    /// Every link that the decision was computed from. All that are written are among them.
    pub links_read: Vec<(OrderId, Option<Link>)>,
    /// New names of orders, each with what is known of its closing.
    pub new_names: Vec<(OrderId, Option<ClosedName>)>,
    /// The policy that orders were computed with.
    pub policy: Option<PolicyRevision>,
    /// The entities that changed or are gone; each state is of its name's kind.
    pub writes: Vec<Write>,
    /// The links that changed or are gone.
    pub links: Vec<(OrderId, Option<Link>)>,
    /// What changes in the site's stock, in order; at most one change a stock key and cause.
    pub changes: Vec<StockChange>,
    /// Names of items, for people. Of two names that lines give an item, the one of the higher version
    /// wins, and of equal versions the greater text.
    pub item_names: Vec<ItemNames>,
    /// If it closes an order.
    pub closing: Option<Closing>,
    /// The message that caused the changes, for the change feed.
    pub message_id: MessageId,
    /// When the decision was made, for the change feed and for lists.
    pub at: Timestamp,
}

impl Commit {
    /// A commit that changes nothing.
    pub fn nothing(site: Site, message_id: MessageId, at: Timestamp) -> Self {
        Self {
            site,
            read: Vec::new(),
            links_read: Vec::new(),
            new_names: Vec::new(),
            policy: None,
            writes: Vec::new(),
            links: Vec::new(),
            changes: Vec::new(),
            item_names: Vec::new(),
            closing: None,
            message_id,
            at,
        }
    }
}

/// The closing of an order. It removes more than it adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Its names, to be remembered.
    pub names: Vec<(OrderId, ClosedName)>,
    /// The order was last touched before this time, to which the site's watermark rises.
    pub before: Timestamp,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is written.
    Written,
    /// Something is no longer what was read; nothing is written.
    Conflict,
    /// Its orders were computed with another policy than the one in force; nothing is written.
    PolicyChanged,
    /// A total would pass a limit; nothing is written.
    Overflow(TotalError),
    /// What is known of the closing of its new names differs from what it has; nothing is written.
    Closed {
        /// What is known of each.
        names: Vec<(OrderId, Option<ClosedName>)>,
        /// The site's watermark.
        watermark: Timestamp,
    },
}

/// From which end a list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The least recently committed first.
    OldestFirst,
    /// The most recently committed first.
    NewestFirst,
}

/// An order in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name that it is shown by.
    pub order: OrderId,
    /// When it was last committed.
    pub at: Timestamp,
}

impl Listed {
    /// The cursor of a page that starts after it.
    pub(super) fn cursor(&self) -> String {
        format!("{}.{}", self.at.micros(), self.order)
    }

    /// The time in microseconds and the name that a page starts after.
    pub(super) fn parse_cursor(page: &PageRequest) -> Result<Option<(i64, String)>, StoreError> {
        let Some(cursor) = &page.after else { return Ok(None) };
        let parts = cursor.split_once('.');
        let place = parts.and_then(|(at, name)| Some((at.parse().ok()?, name.to_owned())));
        let unknown =
            || StoreError::Rejected { source: "the cursor is not one of this list".into() };
        place.map(Some).ok_or_else(unknown)
    }
}

/// Where a site's change feed begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedStart {
    /// The Store's epoch: a feed of another epoch is another feed.
    pub epoch: String,
    /// Entries up to this number are no longer kept; 0 if all are.
    pub trimmed: u64,
    /// The number of the newest entry; 0 if there was none.
    pub last: u64,
}

/// One entry of a site's change feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number within the site, without gaps, from 1.
    pub sequence: u64,
    /// The Store's epoch: a feed of another epoch is another feed.
    pub epoch: String,
    /// When it was decided.
    pub at: Timestamp,
    /// The item.
    pub key: StockKey,
    /// The order or receipt that caused it.
    pub cause: Cause,
    /// The message that caused it.
    pub message_id: MessageId,
    /// What was added to the item's counts.
    pub delta: Counts,
    /// The item's counts after it.
    pub after: Counts,
}

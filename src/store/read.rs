//! What is read of a Store: shapes for people and for the API, none of which a rule reads.

use super::DeadLetterName;
use crate::broker::Envelope;
use crate::domain::{
    CatalogueEntry, CatalogueId, Code, Counts, Hold, MessageId, OrderId, Quantity, Rejection, Site,
    StockKey, Timestamp,
};

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The cursor of the page before; `None` for the first page.
    pub after: Option<String>,
    /// At most so many items.
    pub limit: usize,
}

impl PageRequest {
    /// The first page.
    pub const fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// What to ask for to get the next page; `None` if this is the last.
    pub next: Option<String>,
}

/// A counted thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockItem {
    /// The shop.
    pub site: Site,
    /// Its name within the shop.
    pub key: StockKey,
    /// The catalogue's name for it, or else the newest that an order's line gave it.
    pub name: Option<String>,
    /// Whether the catalogue says that nobody counts it.
    pub is_untracked: bool,
    /// Its counts.
    pub counts: Counts,
}

/// A counted thing and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockDetail {
    /// The item.
    pub item: StockItem,
    /// A page of the orders that hold some of it, in order of id.
    pub holds: Page<HeldBy>,
    /// How many orders that held some of it were closed.
    pub closed_orders: u64,
    /// What those orders keep.
    pub closed_fulfilled: Quantity,
    /// Parked dead letters of the site.
    pub dead: u64,
}

/// What one order keeps of a stock item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBy {
    /// The order.
    pub order: OrderId,
    /// What it keeps.
    pub hold: Hold,
}

/// A catalogue entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// Its name within the shop.
    pub id: CatalogueId,
    /// The entry.
    pub entry: CatalogueEntry,
}

/// An envelope that was put aside for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The envelope; its `replays + 1` is the letter's generation.
    pub envelope: Envelope,
    /// Why.
    pub rejection: Rejection,
    /// When the message failed first, in whichever generation: one that is replayed and comes back
    /// does not grow younger.
    pub failed_at: Timestamp,
    /// How many attempts this generation had. They are not summed over generations: a letter that
    /// is filed again after an export would count them twice.
    pub attempts: u32,
    /// The body as it was received, if a person wrote another since.
    pub original: Option<bytes::Bytes>,
}

impl DeadLetter {
    /// Which life of the envelope this is: 1, and one more for every replay.
    pub const fn generation(&self) -> u32 {
        self.envelope.replays.saturating_add(1)
    }

    /// Its name.
    pub const fn name(&self) -> DeadLetterName {
        DeadLetterName { message_id: self.envelope.message_id, generation: self.generation() }
    }
}

/// A dead letter without its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterSummary {
    /// The message.
    pub id: MessageId,
    /// Which life of the envelope this is.
    pub generation: u32,
    /// Why.
    pub rejection: Rejection,
    /// When the message failed first, in whichever generation.
    pub failed_at: Timestamp,
    /// How many attempts this generation had.
    pub attempts: u32,
    /// How often it was replayed before.
    pub replays: u32,
}

/// Which dead letters are meant; what is `None` or empty does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Those of this reason.
    pub reason: Option<Code>,
    /// Those of this site.
    pub site: Option<Site>,
    /// Those that failed first before.
    pub failed_before: Option<Timestamp>,
    /// Those of these messages.
    pub ids: Vec<MessageId>,
}

//! What people and the API read of a Store; no rule uses these types.

use super::DeadLetterName;
use crate::broker::Envelope;
use crate::domain::{
    CatalogueEntry, CatalogueId, Code, Counts, Hold, Identifier, MessageId, OrderId, Quantity,
    Receipt, Rejection, Site, StockKey, StockKeyKind, Timestamp,
};

/// At most so many items are read for one answer, whatever was asked for.
const ITEMS_READ_MAX: usize = 10_000;

/// A limit that is not larger than what is read for one answer.
pub(super) fn at_most(limit: usize) -> usize {
    limit.min(ITEMS_READ_MAX)
}

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

    /// The text that the page starts after.
    pub(super) fn after_text(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    /// How many items to read: those of the page, and one more to see whether there is a next page.
    pub(super) fn rows(&self) -> usize {
        at_most(self.limit) + 1
    }

    /// Makes a page of as many items as [`rows`](Self::rows) says.
    pub(super) fn cut<T>(&self, mut items: Vec<T>, cursor: impl FnOnce(&T) -> String) -> Page<T> {
        let is_last = items.len() < self.rows();
        items.truncate(at_most(self.limit));
        let next = if is_last { None } else { items.last().map(cursor) };
        Page { items, next }
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

impl<T> Page<T> {
    /// The page of what these items stand for.
    pub(super) fn with<U>(self, items: Vec<U>) -> Page<U> {
        Page { items, next: self.next }
    }
}

/// A stock item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockItem {
    /// The shop.
    pub site: Site,
    /// Its name within the shop.
    pub key: StockKey,
    /// The catalogue's name for it, or else the newest that an order's line gave it.
    pub name: Option<String>,
    /// Whether the catalogue marks it as not counted.
    pub is_untracked: bool,
    /// Its counts.
    pub counts: Counts,
}

impl StockItem {
    /// Whether its stock is tracked: it can be received, and the catalogue does not say otherwise.
    pub fn is_tracked(&self) -> bool {
        !self.is_untracked && self.key.kind != StockKeyKind::Line
    }
}

/// A receipt as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReceipt {
    /// The name under which it counts once for its item.
    pub reference: Identifier,
    /// The receipt.
    pub receipt: Receipt,
}

/// A stock item and who holds it.
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
    /// The envelope; its `replays + 1` is the generation.
    pub envelope: Envelope,
    /// Why.
    pub rejection: Rejection,
    /// When the message first failed, in any generation: a replay does not reset it.
    pub failed_at: Timestamp,
    /// How many attempts this generation had. They are not summed over generations: a dead letter
    /// that is imported after an export would count them twice.
    pub attempts: u32,
    /// The body as it was received, if a person edited it since.
    pub original: Option<bytes::Bytes>,
}

impl DeadLetter {
    /// 1, and one more for every replay of the envelope.
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
    /// 1, and one more for every replay of the envelope.
    pub generation: u32,
    /// Why.
    pub rejection: Rejection,
    /// When the message first failed, in any generation.
    pub failed_at: Timestamp,
    /// How many attempts this generation had.
    pub attempts: u32,
    /// How often it was replayed before.
    pub replays: u32,
    /// Whether a person edited the body.
    pub is_edited: bool,
}

/// Which dead letters are meant; what is `None` or empty does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Those of this reason.
    pub reason: Option<Code>,
    /// Those of this site.
    pub site: Option<Site>,
    /// Those that first failed before this time.
    pub failed_before: Option<Timestamp>,
    /// Those of these messages.
    pub ids: Vec<MessageId>,
}

//! What a body means: the decoded forms, without anything that no rule reads.

use serde::{Deserialize, Serialize};

use super::catalogue::CatalogueEvent;
use super::notice::NoticeEvent;
use super::receipt::ReceiptEvent;
use super::{Fingerprint, Identifier, OrderId, Quantity, Site, StockKey, StockKeyKind, Version};

/// A decoded body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The shop it is about.
    pub site: Site,
    /// The event's name as received (ours for receipts), for people and counters.
    pub event_type: Identifier,
    /// What it says.
    pub content: Content,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An order was created, updated or deleted.
    Order(OrderEvent),
    /// Lines of an order were refunded.
    Refund(RefundEvent),
    /// A product or category was created, updated or deleted.
    Catalogue(CatalogueEvent),
    /// A third-party store says that an order changed, without its lines.
    Notice(NoticeEvent),
    /// Goods came in or were counted.
    Receipt(ReceiptEvent),
}

/// An order event: a snapshot of the whole order, or its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEvent {
    /// The order, by the first field that names it.
    pub order: OrderId,
    /// Every name that the event gives the order.
    pub aliases: Vec<OrderId>,
    /// Its place among the order's events.
    pub version: Version,
    /// Mode and lines; `None` for a deletion, whose lines are not read.
    pub snapshot: Option<Snapshot>,
    /// The refunds that the order carries.
    pub refunds: Vec<Refund>,
    /// Refunds with lines that bear no id: counted, restocking nothing.
    pub refunds_without_id: u32,
}

/// What the state keeps of a full order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Whether the mode is TEST.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// The lines, in canonical order.
    pub lines: Vec<Line>,
}

/// One line of an order: its names, empty ones left out, and its quantity.
///
/// The members are in the order of their names, which fingerprints depend on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// `external_product_id`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_product: Option<Identifier>,
    /// `external_variation_id`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_variation: Option<Identifier>,
    /// The line's own `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Identifier>,
    /// `product_id`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Identifier>,
    /// How many units.
    pub quantity: Quantity,
    /// `sku`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Identifier>,
    /// `variation_id`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variation: Option<Identifier>,
}

impl Line {
    /// The line's stock key: the first of these names that it has; `None` if it has none of them.
    pub fn key(&self, precedence: &[StockKeyKind]) -> Option<StockKey> {
        precedence.iter().find_map(|&kind| {
            let identifier = match kind {
                StockKeyKind::Variation => &self.variation,
                StockKeyKind::Product => &self.product,
                StockKeyKind::ExternalVariation => &self.external_variation,
                StockKeyKind::ExternalProduct => &self.external_product,
                StockKeyKind::Sku => &self.sku,
                StockKeyKind::Line => &self.id,
            };
            identifier.clone().map(|identifier| StockKey { kind, identifier })
        })
    }
}

/// A refund event: one refund of an order that is named, not carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundEvent {
    /// The order that is refunded.
    pub order: OrderId,
    /// When the event happened, in milliseconds.
    pub event_timestamp: i64,
    /// The refund; `None` if it bears no id.
    pub refund: Option<Refund>,
}

/// A refund and when it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The refund's id.
    pub id: Identifier,
    /// Its place among what was said of this id, and what it refunds.
    pub entry: RefundEntry,
}

/// What was said of one refund: of two entries for one id, the greater wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefundEntry {
    /// `event_timestamp` of the event that said it, in milliseconds.
    pub event_timestamp: i64,
    /// Whether a refund event said it; at the same time, it beats an order's snapshot.
    pub from_event: bool,
    /// A fingerprint of the lines.
    pub fingerprint: Fingerprint,
    /// The refunded lines, in canonical order.
    pub lines: Vec<RefundLine>,
}

/// A refunded line: the order's line by its id, and how many units of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefundLine {
    /// The line's id; one without restocks nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Identifier>,
    /// How many units.
    pub quantity: Quantity,
}

//! What a body means: the decoded forms, without anything that no rule reads.

use serde::{Deserialize, Serialize};

use super::catalogue::CatalogueEvent;
use super::correction::CorrectionEvent;
use super::receipt::ReceiptEvent;
use super::refund::Refund;
use super::{
    Fingerprint, Identifier, Names, OrderId, Quantity, Site, StockKey, StockKeyKind, Version,
};

/// A decoded body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The shop it is about.
    pub site: Site,
    /// The event's name as received (ours for receipts), for people and counters.
    pub event_type: Identifier,
    /// What it says.
    pub content: Content,
    /// What of it could not be taken as it stood.
    pub oddities: Oddities,
}

/// What of a body could not be taken as it stood, for counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Names that cannot be read, and count as absent.
    pub names_unreadable: u32,
    /// Quantities that were finer than millionths.
    pub quantities_rounded: u32,
    /// Whether it is stamped more than a day after it was received.
    pub is_ahead: bool,
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
    /// A person corrects what an order holds.
    Correction(CorrectionEvent),
    /// Goods came in or were counted.
    Receipt(ReceiptEvent),
}

impl Content {
    /// The names of the order that it acts on, if it acts on one.
    pub fn names(&self) -> Option<Names> {
        match self {
            Self::Order(event) => Some(event.names.clone()),
            Self::Notice(event) => Some(event.names.clone()),
            Self::Refund(event) => Some(Names::only(event.order.clone())),
            Self::Correction(event) => Some(Names::only(event.order.clone())),
            Self::Catalogue(_) | Self::Receipt(_) => None,
        }
    }

    /// The record that it is joined into, if it acts on an order.
    pub fn order(&self) -> Option<&OrderId> {
        match self {
            Self::Order(event) => Some(event.names.own()),
            Self::Notice(event) => Some(event.names.own()),
            Self::Refund(event) => Some(&event.order),
            Self::Correction(event) => Some(&event.order),
            Self::Catalogue(_) | Self::Receipt(_) => None,
        }
    }
}

/// An order event: a snapshot of the whole order, or its deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEvent {
    /// What it calls the order.
    pub names: Names,
    /// Its place among the order's events.
    pub version: Version,
    /// The status as it was written, where that is not how we write it.
    pub said: Option<String>,
    /// The mode, if it says one.
    pub mode: Option<Mode>,
    /// The lines; `None` for a deletion, whose lines are not read.
    pub snapshot: Option<Snapshot>,
    /// The refunds that the order carries, one entry an id.
    pub refunds: Vec<Refund>,
    /// Refunds with lines that bear no id: counted, restocking nothing.
    pub refunds_without_id: u32,
}

/// Whether an order is a real one.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// It is.
    #[default]
    Live,
    /// Somebody tries out the shop.
    Test,
}

/// What the state keeps of a full order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// A fingerprint of its status and its lines: two snapshots with the same words say the same.
    pub words: Fingerprint,
    /// The lines, in canonical order.
    pub lines: Vec<Line>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// The line's own `id`.
    pub id: Option<Identifier>,
    /// What its goods are called.
    pub names: LineNames,
    /// How many units.
    pub quantity: Quantity,
    /// `name`, for people.
    pub name: Option<String>,
}

impl Line {
    /// The line's stock key: the first of these names that it has; `None` if it has none of them.
    pub fn key(&self, precedence: &[StockKeyKind]) -> Option<StockKey> {
        self.names.key(self.id.as_ref(), precedence)
    }
}

/// The names of a line's goods, at most one of each kind, in order of kind; never the line's own
/// id.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LineNames(Vec<(StockKeyKind, Identifier)>);

impl LineNames {
    /// The first of these names that there is; `line` is the line's own id.
    pub fn key(&self, line: Option<&Identifier>, precedence: &[StockKeyKind]) -> Option<StockKey> {
        precedence.iter().find_map(|&kind| {
            let identifier = if kind == StockKeyKind::Line { line } else { self.get(kind) };
            identifier.cloned().map(|identifier| StockKey { kind, identifier })
        })
    }

    /// The name of a kind.
    pub fn get(&self, kind: StockKeyKind) -> Option<&Identifier> {
        self.0.iter().find_map(|(other, name)| (*other == kind).then_some(name))
    }

    /// Every kind that there is a name of, with it.
    pub fn iter(&self) -> impl Iterator<Item = (StockKeyKind, &Identifier)> {
        self.0.iter().map(|(kind, name)| (*kind, name))
    }

    /// Every name as a stock key.
    pub fn keys(&self) -> impl Iterator<Item = StockKey> {
        self.iter().map(|(kind, name)| StockKey { kind, identifier: name.clone() })
    }

    /// Whether there is no name.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a name of a kind that there is none of yet.
    pub(super) fn add(&mut self, kind: StockKeyKind, name: &Identifier) {
        if let Err(place) = self.0.binary_search_by_key(&kind, |(kind, _)| *kind) {
            self.0.insert(place, (kind, name.clone()));
        }
    }

    /// Whether there is a kind of which the two give different names.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        self.iter().any(|(kind, name)| other.get(kind).is_some_and(|other| other != name))
    }
}

impl FromIterator<(StockKeyKind, Identifier)> for LineNames {
    fn from_iter<I: IntoIterator<Item = (StockKeyKind, Identifier)>>(names: I) -> Self {
        let mut all = Self::default();
        for (kind, name) in names {
            all.add(kind, &name);
        }
        all
    }
}

/// A refund event: one refund of an order that is named, not carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundEvent {
    /// The order that is refunded.
    pub order: OrderId,
    /// Its place among the order's events.
    pub version: Version,
    /// The refund; `None` if it bears no id.
    pub refund: Option<Refund>,
}

/// A third-party store's word that an order changed, or is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeEvent {
    /// What it calls the order.
    pub names: Names,
    /// Its place among the order's events.
    pub version: Version,
    /// What it says of payment and fulfilment, as the store writes them.
    pub said: Option<String>,
}

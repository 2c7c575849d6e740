//! The meaning of a body: the decoded forms, without anything that no rule reads.

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
    /// The shop that it is about.
    pub site: Site,
    /// The event's name as received (ours for receipts), for people and counters.
    pub event_type: Identifier,
    /// Its content.
    pub content: Content,
    /// The parts that could not be used as they were.
    pub oddities: Oddities,
}

/// The parts of a body that could not be used as they were, for counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Unreadable names, which are treated as absent.
    pub names_unreadable: u32,
    /// Quantities that were finer than millionths.
    pub quantities_rounded: u32,
    /// Whether its timestamp is more than a day after its receipt.
    pub is_ahead: bool,
}

/// The content of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An order was created, updated or deleted.
    Order(OrderEvent),
    /// Lines of an order were refunded.
    Refund(RefundEvent),
    /// A product or category was created, updated or deleted.
    Catalogue(CatalogueEvent),
    /// A third-party store reports that an order changed, without its lines.
    Notice(NoticeEvent),
    /// A person corrected what an order holds.
    Correction(CorrectionEvent),
    /// Goods came in or were counted.
    Receipt(ReceiptEvent),
}

impl Content {
    /// Returns the names of the order that it acts on, if it acts on one.
    pub fn names(&self) -> Option<Names> {
        match self {
            Self::Order(event) => Some(event.names.clone()),
            Self::Notice(event) => Some(event.names.clone()),
            Self::Refund(event) => Some(Names::only(event.order.clone())),
            Self::Correction(event) => Some(Names::only(event.order.clone())),
            Self::Catalogue(_) | Self::Receipt(_) => None,
        }
    }

    /// Returns the record that it is joined into, if it acts on an order.
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
    /// Its names for the order.
    pub names: Names,
    /// Its place among the order's events.
    pub version: Version,
    /// The status as the sender wrote it, if that is not how we write it.
    pub said: Option<String>,
    /// The mode, if it has one.
    pub mode: Option<Mode>,
    /// The lines; `None` for a deletion, whose lines are not read.
    pub snapshot: Option<Snapshot>,
    /// The refunds in the order, one entry per id.
    pub refunds: Vec<Refund>,
    /// The number of refunds that have lines but no id. They are counted, and restock nothing.
    pub refunds_without_id: u32,
}

/// Whether an order is real.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// A real order.
    #[default]
    Live,
    /// A test of the shop.
    Test,
}

/// The parts of a full order that the state keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// A fingerprint of its status and its lines: snapshots with the same words say the same.
    pub words: Fingerprint,
    /// The lines, in canonical order.
    pub lines: Vec<Line>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// The line's own `id`.
    pub id: Option<Identifier>,
    /// The names of its goods.
    pub names: LineNames,
    /// The number of units.
    pub quantity: Quantity,
    /// `name`, for people.
    pub name: Option<String>,
}

impl Line {
    /// Returns the line's stock key: the first of these names that it has, or `None` if it has none
    /// of them.
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
    /// Returns the first of these names that exists; `line` is the line's own id.
    pub fn key(&self, line: Option<&Identifier>, precedence: &[StockKeyKind]) -> Option<StockKey> {
        precedence.iter().find_map(|&kind| {
            let identifier = if kind == StockKeyKind::Line { line } else { self.get(kind) };
            identifier.cloned().map(|identifier| StockKey { kind, identifier })
        })
    }

    /// Returns the name of a kind.
    pub fn get(&self, kind: StockKeyKind) -> Option<&Identifier> {
        self.0.iter().find_map(|(other, name)| (*other == kind).then_some(name))
    }

    /// Iterates over the names, each with its kind.
    pub fn iter(&self) -> impl Iterator<Item = (StockKeyKind, &Identifier)> {
        self.0.iter().map(|(kind, name)| (*kind, name))
    }

    /// Iterates over the names as stock keys.
    pub fn keys(&self) -> impl Iterator<Item = StockKey> {
        self.iter().map(|(kind, name)| StockKey { kind, identifier: name.clone() })
    }

    /// Returns whether there is no name.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a name, unless there is already one of its kind.
    pub(super) fn add(&mut self, kind: StockKeyKind, name: &Identifier) {
        if let Err(place) = self.0.binary_search_by_key(&kind, |(kind, _)| *kind) {
            self.0.insert(place, (kind, name.clone()));
        }
    }

    /// Returns whether the two have different names of one kind.
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

/// A refund event: one refund of an order that the event names but does not contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundEvent {
    /// The refunded order.
    pub order: OrderId,
    /// Its place among the order's events.
    pub version: Version,
    /// The refund; `None` if it has no id.
    pub refund: Option<Refund>,
}

/// A third-party store's notice that an order changed or was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeEvent {
    /// Its names for the order.
    pub names: Names,
    /// Its place among the order's events.
    pub version: Version,
    /// The statuses of payment and fulfilment, as the store writes them.
    pub said: Option<String>,
}

//! What one body states about an order, and how two statements compare.

use std::collections::BTreeMap;

use bytes::Bytes;
use rust_decimal::Decimal;

use super::policy::KeyKind;

/// An order event: a full order (a snapshot), or a deletion, which has no lines.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The body that carried it.
    pub body: Bytes,
    /// What happened to the order.
    pub occasion: Occasion,
    /// `event_timestamp`, in milliseconds.
    pub event_timestamp: i64,
    /// The status of the order.
    pub status: Status,
    /// The status in words: its own name, or an unknown one as it was written.
    pub status_word: String,
    /// Its mode, if it has one.
    pub mode: Option<String>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// The refunds that it lists.
    pub refunds: Vec<Refund>,
}

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// It was created.
    Creation,
    /// It was updated.
    Update,
    /// It was deleted.
    Deletion,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Its names, including its own id.
    pub names: BTreeMap<KeyKind, String>,
    /// The number of units.
    pub quantity: Decimal,
}

/// A refund as carried by an event or an order.
#[derive(Debug, Clone)]
pub struct Refund {
    /// The body that carried it.
    pub body: Bytes,
    /// Its id.
    pub id: String,
    /// `event_timestamp` of that body, in milliseconds.
    pub event_timestamp: i64,
    /// Whether it was carried by a refund event rather than an order.
    pub from_event: bool,
    /// When it was created, in microseconds, if it states that.
    pub created_us: Option<i64>,
    /// The lines that it refunds.
    pub lines: Vec<RefundedLine>,
}

/// A refunded line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefundedLine {
    /// The order's line, by the line's own id.
    pub id: Option<String>,
    /// The number of refunded units.
    pub quantity: Decimal,
}

/// The status of an order, in the order in which versions compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// A name that the rules do not know.
    Unknown,
    /// INCOMPLETE
    Incomplete,
    /// PENDING
    Pending,
    /// `IN_PROGRESS`
    InProgress,
    /// PROCESSED
    Processed,
    /// DISPATCHED
    Dispatched,
    /// SHIPPED
    Shipped,
    /// DELIVERED
    Delivered,
    /// DISPUTED
    Disputed,
    /// REFUNDED
    Refunded,
    /// CANCELLED
    Cancelled,
}

impl Status {
    const NAMED: [(Self, &'static str); 10] = [
        (Self::Incomplete, "INCOMPLETE"),
        (Self::Pending, "PENDING"),
        (Self::InProgress, "IN_PROGRESS"),
        (Self::Processed, "PROCESSED"),
        (Self::Dispatched, "DISPATCHED"),
        (Self::Shipped, "SHIPPED"),
        (Self::Delivered, "DELIVERED"),
        (Self::Disputed, "DISPUTED"),
        (Self::Refunded, "REFUNDED"),
        (Self::Cancelled, "CANCELLED"),
    ];

    /// Returns the status that a text without surrounding white space names, and its word.
    pub fn of(text: &str) -> (Self, String) {
        // Both spellings of the word are in use.
        let name = if text.eq_ignore_ascii_case("CANCELED") { "CANCELLED" } else { text };
        let named = Self::NAMED.into_iter().find(|(_, word)| word.eq_ignore_ascii_case(name));
        let (status, word) = named.unwrap_or((Self::Unknown, text));
        (status, word.to_owned())
    }

    /// Returns whether the status means that the goods have left.
    pub(super) const fn is_shipped(self) -> bool {
        matches!(self, Self::Dispatched | Self::Shipped | Self::Delivered)
    }

    /// Returns whether the status means that the goods are still here.
    pub(super) const fn is_unshipped(self) -> bool {
        matches!(self, Self::Pending | Self::InProgress | Self::Processed)
    }
}

/// Different contents, of which only a fingerprint can decide which one counts.
#[derive(Debug)]
pub enum Tied<'a> {
    /// Snapshots of one version, or deletions of one version, apart from the fingerprint.
    Snapshots(&'a [&'a Statement]),
    /// Entries of one refund id that are equal in everything but the fingerprint.
    Refunds(&'a [&'a Refund]),
}

/// Everything that a fingerprint is computed from; the order of lines and refunds does not matter.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Content<'a> {
    status_word: &'a str,
    mode: Option<&'a str>,
    lines: Vec<&'a Line>,
    refunds: Vec<(&'a str, Option<i64>, Vec<&'a RefundedLine>)>,
}

/// What a snapshot says, by which a person's correction recognizes it: the status, and each line's
/// id (its names if it has none) and quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    status: String,
    lines: Vec<Line>,
}

impl Statement {
    pub(super) const fn is_deletion(&self) -> bool {
        matches!(self.occasion, Occasion::Deletion)
    }

    pub(super) fn content(&self) -> Content<'_> {
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort();
        let refunds = self.refunds.iter();
        let mut refunds: Vec<_> = refunds
            .map(|refund| (refund.id.as_str(), refund.created_us, refund.sorted_lines()))
            .collect();
        refunds.sort();
        Content { status_word: &self.status_word, mode: self.mode.as_deref(), lines, refunds }
    }

    pub(super) fn words(&self) -> Words {
        let lines = self.lines.iter().map(|line| {
            let id = line.names.get_key_value(&KeyKind::Line);
            let names = id.map_or_else(
                || line.names.clone(),
                |(kind, id)| BTreeMap::from([(*kind, id.clone())]),
            );
            Line { names, quantity: line.quantity }
        });
        let mut lines: Vec<Line> = lines.collect();
        lines.sort();
        Words { status: self.status_word.clone(), lines }
    }

    /// Returns the lines with an id that no other line of the snapshot has.
    pub(super) fn lines_with_own_id(&self) -> BTreeMap<&str, &Line> {
        let mut by_id: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in &self.lines {
            if let Some(id) = line.id() {
                by_id.entry(id).or_default().push(line);
            }
        }
        let once = by_id.into_iter().filter(|(_, lines)| lines.len() == 1);
        once.flat_map(|(id, lines)| lines.into_iter().map(move |line| (id, line))).collect()
    }
}

impl Line {
    pub(super) fn id(&self) -> Option<&str> {
        self.names.get(&KeyKind::Line).map(String::as_str)
    }
}

impl Refund {
    /// Returns whether the refund states for at least one line how much of it was refunded;
    /// otherwise it is a stub.
    pub(super) fn has_lines(&self) -> bool {
        self.lines.iter().any(|line| line.id.is_some())
    }

    pub(super) fn sorted_lines(&self) -> Vec<&RefundedLine> {
        let mut lines: Vec<&RefundedLine> = self.lines.iter().collect();
        lines.sort();
        lines
    }
}

//! Refunds: what is known of each, whichever events it came from and however often.

use serde::{Deserialize, Serialize};

use super::{Fingerprint, Identifier, Quantity, Timestamp};

/// A refund as one body states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The refund's id.
    pub id: Identifier,
    /// What the body states about it.
    pub entry: RefundEntry,
}

/// What is known of one refund: the best statement about it, and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundEntry {
    /// `event_timestamp` of the event that stated it, in milliseconds.
    pub event_timestamp: i64,
    /// Whether a refund event stated it. At equal timestamps, it wins over an order's snapshot.
    pub from_event: bool,
    /// A fingerprint of its content.
    pub fingerprint: Fingerprint,
    /// The refunded lines, in canonical order. Lines without a quantity are about money, and are
    /// left out.
    pub lines: Vec<RefundLine>,
    /// The lowest `created` that any event stated.
    pub created: Option<Timestamp>,
    /// The lowest `event_timestamp` that it was seen with, in milliseconds.
    pub first_seen: i64,
}

impl RefundEntry {
    /// Joins another statement about the same refund. A stub lacks knowledge, so a statement with
    /// lines wins over one without; only then does the later statement win.
    pub(super) fn join(&mut self, other: &Self) {
        let created = [self.created, other.created].into_iter().flatten().min();
        let first_seen = self.first_seen.min(other.first_seen);
        if other.place() > self.place() {
            self.clone_from(other);
        }
        self.created = created;
        self.first_seen = first_seen;
    }

    fn place(&self) -> (bool, i64, bool, Fingerprint) {
        (self.has_lines(), self.event_timestamp, self.from_event, self.fingerprint)
    }

    fn has_lines(&self) -> bool {
        self.lines.iter().any(|line| line.id.is_some())
    }

    /// Returns when the refund was made, as far as any event stated it.
    pub fn at(&self) -> Timestamp {
        self.created.unwrap_or_else(|| Timestamp::from_millis(self.first_seen))
    }
}

/// A refunded line: the id of the order's line, and how many units of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefundLine {
    /// The line's id; a line without one restocks nothing.
    pub id: Option<Identifier>,
    /// The number of units.
    pub quantity: Quantity,
}

//! Refunds: what is known of each, from whichever events and however often.

use serde::{Deserialize, Serialize};

use super::{Fingerprint, Identifier, Quantity, Timestamp};

/// A refund as one body said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The refund's id.
    pub id: Identifier,
    /// What was said of it.
    pub entry: RefundEntry,
}

/// What is known of one refund: the best of what was said, and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundEntry {
    /// `event_timestamp` of the event that said it, in milliseconds.
    pub event_timestamp: i64,
    /// Whether a refund event said it; at the same time, it beats an order's snapshot.
    pub from_event: bool,
    /// A fingerprint of its content.
    pub fingerprint: Fingerprint,
    /// The refunded lines, in canonical order; those without a quantity are about money, and left
    /// out.
    pub lines: Vec<RefundLine>,
    /// The lowest `created` that anybody said.
    pub created: Option<Timestamp>,
    /// The lowest `event_timestamp` that it was seen with, in milliseconds.
    pub first_seen: i64,
}

impl RefundEntry {
    /// Joins what else was said of the same refund. A stub is missing knowledge: what has lines
    /// stands over what has none, and only then the later word counts.
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

    /// When the refund was made, as far as anybody said.
    pub fn at(&self) -> Timestamp {
        self.created.unwrap_or_else(|| Timestamp::from_millis(self.first_seen))
    }
}

/// A refunded line: the order's line by its id, and how many units of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefundLine {
    /// The line's id; one without restocks nothing.
    pub id: Option<Identifier>,
    /// How many units.
    pub quantity: Quantity,
}

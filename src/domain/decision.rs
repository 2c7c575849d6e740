//! What `decide` says shall change.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::order::Hold;
use super::{Quantity, StockKey};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It changed what is known.
    Applied,
    /// Something later was known already.
    Superseded,
    /// It was known already.
    Duplicate,
    /// It is none of ours.
    Ignored,
}

impl Outcome {
    /// The outcome's name in metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Superseded => "superseded",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
        }
    }
}

/// Why an event had its outcome, where that says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The order was deleted before; a deletion is final.
    AfterDeletion,
    /// The mode is TEST, which the policy ignores.
    TestMode,
    /// Only the fingerprint told it from another event of the same time, class and status.
    Ambiguous,
    /// The refund bears no id, so it cannot be told from its own repetition.
    RefundWithoutId,
    /// Another content stands under the same reference.
    ReferenceReused,
    /// The order was closed; it was settled, and untouched for long.
    OrderClosed,
    /// No rule knows the event's name.
    UnknownEventType,
}

impl Reason {
    /// The reason's name in metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AfterDeletion => "after_deletion",
            Self::TestMode => "test_mode",
            Self::Ambiguous => "ambiguous",
            Self::RefundWithoutId => "refund_without_id",
            Self::ReferenceReused => "reference_reused",
            Self::OrderClosed => "order_closed",
            Self::UnknownEventType => "unknown_event_type",
        }
    }
}

/// An event's outcome, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settled {
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where that says something.
    pub reason: Option<Reason>,
}

impl Settled {
    /// An outcome that needs no reason.
    pub const fn plain(outcome: Outcome) -> Self {
        Self { outcome, reason: None }
    }

    /// An outcome and its reason.
    pub const fn because(outcome: Outcome, reason: Reason) -> Self {
        Self { outcome, reason: Some(reason) }
    }
}

/// What events of one entity do to it, folded into one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<S> {
    /// The entity's new state.
    pub state: S,
    /// Whether that differs from the old one; if not, nothing is to be written.
    pub changed: bool,
    /// What changes in the site's stock, at most one change a stock key.
    pub changes: Vec<StockChange>,
    /// What became of each event, in the order given.
    pub settled: Vec<Settled>,
    /// What is to be counted once the decision is written.
    pub findings: Findings,
}

impl<S> Decision<S> {
    /// The same decision about a state in another form.
    pub(super) fn map<T>(self, form: impl FnOnce(S) -> T) -> Decision<T> {
        let Self { state, changed, changes, settled, findings } = self;
        Decision { state: form(state), changed, changes, settled, findings }
    }
}

/// Oddities that are worth a counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// Lines without a stock key.
    pub lines_unmapped: u64,
    /// Lines whose stock key changed from one snapshot to the next.
    pub lines_rekeyed: u64,
    /// Snapshots of a status that no rule knows.
    pub statuses_unknown: u64,
    /// Versions that only a fingerprint told apart.
    pub ambiguous: u64,
    /// Refunded lines that belong to no line of the order.
    pub refunds_unmatched: u64,
}

/// How the counts of one stock item change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockChange {
    /// The item.
    pub key: StockKey,
    /// What is added to its counts.
    pub delta: Counts,
    /// What the order holds of it from now on; `None` when no order is concerned.
    pub hold: Option<Hold>,
}

/// The three counts of a stock item, or a difference of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Units that came in.
    pub received: Quantity,
    /// Units that orders have been promised.
    pub committed: Quantity,
    /// Units that have left.
    pub fulfilled: Quantity,
}

impl Counts {
    /// What should be on the shelf: `received - fulfilled`. A decimal is wider than 64 bits, so no
    /// difference of totals can overflow.
    pub fn on_hand(&self) -> Decimal {
        self.received.to_decimal() - self.fulfilled.to_decimal()
    }

    /// What can still be promised: `received - committed - fulfilled`; below zero is an oversale.
    pub fn available(&self) -> Decimal {
        self.on_hand() - self.committed.to_decimal()
    }
}

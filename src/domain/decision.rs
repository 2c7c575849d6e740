//! The decision: what an event changes.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::correction::CORRECTIONS_MAX;
use super::named::named;
use super::names::SECOND_NAMES_MAX;
use super::quantity::STOCK_TOTAL_MAX;
use super::record::{REFUNDED_LINES_MAX, REFUNDS_MAX};
use super::{
    ClosedName, Code, EntityName, EntityState, Hold, Identifier, Link, Lists, OrderId, Quantity,
    StockKey, Timestamp, Version,
};

named! {
    /// The outcome of an event.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Outcome {
        /// The event changed what is known.
        Applied = "applied",
        /// A later event was already known.
        Superseded = "superseded",
        /// The event was already known.
        Duplicate = "duplicate",
        /// The event does not concern Storekeeper.
        Ignored = "ignored",
    }
}

named! {
    /// The reason for an outcome, if there is a particular one.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Reason {
        /// It is newer than a deletion of the order.
        AfterDeletion = "after_deletion",
        /// The mode is TEST, which the policy ignores.
        TestMode = "test_mode",
        /// Only the fingerprint distinguishes it from another event of the same time, class and
        /// status.
        Ambiguous = "ambiguous",
        /// The refund has no id, so it cannot be distinguished from its own repetition.
        RefundWithoutId = "refund_without_id",
        /// Its timestamp is more than a day after its receipt.
        TimestampAhead = "timestamp_ahead",
        /// The same reference was used with different content.
        ReferenceReused = "reference_reused",
        /// The order was closed: it was final and had not changed for a long time.
        OrderClosed = "order_closed",
        /// No rule handles events of this name.
        UnknownEventType = "unknown_event_type",
        /// It is not an event: a person gave a dead letter a new body.
        Edited = "edited",
        /// A person discarded a dead letter, or this is a copy of one that was discarded.
        Discarded = "discarded",
    }
}

/// An event's outcome and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventOutcome {
    /// The outcome.
    pub outcome: Outcome,
    /// The reason, if there is a particular one.
    pub reason: Option<Reason>,
}

impl EventOutcome {
    /// Creates an outcome without a reason.
    pub const fn plain(outcome: Outcome) -> Self {
        Self { outcome, reason: None }
    }

    /// Creates an outcome with a reason.
    pub const fn because(outcome: Outcome, reason: Reason) -> Self {
        Self { outcome, reason: Some(reason) }
    }
}

/// Why an event cannot be joined into the current state. Nothing of it was joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The record would exceed its limit of refunds.
    #[error(
        "the order would have more than {REFUNDS_MAX} refunds, or more than {REFUNDED_LINES_MAX} \
         refunded lines, of all its events together; nothing was applied"
    )]
    TooManyRefunds,
    /// The order would exceed its limit of second names.
    #[error("the order would have more than {SECOND_NAMES_MAX} second names; nothing was applied")]
    TooManyNames,
    /// The record would exceed its limit of corrections.
    #[error("the order has {CORRECTIONS_MAX} corrections, and gets no more")]
    TooManyCorrections,
    /// The order was closed before the event arrived.
    #[error(
        "the order was closed, as nothing had come since {watermark}; orders.retention says \
         when{}", open_record(.open.as_ref())
    )]
    Expired {
        /// Closed orders have not changed since before this time.
        watermark: Timestamp,
        /// An open record under another name of the event.
        open: Option<OrderId>,
    },
}

fn open_record(open: Option<&OrderId>) -> String {
    open.map_or_else(String::new, |open| {
        format!(
            "; {open} is open under another of its names: `storekeeper orders release` frees it"
        )
    })
}

impl Refused {
    /// Returns the reason code of the dead letter that the event becomes.
    pub const fn code(&self) -> Code {
        match self {
            Self::TooManyRefunds => Code::TooManyRefunds,
            Self::TooManyNames => Code::TooManyNames,
            Self::TooManyCorrections => Code::CorrectionInvalid,
            Self::Expired { .. } => Code::OrderExpired,
        }
    }
}

/// What events change in the entities that they concern, folded into one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// The entities that change or are removed.
    pub writes: Vec<Write>,
    /// The links that change or are removed.
    pub links: Vec<(OrderId, Option<Link>)>,
    /// New names, each with what was read about its closing; this must still be true at the commit.
    pub new_names: Vec<(OrderId, Option<ClosedName>)>,
    /// Names of the orders that this closes.
    pub closes: Vec<(OrderId, ClosedName)>,
    /// Changes of the site's stock, in order; at most one per stock key and cause.
    pub changes: Vec<StockChange>,
    /// Names of items, for people.
    pub item_names: Vec<ItemNames>,
    /// The outcome of each event, in the order given. A refused event left no trace.
    pub settled: Vec<Result<EventOutcome, Refused>>,
    /// What to count once the decision is written.
    pub findings: Findings,
}

impl Decision {
    /// Returns whether there is anything to write.
    pub const fn changes_anything(&self) -> bool {
        !self.writes.is_empty() || !self.links.is_empty()
    }
}

/// An entity that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The entity.
    pub name: EntityName,
    /// Its new state; `None` if it is removed.
    pub state: Option<EntityState>,
    /// The lists that it was in, and those that it is in now.
    pub lists: (Lists, Lists),
}

/// The names that an order or the catalogue has for an item, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemNames {
    /// The item.
    pub key: StockKey,
    /// A line's name for it, and the version of the snapshot that has the name. The name with the
    /// highest version is shown; of equal versions, the greater text.
    pub line: Option<(Version, String)>,
    /// The names by which people may look for it, including its own.
    pub also: Vec<StockKey>,
}

/// Oddities that are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// Lines without a stock key.
    pub lines_unmapped: u64,
    /// Lines whose stock key differs from the one in the latest snapshot.
    pub lines_rekeyed: u64,
    /// Snapshots with a status that no rule knows.
    pub statuses_unknown: u64,
    /// Versions that only a fingerprint distinguished.
    pub ambiguous: u64,
    /// Refunded lines that belong to no line of the order.
    pub refunds_unmatched: u64,
    /// Second names that became contested.
    pub names_contested: u64,
    /// Names that could not be read.
    pub names_unreadable: u64,
    /// Quantities that were rounded.
    pub quantities_rounded: u64,
    /// Events with a timestamp more than a day after their receipt.
    pub timestamps_ahead: u64,
    /// Corrections that were accepted.
    pub corrections: u64,
}

/// How the counts of one stock item change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockChange {
    /// The item.
    pub key: StockKey,
    /// The cause of the change.
    pub cause: Cause,
    /// What to add to its counts.
    pub delta: Counts,
    /// What the order that caused the change now holds of the item.
    pub hold: Option<Hold>,
    /// What the order leaves fulfilled for good, if this closes it.
    pub closed: Option<Quantity>,
}

/// The cause of a stock change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// An order, by the name under which it is shown.
    Order(OrderId),
    /// A receipt of the item, by its reference.
    Receipt(Identifier),
    /// A repair of the counts, by the name of the person who ran it; no event causes one.
    Repair(Identifier),
}

/// The three counts of a stock item, or differences of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Units that came in.
    pub received: Quantity,
    /// Units promised to orders.
    pub committed: Quantity,
    /// Units that have left.
    pub fulfilled: Quantity,
}

/// Why a stock item cannot have the totals that a change would produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TotalError {
    /// A total would be too far from zero.
    #[error("a total of the stock item would pass 4e12 units; nothing was applied")]
    TooLarge,
    /// `committed` or `fulfilled` would be negative: what the orders hold does not match what the
    /// item counts.
    #[error(
        "the stock item would count less than nothing as committed or fulfilled; nothing was \
         applied, and `storekeeper audit` says what does not belong together"
    )]
    Negative,
}

impl Counts {
    /// Returns what should be on the shelf: `received - fulfilled`. A decimal is wider than 64
    /// bits, so the difference of two totals cannot overflow.
    pub fn on_hand(&self) -> Decimal {
        self.received.to_decimal() - self.fulfilled.to_decimal()
    }

    /// Returns what can still be promised: `received - committed - fulfilled`; a negative number is
    /// an oversale.
    pub fn available(&self) -> Decimal {
        self.on_hand() - self.committed.to_decimal()
    }

    /// Adds a difference, if every total stays within its limits.
    pub fn plus(self, delta: Self) -> Result<Self, TotalError> {
        let most = Quantity::from_millionths(STOCK_TOTAL_MAX);
        let total = |count: Quantity, delta: Quantity| {
            let total = count.checked_add(delta).filter(|total| (-most..=most).contains(total));
            total.ok_or(TotalError::TooLarge)
        };
        let not_negative = |total: Quantity| {
            if total < Quantity::ZERO { Err(TotalError::Negative) } else { Ok(total) }
        };
        Ok(Self {
            received: total(self.received, delta.received)?,
            committed: total(self.committed, delta.committed).and_then(not_negative)?,
            fulfilled: total(self.fulfilled, delta.fulfilled).and_then(not_negative)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_that_cannot_be_are_told_by_what_is_wrong_with_them() {
        let of = |[received, committed, fulfilled]: [i64; 3]| Counts {
            received: Quantity::from_millionths(received),
            committed: Quantity::from_millionths(committed),
            fulfilled: Quantity::from_millionths(fulfilled),
        };
        let most = STOCK_TOTAL_MAX;
        for (counts, delta, expected) in [
            ([0, 1, 1], [-1, -1, -1], Ok([-1, 0, 0])),
            ([0, 0, 0], [-most, most, most], Ok([-most, most, most])),
            ([most, 0, 0], [1, 0, 0], Err(TotalError::TooLarge)),
            ([-most, 0, 0], [-1, 0, 0], Err(TotalError::TooLarge)),
            ([0, most, 0], [0, i64::MAX, 0], Err(TotalError::TooLarge)),
            ([0, 0, 0], [0, -1, 0], Err(TotalError::Negative)),
            ([0, 0, 1], [0, 0, -2], Err(TotalError::Negative)),
        ] {
            assert_eq!(of(counts).plus(of(delta)), expected.map(of), "{counts:?} {delta:?}");
        }
        assert!(TotalError::Negative.to_string().contains("less than nothing"));
    }
}

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
    /// What became of an event.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Outcome {
        /// It changed what is known.
        Applied = "applied",
        /// Something later was known already.
        Superseded = "superseded",
        /// It was known already.
        Duplicate = "duplicate",
        /// It is none of ours.
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
        /// It is stamped more than a day after it was received.
        TimestampAhead = "timestamp_ahead",
        /// Another content stands under the same reference.
        ReferenceReused = "reference_reused",
        /// The order was closed: it was final and long untouched.
        OrderClosed = "order_closed",
        /// No rule knows the event's name.
        UnknownEventType = "unknown_event_type",
        /// It is no event: a person gave a dead letter another body.
        Edited = "edited",
        /// A person discarded a dead letter, or this is a copy of one that was discarded.
        Discarded = "discarded",
    }
}

/// An event's outcome, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventOutcome {
    /// What became of it.
    pub outcome: Outcome,
    /// The reason, if there is a particular one.
    pub reason: Option<Reason>,
}

impl EventOutcome {
    /// An outcome that needs no reason.
    pub const fn plain(outcome: Outcome) -> Self {
        Self { outcome, reason: None }
    }

    /// An outcome and its reason.
    pub const fn because(outcome: Outcome, reason: Reason) -> Self {
        Self { outcome, reason: Some(reason) }
    }
}

/// Why an event cannot be joined into what it meets; nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The record would grow past its limit of refunds.
    #[error(
        "the order would have more than {REFUNDS_MAX} refunds, or more than {REFUNDED_LINES_MAX} \
         refunded lines, of all its events together; nothing was applied"
    )]
    TooManyRefunds,
    /// More second names would lead to the order than may.
    #[error("the order would have more than {SECOND_NAMES_MAX} second names; nothing was applied")]
    TooManyNames,
    /// The record would grow past its limit of corrections.
    #[error("the order has {CORRECTIONS_MAX} corrections, and gets no more")]
    TooManyCorrections,
    /// The order was closed, and the event came after that.
    #[error(
        "the order was closed, as nothing had come since {watermark}; orders.retention says \
         when{}", open_record(.open.as_ref())
    )]
    Expired {
        /// Closed orders were untouched since before this time.
        watermark: Timestamp,
        /// A record that is open under another name of the event.
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
    /// The reason of the dead letter that the event becomes.
    pub const fn code(&self) -> Code {
        match self {
            Self::TooManyRefunds => Code::TooManyRefunds,
            Self::TooManyNames => Code::TooManyNames,
            Self::TooManyCorrections => Code::CorrectionInvalid,
            Self::Expired { .. } => Code::OrderExpired,
        }
    }
}

/// What events do to the entities that they concern, folded into one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// The entities that are another than before, or gone.
    pub writes: Vec<Write>,
    /// The links that are others than before, or gone.
    pub links: Vec<(OrderId, Option<Link>)>,
    /// Names that are new, each with what is known of its closing: it must be so still.
    pub new_names: Vec<(OrderId, Option<ClosedName>)>,
    /// Names of orders that are closed by this.
    pub closes: Vec<(OrderId, ClosedName)>,
    /// What changes in the site's stock, in order; at most one change a stock key and cause.
    pub changes: Vec<StockChange>,
    /// What items are called, for people.
    pub item_names: Vec<ItemNames>,
    /// What became of each event, in the order given. One that was refused left no trace.
    pub settled: Vec<Result<EventOutcome, Refused>>,
    /// What is to be counted once the decision is written.
    pub findings: Findings,
}

impl Decision {
    /// Whether there is anything to be written.
    pub const fn changes_anything(&self) -> bool {
        !self.writes.is_empty() || !self.links.is_empty()
    }
}

/// An entity that is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The entity.
    pub name: EntityName,
    /// Its new state; `None` if it goes.
    pub state: Option<EntityState>,
    /// The lists that it was in, and those that it is in now.
    pub lists: (Lists, Lists),
}

/// What an order or the catalogue calls an item, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemNames {
    /// The item.
    pub key: StockKey,
    /// What a line calls it, and the snapshot that says so: of two names, the one of the higher
    /// version is shown, and of equal versions the greater text.
    pub line: Option<(Version, String)>,
    /// The names by which people may look for it, its own among them.
    pub also: Vec<StockKey>,
}

/// Oddities that are worth a counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// Lines without a stock key.
    pub lines_unmapped: u64,
    /// Lines whose stock key is another than in the latest snapshot.
    pub lines_rekeyed: u64,
    /// Snapshots of a status that no rule knows.
    pub statuses_unknown: u64,
    /// Versions that only a fingerprint told apart.
    pub ambiguous: u64,
    /// Refunded lines that belong to no line of the order.
    pub refunds_unmatched: u64,
    /// Second names that are contested from now on.
    pub names_contested: u64,
    /// Names that could not be read.
    pub names_unreadable: u64,
    /// Quantities that were rounded.
    pub quantities_rounded: u64,
    /// Events that are stamped more than a day after they were received.
    pub timestamps_ahead: u64,
    /// Corrections that were taken.
    pub corrections: u64,
}

/// How the counts of one stock item change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockChange {
    /// The item.
    pub key: StockKey,
    /// What the change is due to.
    pub cause: Cause,
    /// What is added to its counts.
    pub delta: Counts,
    /// What the order that it is due to holds of it from now on.
    pub hold: Option<Hold>,
    /// What the order leaves for good, if this closes it.
    pub closed: Option<Quantity>,
}

/// What a change of stock is due to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// An order, by the name that it is shown by.
    Order(OrderId),
    /// A receipt of the item, by its reference.
    Receipt(Identifier),
    /// A repair of the counts, by the name of who had it done; no event leads to one.
    Repair(Identifier),
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

/// Why a stock item cannot count what a change would make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TotalError {
    /// Further from zero than is counted.
    #[error("a total of the stock item would pass 4e12 units; nothing was applied")]
    TooLarge,
    /// Promised, or left, cannot be less than nothing: what orders hold and what the item counts
    /// do not belong together.
    #[error(
        "the stock item would count less than nothing as committed or fulfilled; nothing was \
         applied, and `storekeeper audit` says what does not belong together"
    )]
    Negative,
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

    /// The sum of counts and a difference, if every total stays within its limits.
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

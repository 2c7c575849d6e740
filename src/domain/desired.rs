//! What an order should hold: a pure function of its state and the policy.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Line, Snapshot};
use super::{
    Cancelled, Deleted, Hold, Identifier, OrderState, Policy, Quantity, Restock, Status, StockKey,
    TestMode,
};

/// In which way an order holds what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stance {
    Nothing,
    Committed,
    Fulfilled,
}

/// What an order should hold of each stock item; items of which it should hold nothing are left
/// out.
pub fn desired(state: &OrderState, policy: &Policy) -> BTreeMap<StockKey, Hold> {
    let mut holds = BTreeMap::<StockKey, Hold>::new();
    let Some(latest) = &state.latest else { return holds };
    let stance = stance(state, latest.version.status, latest.snapshot.test, policy);
    if stance == Stance::Nothing {
        return holds;
    }
    let refunded = Refunded::of(state, &latest.snapshot);
    if policy.restock == Restock::Full && refunded.covers(&latest.snapshot.lines) {
        return holds;
    }
    for line in &latest.snapshot.lines {
        let Some(key) = line.key(&policy.key_precedence) else { continue };
        let quantity = match policy.restock {
            Restock::Never | Restock::Full => line.quantity,
            Restock::Lines => {
                line.quantity.saturating_sub(refunded.of_line(line)).max(Quantity::ZERO)
            }
        };
        if quantity.is_zero() {
            continue;
        }
        let hold = holds.entry(key).or_default();
        let count = match stance {
            Stance::Fulfilled => &mut hold.fulfilled,
            Stance::Committed | Stance::Nothing => &mut hold.committed,
        };
        *count = count.saturating_add(quantity);
    }
    holds
}

fn stance(state: &OrderState, status: Status, test: bool, policy: &Policy) -> Stance {
    let released_by_deletion = state.deleted.is_some()
        && match policy.deleted {
            Deleted::Release => true,
            Deleted::ReleaseUnlessShipped => !state.ever_shipped,
        };
    if released_by_deletion || (test && policy.test_mode == TestMode::Ignore) {
        return Stance::Nothing;
    }
    let by_shipping = if state.ever_shipped { Stance::Fulfilled } else { Stance::Committed };
    match status {
        Status::Pending | Status::InProgress | Status::Processed => Stance::Committed,
        Status::Dispatched | Status::Shipped | Status::Delivered => Stance::Fulfilled,
        Status::Disputed | Status::Unknown => by_shipping,
        Status::Cancelled => match policy.cancelled {
            Cancelled::Keep => by_shipping,
            Cancelled::ReleaseUnlessShipped if state.ever_shipped => Stance::Fulfilled,
            Cancelled::Release | Cancelled::ReleaseUnlessShipped => Stance::Nothing,
        },
    }
}

/// How many refunded lines can be told to no line of the order: they bear no id, or one that
/// stands twice in it.
pub(super) fn refunds_unmatched(state: &OrderState) -> u64 {
    let lines = state.latest.as_ref().map_or(&[][..], |latest| &latest.snapshot.lines);
    let repeated = Ids::of(lines).repeated;
    let refunded = state.refunds.values().flat_map(|refund| &refund.lines);
    let unmatched =
        refunded.filter(|line| line.id.as_ref().is_none_or(|id| repeated.contains(id))).count();
    u64::try_from(unmatched).unwrap_or(u64::MAX)
}

/// The ids of an order's lines.
struct Ids<'a> {
    all: BTreeSet<&'a Identifier>,
    /// Those that stand there twice: a refund of one cannot be told to its line.
    repeated: BTreeSet<&'a Identifier>,
}

impl<'a> Ids<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let mut ids = Self { all: BTreeSet::new(), repeated: BTreeSet::new() };
        for id in lines.iter().filter_map(|line| line.id.as_ref()) {
            if !ids.all.insert(id) {
                ids.repeated.insert(id);
            }
        }
        ids
    }

    fn is_unique(&self, id: &Identifier) -> bool {
        self.all.contains(id) && !self.repeated.contains(id)
    }
}

/// How much of each line was refunded, by the line's id.
struct Refunded<'a> {
    by_line: BTreeMap<&'a Identifier, Quantity>,
}

impl<'a> Refunded<'a> {
    /// Sums the refunds of the lines whose id stands once in the order; others cannot be told.
    fn of(state: &'a OrderState, snapshot: &'a Snapshot) -> Self {
        let ids = Ids::of(&snapshot.lines);
        let mut by_line = BTreeMap::<_, Quantity>::new();
        for line in state.refunds.values().flat_map(|refund| &refund.lines) {
            let Some(id) = line.id.as_ref().filter(|id| ids.is_unique(id)) else { continue };
            let sum = by_line.entry(id).or_default();
            *sum = sum.saturating_add(line.quantity);
        }
        Self { by_line }
    }

    fn of_line(&self, line: &Line) -> Quantity {
        line.id.as_ref().and_then(|id| self.by_line.get(id)).copied().unwrap_or_default()
    }

    /// Whether there is a line, and every line is refunded to its quantity.
    fn covers(&self, lines: &[Line]) -> bool {
        !lines.is_empty() && lines.iter().all(|line| self.of_line(line) >= line.quantity)
    }
}

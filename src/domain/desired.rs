//! What an order should hold: a pure function of what is known of it and of the policy.

use std::collections::BTreeMap;

use super::named::named;
use super::{
    Action, Cancelled, Deleted, Departure, Hold, Identifier, Line, Mode, Policy, Quantity, Record,
    Restock, Status, StockKey, TestMode,
};

/// What an order should hold, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// What it should hold of each stock item. Items that it should not hold are left out.
    pub holds: BTreeMap<StockKey, Hold>,
    /// The rule that decided.
    pub why: Why,
}

named! {
    /// The rule that decides what an order holds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Why {
        /// No snapshot of the order is known.
        NoSnapshot = "no_snapshot",
        /// A person released the order.
        Released = "released",
        /// The order is deleted.
        Deleted = "deleted",
        /// Its mode is TEST.
        TestMode = "test_mode",
        /// The order is not placed yet.
        Incomplete = "incomplete",
        /// Its status says that the money was refunded.
        Refunded = "refunded",
        /// The order is cancelled.
        Cancelled = "cancelled",
        /// All of its lines are refunded.
        RefundedInFull = "refunded_in_full",
        /// A person made the order hold its goods.
        Held = "held",
        /// Its goods have left.
        Left = "left",
        /// Its goods are promised and still here.
        Promised = "promised",
    }
}

/// Computes what an order should hold of each stock item.
pub fn desired(order: &Record, policy: &Policy) -> Desired {
    let departure = order.departure();
    match stance(order, departure, policy) {
        Ok(why) => held(order, departure, policy, why),
        Err(why) => Desired { holds: BTreeMap::new(), why },
    }
}

/// Decides whether the order holds anything. The rows of the table apply one after the other, and
/// each may decide that it holds nothing.
fn stance(order: &Record, departure: Option<Departure>, policy: &Policy) -> Result<Why, Why> {
    let latest = order.latest.as_ref().ok_or(Why::NoSnapshot)?;
    let status = latest.version.status;
    let corrections = order.corrections_in_force();
    let has_left = departure.is_some();
    if corrections.decides == Some(Action::Release) {
        return Err(Why::Released);
    }
    let is_deleted = corrections.deleted.is_some();
    if is_deleted && !(has_left && policy.deleted == Deleted::ReleaseUnlessShipped) {
        return Err(Why::Deleted);
    }
    let is_held = corrections.decides == Some(Action::Hold) && !is_deleted;
    if !is_held {
        let mode = order.mode.map(|(_, mode)| mode);
        if mode == Some(Mode::Test) && policy.test_mode == TestMode::Ignore {
            return Err(Why::TestMode);
        }
        if status == Status::Incomplete {
            return Err(Why::Incomplete);
        }
    }
    if status == Status::Refunded && !has_left && policy.restock != Restock::Never {
        return Err(Why::Refunded);
    }
    if !is_held && status == Status::Cancelled {
        let holds = match policy.cancelled {
            Cancelled::Keep => true,
            Cancelled::ReleaseUnlessShipped => has_left,
            Cancelled::Release => false,
        };
        if !holds {
            return Err(Why::Cancelled);
        }
    }
    Ok(match (is_held, has_left) {
        (true, _) => Why::Held,
        (false, true) => Why::Left,
        (false, false) => Why::Promised,
    })
}

fn held(order: &Record, departure: Option<Departure>, policy: &Policy, why: Why) -> Desired {
    let mut holds = BTreeMap::<StockKey, Hold>::new();
    let refunded = match policy.restock {
        Restock::Never => None,
        Restock::Unshipped => Some(Refunded::of(order, departure)),
        Restock::Lines | Restock::Full => Some(Refunded::of(order, None)),
    };
    if policy.restock == Restock::Full && refunded.as_ref().is_some_and(Refunded::is_complete) {
        return Desired { holds, why: Why::RefundedInFull };
    }
    for (line, key) in order.keyed_lines(&policy.key_precedence) {
        let Some(key) = key else { continue };
        let back = match (&refunded, policy.restock) {
            (Some(refunded), Restock::Unshipped | Restock::Lines) => refunded.of_line(line),
            (Some(_) | None, _) => Quantity::ZERO,
        };
        let quantity = line.quantity.saturating_sub(back).max(Quantity::ZERO);
        if quantity.is_zero() {
            continue;
        }
        let hold = holds.entry(key).or_default();
        let count = if departure.is_some() { &mut hold.fulfilled } else { &mut hold.committed };
        *count = count.saturating_add(quantity);
    }
    Desired { holds, why }
}

/// How much of each line was refunded, by the line's id.
struct Refunded<'a> {
    lines: &'a [Line],
    by_line: BTreeMap<&'a Identifier, Quantity>,
}

impl<'a> Refunded<'a> {
    /// Sums the refunds of lines whose id occurs once in the order; other lines cannot be
    /// identified. With a departure, only the refunds made before it count.
    fn of(order: &'a Record, departure: Option<Departure>) -> Self {
        let lines = order.latest.as_ref().map_or(&[][..], |latest| &latest.snapshot.lines);
        let mut by_line = BTreeMap::<_, Quantity>::new();
        if order.refunds.is_empty() {
            return Self { lines, by_line };
        }
        let told_apart = super::record::told_apart(lines);
        let before = |at| departure.is_none_or(|departure| at < departure.since);
        let refunds = order.refunds.values().filter(|refund| before(refund.at()));
        for line in refunds.flat_map(|refund| &refund.lines) {
            let Some(id) = line.id.as_ref().filter(|id| told_apart.contains_key(id)) else {
                continue;
            };
            let sum = by_line.entry(id).or_default();
            *sum = sum.saturating_add(line.quantity);
        }
        Self { lines, by_line }
    }

    fn of_line(&self, line: &Line) -> Quantity {
        line.id.as_ref().and_then(|id| self.by_line.get(id)).copied().unwrap_or_default()
    }

    /// Returns whether there is a line, and every line is refunded up to its quantity.
    fn is_complete(&self) -> bool {
        !self.lines.is_empty() && self.lines.iter().all(|line| self.of_line(line) >= line.quantity)
    }
}

/// Counts the refunded lines that match no line of the order: they have no id, or one that the
/// latest snapshot lacks or has twice. Before there is a snapshot, nothing can be matched yet, and
/// the count is 0.
pub fn refunds_unmatched(order: &Record) -> u64 {
    let Some(latest) = &order.latest else { return 0 };
    if order.refunds.is_empty() {
        return 0;
    }
    let told_apart = super::record::told_apart(&latest.snapshot.lines);
    let refunded = order.refunds.values().flat_map(|refund| &refund.lines);
    let unmatched =
        refunded.filter(|line| line.id.as_ref().is_none_or(|id| !told_apart.contains_key(id)));
    u64::try_from(unmatched.count()).unwrap_or(u64::MAX)
}

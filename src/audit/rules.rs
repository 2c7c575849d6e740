//! What an audit compares, and when two things differ. Pure.

use std::collections::BTreeSet;

use crate::domain::{Counts, Hold, OrderId, PolicyInForce, Quantity, StockKey, desired};
use crate::store::{AuditedHold, AuditedItem, AuditedOrder, Revision};

/// Two numbers that should be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was compared.
    pub kind: Kind,
    /// The item, if it is about one.
    pub key: Option<StockKey>,
    /// The order, if it is about one.
    pub order: Option<OrderId>,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub expected: String,
    /// The order's revision: with another one it is another difference.
    revision: Option<Revision>,
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An item's `received` is the sum of its receipts.
    Received,
    /// An item's `committed` is the sum of what orders hold of it.
    Committed,
    /// An item's `fulfilled` is the sum of what orders hold of it, and closed orders left.
    Fulfilled,
    /// What an order holds, and what the item says that it holds.
    Hold,
    /// What an order holds, and what it should hold under the policy in force.
    Applied,
    /// The policy that an order was computed with is the one in force.
    Policy,
    /// The change feed has no gaps.
    Sequence,
    /// The counts after a change are those before it and the change.
    After,
    /// An item's counts are those after its latest change.
    Latest,
}

impl Kind {
    /// The kind's public name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "stock.received",
            Self::Committed => "stock.committed",
            Self::Fulfilled => "stock.fulfilled",
            Self::Hold => "order.hold",
            Self::Applied => "order.applied",
            Self::Policy => "order.policy",
            Self::Sequence => "changes.sequence",
            Self::After => "changes.after",
            Self::Latest => "changes.latest",
        }
    }
}

impl Difference {
    pub(super) fn new(kind: Kind, found: &impl ToString, expected: &impl ToString) -> Self {
        let (found, expected) = (found.to_string(), expected.to_string());
        Self { kind, key: None, order: None, found, expected, revision: None }
    }

    pub(super) fn of_item(self, key: &StockKey) -> Self {
        Self { key: Some(key.clone()), ..self }
    }

    fn of_order(self, order: &OrderId, revision: Option<Revision>) -> Self {
        Self { order: Some(order.clone()), revision, ..self }
    }
}

/// Orders against the items that they hold, and against the policy in force.
pub(super) fn of_orders(
    orders: &[AuditedOrder],
    in_force: Option<&PolicyInForce>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    for AuditedOrder { stored, held } in orders {
        let state = &stored.state;
        let of_order =
            |difference: Difference| difference.of_order(&stored.order, Some(stored.revision));
        for (key, applied) in &state.applied {
            let held = held.get(key).copied().unwrap_or_default();
            let difference = hold_difference(Kind::Hold, held, *applied);
            differences.extend(difference.map(|it| of_order(it).of_item(key)));
        }
        let Some(in_force) = in_force else { continue };
        if state.policy != in_force.revision {
            let difference = Difference::new(Kind::Policy, &state.policy, &in_force.revision);
            differences.push(of_order(difference));
            continue;
        }
        let wanted = desired(state, &in_force.policy);
        let keys: BTreeSet<_> = wanted.keys().chain(state.applied.keys()).collect();
        for key in keys {
            let applied = state.applied.get(key).copied().unwrap_or_default();
            let wanted = wanted.get(key).copied().unwrap_or_default();
            let difference = hold_difference(Kind::Applied, applied, wanted);
            differences.extend(difference.map(|it| of_order(it).of_item(key)));
        }
    }
    differences
}

/// What items say that orders hold against what those say. Where the order names the item too,
/// [`of_orders`] has compared the two.
pub(super) fn of_holds(holds: &[AuditedHold]) -> Vec<Difference> {
    let unknown = holds.iter().filter(|hold| hold.applied == Hold::default());
    let difference = unknown.filter_map(|AuditedHold { key, order, held, applied }| {
        let difference = hold_difference(Kind::Hold, *held, *applied)?;
        Some(difference.of_order(order, None).of_item(key))
    });
    difference.collect()
}

fn hold_difference(kind: Kind, found: Hold, expected: Hold) -> Option<Difference> {
    (found != expected).then(|| Difference::new(kind, &in_words(found), &in_words(expected)))
}

fn in_words(hold: Hold) -> String {
    match (hold.committed.is_zero(), hold.fulfilled.is_zero()) {
        (true, true) => "nothing".to_owned(),
        (false, true) => format!("committed {}", hold.committed),
        (true, false) => format!("fulfilled {}", hold.fulfilled),
        (false, false) => format!("committed {}, fulfilled {}", hold.committed, hold.fulfilled),
    }
}

/// The counts of items against the sums of what they are made of.
pub(super) fn of_items(items: &[AuditedItem]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for AuditedItem { key, counts, sums } in items {
        let parts = sums.as_ref().map(parts).map_or([None; 3], |parts| parts.map(Some));
        for ((kind, count), sum) in KINDS.into_iter().zip(self::parts(counts)).zip(parts) {
            if sum != Some(count) {
                let sum = sum.map_or_else(|| "more than fits".to_owned(), |sum| sum.to_string());
                differences.push(Difference::new(kind, &count, &sum).of_item(key));
            }
        }
    }
    differences
}

/// What [`parts`] answers with.
const KINDS: [Kind; 3] = [Kind::Received, Kind::Committed, Kind::Fulfilled];

const fn parts(counts: &Counts) -> [Quantity; 3] {
    [counts.received, counts.committed, counts.fulfilled]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{OrderState, Policy, Site};
    use crate::store::StoredOrder;

    fn key() -> StockKey {
        StockKey::parse("sku:S").unwrap()
    }

    fn committed(units: i64) -> Hold {
        Hold { committed: Quantity::from_millionths(units * 1_000_000), ..Hold::default() }
    }

    fn in_force(revision: u64) -> PolicyInForce {
        PolicyInForce { revision, policy: Policy::default() }
    }

    fn order(applied: Hold, held: Hold) -> AuditedOrder {
        let state =
            OrderState { applied: [(key(), applied)].into(), policy: 1, ..OrderState::default() };
        let stored = StoredOrder {
            site: Site::parse("shop").unwrap(),
            order: OrderId::parse("id:1").unwrap(),
            revision: Revision(7),
            state,
            alias_conflict: false,
        };
        AuditedOrder { stored, held: [(key(), held)].into() }
    }

    #[track_caller]
    fn check(differences: &[Difference], expected: &[(Kind, &str, &str)]) {
        let found = differences.iter().map(|it| (it.kind, it.found.as_str(), it.expected.as_str()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_order_is_compared_with_its_items_and_with_the_policy() {
        let stray = order(committed(2), committed(2));
        check(&of_orders(std::slice::from_ref(&stray), None), &[]);
        let applied = (Kind::Applied, "committed 2", "nothing");
        check(&of_orders(&[stray], Some(&in_force(1))), &[applied]);
        let torn = order(committed(2), committed(3));
        let hold = (Kind::Hold, "committed 3", "committed 2");
        check(&of_orders(std::slice::from_ref(&torn), None), &[hold]);
        check(&of_orders(&[torn], Some(&in_force(2))), &[hold, (Kind::Policy, "1", "2")]);
    }

    #[test]
    fn the_same_difference_of_another_revision_is_another() {
        let first = order(committed(2), committed(3));
        let mut later = first.clone();
        later.stored.revision = Revision(8);
        assert_ne!(of_orders(&[first], None), of_orders(&[later], None));
    }

    #[test]
    fn a_hold_that_its_order_does_not_know_is_found() {
        let order = OrderId::parse("id:1").unwrap();
        let hold =
            |applied| AuditedHold { key: key(), order: order.clone(), held: committed(1), applied };
        check(&of_holds(&[hold(Hold::default())]), &[(Kind::Hold, "committed 1", "nothing")]);
        check(&of_holds(&[hold(committed(1))]), &[]);
    }

    #[test]
    fn each_count_of_an_item_is_the_sum_of_its_parts() {
        let counts = |units: i64| Counts {
            received: Quantity::from_millionths(units),
            committed: Quantity::from_millionths(units),
            fulfilled: Quantity::from_millionths(units),
        };
        let item = |sums| AuditedItem { key: key(), counts: counts(1), sums };
        check(&of_items(&[item(Some(counts(1)))]), &[]);
        let kinds: Vec<_> = of_items(&[item(Some(counts(2)))]).iter().map(|it| it.kind).collect();
        assert_eq!(kinds, [Kind::Received, Kind::Committed, Kind::Fulfilled]);
        assert_eq!(of_items(&[item(None)]).len(), 3);
    }
}

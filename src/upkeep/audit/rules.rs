//! What an audit compares, and when two values differ. Pure.

use std::collections::BTreeSet;

use crate::domain::{
    Counts, Hold, INVOICES_MAX, Link, List, OrderId, PolicyInForce, Quantity, Reading, Record,
    StockKey, desired,
};
use crate::store::{AuditedHold, AuditedItem, AuditedOrder, Revision, StoreError};

/// Two values that should be equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was compared.
    pub kind: Kind,
    /// The item, if the difference concerns one.
    pub key: Option<StockKey>,
    /// The order, if the difference concerns one.
    pub order: Option<OrderId>,
    /// The value that was found.
    pub found: String,
    /// The value that was expected.
    pub expected: String,
    /// The order's revision: under another revision it is another difference.
    revision: Option<Revision>,
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An item's `received` is the sum of its receipts.
    Received,
    /// An item's `committed` is the sum of what orders hold of it.
    Committed,
    /// An item's `fulfilled` is the sum of what orders hold of it and of what closed orders left.
    Fulfilled,
    /// What an order holds equals what the item records that it holds.
    Hold,
    /// What an order holds equals what it should hold under the policy in force.
    Applied,
    /// The policy that an order was computed with is the one in force.
    Policy,
    /// A name leads to its order, and the order knows it.
    Name,
    /// The change feed has no gaps.
    Sequence,
    /// The counts after a change are those before it and the change.
    After,
    /// An item's counts are those after its latest change.
    Latest,
    /// An order can be read.
    Readable,
}

impl Kind {
    /// Returns the kind's public name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "stock.received",
            Self::Committed => "stock.committed",
            Self::Fulfilled => "stock.fulfilled",
            Self::Hold => "order.hold",
            Self::Applied => "order.applied",
            Self::Policy => "order.policy",
            Self::Name => "order.name",
            Self::Sequence => "changes.sequence",
            Self::After => "changes.after",
            Self::Latest => "changes.latest",
            Self::Readable => "order.unreadable",
        }
    }

    /// Returns whether a repair fixes it: records and receipts define the correct value. A fault in
    /// those, or in the past of the feed, is left to a person.
    pub const fn is_repairable(self) -> bool {
        match self {
            Self::Received
            | Self::Committed
            | Self::Fulfilled
            | Self::Hold
            | Self::Applied
            | Self::Latest => true,
            Self::Policy | Self::Name | Self::Sequence | Self::After | Self::Readable => false,
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

    /// Returns whether both concern the same thing, whatever the values are now.
    pub fn is_of_same(&self, other: &Self) -> bool {
        (self.kind, &self.key, &self.order) == (other.kind, &other.key, &other.order)
    }

    /// Creates the difference of an order that, or part of which, cannot be read.
    pub(super) fn unreadable(order: &OrderId, error: &StoreError) -> Self {
        Self::new(Kind::Readable, error, &"a state of this release").of_order(order, None)
    }

    fn of_order(self, order: &OrderId, revision: Option<Revision>) -> Self {
        Self { order: Some(order.clone()), revision, ..self }
    }
}

/// Compares records with the items that they hold and with the policy in force. `reading` has the
/// orders that they belong to.
pub(super) fn of_orders(
    records: &[AuditedOrder],
    reading: &Reading,
    in_force: Option<&PolicyInForce>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    for AuditedOrder { order, revision, record, held } in records {
        let of_order = |difference: Difference| difference.of_order(order, Some(*revision));
        for (key, applied) in &record.applied {
            let held = held.get(key).copied().unwrap_or_default();
            let difference = hold_difference(Kind::Hold, held, *applied);
            differences.extend(difference.map(|it| of_order(it).of_item(key)));
        }
        let is_leading = reading.lead(order) == *order;
        if is_leading != record.lists.has(List::All) {
            let difference = Difference::new(
                Kind::Name,
                &in_a_list(record.lists.has(List::All)),
                &in_a_list(is_leading),
            );
            differences.push(of_order(difference));
        }
        for name in &record.second_names {
            // A contested name keeps only the lowest ids.
            let link = reading.link(name);
            if !link.ids.contains(order) && !link.is_contested() {
                let found = "a name that does not lead to it";
                differences.push(of_order(Difference::new(Kind::Name, &found, name)));
            }
        }
        let Some(in_force) = in_force.filter(|_| is_leading) else { continue };
        if record.policy != in_force.revision {
            let difference = Difference::new(Kind::Policy, &record.policy, &in_force.revision);
            differences.push(of_order(difference));
            continue;
        }
        let members: Vec<&Record> = reading
            .members(order)
            .into_iter()
            .map(|(name, member)| if name == order { record } else { member })
            .collect();
        let wanted = desired(&Record::union(&members), &in_force.policy).holds;
        let keys: BTreeSet<_> = wanted.keys().chain(record.applied.keys()).collect();
        for key in keys {
            let applied = record.applied.get(key).copied().unwrap_or_default();
            let wanted = wanted.get(key).copied().unwrap_or_default();
            let difference = hold_difference(Kind::Applied, applied, wanted);
            differences.extend(difference.map(|it| of_order(it).of_item(key)));
        }
    }
    differences
}

const fn in_a_list(is_in: bool) -> &'static str {
    if is_in { "an order of its own" } else { "a part of another order" }
}

/// Compares names with the orders that they were seen beside.
pub(super) fn of_names(names: &[OrderId], reading: &Reading) -> Vec<Difference> {
    let mut differences = Vec::new();
    for name in names {
        let link = reading.link(name);
        for id in &link.ids {
            let found = match reading.record(id) {
                // A contested name stays contested, and of many invoice numbers the oldest are
                // forgotten.
                None if is_kept(&link, name) && reading.closed.contains_key(id) => None,
                None => Some("no such order"),
                Some(record) if !name.kind.is_second_name() => {
                    let knows = record.invoices.iter().any(|(_, invoice)| invoice == name);
                    // Of many invoice numbers the oldest are forgotten.
                    (!knows && record.invoices.len() < INVOICES_MAX)
                        .then_some("an order without it")
                }
                Some(record) => {
                    (!record.second_names.contains(name)).then_some("an order without it")
                }
            };
            differences.extend(
                found.map(|found| Difference::new(Kind::Name, &found, name).of_order(id, None)),
            );
        }
        // An invoice number leads nowhere: it is the name of an order that has no other.
        let leads_away = name.kind.is_second_name() && link.leads_to().is_some();
        let holds = reading.record(name).is_some_and(|record| !record.applied.is_empty());
        if leads_away && holds {
            let found = "holds something beside the order that it leads to";
            differences.push(Difference::new(Kind::Name, &found, &"nothing").of_order(name, None));
        }
    }
    differences
}

/// Returns whether a link stays when one of the orders that were seen beside the name is closed.
fn is_kept(link: &Link, name: &OrderId) -> bool {
    link.is_contested() || !name.kind.is_second_name()
}

/// Compares what items record that orders hold with what the orders record. If the order lists the
/// item too, [`of_orders`] has already compared the two.
pub(super) fn of_holds(holds: &[AuditedHold]) -> Vec<Difference> {
    let unknown = holds.iter().filter(|hold| hold.applied == Some(Hold::default()));
    let difference = unknown.filter_map(|AuditedHold { key, order, held, .. }| {
        let difference = hold_difference(Kind::Hold, *held, Hold::default())?;
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

/// Compares the counts of items with the sums of their parts.
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

/// The kinds of the values that [`parts`] returns.
const KINDS: [Kind; 3] = [Kind::Received, Kind::Committed, Kind::Fulfilled];

const fn parts(counts: &Counts) -> [Quantity; 3] {
    [counts.received, counts.committed, counts.fulfilled]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Link, Policy};

    fn key() -> StockKey {
        StockKey::parse("sku:S").unwrap()
    }

    fn committed(units: i64) -> Hold {
        Hold { committed: Quantity::from_millionths(units * 1_000_000), ..Hold::default() }
    }

    fn in_force(revision: u64) -> PolicyInForce {
        PolicyInForce { revision, policy: Policy::default() }
    }

    fn order(applied: Hold, held: Hold) -> (AuditedOrder, Reading) {
        let order = OrderId::parse("id:1").unwrap();
        let record = Record {
            applied: [(key(), applied)].into(),
            policy: 1,
            lists: [List::All].into_iter().collect(),
            ..Record::default()
        };
        let mut reading = Reading::default();
        reading.records.insert(order.clone(), Some(record.clone().into()));
        let held = [(key(), held)].into();
        (AuditedOrder { order, revision: Revision(7), record, held }, reading)
    }

    #[track_caller]
    fn check(differences: &[Difference], expected: &[(Kind, &str, &str)]) {
        let found = differences.iter().map(|it| (it.kind, it.found.as_str(), it.expected.as_str()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_order_is_compared_with_its_items_and_with_the_policy() {
        let (stray, reading) = order(committed(2), committed(2));
        check(&of_orders(std::slice::from_ref(&stray), &reading, None), &[]);
        let applied = (Kind::Applied, "committed 2", "nothing");
        check(&of_orders(&[stray], &reading, Some(&in_force(1))), &[applied]);
        let (torn, reading) = order(committed(2), committed(3));
        let hold = (Kind::Hold, "committed 3", "committed 2");
        check(&of_orders(std::slice::from_ref(&torn), &reading, None), &[hold]);
        let policy = (Kind::Policy, "1", "2");
        check(&of_orders(&[torn], &reading, Some(&in_force(2))), &[hold, policy]);
    }

    #[test]
    fn the_same_difference_of_another_revision_is_another() {
        let (first, reading) = order(committed(2), committed(3));
        let mut later = first.clone();
        later.revision = Revision(8);
        assert_ne!(of_orders(&[first], &reading, None), of_orders(&[later], &reading, None));
    }

    #[test]
    fn a_name_leads_to_an_order_that_knows_it() {
        let name = OrderId::parse("external-id:E").unwrap();
        let id = OrderId::parse("id:1").unwrap();
        let (_, mut reading) = order(committed(1), committed(1));
        let mut link = Link::default();
        link.ids.insert(id.clone());
        reading.links.insert(name.clone(), Some(link));
        let names = [name.clone()];
        check(&of_names(&names, &reading), &[(Kind::Name, "an order without it", "external-id:E")]);
        if let Some(Some(record)) = reading.records.get_mut(&id) {
            Arc::make_mut(record).second_names.insert(name.clone());
        }
        check(&of_names(&names, &reading), &[]);
        let (own, _) = order(committed(1), committed(1));
        reading.records.insert(name, Some(own.record.into()));
        let found = "holds something beside the order that it leads to";
        check(&of_names(&names, &reading), &[(Kind::Name, found, "nothing")]);
        reading.records.insert(id, None);
        assert_eq!(of_names(&names, &reading).len(), 2);
    }

    #[test]
    fn a_contested_name_may_keep_an_id_whose_order_was_closed() {
        let name = OrderId::parse("external-id:E").unwrap();
        let ids = ["id:1", "id:2"].map(|id| OrderId::parse(id).unwrap());
        let link = Link { ids: ids.clone().into(), led_to_closed: false };
        let mut reading = Reading::default();
        reading.links.insert(name.clone(), Some(link));
        let missing = (Kind::Name, "no such order", "external-id:E");
        check(&of_names(std::slice::from_ref(&name), &reading), &[missing, missing]);
        let closed = ids.map(|id| (id, crate::domain::ClosedName::Itself));
        reading.closed.extend(closed);
        check(&of_names(&[name], &reading), &[]);
    }

    #[test]
    fn an_invoice_number_leads_nowhere_and_may_be_an_order_of_its_own() {
        let (invoice, id) = (OrderId::parse("invoice-number:N"), OrderId::parse("id:1"));
        let (invoice, id) = (invoice.unwrap(), id.unwrap());
        let (own, mut reading) = order(committed(1), committed(1));
        let link = Link { ids: [id].into(), led_to_closed: false };
        reading.links.insert(invoice.clone(), Some(link));
        reading.records.insert(invoice.clone(), Some(own.record.into()));
        // The only fault here is that the order beside it does not know it.
        let unknown = (Kind::Name, "an order without it", "invoice-number:N");
        check(&of_names(&[invoice], &reading), &[unknown]);
    }

    #[test]
    fn a_hold_that_its_order_does_not_know_is_found() {
        let order = OrderId::parse("id:1").unwrap();
        let hold =
            |applied| AuditedHold { key: key(), order: order.clone(), held: committed(1), applied };
        check(&of_holds(&[hold(Some(Hold::default()))]), &[(Kind::Hold, "committed 1", "nothing")]);
        check(&of_holds(&[hold(Some(committed(1)))]), &[]);
        check(&of_holds(&[hold(None)]), &[]);
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

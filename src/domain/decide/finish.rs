//! From joined records to what is written: what each order should hold, and what that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::family::Family;
use crate::domain::{
    Cause, ClosedName, Counts, Decision, EntityName, EntityState, Hold, ItemNames, List, Lists,
    OrderId, PolicyInForce, Reading, Record, Status, StockChange, StockKey, Version, Write,
    desired, refunds_unmatched,
};

/// Computes every order of a family, and returns what differs from before.
pub(super) fn finish(family: Family<'_>, in_force: &PolicyInForce) -> Decision {
    let Family { before, mut after, mut findings, .. } = family;
    let mut item_names = Vec::new();
    let mut computed = Vec::new();
    let mut unmatched = 0;
    for (name, record) in after.records.iter().filter_map(|(name, it)| Some((name, it.as_deref()?)))
    {
        let mut leading = Leading::default();
        if after.lead(name) == *name {
            let members: Vec<&Record> =
                after.members(name).into_iter().map(|(_, record)| record).collect();
            let order = Record::union(&members);
            leading.applied = desired(&order, &in_force.policy).holds;
            leading.policy = in_force.revision;
            leading.lists = lists(&after, name, &order, in_force);
            unmatched += refunds_unmatched(&order);
            // A newer snapshot may give items new names, and another policy may select other items.
            let is_news = record.policy != in_force.revision
                || latest(before, name) != order.latest.as_ref().map(|latest| latest.version);
            if is_news {
                item_names.extend(item_names_of(&order, in_force));
            }
        }
        if record.applied != leading.applied
            || record.policy != leading.policy
            || record.lists != leading.lists
        {
            computed.push((name.clone(), leading));
        }
    }
    findings.refunds_unmatched += unmatched.saturating_sub(unmatched_before(before));
    for (name, Leading { applied, policy, lists }) in computed {
        if let Some(Some(record)) = after.records.get_mut(&name) {
            let record = Arc::make_mut(record);
            (record.applied, record.policy, record.lists) = (applied, policy, lists);
        }
    }
    let mut decision = differences(before, after);
    decision.item_names = item_names;
    decision.findings = findings;
    decision
}

/// Returns the version of the latest snapshot of an order, as it was read.
fn latest(before: &Reading, lead: &OrderId) -> Option<Version> {
    let members = before.members(lead).into_iter();
    members.filter_map(|(_, record)| Some(record.latest.as_ref()?.version)).max()
}

/// Returns the names that the lines of an order have for its items.
fn item_names_of(order: &Record, in_force: &PolicyInForce) -> Vec<ItemNames> {
    let Some(latest) = &order.latest else { return Vec::new() };
    let lines = order.keyed_lines(&in_force.policy.key_precedence).into_iter();
    lines
        .filter_map(|(line, key)| {
            let key = key?;
            let line_name = line.name.clone().map(|name| (latest.version, name));
            let also = line.names.keys().collect();
            Some(ItemNames { key, line: line_name, also })
        })
        .collect()
}

/// What only the record that leads an order has.
#[derive(Default)]
struct Leading {
    applied: BTreeMap<StockKey, Hold>,
    policy: u64,
    lists: Lists,
}

/// Counts the refunded lines that, in what was read, match no line of their order.
fn unmatched_before(before: &Reading) -> u64 {
    let read = before.records.iter().filter(|(_, record)| record.is_some());
    let leading = read.filter(|(name, _)| before.lead(name) == **name);
    let unmatched = leading.map(|(name, _)| {
        let members: Vec<&Record> =
            before.members(name).into_iter().map(|(_, record)| record).collect();
        refunds_unmatched(&Record::union(&members))
    });
    unmatched.sum()
}

/// Returns the lists that an order is in.
fn lists(after: &Reading, lead: &OrderId, order: &Record, in_force: &PolicyInForce) -> Lists {
    let latest = order.latest.as_ref();
    let deleted = order.corrections_in_force().deleted;
    let status = latest.map(|latest| latest.version.status);
    let is_contested = |name: &OrderId| after.link(name).is_contested();
    let second_names = after.record(lead).map(|record| &record.second_names);
    let mut names = second_names.into_iter().flatten();
    let is_unmapped = || {
        let lines = order.keyed_lines(&in_force.policy.key_precedence);
        lines.iter().any(|(_, key)| key.is_none())
    };
    [
        (List::All, true),
        (
            List::Final,
            deleted.is_some() || matches!(status, Some(Status::Delivered | Status::Cancelled)),
        ),
        (List::Ambiguous, latest.is_some_and(|latest| latest.is_ambiguous)),
        (
            List::Contested,
            (lead.kind.is_second_name() && is_contested(lead)) || names.any(is_contested),
        ),
        (
            List::AfterDeletion,
            latest.is_some_and(|latest| deleted.is_some_and(|deleted| deleted < latest.version)),
        ),
        (List::Unmapped, is_unmapped()),
        (List::Waiting, latest.is_none() && order.deleted.is_none()),
        (List::Corrected, !order.corrections.is_empty()),
    ]
    .into_iter()
    .filter_map(|(list, is_in)| is_in.then_some(list))
    .collect()
}

/// Returns what differs between before and after.
fn differences(before: &Reading, after: Reading) -> Decision {
    let mut decision = Decision::default();
    // The record that leads an order is written with every change of the order, because its place
    // in the lists shows when the order last changed.
    let changed =
        after.records.iter().filter(|(name, record)| before.record(name) != record.as_deref());
    let touched: BTreeSet<OrderId> = changed.map(|(name, _)| after.lead(name)).collect();
    let mut new_names = BTreeSet::new();
    let (mut less, mut more) = (Vec::new(), Vec::new());
    for (name, record) in after.records {
        let (Some(record), known) = (record, before.record(&name)) else { continue };
        if known == Some(&*record) && !touched.contains(&name) {
            continue;
        }
        if known.is_none() {
            new_names.insert(name.clone());
        }
        let nothing = BTreeMap::new();
        let applied = known.map_or(&nothing, |known| &known.applied);
        for change in stock_changes(&name, applied, &record.applied) {
            let is_less = change.delta.committed.saturating_add(change.delta.fulfilled)
                < crate::domain::Quantity::ZERO;
            if is_less { less.push(change) } else { more.push(change) }
        }
        let lists = (known.map(|known| known.lists).unwrap_or_default(), record.lists);
        let state = Some(EntityState::Order(Box::new(Arc::unwrap_or_clone(record))));
        decision.writes.push(Write { name: EntityName::Order(name), state, lists });
    }
    for (name, link) in after.links {
        let known = before.links.get(&name).cloned().flatten();
        if known != link {
            if known.is_none() && name.kind.is_second_name() {
                new_names.insert(name.clone());
            }
            decision.links.push((name, link));
        }
    }
    // Decreases come first: what one order gives up another may take, so no total passes its limit
    // in between.
    less.extend(more);
    decision.changes = less;
    let closed = |name: OrderId| {
        let closed: Option<ClosedName> = before.closed.get(&name).copied();
        (name, closed)
    };
    decision.new_names = new_names.into_iter().map(closed).collect();
    decision
}

fn stock_changes(
    order: &OrderId,
    applied: &BTreeMap<StockKey, Hold>,
    wanted: &BTreeMap<StockKey, Hold>,
) -> Vec<StockChange> {
    let keys: BTreeSet<_> = applied.keys().chain(wanted.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let before = applied.get(key).copied().unwrap_or_default();
            let after = wanted.get(key).copied().unwrap_or_default();
            (before != after).then(|| StockChange {
                key: key.clone(),
                cause: Cause::Order(order.clone()),
                delta: Counts {
                    committed: after.committed.saturating_sub(before.committed),
                    fulfilled: after.fulfilled.saturating_sub(before.fulfilled),
                    ..Counts::default()
                },
                hold: Some(after),
                closed: None,
            })
        })
        .collect()
}

//! Closing: which orders are final, and what remains of a closed order.

use super::{
    Cause, ClosedName, Counts, Decision, EntityName, Hold, List, Lists, OrderId, PolicyRevision,
    Reading, Record, StockChange, Write,
};

/// Returns what closing an order changes, or `None` if it must stay open.
///
/// An order that still commits units stays open, because its promise is not fulfilled. An order
/// that was not computed with the policy in force stays open too, because that cannot be done
/// later. Closing removes all records of the order; the stock items keep what has left for it, and
/// its names are remembered. Everything that [`Reading::missing_to_close`] returns must have been
/// read.
pub fn close(reading: &Reading, lead: &OrderId, in_force: PolicyRevision) -> Option<Decision> {
    let own = reading.record(lead)?;
    let commits = own.applied.values().any(|hold| !hold.committed.is_zero());
    if !own.lists.has(List::Final) || commits || own.policy != in_force {
        return None;
    }
    let mut decision = Decision::default();
    let members = reading.members(lead);
    for (name, record) in &members {
        decision.writes.push(Write {
            name: EntityName::Order((*name).clone()),
            state: None,
            lists: (record.lists, Lists::NONE),
        });
    }
    let leading: Vec<&OrderId> = own
        .second_names
        .iter()
        .filter(|name| reading.link(name).leads_to() == Some(lead))
        .collect();
    let is_contested = lead.kind.is_second_name() && reading.link(lead).is_contested();
    let remembered = if is_contested { ClosedName::BesideAnId } else { ClosedName::Itself };
    decision.closes.push((lead.clone(), remembered));
    for name in leading {
        decision.closes.push((name.clone(), ClosedName::BesideAnId));
        decision.links.push((name.clone(), None));
    }
    forget_invoices(reading, &members, &mut decision);
    decision.changes = own
        .applied
        .iter()
        .map(|(key, hold)| StockChange {
            key: key.clone(),
            cause: Cause::Order(lead.clone()),
            delta: Counts::default(),
            hold: Some(Hold::default()),
            closed: Some(hold.fulfilled),
        })
        .collect();
    Some(decision)
}

/// Removes the order from the links of its invoice numbers, by which a closed order is not looked
/// up.
fn forget_invoices(reading: &Reading, members: &[(&OrderId, &Record)], decision: &mut Decision) {
    let mut links = std::collections::BTreeMap::new();
    for (name, record) in members {
        for (_, invoice) in &record.invoices {
            let link = links.entry(invoice.clone()).or_insert_with(|| reading.link(invoice));
            link.ids.remove(*name);
        }
    }
    let changed = links.into_iter().filter(|(name, link)| reading.link(name) != *link);
    decision.links.extend(changed.map(|(name, link)| (name, (!link.is_empty()).then_some(link))));
}

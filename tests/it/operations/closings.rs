//! What is left of orders that were closed, and which events belong to them.
//!
//! The model knows no closing: it goes on with what was applied before, and so knows which names led
//! to an order that is closed. Here stands what of its answers is no longer so.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use storekeeper::domain::{MessageId, Names, OrderId, Timestamp};
use storekeeper::simulate::Model;
use storekeeper::simulate::model::{Counts, Item};

use super::ledger::OrderName;

/// Which orders were closed, and what is left of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Closings {
    /// Names of closed orders, each with whether it is one that was seen beside an id.
    names: BTreeMap<OrderName, bool>,
    /// What has left for them, by item.
    fulfilled: BTreeMap<Item, Decimal>,
    /// By site, the latest time before which closed orders were untouched.
    watermarks: BTreeMap<String, Timestamp>,
    /// What was applied before.
    applied: BTreeSet<MessageId>,
}

impl Closings {
    /// Whether an order is closed.
    pub(super) fn have_closed(&self, name: &OrderName) -> bool {
        self.names.contains_key(name)
    }

    /// Whether an event of these names belongs to an order that is closed: its id is closed, or it
    /// has none and its name is, or a second name of it is that never had an id.
    pub(super) fn owns(&self, site: &str, names: &Names) -> bool {
        let beside_an_id = |name: &OrderId| self.names.get(&(site.to_owned(), name.to_string()));
        beside_an_id(names.own()).is_some()
            || names.second().any(|name| beside_an_id(name) == Some(&false))
    }

    /// Whether a message was applied before something was closed.
    pub(super) fn had_applied(&self, message: MessageId) -> bool {
        self.applied.contains(&message)
    }

    /// The latest time before which something of the site was closed.
    pub(super) fn watermark(&self, site: &str) -> Timestamp {
        self.watermarks[site]
    }

    /// Closes the settled orders of a model that commit nothing; answers with those, and with those
    /// that must stay.
    pub(super) fn close(
        &mut self,
        model: &Model,
        applied: Vec<MessageId>,
        before: Timestamp,
    ) -> (Vec<OrderName>, Vec<OrderName>) {
        let mut held: BTreeMap<OrderName, (Decimal, BTreeMap<Item, Decimal>)> = BTreeMap::new();
        for (item, holders) in model.holders() {
            for holder in holders {
                let name = (item.site.clone(), holder.order);
                let (committed, fulfilled) = held.entry(name).or_default();
                *committed += holder.committed;
                fulfilled.insert(item.clone(), holder.fulfilled);
            }
        }
        let (mut closed, mut kept) = (Vec::new(), Vec::new());
        for name in model.settled_orders() {
            let (committed, fulfilled) = held.remove(&name).unwrap_or_default();
            if self.have_closed(&name) {
                continue;
            }
            if !committed.is_zero() {
                kept.push(name);
                continue;
            }
            for (item, units) in fulfilled {
                *self.fulfilled.entry(item).or_default() += units;
            }
            let links = model.links();
            let of_site = links.iter().filter(|((site, _), _)| *site == name.0);
            let leads_here = |ids: &BTreeSet<String>| ids.len() == 1 && ids.contains(&name.1);
            let second = of_site.filter(|(_, ids)| leads_here(ids)).map(|(name, _)| name.clone());
            self.names.extend(second.map(|second| (second, true)));
            let is_contested = links.get(&name).is_some_and(|ids| ids.len() > 1);
            self.names.insert(name.clone(), is_contested);
            self.watermarks.insert(name.0.clone(), before);
            closed.push(name);
        }
        self.applied.extend(applied);
        (closed, kept)
    }

    /// The stock of a model, with what is left of closed orders in place of what they held.
    pub(super) fn stock(&self, model: &Model) -> BTreeMap<Item, Counts> {
        let mut stock = model.stock();
        for (item, holders) in model.holders() {
            for holder in holders {
                if self.have_closed(&(item.site.clone(), holder.order)) {
                    let counts = stock.entry(item.clone()).or_default();
                    counts.committed -= holder.committed;
                    counts.fulfilled -= holder.fulfilled;
                }
            }
        }
        for (item, fulfilled) in &self.fulfilled {
            stock.entry(item.clone()).or_default().fulfilled += *fulfilled;
        }
        stock.retain(|_, counts| !counts.is_zero());
        stock
    }
}

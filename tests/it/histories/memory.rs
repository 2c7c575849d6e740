//! A Store in memory, and what a worker does with it: the least that the rules need.

use std::collections::BTreeMap;
use std::sync::Arc;

use storekeeper::domain::{
    Arrival, Cause, Counts, Decision, EntityName, EntityState, Event, Hold, Link, List, Names,
    OrderId, PolicyInForce, Quantity, Reading, Record, StockKey, decide_orders, recompute,
};

/// What an order holds: by order and item, committed and fulfilled.
pub(super) type Holds = BTreeMap<(String, String), Hold>;

/// The orders of one site.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) records: BTreeMap<OrderId, Record>,
    pub(super) links: BTreeMap<OrderId, Link>,
    /// What was added up of all changes.
    pub(super) stock: BTreeMap<StockKey, Counts>,
    holds: Holds,
}

impl Memory {
    /// Decides a batch as a worker does: what belongs together in one step. Whether anything was
    /// written.
    pub(crate) fn take(&mut self, batch: &[(Event, Arrival)], in_force: &PolicyInForce) -> bool {
        let names: Vec<Names> =
            batch.iter().map(|(event, _)| event.content.names().unwrap()).collect();
        let reading = self.read(&names);
        let all: Vec<&Names> = names.iter().collect();
        let mut is_written = false;
        for group in reading.groups(&all) {
            let part = reading.part(group.iter().map(|place| all[*place]));
            let events: Vec<_> =
                group.iter().map(|place| (&batch[*place].0, &batch[*place].1)).collect();
            let decision = decide_orders(&part, &events, in_force);
            assert_eq!(decision.settled.len(), events.len());
            assert!(decision.settled.iter().all(Result::is_ok), "{:?}", decision.settled);
            is_written |= decision.changes_anything();
            self.write(decision);
        }
        is_written
    }

    /// Computes every order again that was computed with another policy.
    pub(super) fn recompute(&mut self, in_force: &PolicyInForce) {
        let orders: Vec<OrderId> = self.records.keys().cloned().collect();
        for order in orders {
            let names = Names::only(order);
            let reading = self.read(std::slice::from_ref(&names));
            if reading.record(names.own()).is_some_and(|it| it.lists.has(List::All)) {
                self.write(recompute(&reading.part([&names]), in_force));
            }
        }
    }

    /// What must be known to decide events of these names.
    pub(crate) fn read(&self, names: &[Names]) -> Reading {
        let mut reading = Reading::default();
        loop {
            let missing = reading.missing(names);
            if missing.is_nothing() {
                return reading;
            }
            for name in missing.records {
                reading
                    .records
                    .insert(name.clone(), self.records.get(&name).cloned().map(Arc::new));
            }
            for name in missing.links {
                reading.links.insert(name.clone(), self.links.get(&name).cloned());
            }
        }
    }

    fn write(&mut self, decision: Decision) {
        for write in decision.writes {
            let (EntityName::Order(name), Some(EntityState::Order(record))) =
                (write.name, write.state)
            else {
                panic!("an event of an order writes something else");
            };
            let before = self.records.get(&name).map(|record| record.lists).unwrap_or_default();
            assert_eq!(write.lists, (before, record.lists));
            self.records.insert(name, *record);
        }
        for (name, link) in decision.links {
            self.links.insert(name, link.expect("nothing is forgotten"));
        }
        for change in decision.changes {
            let counts = self.stock.entry(change.key.clone()).or_default();
            *counts = counts.plus(change.delta).expect("no total passes its limit");
            let Cause::Order(order) = change.cause else { panic!("it is no order") };
            let place = (order.to_string(), change.key.to_string());
            match change.hold.expect("an order's change says what it holds") {
                hold if hold == Hold::default() => self.holds.remove(&place),
                hold => self.holds.insert(place, hold),
            };
        }
    }

    /// What each order holds; what records, holds and totals say must be one.
    pub(super) fn holds(&self) -> &Holds {
        let mut applied = Holds::new();
        let mut sums: BTreeMap<StockKey, Counts> = BTreeMap::new();
        for (order, record) in &self.records {
            for (key, hold) in &record.applied {
                applied.insert((order.to_string(), key.to_string()), *hold);
                let sum = sums.entry(key.clone()).or_default();
                sum.committed = sum.committed.checked_add(hold.committed).unwrap();
                sum.fulfilled = sum.fulfilled.checked_add(hold.fulfilled).unwrap();
            }
        }
        assert_eq!(applied, self.holds, "what orders hold and what items say of them");
        let is_counted = |counts: &Counts| {
            !(counts.committed == Quantity::ZERO && counts.fulfilled == Quantity::ZERO)
        };
        let stock: BTreeMap<_, _> =
            self.stock.iter().filter(|(_, counts)| is_counted(counts)).collect();
        assert_eq!(stock, sums.iter().collect(), "totals and their parts");
        &self.holds
    }
}

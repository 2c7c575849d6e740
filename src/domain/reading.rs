//! What must be read of a site's orders before an event can be decided, and which events must be
//! decided together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ClosedName, Link, Names, OrderId, Record, Timestamp};

/// What was read of one site's orders; `None` means that the Store has no such entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Records, by name. They are shared, because most parts of a reading change only a few of
    /// them.
    pub records: BTreeMap<OrderId, Option<Arc<Record>>>,
    /// The ids seen beside second names, and the orders that have an invoice number.
    pub links: BTreeMap<OrderId, Option<Link>>,
    /// Names that belong to closed orders.
    pub closed: BTreeMap<OrderId, ClosedName>,
    /// If an order is closed, an event received before this time is treated as known.
    pub watermark: Timestamp,
}

/// What still has to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Names of records.
    pub records: BTreeSet<OrderId>,
    /// Second names and invoice numbers.
    pub links: BTreeSet<OrderId>,
}

impl Missing {
    /// Returns whether nothing is missing.
    pub fn is_nothing(&self) -> bool {
        self.records.is_empty() && self.links.is_empty()
    }
}

impl Reading {
    /// Returns a record, if it was read and exists.
    pub fn record(&self, name: &OrderId) -> Option<&Record> {
        self.records.get(name)?.as_deref()
    }

    /// Returns what was seen beside a name.
    pub fn link(&self, name: &OrderId) -> Link {
        let mut link = self.links.get(name).cloned().flatten().unwrap_or_default();
        link.led_to_closed |= self.closed.get(name) == Some(&ClosedName::BesideAnId);
        link
    }

    /// Returns the name under which a record's order is shown: the id that it leads to, or its own.
    pub fn lead<'a>(&'a self, name: &'a OrderId) -> OrderId {
        if name.kind.is_second_name() {
            self.link(name).leads_to().cloned().unwrap_or_else(|| name.clone())
        } else {
            name.clone()
        }
    }

    /// Returns the records of an order, given the name under which it is shown; its own record
    /// comes first.
    pub fn members<'a>(&'a self, lead: &'a OrderId) -> Vec<(&'a OrderId, &'a Record)> {
        let own = self.record(lead).map(|record| (lead, record));
        let second_names = own.map_or(&EMPTY, |(_, record)| &record.second_names);
        let leading = second_names.iter().filter(|name| self.link(name).leads_to() == Some(lead));
        let others = leading.filter_map(|name| Some((name, self.record(name)?)));
        own.into_iter().chain(others).collect()
    }

    /// Returns what still has to be read to decide events with these names. Reading it may reveal
    /// that more is missing; usually nothing is, after the first time.
    pub fn missing<'a>(&self, events: impl IntoIterator<Item = &'a Names>) -> Missing {
        let mut found =
            Closure { reading: self, missing: Missing::default(), seen: BTreeSet::new() };
        for names in events {
            found.record(names.own());
            for second in names.second() {
                found.link(second);
                // Earlier events may have had no other name. A contested name leads nowhere.
                if !self.links.contains_key(second) || !self.link(second).is_contested() {
                    found.record(second);
                }
            }
            if let Some(invoice) = names.invoice() {
                found.need_link(invoice);
            }
        }
        found.missing
    }

    /// Returns what still has to be read to close the order with this name, including which orders
    /// have its invoice numbers.
    pub fn missing_to_close(&self, order: &OrderId) -> Missing {
        let mut found =
            Closure { reading: self, missing: Missing::default(), seen: BTreeSet::new() };
        found.record(order);
        for (_, record) in self.members(order) {
            record.invoices.iter().for_each(|(_, invoice)| found.need_link(invoice));
        }
        found.missing
    }

    /// Groups the events that must be decided together, because their names may lead to one order.
    /// A group is a list of positions in `events`.
    pub fn groups(&self, events: &[&Names]) -> Vec<Vec<usize>> {
        if events.len() == 1 {
            return vec![vec![0]];
        }
        let mut sets = Sets::default();
        for names in events {
            for second in names.second() {
                // A contested name leads nowhere, unless this event changes the ids that are kept
                // for it.
                let link = self.link(second);
                let mut joined = link.clone();
                names.id().into_iter().for_each(|id| joined.add(second, id));
                if !link.is_contested() || joined != link {
                    sets.unite(names.own(), second);
                }
            }
        }
        for (name, link) in self.links.iter().filter(|(name, _)| name.kind.is_second_name()) {
            if let Some(id) = link.as_ref().and_then(Link::leads_to) {
                sets.unite(name, id);
            }
        }
        let mut groups: BTreeMap<OrderId, Vec<usize>> = BTreeMap::new();
        for (place, names) in events.iter().enumerate() {
            groups.entry(sets.root(names.own())).or_default().push(place);
        }
        groups.into_values().collect()
    }

    /// Returns the part that a group of events depends on.
    #[must_use]
    pub fn part<'a>(&self, events: impl IntoIterator<Item = &'a Names>) -> Self {
        let mut part = Self { watermark: self.watermark, ..Self::default() };
        let events: Vec<&Names> = events.into_iter().collect();
        loop {
            let missing = part.missing(events.iter().copied());
            if missing.is_nothing() {
                return part;
            }
            for name in missing.records {
                part.closed.extend(self.closed.get(&name).map(|closed| (name.clone(), *closed)));
                part.records.insert(name.clone(), self.records.get(&name).cloned().flatten());
            }
            for name in missing.links {
                part.closed.extend(self.closed.get(&name).map(|closed| (name.clone(), *closed)));
                part.links.insert(name.clone(), self.links.get(&name).cloned().flatten());
            }
        }
    }
}

static EMPTY: BTreeSet<OrderId> = BTreeSet::new();

/// Follows names to everything that they lead to, as far as it was read.
struct Closure<'a> {
    reading: &'a Reading,
    missing: Missing,
    seen: BTreeSet<OrderId>,
}

impl Closure<'_> {
    fn record(&mut self, name: &OrderId) {
        if !self.seen.insert(name.clone()) {
            return;
        }
        match self.reading.records.get(name) {
            None => {
                self.missing.records.insert(name.clone());
            }
            Some(record) if name.kind.is_id() => {
                let second_names = record.as_ref().map_or(&EMPTY, |record| &record.second_names);
                for second in second_names {
                    self.link(second);
                }
            }
            Some(_) => {}
        }
        if name.kind.is_second_name() {
            self.link(name);
        }
    }

    fn link(&mut self, name: &OrderId) {
        self.need_link(name);
        if let Some(id) = self.reading.link(name).leads_to() {
            self.record(&id.clone());
            self.record(name);
        }
    }

    fn need_link(&mut self, name: &OrderId) {
        if !self.reading.links.contains_key(name) {
            self.missing.links.insert(name.clone());
        }
    }
}

/// Disjoint sets of names, which are united step by step.
#[derive(Default)]
struct Sets(BTreeMap<OrderId, OrderId>);

impl Sets {
    fn root(&self, name: &OrderId) -> OrderId {
        let mut root = name;
        while let Some(above) = self.0.get(root) {
            root = above;
        }
        root.clone()
    }

    fn unite(&mut self, one: &OrderId, other: &OrderId) {
        let (one, other) = (self.root(one), self.root(other));
        if one != other {
            self.0.insert(one, other);
        }
    }
}

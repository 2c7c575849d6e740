//! What must be known of a site's orders before an event can be decided, and which events must be
//! decided together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ClosedName, Link, Names, OrderId, Record, Timestamp};

/// What was read of the orders of one site; `None` stands for what is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Records, by their names; shared, as most parts of a reading change few.
    pub records: BTreeMap<OrderId, Option<Arc<Record>>>,
    /// What was seen beside second names, and who bears invoice numbers.
    pub links: BTreeMap<OrderId, Option<Link>>,
    /// Names that were found to be of closed orders.
    pub closed: BTreeMap<OrderId, ClosedName>,
    /// What was received before this time is taken for known where an order is closed.
    pub watermark: Timestamp,
}

/// What is to be read yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Records, by their names.
    pub records: BTreeSet<OrderId>,
    /// Second names and invoice numbers.
    pub links: BTreeSet<OrderId>,
}

impl Missing {
    /// Whether all is read.
    pub fn is_nothing(&self) -> bool {
        self.records.is_empty() && self.links.is_empty()
    }
}

impl Reading {
    /// A record, if it was read and is there.
    pub fn record(&self, name: &OrderId) -> Option<&Record> {
        self.records.get(name)?.as_deref()
    }

    /// What was seen beside a name.
    pub fn link(&self, name: &OrderId) -> Link {
        let mut link = self.links.get(name).cloned().flatten().unwrap_or_default();
        link.led_to_closed |= self.closed.get(name) == Some(&ClosedName::BesideAnId);
        link
    }

    /// The name that the order of a record is shown by: the id that it leads to, or its own.
    pub fn lead<'a>(&'a self, name: &'a OrderId) -> OrderId {
        if name.kind.is_second_name() {
            self.link(name).leads_to().cloned().unwrap_or_else(|| name.clone())
        } else {
            name.clone()
        }
    }

    /// The records of an order, by the name that it is shown by; its own first.
    pub fn members<'a>(&'a self, lead: &'a OrderId) -> Vec<(&'a OrderId, &'a Record)> {
        let own = self.record(lead).map(|record| (lead, record));
        let second_names = own.map_or(&EMPTY, |(_, record)| &record.second_names);
        let leading = second_names.iter().filter(|name| self.link(name).leads_to() == Some(lead));
        let others = leading.filter_map(|name| Some((name, self.record(name)?)));
        own.into_iter().chain(others).collect()
    }

    /// What must be read yet to decide events of these names. Reading it may show that more is
    /// missing; in the usual case nothing is, after the first time.
    pub fn missing<'a>(&self, events: impl IntoIterator<Item = &'a Names>) -> Missing {
        let mut found =
            Closure { reading: self, missing: Missing::default(), seen: BTreeSet::new() };
        for names in events {
            found.record(names.own());
            for second in names.second() {
                found.link(second);
                // Events may have come that had no other name; a contested one leads nowhere.
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

    /// What must be read yet to close an order of this name: also who bears its invoice numbers.
    pub fn missing_to_close(&self, order: &OrderId) -> Missing {
        let mut found =
            Closure { reading: self, missing: Missing::default(), seen: BTreeSet::new() };
        found.record(order);
        for (_, record) in self.members(order) {
            record.invoices.iter().for_each(|(_, invoice)| found.need_link(invoice));
        }
        found.missing
    }

    /// Which events must be decided together, as their names may lead to one order; by their places.
    pub fn groups(&self, events: &[&Names]) -> Vec<Vec<usize>> {
        if events.len() == 1 {
            return vec![vec![0]];
        }
        let mut sets = Sets::default();
        for names in events {
            for second in names.second() {
                // One that is contested leads nowhere, unless this event changes what is kept of it.
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

    /// The part of it that a group of events depends on.
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

/// Follows names to all that they lead to, as far as that was read.
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

/// Sets of names that are united step by step.
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

//! A shop in memory: it reads, decides and writes as the worker does, event by event or all at
//! once. After each step it checks that its counts are what its orders hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::{
    Arrival, CatalogueEntry, CatalogueId, ClosedName, Content, Counts, Decision, EntityName,
    EntityState, Event, EventOutcome, Findings, Hold, ItemNames, Link, List, MessageId, Missing,
    Names, OrderId, Outcome, Policy, PolicyInForce, Quantity, Reading, Receipt, ReceiptId, Record,
    Refused, Shown, StockChange, StockKey, Timestamp, Write, close, decide_catalogue,
    decide_orders, decide_receipt, recompute,
};

/// An event and the message that brought it.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) event: Event,
    pub(super) arrival: Arrival,
}

impl Arrived {
    /// Returns the same event, brought by another message.
    pub(super) fn by_message(mut self, number: u128) -> Self {
        self.arrival.message_id = MessageId(uuid::Uuid::from_u128(number));
        self
    }

    /// Returns the same event, received at another time.
    pub(super) fn received(mut self, at: Timestamp) -> Self {
        self.arrival.received_at = at;
        self
    }

    pub(super) fn replayed(mut self) -> Self {
        self.arrival.replays = 1;
        self
    }
}

/// The state of one site.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    pub(super) in_force: PolicyInForce,
    pub(super) records: BTreeMap<OrderId, Record>,
    pub(super) links: BTreeMap<OrderId, Link>,
    pub(super) closed: BTreeMap<OrderId, ClosedName>,
    watermark: Timestamp,
    pub(super) receipts: BTreeMap<ReceiptId, Receipt>,
    pub(super) catalogue: BTreeMap<CatalogueId, CatalogueEntry>,
    pub(super) stock: BTreeMap<StockKey, Counts>,
    pub(super) left_by_closed: BTreeMap<StockKey, Quantity>,
    pub(super) findings: Findings,
    pub(super) item_names: Vec<ItemNames>,
}

impl Shop {
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            in_force: PolicyInForce { revision: 1, policy: policy.clone() },
            records: BTreeMap::new(),
            links: BTreeMap::new(),
            closed: BTreeMap::new(),
            watermark: Timestamp::default(),
            receipts: BTreeMap::new(),
            catalogue: BTreeMap::new(),
            stock: BTreeMap::new(),
            left_by_closed: BTreeMap::new(),
            findings: Findings::default(),
            item_names: Vec::new(),
        }
    }

    /// Creates a shop that received these events one after the other.
    pub(super) fn after(policy: &Policy, events: &[Arrived]) -> Self {
        let mut shop = Self::new(policy);
        for event in events {
            shop.arrive(&[event]).pop().unwrap().unwrap();
        }
        shop
    }

    /// Decides and writes events that arrived together, and returns their outcomes in the same
    /// order.
    pub(super) fn arrive(&mut self, arrived: &[&Arrived]) -> Vec<Result<EventOutcome, Refused>> {
        let mut settled = vec![None; arrived.len()];
        let (mut orders, mut others) = (Vec::new(), Vec::new());
        for (place, one) in arrived.iter().enumerate() {
            let is_order = one.event.content.names().is_some();
            if is_order { orders.push(place) } else { others.push(place) }
        }
        for place in others {
            settled[place] = Some(self.decide_entity(arrived[place]));
        }
        let mut noted = BTreeMap::new();
        while !orders.is_empty() {
            orders = self.round(arrived, &orders, &mut noted, &mut settled);
        }
        self.audit();
        settled.into_iter().map(Option::unwrap).collect()
    }

    /// Loads, decides and commits everything once, and returns what must be done again.
    fn round(
        &mut self,
        arrived: &[&Arrived],
        waiting: &[usize],
        noted: &mut BTreeMap<OrderId, ClosedName>,
        settled: &mut [Option<Result<EventOutcome, Refused>>],
    ) -> Vec<usize> {
        let names: Vec<Names> =
            waiting.iter().map(|&it| arrived[it].event.content.names().unwrap()).collect();
        let names: Vec<&Names> = names.iter().collect();
        let reading = self.read(noted, |reading| reading.missing(names.iter().copied()));
        let mut again = Vec::new();
        for group in reading.groups(&names) {
            let part = reading.part(group.iter().map(|&it| names[it]));
            let places: Vec<usize> = group.into_iter().map(|it| waiting[it]).collect();
            let events: Vec<_> =
                places.iter().map(|&it| (&arrived[it].event, &arrived[it].arrival)).collect();
            let decision = decide_orders(&part, &events, &self.in_force);
            let unnoted: Vec<_> = decision
                .new_names
                .iter()
                .filter(|(name, known)| self.closed.get(name) != known.as_ref())
                .map(|(name, _)| name.clone())
                .collect();
            // Groups depend on different things, except for the orders that have an invoice number.
            assert!(self.is_still(&part), "{:?}", part.records.keys());
            let are_hints_stale = decision
                .links
                .iter()
                .any(|(name, _)| part.links[name].as_ref() != self.links.get(name));
            if are_hints_stale {
                again.extend(places);
            } else if unnoted.is_empty() {
                for (place, outcome) in places.iter().zip(&decision.settled) {
                    settled[*place] = Some(outcome.clone());
                }
                self.write(decision);
            } else {
                let closed = unnoted.into_iter().map(|name| (name.clone(), self.closed[&name]));
                noted.extend(closed);
                again.extend(places);
            }
        }
        again
    }

    /// Reads until nothing is missing.
    fn read(
        &self,
        noted: &BTreeMap<OrderId, ClosedName>,
        missing: impl Fn(&Reading) -> Missing,
    ) -> Reading {
        let mut reading =
            Reading { closed: noted.clone(), watermark: self.watermark, ..Reading::default() };
        loop {
            let missing = missing(&reading);
            if missing.is_nothing() {
                return reading;
            }
            for name in missing.records {
                let record = self.records.get(&name).cloned().map(Arc::new);
                reading.records.insert(name, record);
            }
            for name in missing.links {
                // Stores keep links as text.
                let link = self.links.get(&name).map(|link| Link::parse(&link.to_text()).unwrap());
                reading.links.insert(name, link);
            }
        }
    }

    fn is_still(&self, part: &Reading) -> bool {
        let links = part.links.iter().filter(|(name, _)| name.kind.is_second_name());
        part.records.iter().all(|(name, record)| self.records.get(name) == record.as_deref())
            && links.into_iter().all(|(name, link)| self.links.get(name) == link.as_ref())
    }

    fn write(&mut self, decision: Decision) {
        for Write { name, state, lists } in decision.writes {
            match (name, state) {
                (EntityName::Order(name), state) => {
                    let before = self.records.get(&name).map(|record| record.lists);
                    assert_eq!(lists.0, before.unwrap_or_default(), "{name}");
                    match state {
                        Some(EntityState::Order(record)) => {
                            assert_eq!(lists.1, record.lists, "{name}");
                            self.records.insert(name, *record);
                        }
                        None => drop(self.records.remove(&name)),
                        other => panic!("{other:?} is no order"),
                    }
                }
                (EntityName::Receipt(name), Some(EntityState::Receipt(receipt))) => {
                    self.receipts.insert(name, receipt);
                }
                (EntityName::Catalogue(name), Some(EntityState::Catalogue(entry))) => {
                    self.catalogue.insert(name, entry);
                }
                other => panic!("{other:?} do not belong together"),
            }
        }
        for (name, link) in decision.links {
            match link {
                Some(link) => drop(self.links.insert(name, link)),
                None => drop(self.links.remove(&name)),
            }
        }
        for (name, closed) in decision.closes {
            let known = self.closed.get(&name).copied();
            self.closed.insert(name, known.map_or(closed, |known| known.max(closed)));
        }
        for StockChange { key, delta, closed, .. } in decision.changes {
            let counts = self.stock.entry(key.clone()).or_default();
            *counts = counts.plus(delta).unwrap();
            if let Some(closed) = closed {
                let sum = self.left_by_closed.entry(key).or_default();
                *sum = sum.saturating_add(closed);
            }
        }
        self.item_names.extend(decision.item_names);
        let (all, new) = (&mut self.findings, decision.findings);
        all.lines_unmapped += new.lines_unmapped;
        all.lines_rekeyed += new.lines_rekeyed;
        all.statuses_unknown += new.statuses_unknown;
        all.ambiguous += new.ambiguous;
        all.refunds_unmatched += new.refunds_unmatched;
        all.names_contested += new.names_contested;
        all.names_unreadable += new.names_unreadable;
        all.quantities_rounded += new.quantities_rounded;
        all.timestamps_ahead += new.timestamps_ahead;
        all.corrections += new.corrections;
    }

    fn decide_entity(&mut self, arrived: &Arrived) -> Result<EventOutcome, Refused> {
        let mut decision = match &arrived.event.content {
            Content::Catalogue(event) => {
                let before = self.catalogue.get(&event.entry);
                decide_catalogue(&event.entry, before, &[event], &self.in_force.policy)
            }
            Content::Receipt(event) => {
                let before = self.receipts.get(&event.receipt);
                decide_receipt(&event.receipt, before, &[(event, &arrived.arrival)])
            }
            Content::Order(_)
            | Content::Refund(_)
            | Content::Notice(_)
            | Content::Correction(_) => panic!("it acts on an order"),
        };
        let settled = decision.settled.pop().unwrap();
        self.write(decision);
        settled
    }

    /// Puts another policy in force, and recomputes every order with it.
    pub(super) fn apply(&mut self, policy: &Policy) {
        let revision = self.in_force.revision + 1;
        self.in_force = PolicyInForce { revision, policy: policy.clone() };
        let decision = recompute(&self.whole(), &self.in_force);
        self.write(decision);
        self.audit();
    }

    /// Closes an order if that is allowed, and returns whether it is.
    pub(super) fn close(&mut self, order: &str, watermark: Timestamp) -> bool {
        let order = OrderId::parse(order).unwrap();
        let names = Names::only(order.clone());
        let mut reading = self.read(&BTreeMap::new(), |reading| reading.missing([&names]));
        let missing = reading.missing_to_close(&order);
        for name in missing.links {
            reading.links.insert(name.clone(), self.links.get(&name).cloned());
        }
        let Some(decision) = close(&reading, &order, self.in_force.revision) else { return false };
        self.write(decision);
        self.watermark = self.watermark.max(watermark);
        self.audit();
        true
    }

    /// Returns everything, as it is read.
    pub(super) fn whole(&self) -> Reading {
        let names = || self.records.keys().cloned().map(Names::only).collect::<Vec<_>>();
        let names = names();
        self.read(&BTreeMap::new(), |reading| reading.missing(&names))
    }

    /// Returns the order with this name: the name under which it is shown, and everything known
    /// about it.
    pub(super) fn order(&self, name: &str) -> (OrderId, Record) {
        let reading = self.whole();
        let name = OrderId::parse(name).unwrap();
        let lead = reading.lead(&name);
        let members: Vec<_> = reading.members(&lead).into_iter().map(|(_, it)| it).collect();
        assert!(!members.is_empty(), "there is no {name}");
        let mut record = Record::union(&members).into_owned();
        let leading = &self.records[&lead];
        record.applied.clone_from(&leading.applied);
        (record.policy, record.lists) = (leading.policy, leading.lists);
        (lead, record)
    }

    /// Returns what a person is shown of an order.
    pub(super) fn shown(&self, name: &str) -> Shown {
        self.order(name).1.shown().unwrap()
    }

    /// Returns the lists that an order is in, except the list of all orders.
    pub(super) fn lists(&self, name: &str) -> Vec<&'static str> {
        let lists = self.order(name).1.lists;
        assert!(lists.has(List::All));
        lists.iter().filter(|list| *list != List::All).map(List::as_str).collect()
    }

    /// Returns what one order holds.
    pub(super) fn held(&self, name: &str) -> String {
        let applied = self.order(name).1.applied;
        text(applied.into_iter().map(|(key, hold)| {
            (
                key,
                Counts {
                    committed: hold.committed,
                    fulfilled: hold.fulfilled,
                    ..Counts::default()
                },
            )
        }))
    }

    /// Returns what all orders hold, and what came in.
    pub(super) fn counts(&self) -> String {
        text(self.stock.clone())
    }

    /// Returns everything that does not depend on the order of arrival.
    pub(super) fn normal(&self) -> String {
        let mut records = self.records.clone();
        for entry in records.values_mut().flat_map(|record| &mut record.timeline) {
            (entry.outcome, entry.reason, entry.rekeyed_lines) = (Outcome::Applied, None, 0);
        }
        let records: Vec<String> = records.iter().map(|record| format!("{record:?}")).collect();
        let (links, receipts, catalogue) = (&self.links, &self.receipts, &self.catalogue);
        let records = records.join("\n");
        format!("{records}\n{links:?}\n{receipts:?}\n{catalogue:?}\n{}", self.counts())
    }

    /// Checks that the counts are what the orders hold, and that the orders hold what their records
    /// say.
    fn audit(&self) {
        let mut held = BTreeMap::<StockKey, Hold>::new();
        for (key, hold) in self.records.values().flat_map(|record| &record.applied) {
            let sum = held.entry(key.clone()).or_default();
            sum.committed = sum.committed.saturating_add(hold.committed);
            sum.fulfilled = sum.fulfilled.saturating_add(hold.fulfilled);
        }
        for (key, counts) in &self.stock {
            let held = held.remove(key).unwrap_or_default();
            let closed = self.left_by_closed.get(key).copied().unwrap_or_default();
            assert_eq!(counts.committed, held.committed, "{key}");
            assert_eq!(counts.fulfilled, held.fulfilled.saturating_add(closed), "{key}");
        }
        assert!(held.is_empty(), "held, and not counted: {held:?}");
        let whole = self.whole();
        let again = recompute(&whole, &self.in_force);
        assert!(!again.changes_anything(), "computed again: {:?}", again.writes);
    }
}

fn text(counts: impl IntoIterator<Item = (StockKey, Counts)>) -> String {
    let mut all = Vec::new();
    for (key, counts) in counts {
        let Counts { received, committed, fulfilled } = counts;
        let named = [("received", received), ("committed", committed), ("fulfilled", fulfilled)];
        let named = named.into_iter().filter(|(_, count)| !count.is_zero());
        let parts: Vec<String> = named.map(|(name, count)| format!(" {name} {count}")).collect();
        if !parts.is_empty() {
            all.push(format!("{key}{}", parts.concat()));
        }
    }
    all.join(", ")
}

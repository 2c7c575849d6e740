//! A Store of one site in memory, and what a worker does with it: the least that the rules need.

use std::collections::BTreeMap;
use std::sync::Arc;

use storekeeper::domain::{
    Arrival, CatalogueEntry, CatalogueId, Cause, Content, Counts, Decision, EntityName,
    EntityState, Event, Hold, Link, MessageId, Names, OrderId, PolicyInForce, Reading, Receipt,
    ReceiptId, Record, Site, StockKey, TIMELINE_LENGTH_MAX, decide_catalogue, decide_orders,
    decide_receipt, desired,
};
use storekeeper::store::EntityId;
use storekeeper::store::state::{
    decode_entity, decode_entity_bytes, encode_entity, encode_entity_bytes,
};
use uuid::Uuid;

use super::RECEIVED;

/// Everything that is known of one site.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shop {
    site: Site,
    in_force: PolicyInForce,
    pub(crate) records: BTreeMap<OrderId, Record>,
    pub(crate) links: BTreeMap<OrderId, Link>,
    entries: BTreeMap<CatalogueId, CatalogueEntry>,
    receipts: BTreeMap<ReceiptId, Receipt>,
    /// What was added up of all changes.
    pub(crate) stock: BTreeMap<StockKey, Counts>,
    /// Whether an event was refused: which of several that is depends on their order.
    pub(crate) has_refused: bool,
}

impl Shop {
    pub(crate) fn new(site: &Site, in_force: &PolicyInForce) -> Self {
        Self {
            site: site.clone(),
            in_force: in_force.clone(),
            records: BTreeMap::new(),
            links: BTreeMap::new(),
            entries: BTreeMap::new(),
            receipts: BTreeMap::new(),
            stock: BTreeMap::new(),
            has_refused: false,
        }
    }

    /// Does what a worker does with the events of one batch, each of the message with its number;
    /// whether anything was written. What holds after every batch is checked.
    pub(crate) fn take(&mut self, batch: &[(u128, &Event)]) -> bool {
        let batch: Vec<(Arrival, &Event)> =
            batch.iter().map(|(number, event)| (arrival(*number, event), *event)).collect();
        let mut decisions = self.decide_orders(&batch);
        decisions.extend(self.decide_entries(&batch));
        decisions.extend(self.decide_receipts(&batch));
        let mut is_written = false;
        for decision in decisions {
            self.has_refused |= decision.settled.iter().any(Result::is_err);
            is_written |= decision.changes_anything();
            self.write(decision);
        }
        self.check();
        is_written
    }

    /// Decides those events together whose names lead to one another.
    fn decide_orders(&self, batch: &[(Arrival, &Event)]) -> Vec<Decision> {
        let of_orders: Vec<(Names, &Arrival, &Event)> = batch
            .iter()
            .filter_map(|(arrival, event)| Some((event.content.names()?, arrival, *event)))
            .collect();
        let names: Vec<&Names> = of_orders.iter().map(|(names, ..)| names).collect();
        let reading = self.read(&names);
        let decide = |group: Vec<usize>| {
            let of_group = || group.iter().filter_map(|place| of_orders.get(*place));
            let part = reading.part(of_group().map(|(names, ..)| names));
            let events: Vec<_> = of_group().map(|(_, arrival, event)| (*event, *arrival)).collect();
            let decision = decide_orders(&part, &events, &self.in_force);
            assert_eq!(decision.settled.len(), events.len(), "an event has no outcome");
            decision
        };
        reading.groups(&names).into_iter().map(decide).collect()
    }

    fn decide_entries(&self, batch: &[(Arrival, &Event)]) -> Vec<Decision> {
        let mut by_entry: BTreeMap<&CatalogueId, Vec<_>> = BTreeMap::new();
        for (_, event) in batch {
            if let Content::Catalogue(event) = &event.content {
                by_entry.entry(&event.entry).or_default().push(event);
            }
        }
        let policy = &self.in_force.policy;
        let entries = by_entry.into_iter();
        entries.map(|(id, all)| decide_catalogue(id, self.entries.get(id), &all, policy)).collect()
    }

    fn decide_receipts(&self, batch: &[(Arrival, &Event)]) -> Vec<Decision> {
        let mut by_receipt: BTreeMap<&ReceiptId, Vec<_>> = BTreeMap::new();
        for (arrival, event) in batch {
            if let Content::Receipt(event) = &event.content {
                by_receipt.entry(&event.receipt).or_default().push((event, arrival));
            }
        }
        let receipts = by_receipt.into_iter();
        receipts.map(|(id, all)| decide_receipt(id, self.receipts.get(id), &all)).collect()
    }

    /// All that must be known to decide events of these names.
    fn read(&self, names: &[&Names]) -> Reading {
        let mut reading = Reading::default();
        loop {
            let missing = reading.missing(names.iter().copied());
            if missing.is_nothing() {
                return reading;
            }
            for name in missing.records {
                let record = self.records.get(&name).cloned();
                reading.records.insert(name, record.map(Arc::new));
            }
            for name in missing.links {
                let link = self.links.get(&name).cloned();
                reading.links.insert(name, link);
            }
        }
    }

    fn write(&mut self, decision: Decision) {
        for write in decision.writes {
            let entity = EntityId { site: self.site.clone(), name: write.name };
            let state = write.state.expect("nothing is closed");
            let state = check_written_again(&entity, state);
            match (entity.name, state) {
                (EntityName::Order(name), EntityState::Order(record)) => {
                    self.records.insert(name, *record);
                }
                (EntityName::Catalogue(id), EntityState::Catalogue(entry)) => {
                    self.entries.insert(id, entry);
                }
                (EntityName::Receipt(id), EntityState::Receipt(receipt)) => {
                    self.receipts.insert(id, receipt);
                }
                (name, state) => panic!("{name:?} is written as {state:?}"),
            }
        }
        for (name, link) in decision.links {
            let link = link.expect("nothing is forgotten");
            assert_eq!(Link::parse(&link.to_text()).as_ref(), Ok(&link), "{name}");
            self.links.insert(name, link);
        }
        for change in decision.changes {
            let counts = self.stock.entry(change.key.clone()).or_default();
            *counts = counts.plus(change.delta).expect("a few events are within all limits");
            if let Cause::Order(order) = &change.cause {
                let record = self.records.get(order).expect("only its own order moves stock");
                let hold = record.applied.get(&change.key).copied().unwrap_or_default();
                assert_eq!(change.hold, Some(hold), "{order} and {}", change.key);
            }
        }
    }

    /// What holds after every batch.
    fn check(&self) {
        let names: Vec<Names> = self.records.keys().cloned().map(Names::only).collect();
        let reading = self.read(&names.iter().collect::<Vec<_>>());
        let mut held: BTreeMap<StockKey, Hold> = BTreeMap::new();
        for (name, record) in &self.records {
            let versions: Vec<_> = record.timeline.iter().map(|entry| entry.version).collect();
            assert!(versions.is_sorted_by(|before, after| before >= after), "{versions:?}");
            assert!(versions.len() <= TIMELINE_LENGTH_MAX);
            if reading.lead(name) != *name {
                assert!(record.applied.is_empty(), "{name} leads to another, and holds something");
                continue;
            }
            let members: Vec<&Record> =
                reading.members(name).into_iter().map(|(_, record)| record).collect();
            let holds = desired(&Record::union(&members), &self.in_force.policy).holds;
            assert_eq!(record.applied, holds, "{name} holds something else than it should");
            assert_eq!(record.policy, self.in_force.revision, "{name}");
            for (key, hold) in &record.applied {
                let sum = held.entry(key.clone()).or_default();
                sum.committed = sum.committed.saturating_add(hold.committed);
                sum.fulfilled = sum.fulfilled.saturating_add(hold.fulfilled);
            }
        }
        for (key, counts) in &self.stock {
            let sum = held.remove(key).unwrap_or_default();
            assert_eq!((counts.committed, counts.fulfilled), (sum.committed, sum.fulfilled));
        }
        assert!(held.is_empty(), "of these no item knows: {held:?}");
    }

    /// The same without what is only for people and says in which order the events came, and
    /// without items of which nothing is left.
    pub(super) fn without_trace(mut self) -> Self {
        self.records.values_mut().for_each(|record| record.timeline.clear());
        self.stock.retain(|_, counts| *counts != Counts::default());
        self
    }
}

/// A state in both forms is read back as it was written.
fn check_written_again(entity: &EntityId, state: EntityState) -> EntityState {
    let text = encode_entity(&state).expect("a state can be written");
    let read = decode_entity(entity, &text).expect("what was written can be read");
    assert_eq!(read, state, "{text} is read back as another state");
    let bytes = encode_entity_bytes(&state).expect("a state can be written");
    let read = decode_entity_bytes(entity, &bytes).expect("what was written can be read");
    assert_eq!(read, state, "{bytes:?} is read back as another state");
    state
}

fn arrival(number: u128, event: &Event) -> Arrival {
    let message_id = MessageId(Uuid::from_u128(number));
    Arrival { message_id, received_at: RECEIVED, replays: 0, event_type: event.event_type.clone() }
}

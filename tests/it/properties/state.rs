//! What holds for everything that may stand where a state was stored, as text or as bytes.
//!
//! A newer release may have written it, or a disk damaged it: it is read as a state that is
//! written the same again in both forms, or refused for a reason that names the entity.

use std::fmt::Display;
use std::sync::LazyLock;

use storekeeper::console::views::OrderView;
use storekeeper::domain::{
    Decision, EntityName, Names, OrderId, Policy, PolicyInForce, Reading, ReceiptId, Record, Site,
    close, desired, recompute,
};
use storekeeper::store::orders::StoredOrder;
use storekeeper::store::state::{
    decode_entity, decode_entity_bytes, encode_entity, encode_entity_bytes,
};
use storekeeper::store::{EntityId, EntityState, Revision, StoreError};

/// An entity of each kind.
pub(crate) static ENTITIES: LazyLock<[EntityId; 3]> = LazyLock::new(|| {
    let receipt = ReceiptId {
        key: "sku:S".to_owned().try_into().expect("it is a stock key"),
        reference: "R".to_owned().try_into().expect("it is an identifier"),
    };
    let names = [
        EntityName::Order(order()),
        EntityName::Catalogue("product:1".to_owned().try_into().expect("it is an entry's name")),
        EntityName::Receipt(receipt),
    ];
    let site = Site::parse("alpha").expect("it is a site's name");
    names.map(|name| EntityId { site: site.clone(), name })
});

fn order() -> OrderId {
    OrderId::parse("id:1").expect("it is an order's name")
}

/// Checks everything that holds for an input of the fuzzer.
pub(crate) fn hold(input: &[u8]) {
    for entity in ENTITIES.iter() {
        if let Ok(text) = str::from_utf8(input) {
            check_read(entity, decode_entity(entity, text));
        }
        check_read(entity, decode_entity_bytes(entity, input));
    }
}

/// Checks what was made of something that was stored.
pub(crate) fn check_read<E>(entity: &EntityId, read: Result<EntityState, E>)
where
    E: Display,
    StoreError: From<E>,
{
    match read {
        Ok(state) => {
            check_written_again(entity, &state);
            if let EntityState::Order(record) = state {
                check_order(*record);
            }
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.starts_with(&format!("the state of {entity} ")), "{said}");
            assert!(said.len() < 150, "{said}");
            assert!(!StoreError::from(error).is_transient(), "trying again cannot help");
        }
    }
}

/// A state in both forms is read back as it was written.
pub(crate) fn check_written_again(entity: &EntityId, state: &EntityState) {
    let text = encode_entity(state).expect("a state can be written");
    let read = decode_entity(entity, &text).expect("what was written can be read");
    assert_eq!(read, *state, "{text} is read back as another state");
    let bytes = encode_entity_bytes(state).expect("a state can be written");
    let read = decode_entity_bytes(entity, &bytes).expect("what was written can be read");
    assert_eq!(read, *state, "{bytes:?} is read back as another state");
}

/// Whatever an order's record says, it can be computed again, shown and closed.
fn check_order(record: Record) {
    let in_force = PolicyInForce { revision: 7, policy: Policy::default() };
    let (order, names) = (order(), Names::only(order()));
    let mut reading = Reading::default();
    reading.records.insert(order.clone(), Some(record.into()));
    fill(&mut reading, &names);
    let computed = computed(&reading, recompute(&reading, &in_force), &order);
    assert_eq!(computed.applied, desired(&computed, &in_force.policy).holds);
    reading.records.insert(order.clone(), Some(computed.clone().into()));
    let again = recompute(&reading, &in_force);
    assert!(!again.changes_anything(), "computing it again changes something");
    assert!(again.changes.is_empty(), "computing it again moves stock");
    for link in reading.missing_to_close(&order).links {
        reading.links.insert(link, None);
    }
    if let Some(closed) = close(&reading, &order, in_force.revision) {
        assert!(closed.writes.iter().all(|write| write.state.is_none()), "a part of it stays");
        assert!(closed.closes.iter().any(|(name, _)| *name == order), "it is forgotten");
        let is_moved = |change: &storekeeper::domain::StockChange| {
            !(change.delta.committed.is_zero() && change.delta.fulfilled.is_zero())
        };
        assert!(!closed.changes.iter().any(is_moved), "closing it moves stock");
    }
    let site = Site::parse("alpha").expect("it is a site's name");
    let second_names = computed.second_names.iter().map(|name| (name.clone(), false)).collect();
    let revision = Revision(1);
    let stored = StoredOrder { site, order, revision, record: computed, second_names };
    let view = OrderView::new(&stored, &in_force.policy);
    serde_json::to_string(&view).expect("what is stored can be shown");
}

/// Nothing else of the site is known.
fn fill(reading: &mut Reading, names: &Names) {
    loop {
        let missing = reading.missing([names]);
        if missing.is_nothing() {
            return;
        }
        missing.records.into_iter().for_each(|name| drop(reading.records.insert(name, None)));
        missing.links.into_iter().for_each(|name| drop(reading.links.insert(name, None)));
    }
}

/// The record as a decision leaves it.
fn computed(reading: &Reading, decision: Decision, order: &OrderId) -> Record {
    let name = EntityName::Order(order.clone());
    let write = decision.writes.into_iter().find(|write| write.name == name);
    match write.map(|write| write.state) {
        Some(Some(EntityState::Order(record))) => *record,
        None => reading.record(order).cloned().expect("it was read"),
        other => panic!("{order} becomes {other:?}"),
    }
}

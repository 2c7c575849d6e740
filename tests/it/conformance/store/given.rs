//! Commits and names for the cases, and the reading of what became of them.

use std::sync::Arc;

use storekeeper::domain::{
    CatalogueEntry, CatalogueId, Counts, Description, Fingerprint, Hold, Identifier, MessageId,
    OrderId, OrderState, Quantity, Rank, Receipt, ReceiptContent, ReceiptId, Site, Status,
    StockChange, StockKey, Timestamp, Version,
};
use storekeeper::store::{
    Commit, Committed, EntityId, EntityName, EntityState, PageRequest, Revision, StockDetail, Store,
};
use uuid::Uuid;

/// A page that holds everything a case has.
pub(super) const ALL: PageRequest = PageRequest::first(1_000);
/// What a commit without anything to report answers.
pub(super) const WRITTEN: Committed = Committed::Written { alias_conflict: false };

pub(super) fn site(name: &str) -> Site {
    Site::parse(name).unwrap()
}

pub(super) fn key(name: &str) -> StockKey {
    StockKey::parse(name).unwrap()
}

pub(super) fn order_id(name: &str) -> OrderId {
    OrderId::parse(name).unwrap()
}

pub(super) fn identifier(name: &str) -> Identifier {
    Identifier::parse(name).unwrap()
}

pub(super) fn message(number: u128) -> MessageId {
    MessageId(Uuid::from_u128(number))
}

pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub(super) fn millionths(count: i64) -> Quantity {
    Quantity::from_millionths(count)
}

pub(super) fn counts(received: i64, committed: i64, fulfilled: i64) -> Counts {
    Counts {
        received: millionths(received),
        committed: millionths(committed),
        fulfilled: millionths(fulfilled),
    }
}

pub(super) fn hold(committed: i64, fulfilled: i64) -> Hold {
    Hold { committed: millionths(committed), fulfilled: millionths(fulfilled) }
}

pub(super) fn version(number: u64) -> Version {
    Version {
        event_timestamp: 1_700_000_000_000,
        rank: Rank::Created,
        status: Status::Processed,
        fingerprint: Fingerprint(number),
    }
}

pub(super) fn entity(site_name: &str, name: EntityName) -> EntityId {
    EntityId { site: site(site_name), name }
}

pub(super) fn order_entity(site_name: &str, id: &str) -> EntityId {
    entity(site_name, EntityName::Order(order_id(id)))
}

fn first_commit(entity: EntityId, state: EntityState) -> Commit {
    Commit {
        entity,
        loaded: None,
        state,
        changes: Vec::new(),
        message_id: message(1),
        at: time(1_700_000_000),
    }
}

/// The first commit of an order that holds nothing and bears its own name only.
pub(super) fn order(site_name: &str, id: &str) -> Commit {
    let state = OrderState { aliases: vec![order_id(id)], policy: 1, ..OrderState::default() };
    first_commit(order_entity(site_name, id), EntityState::Order(Box::new(state)))
}

/// The first commit of a receipt of so many millionths.
pub(super) fn receipt(site_name: &str, key_name: &str, reference: &str, count: i64) -> Commit {
    let id = ReceiptId { key: key(key_name), reference: identifier(reference) };
    let content = ReceiptContent::Goods { quantity: millionths(count) };
    let state = EntityState::Receipt(Receipt { message_id: message(1), content });
    let mut commit = first_commit(entity(site_name, EntityName::Receipt(id)), state);
    let delta = counts(count, 0, 0);
    commit.changes.push(StockChange { key: key(key_name), delta, hold: None });
    commit
}

/// The first commit of a catalogue entry that gives its name to stock keys.
pub(super) fn catalogue(site_name: &str, id: &str, name: &str, keys: &[&str]) -> Commit {
    let description = Description {
        name: Some(name.to_owned()),
        stock_keys: keys.iter().map(|name| key(name)).collect(),
        ..Description::default()
    };
    let entry = CatalogueEntry { described: Some(version(1)), description, deleted: None };
    let id = CatalogueId::parse(id).unwrap();
    first_commit(entity(site_name, EntityName::Catalogue(id)), EntityState::Catalogue(entry))
}

/// What the commits of the cases are made of.
pub(super) trait Given: Sized {
    /// Computed from this revision.
    fn on(self, revision: Revision) -> Self;
    /// Due to this message.
    fn due_to(self, number: u128) -> Self;
    /// The order also bears these names.
    fn bearing(self, aliases: &[&str]) -> Self;
    /// The order now holds so much of an item of which it held `held`.
    fn holding(self, key_name: &str, held: Hold, holds: Hold) -> Self;
}

impl Given for Commit {
    fn on(mut self, revision: Revision) -> Self {
        self.loaded = Some(revision);
        self
    }

    fn due_to(mut self, number: u128) -> Self {
        self.message_id = message(number);
        self
    }

    fn bearing(mut self, aliases: &[&str]) -> Self {
        if let EntityState::Order(state) = &mut self.state {
            state.aliases.extend(aliases.iter().map(|alias| order_id(alias)));
        }
        self
    }

    fn holding(mut self, key_name: &str, held: Hold, holds: Hold) -> Self {
        if let EntityState::Order(state) = &mut self.state {
            state.applied.insert(key(key_name), holds);
        }
        let delta = Counts {
            received: Quantity::ZERO,
            committed: holds.committed.saturating_sub(held.committed),
            fulfilled: holds.fulfilled.saturating_sub(held.fulfilled),
        };
        self.changes.push(StockChange { key: key(key_name), delta, hold: Some(holds) });
        self
    }
}

/// Commits one, which must be written; answers whether an alias conflict was reported.
pub(super) async fn write(store: &Arc<dyn Store>, commit: Commit) -> bool {
    match store.commit(vec![commit]).await.unwrap()[..] {
        [Committed::Written { alias_conflict }] => alias_conflict,
        ref other => panic!("not written: {other:?}"),
    }
}

/// Commits one and answers what became of it.
pub(super) async fn try_write(store: &Arc<dyn Store>, commit: Commit) -> Committed {
    store.commit(vec![commit]).await.unwrap()[0]
}

/// The revision of an entity that is there.
pub(super) async fn revision(store: &Arc<dyn Store>, entity: &EntityId) -> Revision {
    store.load(std::slice::from_ref(entity)).await.unwrap()[0].as_ref().unwrap().revision
}

/// A stock item that is there.
pub(super) async fn item(store: &Arc<dyn Store>, site_name: &str, key_name: &str) -> StockDetail {
    let found = store.stock_item(&site(site_name), &key(key_name), &ALL).await.unwrap();
    found.unwrap_or_else(|| panic!("no item {key_name} in {site_name}"))
}

/// The keys of a list of stock.
pub(super) async fn keys(
    store: &Arc<dyn Store>,
    site_name: &str,
    prefix: Option<&str>,
) -> Vec<String> {
    let page = store.stock(&site(site_name), prefix, &ALL).await.unwrap();
    assert_eq!(page.next, None);
    page.items.iter().map(|item| item.key.to_string()).collect()
}

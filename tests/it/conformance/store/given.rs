//! Commits and names for the cases, and the reading of what became of them.

use std::sync::Arc;

use storekeeper::domain::{
    CatalogueEntry, CatalogueId, Cause, Class, ClosedName, Counts, Description, Fingerprint, Hold,
    Identifier, LineNames, Link, List, Lists, MessageId, Note, OrderId, PolicyOrigin, Quantity,
    Rank, Receipt, ReceiptContent, ReceiptId, Record, Said, Site, Status, StockChange, StockKey,
    Timestamp, Version, Write,
};
use storekeeper::store::{
    Asked, Closing, Commit, Committed, EntityId, EntityName, EntityState, Loaded, PageRequest,
    Revision, StockDetail, Store, StoreError,
};
use uuid::Uuid;

/// A page that holds everything a case has.
pub(super) const ALL: PageRequest = PageRequest::first(1_000);
/// When the commits of the cases are made, in seconds.
pub(super) const COMMITTED: i64 = 1_700_000_000;

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
        class: Class::Creation,
        event_timestamp: 1_700_000_000_000,
        observed_at: 0,
        rank: Rank::Created,
        status: Status::Processed,
        fingerprint: Fingerprint(number),
    }
}

/// That these ids were seen beside a name.
pub(super) fn link(ids: &[&str]) -> Link {
    Link { ids: ids.iter().map(|id| order_id(id)).collect(), led_to_closed: false }
}

pub(super) fn lists(lists: &[List]) -> Lists {
    lists.iter().copied().collect()
}

/// Somebody who puts a policy in force at some time.
pub(super) fn origin(actor: &str, seconds: i64) -> PolicyOrigin {
    PolicyOrigin { actor: actor.to_owned(), at: time(seconds) }
}

pub(super) fn entity(site_name: &str, name: EntityName) -> EntityId {
    EntityId { site: site(site_name), name }
}

pub(super) fn order_entity(site_name: &str, id: &str) -> EntityId {
    entity(site_name, EntityName::Order(order_id(id)))
}

fn first_commit(entity: EntityId, state: EntityState) -> Commit {
    let EntityId { site, name } = entity;
    Commit {
        read: vec![(name.clone(), None)],
        writes: vec![Write { name, state: Some(state), lists: (Lists::NONE, Lists::NONE) }],
        ..Commit::nothing(site, message(1), time(COMMITTED))
    }
}

/// The first commit of a record that leads its order, holds nothing and is in the list of all.
pub(super) fn order(site_name: &str, id: &str) -> Commit {
    let all = lists(&[List::All]);
    let record = Record { policy: 1, lists: all, ..Record::default() };
    let state = EntityState::Order(Box::new(record));
    let mut commit = first_commit(order_entity(site_name, id), state);
    commit.writes[0].lists = (Lists::NONE, all);
    commit.new_names = vec![(order_id(id), None)];
    commit.policy = Some(1);
    commit
}

/// The first commit of a receipt of so many millionths.
pub(super) fn receipt(site_name: &str, key_name: &str, reference: &str, count: i64) -> Commit {
    let id = ReceiptId { key: key(key_name), reference: identifier(reference) };
    let content = ReceiptContent::Goods { quantity: millionths(count) };
    let said = Said {
        message_id: message(1),
        received_at: time(COMMITTED),
        content,
        note: Note::default(),
    };
    let state = EntityState::Receipt(Receipt { said: Some(said), void: None });
    let mut commit = first_commit(entity(site_name, EntityName::Receipt(id)), state);
    commit.changes.push(StockChange {
        key: key(key_name),
        cause: Cause::Receipt(identifier(reference)),
        delta: counts(count, 0, 0),
        hold: None,
        closed: None,
    });
    commit
}

/// The first commit of a catalogue entry that gives its name to stock keys.
pub(super) fn catalogue(site_name: &str, id: &str, name: &str, keys: &[&str]) -> Commit {
    let goods = |name: &&str| {
        let key = key(name);
        LineNames::from_iter([(key.kind, key.identifier)])
    };
    let description = Description {
        name: Some(name.to_owned()),
        goods: keys.iter().map(goods).collect(),
        ..Description::default()
    };
    let entry = CatalogueEntry { described: Some(version(1)), description, deleted: None };
    let id = CatalogueId::parse(id).unwrap();
    first_commit(entity(site_name, EntityName::Catalogue(id)), EntityState::Catalogue(entry))
}

/// What the commits of the cases are made of.
pub(super) trait Given: Sized {
    /// The entity that it writes first.
    fn entity(&self) -> EntityId;
    /// The state that it writes first.
    fn state(&mut self) -> &mut EntityState;
    /// The record that it writes first.
    fn record(&mut self) -> &mut Record;
    /// Computed from this revision.
    fn on(self, revision: Revision) -> Self;
    /// Due to this message.
    fn due_to(self, number: u128) -> Self;
    /// Made so many seconds after 1970.
    fn at(self, seconds: i64) -> Self;
    /// A link becomes another, or goes.
    fn linking(self, name: &str, known: Option<Link>, link: Option<Link>) -> Self;
    /// The order is in these lists from now on, and was in those.
    fn listing(self, before: &[List], after: &[List]) -> Self;
    /// The order now holds so much of an item of which it held `held`.
    fn holding(self, key_name: &str, held: Hold, holds: Hold) -> Self;
    /// Also computed from all of another commit, and writes all of that.
    fn and(self, other: Self) -> Self;
}

impl Given for Commit {
    fn entity(&self) -> EntityId {
        EntityId { site: self.site.clone(), name: self.writes[0].name.clone() }
    }

    fn state(&mut self) -> &mut EntityState {
        self.writes[0].state.as_mut().unwrap()
    }

    fn record(&mut self) -> &mut Record {
        match self.state() {
            EntityState::Order(record) => record,
            other @ (EntityState::Catalogue(_) | EntityState::Receipt(_)) => {
                panic!("{other:?} is no record")
            }
        }
    }

    fn on(mut self, revision: Revision) -> Self {
        self.read[0].1 = Some(revision);
        self.new_names.clear();
        let lists = &mut self.writes[0].lists;
        lists.0 = lists.1;
        self
    }

    fn due_to(mut self, number: u128) -> Self {
        self.message_id = message(number);
        self
    }

    fn at(mut self, seconds: i64) -> Self {
        self.at = time(seconds);
        self
    }

    fn linking(mut self, name: &str, known: Option<Link>, link: Option<Link>) -> Self {
        self.links_read.push((order_id(name), known));
        self.links.push((order_id(name), link));
        self
    }

    fn listing(mut self, before: &[List], after: &[List]) -> Self {
        self.record().lists = lists(after);
        self.writes[0].lists = (lists(before), lists(after));
        self
    }

    fn holding(mut self, key_name: &str, held: Hold, holds: Hold) -> Self {
        let EntityName::Order(order) = self.writes[0].name.clone() else {
            panic!("it is no order")
        };
        self.record().applied.insert(key(key_name), holds);
        if holds == Hold::default() {
            self.record().applied.remove(&key(key_name));
        }
        let delta = Counts {
            received: Quantity::ZERO,
            committed: holds.committed.saturating_sub(held.committed),
            fulfilled: holds.fulfilled.saturating_sub(held.fulfilled),
        };
        self.changes.push(StockChange {
            key: key(key_name),
            cause: Cause::Order(order),
            delta,
            hold: Some(holds),
            closed: None,
        });
        self
    }

    fn and(mut self, other: Self) -> Self {
        self.read.extend(other.read);
        self.links_read.extend(other.links_read);
        self.new_names.extend(other.new_names);
        self.writes.extend(other.writes);
        self.links.extend(other.links);
        self.changes.extend(other.changes);
        self
    }
}

/// The commit that closes an order which holds so many fulfilled units of items.
pub(super) fn closing(
    id: &str,
    loaded: Revision,
    fulfilled: &[(&str, i64)],
    names: &[(&str, ClosedName)],
    before: Timestamp,
) -> Commit {
    let mut commit = order("alpha", id).on(loaded);
    commit.writes[0].state = None;
    commit.writes[0].lists.1 = Lists::NONE;
    commit.changes.extend(fulfilled.iter().map(|(key_name, fulfilled)| StockChange {
        key: key(key_name),
        cause: Cause::Order(order_id(id)),
        delta: Counts::default(),
        hold: Some(Hold::default()),
        closed: Some(millionths(*fulfilled)),
    }));
    let names = names.iter().map(|(name, closed)| (order_id(name), *closed)).collect();
    commit.closing = Some(Closing { names, before });
    commit
}

/// Commits one, which must be written.
pub(super) async fn write(store: &Arc<dyn Store>, commit: Commit) {
    let committed = try_write(store, commit.clone()).await;
    assert_eq!(committed, Committed::Written, "{commit:?}");
}

/// Commits one and answers what became of it.
pub(super) async fn try_write(store: &Arc<dyn Store>, commit: Commit) -> Committed {
    store.commit(vec![commit]).await.unwrap().remove(0)
}

/// What is there of entities.
pub(super) async fn load(
    store: &Arc<dyn Store>,
    entities: &[EntityId],
) -> Result<Vec<Option<Loaded>>, StoreError> {
    let asked = Asked { entities: entities.to_vec(), links: Vec::new() };
    store.load(&asked).await.map(|found| found.entities)
}

/// What was seen beside names of the site `alpha`.
pub(super) async fn links(store: &Arc<dyn Store>, names: &[&str]) -> Vec<Option<Link>> {
    let links = names.iter().map(|name| (site("alpha"), order_id(name))).collect();
    store.load(&Asked { entities: Vec::new(), links }).await.unwrap().links
}

/// The revision of an entity that is there.
pub(super) async fn revision(store: &Arc<dyn Store>, entity: &EntityId) -> Revision {
    load(store, std::slice::from_ref(entity)).await.unwrap()[0].as_ref().unwrap().revision
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

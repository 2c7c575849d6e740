//! What the Redis backend does when Redis does not.
//!
//! Each case breaks something that the conformance suite leaves whole, and looks at what was
//! answered against what is there.

mod alike;
mod durability;
mod exact;
mod linking;
mod memory;
mod older;
mod policies;
mod reasons;
mod relayed;
mod rights;
mod sentinel;
mod server;
mod told;

use std::sync::Arc;

use storekeeper::domain::{
    Cause, Counts, Hold, List, Lists, MessageId, OrderId, PolicyOrigin, Quantity, Record, Site,
    StockChange, StockKey, Timestamp, Write,
};
use storekeeper::store::redis::{RedisOptions, RedisStore};
use storekeeper::store::{
    Asked, Commit, Committed, Direction, EntityId, EntityName, EntityState, Loaded, PageRequest,
    Revision, Store, StoreError,
};
use uuid::Uuid;

use crate::servers::RedisServer;

/// A prefix that no other test has.
fn prefix() -> String {
    format!("sk-{}", Uuid::now_v7().simple())
}

/// How to reach a server whose data may be lost.
fn options(server: &RedisServer) -> RedisOptions {
    RedisOptions { prefix: prefix(), allow_volatile: true, ..RedisOptions::single(&server.url()) }
}

fn open(options: &RedisOptions) -> Arc<dyn Store> {
    Arc::new(RedisStore::start(options).unwrap())
}

fn site(name: &str) -> Site {
    Site::parse(name).unwrap()
}

fn order_id(number: usize) -> OrderId {
    OrderId::parse(&format!("id:{number}")).unwrap()
}

fn order_entity(site_name: &str, number: usize) -> EntityId {
    EntityId { site: site(site_name), name: EntityName::Order(order_id(number)) }
}

/// Who puts policies in force here.
fn origin() -> PolicyOrigin {
    PolicyOrigin { actor: "a test".to_owned(), at: Timestamp::from_millis(1_700_000_000_000) }
}

/// A commit after which an order holds so much of the item `sku:A`, of which it held `held`.
fn holding(entity: EntityId, held: i64, holds: i64, policy: u64) -> Commit {
    let EntityName::Order(order) = entity.name.clone() else { panic!("it is no order") };
    let key = StockKey::parse("sku:A").unwrap();
    let committed = Quantity::from_millionths;
    let held_now = Hold { committed: committed(holds), fulfilled: Quantity::ZERO };
    let applied = [(key.clone(), held_now)].into();
    let lists = Lists::from_iter([List::All]);
    let record = Record { applied, policy, lists, ..Record::default() };
    let delta = Counts { committed: committed(holds - held), ..Counts::default() };
    let cause = Cause::Order(order.clone());
    Commit {
        read: vec![(entity.name.clone(), None)],
        new_names: vec![(order, None)],
        policy: Some(policy),
        writes: vec![Write {
            name: entity.name,
            state: Some(EntityState::Order(Box::new(record))),
            lists: (Lists::NONE, lists),
        }],
        changes: vec![StockChange { key, cause, delta, hold: Some(held_now), closed: None }],
        ..Commit::nothing(
            entity.site,
            MessageId(Uuid::now_v7()),
            Timestamp::from_millis(1_700_000_000_000),
        )
    }
}

/// The same, computed from this revision.
fn on(mut commit: Commit, loaded: Option<Revision>) -> Commit {
    if loaded.is_some() {
        commit.read[0].1 = loaded;
        commit.new_names.clear();
        commit.writes[0].lists.0 = commit.writes[0].lists.1;
    }
    commit
}

/// The first commit of an order that holds one of the item.
fn first(site_name: &str, number: usize) -> Commit {
    holding(order_entity(site_name, number), 0, 1, 1)
}

async fn commit(store: &Arc<dyn Store>, commit: Commit) -> Result<Committed, StoreError> {
    store.commit(vec![commit]).await.map(|mut committed| committed.remove(0))
}

async fn load(
    store: &Arc<dyn Store>,
    entities: &[EntityId],
) -> Result<Vec<Option<Loaded>>, StoreError> {
    let asked = Asked { entities: entities.to_vec(), links: Vec::new() };
    store.load(&asked).await.map(|found| found.entities)
}

/// What orders say that they hold, what the item says, and what the feed says: all must be one.
async fn committed_everywhere(store: &Arc<dyn Store>, site_name: &str) -> i64 {
    let site = site(site_name);
    let all = PageRequest::first(10_000);
    let items = store.audit_items(&site, &all).await.unwrap().items;
    let Some(item) = items.first() else {
        assert!(store.changes(&site, 0, 1).await.unwrap().is_empty());
        return 0;
    };
    assert_eq!(Some(item.counts), item.sums);
    let listed = store.listed(&site, List::All, Direction::OldestFirst, &all).await.unwrap();
    assert_eq!(listed.next, None);
    let orders: Vec<OrderId> = listed.items.into_iter().map(|listed| listed.order).collect();
    let mut applied = 0;
    for order in store.audit_orders(&site, &orders).await.unwrap() {
        assert_eq!(order.held, order.record.applied);
        applied += order.held.values().map(|hold| hold.committed.millionths()).sum::<i64>();
    }
    assert_eq!(item.counts.committed.millionths(), applied);
    let mut last = Counts::default();
    let mut sequence = 0;
    loop {
        let feed = store.changes(&site, sequence, 10_000).await.unwrap();
        let Some(newest) = feed.last() else { break };
        assert!(feed.iter().map(|it| it.sequence).eq(sequence + 1..=newest.sequence));
        (last, sequence) = (newest.after, newest.sequence);
    }
    assert_eq!(last, item.counts);
    applied
}

//! What the Redis backend does when Redis does not.
//!
//! Each case breaks something that the conformance suite leaves whole, and looks at what was
//! answered against what is there.

mod alike;
mod durability;
mod exact;
mod memory;
mod policies;
mod relayed;
mod sentinel;
mod server;

use std::sync::Arc;

use storekeeper::domain::{
    Counts, Hold, MessageId, OrderId, OrderState, Quantity, Site, StockChange, StockKey, Timestamp,
};
use storekeeper::store::redis::{RedisOptions, RedisStore};
use storekeeper::store::{
    Commit, Committed, EntityId, EntityName, EntityState, PageRequest, Store, StoreError,
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

fn order_entity(site_name: &str, number: usize) -> EntityId {
    let name = EntityName::Order(OrderId::parse(&format!("id:{number}")).unwrap());
    EntityId { site: site(site_name), name }
}

/// A commit after which an order holds so much of the item `sku:A`, of which it held `held`.
fn holding(entity: EntityId, held: i64, holds: i64, policy: u64) -> Commit {
    let key = StockKey::parse("sku:A").unwrap();
    let committed = Quantity::from_millionths;
    let held_now = Hold { committed: committed(holds), fulfilled: Quantity::ZERO };
    let applied = [(key.clone(), held_now)].into();
    let state = OrderState { applied, policy, ..OrderState::default() };
    let delta = Counts { committed: committed(holds - held), ..Counts::default() };
    Commit {
        entity,
        loaded: None,
        state: EntityState::Order(Box::new(state)),
        changes: vec![StockChange { key, delta, hold: Some(held_now) }],
        message_id: MessageId(Uuid::now_v7()),
        at: Timestamp::from_millis(1_700_000_000_000),
    }
}

/// The first commit of an order that holds one of the item.
fn first(site_name: &str, number: usize) -> Commit {
    holding(order_entity(site_name, number), 0, 1, 1)
}

async fn commit(store: &Arc<dyn Store>, commit: Commit) -> Result<Committed, StoreError> {
    store.commit(vec![commit]).await.map(|committed| committed[0])
}

const WRITTEN: Committed = Committed::Written { alias_conflict: false };

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
    let orders = store.audit_orders(&site, &all).await.unwrap().items;
    let mut applied = 0;
    for order in &orders {
        assert_eq!(order.held, order.stored.state.applied);
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

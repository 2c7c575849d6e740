//! `audit`: names that lead to orders are checked, on both backends.
//!
//! Method: orders that share a name are stored by a worker, one thing is spoiled by hand, and the
//! audit must find exactly what that broke.

use std::sync::Arc;

use rusqlite::Connection;
use storekeeper::domain::{
    EntityState, Hold, Lists, OrderId, Policy, Quantity, Record, Site, StockKey,
};
use storekeeper::store::Store;
use storekeeper::store::redis::{RedisOptions, RedisStore};
use storekeeper::store::state::{encode_entity, encode_entity_bytes};
use storekeeper::upkeep::audit::{self, Kind};
use uuid::Uuid;

use super::{Shop, linked, order};
use crate::servers::shared_redis;

/// A Store, and how to write into it behind its back.
struct Spoiled {
    store: Arc<dyn Store>,
    behind: Behind,
}

enum Behind {
    File(Connection),
    Redis { connection: redis::Connection, prefix: String },
}

impl Spoiled {
    fn file(shop: &Shop) -> Self {
        let connection = Connection::open(shop.path().join("store.db")).unwrap();
        let store = Arc::clone(&shop.store) as Arc<dyn Store>;
        Self { store, behind: Behind::File(connection) }
    }

    fn redis() -> Self {
        let server = shared_redis();
        let prefix = format!("sk-{}", Uuid::now_v7().simple());
        let options = RedisOptions {
            prefix: prefix.clone(),
            allow_volatile: true,
            ..RedisOptions::single(&server.url())
        };
        let store = Arc::new(RedisStore::start(&options).unwrap());
        Self { store, behind: Behind::Redis { connection: server.connection(), prefix } }
    }

    /// What was seen beside a name.
    fn put_link(&mut self, name: &str, ids: &str) {
        match &mut self.behind {
            Behind::File(connection) => {
                let put = "INSERT INTO links (site, name, ids) VALUES ('shop', ?1, ?2)";
                assert_eq!(connection.execute(put, (name, ids)), Ok(1));
            }
            Behind::Redis { connection, prefix } => {
                let mut put = redis::cmd("HSET");
                put.arg(format!("{prefix}:{{shop}}:names")).arg(name).arg(ids);
                assert_eq!(put.query::<u64>(connection).unwrap(), 1);
            }
        }
    }

    fn delete_link(&mut self, name: &str) {
        match &mut self.behind {
            Behind::File(connection) => {
                let delete = "DELETE FROM links WHERE name = ?1";
                assert_eq!(connection.execute(delete, [name]), Ok(1));
            }
            Behind::Redis { connection, prefix } => {
                let mut delete = redis::cmd("HDEL");
                delete.arg(format!("{prefix}:{{shop}}:names")).arg(name);
                assert_eq!(delete.query::<u64>(connection).unwrap(), 1);
            }
        }
    }

    fn delete_record(&mut self, name: &OrderId) {
        match &mut self.behind {
            Behind::File(connection) => {
                let delete = "DELETE FROM orders WHERE name = ?1";
                assert_eq!(connection.execute(delete, [name.to_string()]), Ok(1));
            }
            Behind::Redis { connection, prefix } => {
                let mut delete = redis::cmd("DEL");
                delete.arg(format!("{prefix}:{{shop}}:order:{name}"));
                assert_eq!(delete.query::<u64>(connection).unwrap(), 1);
            }
        }
    }

    async fn change_record(&mut self, name: &OrderId, change: impl FnOnce(&mut Record)) {
        let audited = self.store.audit_orders(&site(), std::slice::from_ref(name)).await;
        let mut record = audited.unwrap().remove(0).record;
        change(&mut record);
        let state = EntityState::Order(Box::new(record));
        match &mut self.behind {
            Behind::File(connection) => {
                let text = encode_entity(&state).unwrap();
                let change = "UPDATE orders SET state = ?2 WHERE name = ?1";
                assert_eq!(connection.execute(change, [name.to_string(), text]), Ok(1));
            }
            Behind::Redis { connection, prefix } => {
                let key = format!("{prefix}:{{shop}}:order:{name}");
                let bytes = encode_entity_bytes(&state).unwrap();
                redis::cmd("HSET").arg(key).arg("state").arg(bytes).exec(connection).unwrap();
            }
        }
    }

    /// What the audit finds: of which kind, and of which order.
    async fn found(&self) -> Vec<(Kind, String)> {
        let found = audit::site(&*self.store, &site(), |_| {}).await.unwrap();
        let mut found: Vec<_> = found
            .differences
            .iter()
            .map(|it| (it.kind, it.order.as_ref().map(ToString::to_string).unwrap_or_default()))
            .collect();
        found.sort();
        found
    }
}

fn site() -> Site {
    Site::parse("shop").unwrap()
}

fn name(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

/// Order 1 with its external id, which was also seen alone; and order 2, which has none.
async fn stored(is_redis: bool) -> (Shop, Spoiled) {
    let shop = Shop::new();
    let spoiled = if is_redis { Spoiled::redis() } else { Spoiled::file(&shop) };
    let envelopes = [
        linked(Some("1"), "E", "PROCESSED", 1),
        linked(None, "E", "PROCESSED", 3),
        order("2", "PROCESSED", 5),
    ];
    shop.publish(&envelopes).await;
    let worker = shop.worker_on(Arc::clone(&spoiled.store), &Policy::default()).await;
    shop.settled().await;
    worker.stop().await;
    assert_eq!(spoiled.found().await, [], "before anything is spoiled");
    (shop, spoiled)
}

#[tokio::test]
async fn a_name_that_leads_away_and_holds_something_is_found() {
    for is_redis in [false, true] {
        let (_shop, mut spoiled) = stored(is_redis).await;
        let change = |record: &mut Record| {
            let hold = Hold { committed: Quantity::from_millionths(1), ..Hold::default() };
            record.applied.insert(StockKey::parse("product:P").unwrap(), hold);
        };
        spoiled.change_record(&name("external-id:E"), change).await;
        let expected = [Kind::Hold, Kind::Name].map(|kind| (kind, "external-id:E".to_owned()));
        assert_eq!(spoiled.found().await, expected, "in redis: {is_redis}");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_an_order_that_does_not_know_it_is_found() {
    for is_redis in [false, true] {
        let (_shop, mut spoiled) = stored(is_redis).await;
        spoiled.put_link("external-id:F", "id:2");
        assert_eq!(spoiled.found().await, [(Kind::Name, "id:2".to_owned())], "redis: {is_redis}");
    }
}

#[tokio::test]
async fn a_record_that_is_gone_behind_a_name_that_leads_to_it_is_found() {
    for is_redis in [false, true] {
        let (_shop, mut spoiled) = stored(is_redis).await;
        spoiled.delete_record(&name("id:1"));
        // The item says that the order holds something, too.
        let expected = [Kind::Hold, Kind::Name].map(|kind| (kind, "id:1".to_owned()));
        assert_eq!(spoiled.found().await, expected, "in redis: {is_redis}");
    }
}

#[tokio::test]
async fn a_name_that_no_longer_leads_to_its_order_is_found() {
    for is_redis in [false, true] {
        let (_shop, mut spoiled) = stored(is_redis).await;
        spoiled.delete_link("external-id:E");
        // What was seen under the name alone is not the order's any more.
        let found = spoiled.found().await;
        assert!(found.contains(&(Kind::Applied, "id:1".to_owned())), "{is_redis}: {found:?}");
    }
}

#[tokio::test]
async fn an_order_that_says_it_is_in_no_list_is_found() {
    for is_redis in [false, true] {
        let (_shop, mut spoiled) = stored(is_redis).await;
        let none = |record: &mut Record| record.lists = Lists::NONE;
        spoiled.change_record(&name("id:2"), none).await;
        assert_eq!(spoiled.found().await, [(Kind::Name, "id:2".to_owned())], "redis: {is_redis}");
    }
}

//! Redis and RabbitMQ as earlier releases left them.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use storekeeper::broker::rabbitmq::RabbitOptions;
use uuid::Uuid;

use super::given::{Given, pending};
use super::messages::{Copies, keys, publish, put_keys};
use super::seen::{pinned, unordered};
use super::shop::Shop;
use super::{REBUILT, destination, first_release, read, releases, same, write};
use crate::servers::RedisServer;
use crate::servers::rabbitmq::RabbitMq;

/// A Redis of a test's own, and queues of its own on a RabbitMQ.
struct Servers {
    redis: RedisServer,
    rabbitmq: &'static RabbitMq,
    options: RabbitOptions,
}

impl Servers {
    async fn start() -> Self {
        let rabbitmq = RabbitMq::shared().await;
        let options = RabbitOptions {
            urls: vec![rabbitmq.url().into()],
            namespace: format!("test-{}", Uuid::now_v7()),
            delivery_limit: 50,
            ladder: vec![Duration::from_millis(300)],
            journal_retention: None,
            journal_bytes_max: None,
            management_url: None,
            publish_in_flight_max: 256,
            publishes_to: &["events", "again"],
        };
        Self { redis: RedisServer::start(&[]), rabbitmq, options }
    }

    async fn open(&self) -> Shop {
        Shop::distributed(&self.options, &self.redis).await
    }

    /// Puts messages into an exchange of the shop, as if an earlier release had.
    async fn publish(&self, exchange: &str, messages: &Value) {
        publish(&self.rabbitmq.connection().await, &self.exchange(exchange), messages).await;
    }

    fn empty_redis(&self) {
        redis::cmd("FLUSHALL").exec(&mut self.redis.connection()).unwrap();
    }

    fn exchange(&self, name: &str) -> String {
        format!("{}.{name}", self.options.namespace)
    }
}

/// Writes what a release leaves that ends with webhooks in flight, and what it would come to.
async fn leave(place: &Path) {
    let servers = Servers::start().await;
    let shop = servers.open().await;
    let connection = servers.rabbitmq.connection().await;
    let journalled = Copies::of(&connection, &servers.exchange("events"), "#").await;
    let dead = Copies::of(&connection, &servers.exchange("again"), "dead").await;
    let given = Given::new();
    shop.publish_and_work_off(&given.done).await;
    let done = journalled.take().await;
    let before = shop.seen().await;
    for envelope in pending(&given, &*shop.store).await {
        shop.broker.publish(envelope).await.unwrap();
    }
    std::fs::create_dir_all(place).unwrap();
    write(&place.join("keys.json"), &keys(&mut servers.redis.connection()));
    let messages =
        json!({"done": done, "pending": journalled.take().await, "dead": dead.take().await});
    write(&place.join("messages.json"), &messages);
    shop.work_off().await;
    write(&place.join("expected.json"), &json!({"before": before, "after": shop.seen().await}));
    shop.close().await;
}

async fn is_read_and_worked_off(place: &Path) {
    let expected = read(&place.join("expected.json"));
    let servers = Servers::start().await;
    put_keys(&mut servers.redis.connection(), &read(&place.join("keys.json")));
    let shop = servers.open().await;
    same(place, &shop.seen().await, &expected["before"]);
    shop.audit_is_clean().await;
    servers.publish("events", &read(&place.join("messages.json"))["pending"]).await;
    shop.work_off().await;
    let after = shop.seen().await;
    same(place, &unordered(after), &unordered(expected["after"].clone()));
    shop.later_events_are_applied().await;
    shop.close().await;
}

/// An empty Store becomes what was seen, from the journal alone; so do dead letters from their queue.
async fn is_rebuilt(place: &Path) {
    let messages = read(&place.join("messages.json"));
    let expected = read(&place.join("expected.json"));
    let servers = Servers::start().await;
    let shop = servers.open().await;
    for part in ["done", "pending"] {
        servers.publish("events", &messages[part]).await;
        shop.work_off().await;
    }
    same(place, &unordered(shop.seen().await), &unordered(expected["after"].clone()));
    shop.close().await;
    servers.empty_redis();
    let shop = servers.open().await;
    shop.is_rebuilt_as(place, expected["after"].clone()).await;
    shop.close().await;
    servers.empty_redis();
    let shop = servers.open().await;
    servers.publish("again", &messages["dead"]).await;
    shop.work_off().await;
    assert_ne!(expected["before"]["dead_letters"], json!({}));
    same(place, &shop.seen().await["dead_letters"], &expected["before"]["dead_letters"]);
    shop.close().await;
}

/// Also what writes the fixtures of the next release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_this_release_or_an_earlier_one_are_read_worked_off_and_rebuilt() {
    let elsewhere = tempfile::tempdir().unwrap();
    let place = destination("distributed", elsewhere.path());
    leave(&place).await;
    let (earlier, _) = releases("distributed");
    for place in earlier.iter().chain([&place]) {
        is_read_and_worked_off(place).await;
        is_rebuilt(place).await;
    }
}

/// What waits is worked off on an empty Store; what is replayed from the journal comes to the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_is_filled_from_messages_and_the_journal_of_0_1_0() {
    let place = first_release("distributed");
    let expected = read(&place.join(REBUILT));
    let messages = read(&place.join("messages.json"));
    let servers = Servers::start().await;
    let shop = servers.open().await;
    for part in ["done", "pending"] {
        servers.publish("events", &messages[part]).await;
    }
    shop.work_off().await;
    same(&place, &pinned(&*shop.store).await, &expected);
    shop.close().await;
    servers.empty_redis();
    let shop = servers.open().await;
    shop.replay_journal(true).await;
    shop.work_off().await;
    same(&place, &pinned(&*shop.store).await, &expected);
    let journal = shop.broker.journal(None, 10_000).await.unwrap();
    let bodies: Vec<_> = journal
        .iter()
        .map(|record| (record.envelope.message_id, record.envelope.kind, &record.envelope.body))
        .collect();
    assert_eq!(Shop::stock_of_the_model(&bodies), expected["stock"]);
    shop.audit_is_clean().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_that_0_1_0_sent_are_parked() {
    let dead = read(&first_release("distributed").join("messages.json"))["dead"].clone();
    let servers = Servers::start().await;
    let shop = servers.open().await;
    servers.publish("again", &dead).await;
    shop.work_off().await;
    let found = pinned(&*shop.store).await["dead_letters"].clone();
    let expected = dead.as_array().unwrap().iter().map(|letter| {
        (letter["message_id"].as_str().unwrap().to_owned(), json!("decode.not_json"))
    });
    assert_eq!(found, Value::Object(expected.collect()));
    shop.close().await;
}

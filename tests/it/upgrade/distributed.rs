//! Redis and RabbitMQ as earlier releases left them.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use storekeeper::broker::rabbitmq::RabbitOptions;
use uuid::Uuid;

use super::given::Given;
use super::messages::{Copies, keys, publish, put_keys};
use super::seen::unordered;
use super::shop::Shop;
use super::{destination, read, releases, same, write};
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
            urls: vec![rabbitmq.url()],
            namespace: format!("test-{}", Uuid::now_v7()),
            delivery_limit: 50,
            ladder: vec![Duration::from_millis(300)],
            journal_retention: None,
            journal_bytes_max: None,
            management_url: None,
            publish_in_flight_max: 256,
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
    let Given { done, pending } = Given::new();
    shop.publish_and_work_off(&done).await;
    let done = journalled.take().await;
    let before = shop.seen().await;
    for envelope in pending {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_messages_of_an_earlier_release_are_read_and_worked_off() {
    for place in releases("distributed") {
        is_read_and_worked_off(&place).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_rebuilt_from_messages_of_an_earlier_release() {
    for place in releases("distributed") {
        let messages = read(&place.join("messages.json"));
        let after = read(&place.join("expected.json"))["after"].clone();
        let servers = Servers::start().await;
        let shop = servers.open().await;
        for part in ["done", "pending"] {
            servers.publish("events", &messages[part]).await;
            shop.work_off().await;
        }
        same(&place, &unordered(shop.seen().await), &unordered(after.clone()));
        shop.close().await;
        redis::cmd("FLUSHALL").exec(&mut servers.redis.connection()).unwrap();
        let shop = servers.open().await;
        shop.is_rebuilt_as(&place, after).await;
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_that_an_earlier_release_sent_are_parked() {
    for place in releases("distributed") {
        let dead = read(&place.join("messages.json"))["dead"].clone();
        let before = read(&place.join("expected.json"))["before"].clone();
        let servers = Servers::start().await;
        let shop = servers.open().await;
        servers.publish("again", &dead).await;
        shop.work_off().await;
        assert_ne!(before["dead_letters"], json!({}));
        same(&place, &shop.seen().await["dead_letters"], &before["dead_letters"]);
        shop.close().await;
    }
}

/// Also what writes the fixtures of the next release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_this_release_leaves_in_its_servers_is_read_too() {
    let elsewhere = tempfile::tempdir().unwrap();
    let place = destination("distributed", elsewhere.path());
    leave(&place).await;
    is_read_and_worked_off(&place).await;
}

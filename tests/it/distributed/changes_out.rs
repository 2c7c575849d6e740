//! What changed in stock is told to whoever listens at RabbitMQ: all of it, in its order.

use std::collections::BTreeMap;

use lapin::options::{BasicAckOptions, BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use serde_json::Value;
use storekeeper::domain::Site;

use super::Deployment;
use crate::harness::{Server, eventually};

const QUEUE: &str = "listener";

/// A queue that gets the changes of all sites, or of those that the pattern means.
pub(super) async fn listen(deployment: &Deployment, pattern: &str) -> Channel {
    let channel = deployment.rabbitmq.connection().await.create_channel().await.unwrap();
    let none = FieldTable::default();
    let durable = QueueDeclareOptions::durable();
    channel.queue_declare(QUEUE.into(), durable, none.clone()).await.unwrap();
    let (exchange, options) = ("storekeeper.changes".into(), QueueBindOptions::default());
    channel.queue_bind(QUEUE.into(), exchange, pattern.into(), options, none).await.unwrap();
    channel
}

/// What was told next, if anything was.
pub(super) async fn told(channel: &Channel) -> Option<(BasicProperties, Value)> {
    let got = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await.unwrap()?;
    got.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
    let data = serde_json::from_slice(&got.delivery.data).unwrap();
    Some((got.delivery.properties, data))
}

fn attributes(properties: &BasicProperties) -> BTreeMap<String, String> {
    let headers = properties.headers().as_ref().unwrap().inner().iter();
    let text = |value: &AMQPValue| {
        let text = value.as_long_string().expect("attributes are texts");
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    };
    headers.map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// Posts a new order of one of `product:a.b`.
pub(super) async fn order(ingress: &Server, site: &str, order: usize) {
    let body = serde_json::json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_700_000_000_000_i64,
        "resource_data": {"site_name": site},
        "data": {
            "id": order.to_string(),
            "status": "PROCESSED",
            "items": [{"product_id": "a.b", "quantity": 1}],
        },
    });
    let client = reqwest::Client::new();
    let answer = client.post(ingress.webhooks()).body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_change_is_told_as_a_cloud_event() {
    let deployment = Deployment::start().await;
    let server = deployment.role("serve", "all").await;
    let channel = listen(&deployment, "stock.shop%2Eeu.product%3Aa%2Eb").await;
    order(&server, "elsewhere", 1).await;
    order(&server, "shop.eu", 1).await;
    let (properties, data) = eventually("the change is told", async || told(&channel).await).await;
    let epoch = data["epoch"].as_str().unwrap();
    let attributes = attributes(&properties);
    for (name, value) in [
        ("specversion", "1.0"),
        ("id", &*format!("{epoch}-1")),
        ("type", "storekeeper.stock.changed"),
        ("source", "/v1/sites/shop%2Eeu"),
        ("subject", "product:a.b"),
        ("sequence", "1"),
        ("time", data["at"].as_str().unwrap()),
    ] {
        assert_eq!(attributes[&format!("cloudEvents_{name}")], value, "{name}");
    }
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    assert_eq!(properties.delivery_mode(), &Some(2));
    // The data is what the API answers.
    let answered = reqwest::get(server.console("/v1/sites/shop.eu/changes")).await.unwrap();
    assert_eq!(answered.json::<Value>().await.unwrap()["items"][0], data);
    assert!(told(&channel).await.is_none(), "of another site");
}

#[tokio::test]
async fn all_changes_are_told_in_order_although_who_tells_them_is_killed() {
    const ORDERS: usize = 60;
    let deployment = Deployment::start().await;
    let ingress = deployment.role("ingress", "ingress").await;
    let channel = listen(&deployment, "stock.#").await;
    let _worker = deployment.role("worker", "worker").await;
    let mut leader = deployment.role("leader", "leader-0").await;
    for number in 0..ORDERS {
        order(&ingress, ["a", "b"][number % 2], number).await;
        if number % 20 == 19 {
            leader.kill();
            leader = deployment.role("leader", &format!("leader-{number}")).await;
        }
    }
    let mut sequences: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    eventually("all changes are told", async || {
        while let Some((_, data)) = told(&channel).await {
            let site = data["site"].as_str().unwrap().to_owned();
            sequences.entry(site).or_default().push(data["sequence"].as_u64().unwrap());
        }
        let lasts = sequences.values().filter_map(|told| told.last());
        (lasts.filter(|last| **last == ORDERS as u64 / 2).count() == 2).then_some(())
    })
    .await;
    for (site, told) in sequences {
        // Told again from some place on, perhaps; but never with a gap.
        let mut next = 1;
        for sequence in told {
            assert!(sequence <= next, "{site}: {sequence} came before {next}");
            next = next.max(sequence + 1);
        }
        let store = deployment.store().await;
        let feed = store.changes(&Site::parse(&site).unwrap(), 0, 1000).await.unwrap();
        assert_eq!(feed.last().unwrap().sequence + 1, next);
    }
    drop(leader);
}

/// What one leader keeps to itself is told by the next that tells.
#[tokio::test]
async fn a_leader_that_shall_not_tell_changes_tells_none() {
    let deployment = Deployment::start().await;
    let ingress = deployment.role("ingress", "ingress").await;
    let silent = [("STOREKEEPER__CHANGES__ANNOUNCE", "false")];
    let _worker = deployment.role_with("worker", "worker", &silent).await;
    let mut silent = deployment.role_with("leader", "silent", &silent).await;
    let store = deployment.store().await;
    let site = Site::parse("a").unwrap();
    for number in 1..=5 {
        order(&ingress, "a", number).await;
        let is_written = async || {
            let feed = store.changes(&site, 0, 10).await.unwrap();
            (feed.len() == number).then_some(())
        };
        eventually("the change is written", is_written).await;
    }
    // Told where nobody listens, they would not be told again.
    let channel = listen(&deployment, "stock.#").await;
    // It gives its lease back.
    silent.signal("TERM");
    silent.ended().await;
    let leader = deployment.role("leader", "leader").await;
    let (_, data) = eventually("the changes are told", async || told(&channel).await).await;
    assert_eq!(data["sequence"], 1);
    drop(leader);
}

/// What was never told and is gone, and what is told under numbers that were told before, is said
/// to be missing.
#[tokio::test]
async fn what_cannot_be_told_is_said_to_be_missing() {
    let deployment = Deployment::start().await;
    let ingress = deployment.role("ingress", "ingress").await;
    let channel = listen(&deployment, "stock.#").await;
    let _worker = deployment.role("worker", "worker").await;
    let leader = deployment.role("leader", "leader-1").await;
    let next = async || eventually("something is told", async || told(&channel).await).await;
    order(&ingress, "a", 1).await;
    let (properties, _) = next().await;
    assert_eq!(attributes(&properties)["cloudEvents_type"], "storekeeper.stock.changed");
    eventually("it is noted to be told", async || {
        deployment.ask(&["HGET", "sk:{a}:relay", "sequence"]).filter(|told: &u64| *told == 1)
    })
    .await;
    leader.kill();
    // Nobody tells this.
    let store = deployment.store().await;
    let site = Site::parse("a").unwrap();
    order(&ingress, "a", 2).await;
    eventually("it is counted", async || {
        (store.changes(&site, 1, 10).await.unwrap().len() == 1).then_some(())
    })
    .await;
    let mut redis = deployment.redis.connection();
    redis::cmd("XTRIM").arg("sk:{a}:changes").arg("MAXLEN").arg(0).exec(&mut redis).unwrap();
    redis::cmd("HSET").arg("sk:{a}:relay").arg("sequence").arg(1).exec(&mut redis).unwrap();
    let leader = deployment.role("leader", "leader-2").await;
    let resync = eventually("the gap is told", async || {
        let (properties, data) = told(&channel).await?;
        (attributes(&properties)["cloudEvents_type"] == "storekeeper.stock.resync").then_some(data)
    })
    .await;
    assert_eq!((&resync["after"], &resync["next"]), (&Value::from(1), &Value::from(3)));
    drop(leader);
}

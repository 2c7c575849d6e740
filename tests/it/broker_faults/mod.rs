//! What only a broker at the other end of a network can do: go away, stand still, run short, and be
//! changed by somebody else.

mod confirms;
mod management;
mod outages;
mod policies;
mod rights;
mod settings;
mod tampered;

use std::time::Duration;

use lapin::Connection;
use storekeeper::broker::rabbitmq::{RabbitBroker, RabbitOptions};
use storekeeper::broker::{Broker, BrokerError, Delivery, Envelope, Queue, Subscription};
use tokio::time::timeout;
use uuid::Uuid;

use crate::harness::{DEADLINE, eventually, webhook};
use crate::servers::rabbitmq::RabbitMq;

/// Queues of a test's own on a node.
fn options(server: &RabbitMq) -> RabbitOptions {
    RabbitOptions {
        urls: vec![server.url().into()],
        namespace: format!("faults-{}", Uuid::now_v7()),
        delivery_limit: 50,
        ladder: vec![Duration::from_millis(100)],
        journal_retention: None,
        journal_bytes_max: None,
        management_url: None,
        publish_in_flight_max: 256,
        publishes_to: &["events", "again"],
    }
}

fn envelope(body: &str) -> Envelope {
    webhook(body.to_owned())
}

async fn work(broker: &RabbitBroker) -> Subscription {
    broker.subscribe(Queue::Work, 64).await.unwrap()
}

async fn take_one(subscription: &mut Subscription) -> Delivery {
    let batch = timeout(DEADLINE, subscription.next_batch(1)).await.expect("a delivery comes");
    batch.into_iter().next().expect("the subscription goes on")
}

fn body(delivery: &Delivery) -> &str {
    std::str::from_utf8(&delivery.envelope.body).unwrap()
}

/// Publishes as a sender does, which tries again until it is told that it worked.
async fn publish_at_last(broker: &RabbitBroker, body: &str) {
    eventually("publishing works", async || broker.publish(envelope(body)).await.ok()).await;
}

/// An error and all that is behind it.
fn text(error: &BrokerError) -> String {
    let source = std::error::Error::source(error);
    format!("{error}: {}", source.map(ToString::to_string).unwrap_or_default())
}

/// Does something to the node behind the broker's back.
async fn behind_its_back(server: &RabbitMq, act: impl AsyncFnOnce(&lapin::Channel)) {
    let connection: Connection = server.connection().await;
    let channel = connection.create_channel().await.unwrap();
    act(&channel).await;
    connection.close(200, "".into()).await.unwrap();
}

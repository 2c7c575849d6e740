//! The promises of [`Broker`], by what a caller does.

use std::sync::Arc;
use std::time::Duration;

use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::broker::rabbitmq::{RabbitBroker, RabbitOptions};
use storekeeper::broker::{
    Broker, Delivery, Disposition, Envelope, EnvelopeKind, Queue, QueueDepth, Subscription,
};
use storekeeper::clock;
use storekeeper::domain::{Code, Rejection};
use tempfile::TempDir;
use tokio::time::timeout;
use uuid::Uuid;

use crate::harness::webhook;
use crate::servers;

/// How long something that must happen may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long to watch for something that must not happen: longer than any backend polls.
const WATCH: Duration = Duration::from_millis(600);

/// Runs each promise as a test of its own on every backend; a backend is a line here.
macro_rules! promises {
    ($($promise:ident),* $(,)?) => {
        promises!(@on embedded: Embedded; $($promise)*);
        promises!(@on rabbitmq: RabbitMq; $($promise)*);
    };
    (@on $module:ident: $backend:ident; $($promise:ident)*) => {
        mod $module {
            use super::super::{Backend, $backend};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise($backend::start().await).await;
                }
            )*
        }
    };
}

mod delivering;
mod publishing;
mod settling;

/// A broker's place, empty at the start, that outlives the handles which are opened on it.
///
/// Dropping a handle is a crash: nothing is written any more, and its consumers are dead.
trait Backend {
    async fn start() -> Self;
    async fn open(&self) -> Arc<dyn Broker>;
}

/// SQLite in a directory of its own.
struct Embedded(TempDir);

impl Backend for Embedded {
    async fn start() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn Broker> {
        let directory = self.0.path().to_owned();
        let open = tokio::task::spawn_blocking(move || EmbeddedBroker::open(&directory));
        Arc::new(open.await.unwrap().unwrap())
    }
}

/// RabbitMQ, with queues of its own.
struct RabbitMq(RabbitOptions);

impl Backend for RabbitMq {
    async fn start() -> Self {
        Self(RabbitOptions {
            urls: vec![servers::rabbitmq::RabbitMq::shared().await.url().into()],
            namespace: format!("test-{}", Uuid::now_v7()),
            delivery_limit: 50,
            ladder: vec![Duration::from_millis(300)],
            journal_retention: None,
            journal_bytes_max: None,
            management_url: None,
            publish_in_flight_max: 256,
            publishes_to: &["events", "again"],
        })
    }

    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(RabbitBroker::connect(&self.0).await.unwrap())
    }
}

fn envelope(body: &str) -> Envelope {
    webhook(body.to_owned())
}

async fn publish(broker: &Arc<dyn Broker>, bodies: &[&str]) {
    for body in bodies {
        broker.publish(envelope(body)).await.unwrap();
    }
}

/// Takes so many deliveries, and fails if they do not come.
async fn take(subscription: &mut Subscription, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let batch = timeout(DEADLINE, subscription.next_batch(count - taken.len())).await;
        let batch = batch.unwrap_or_else(|_| panic!("of {count} came only: {taken:?}"));
        assert!(!batch.is_empty(), "the subscription ended after {} of {count}", taken.len());
        taken.extend(batch);
    }
    taken
}

async fn take_one(subscription: &mut Subscription) -> Delivery {
    take(subscription, 1).await.remove(0)
}

fn acknowledge(deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        delivery.settle(Disposition::Ack);
    }
}

/// Fails if anything comes.
async fn nothing_comes(subscription: &mut Subscription) {
    if let Ok(batch) = timeout(WATCH, subscription.next_batch(1)).await {
        panic!("came although it must not: {batch:?}");
    }
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    let bodies = deliveries.iter().map(|delivery| std::str::from_utf8(&delivery.envelope.body));
    bodies.collect::<Result<_, _>>().unwrap()
}

fn rejection() -> Rejection {
    Rejection::new(Code::NotJson, "$: expected a JSON text, found end of input")
}

fn dead_letter() -> Disposition {
    Disposition::DeadLetter(Box::new(rejection()))
}

async fn work(broker: &Arc<dyn Broker>, prefetch: usize) -> Subscription {
    broker.subscribe(Queue::Work, prefetch).await.unwrap()
}

async fn dead(broker: &Arc<dyn Broker>) -> Subscription {
    broker.subscribe(Queue::Dead, 10).await.unwrap()
}

/// Waits until the depth is as expected; settlements are durable a moment after they are decided.
async fn eventually_depth(
    broker: &Arc<dyn Broker>,
    expected: impl Fn(&QueueDepth) -> bool,
) -> QueueDepth {
    let mut depth = broker.depth().await.unwrap();
    let reached = timeout(DEADLINE, async {
        while !expected(&depth) {
            tokio::task::yield_now().await;
            depth = broker.depth().await.unwrap();
        }
    });
    assert!(reached.await.is_ok(), "the depth stays {depth:?}");
    depth
}

/// Waits until nothing is left in any queue.
async fn eventually_empty(broker: &Arc<dyn Broker>) {
    eventually_depth(broker, |depth| *depth == QueueDepth::default()).await;
}

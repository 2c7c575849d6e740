//! What operators start: audits, another policy, rebuilds and backups, beside workers at work.

mod audit;
mod backup;
mod closing;
mod discards;
mod duties;
mod expired;
mod killed;
mod names;
mod policy;
mod rebuild;
mod repair;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::broker::{Broker, Envelope, EnvelopeKind};
use storekeeper::clock;
use storekeeper::config::Settings;
use storekeeper::domain::{MessageId, Policy, Timestamp};
use storekeeper::health::Health;
use storekeeper::metrics::Metrics;
use storekeeper::simulate::history::HistoryOptions;
use storekeeper::simulate::model::{Counts, Item, Receipt};
use storekeeper::simulate::{History, Model, ModelPolicy};
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{PageRequest, ReadStore, StateStore, Store};
use storekeeper::worker::{Drained, Pool, PoolError};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::harness::{eventually, origin, seed};

/// Envelopes that are published at a time.
const PUBLISHED_AT_A_TIME: usize = 64;

/// Both backends in a directory.
struct Shop {
    broker: Arc<EmbeddedBroker>,
    store: Arc<EmbeddedStore>,
    directory: TempDir,
}

impl Shop {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(directory: TempDir) -> Self {
        let broker = Arc::new(EmbeddedBroker::open(directory.path()).unwrap());
        let store = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
        Self { broker, store, directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn publish(&self, envelopes: &[Envelope]) {
        let publishes = envelopes.iter().cloned().map(|envelope| self.broker.publish(envelope));
        let mut answers = futures_util::stream::iter(publishes).buffered(PUBLISHED_AT_A_TIME);
        while let Some(answer) = answers.next().await {
            answer.unwrap();
        }
    }

    /// Starts a worker whose configuration says this policy.
    async fn worker(&self, policy: &Policy) -> Worker {
        self.worker_on(Arc::clone(&self.store) as Arc<dyn Store>, policy).await
    }

    /// The Store as its callers know it.
    fn port(&self) -> &dyn Store {
        &*self.store
    }

    /// Starts a worker on another Store.
    async fn worker_on(&self, store: Arc<dyn Store>, policy: &Policy) -> Worker {
        let settings = Settings::load_from(None, []).unwrap();
        let in_force = store.adopt_policy(policy, &origin()).await.unwrap();
        assert_eq!(&in_force.policy, policy);
        let pool = Pool::new(
            Arc::clone(&self.broker) as Arc<dyn Broker>,
            store,
            Arc::new(Metrics::new()),
            Arc::new(Health::new()),
            in_force,
            &settings.worker,
            &settings.retry,
        );
        let stop = CancellationToken::new();
        let running = pool.run(stop.clone(), CancellationToken::new());
        Worker { stop, ended: TaskTracker::new().spawn(running) }
    }

    /// Works until every queue is empty.
    async fn work_off(&self, policy: &Policy) {
        let worker = self.worker(policy).await;
        self.settled().await;
        worker.stop().await;
    }

    async fn settled(&self) {
        eventually("the queues are empty", async || {
            let depth = self.broker.depth().await.unwrap();
            let waiting =
                depth.work_ready + depth.work_in_flight + depth.retry_ready + depth.dead_intake;
            (waiting == 0).then_some(())
        })
        .await;
    }

    async fn broker_is_busy(&self) -> bool {
        let depth = self.broker.depth().await.unwrap();
        depth.work_ready + depth.work_in_flight > 0
    }

    async fn stock(&self) -> BTreeMap<Item, Counts> {
        let mut stock = BTreeMap::new();
        for site in self.store.sites().await.unwrap() {
            let page = self.store.stock(&site, None, &PageRequest::first(10_000)).await.unwrap();
            assert_eq!(page.next, None);
            stock.extend(page.items.into_iter().map(|item| {
                let counts = Counts {
                    received: item.counts.received.to_decimal(),
                    committed: item.counts.committed.to_decimal(),
                    fulfilled: item.counts.fulfilled.to_decimal(),
                };
                (Item { site: item.site.to_string(), key: item.key.to_string() }, counts)
            }));
        }
        stock.retain(|_, counts| !counts.is_zero());
        stock
    }

    /// The same shop with an empty Store.
    async fn lose_the_store(self) -> Self {
        self.store.close().await;
        std::fs::rename(self.path().join("store.db"), self.path().join("lost.db")).unwrap();
        let store = Arc::new(EmbeddedStore::open(self.path()).unwrap());
        Self { store, ..self }
    }

    /// Fails unless every sum is right.
    async fn assert_audit_is_clean(&self) {
        for site in self.store.sites().await.unwrap() {
            let found =
                storekeeper::upkeep::audit::site(&*self.store, &site, |_| {}).await.unwrap();
            assert_eq!(found.differences, [], "{site}");
            assert_eq!(found.differences_count, 0);
        }
    }
}

/// A worker pool at work.
struct Worker {
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<Drained, PoolError>>,
}

impl Worker {
    async fn stop(self) {
        self.stop.cancel();
        assert_eq!(self.ended.await.unwrap().unwrap(), Drained::Whole);
    }
}

/// An invented history as envelopes, the goods that came in among them.
fn history(orders: u32) -> Vec<Envelope> {
    let options = HistoryOptions { seed: seed(), orders, duplicates_per_mille: 200 };
    let history = History::write(options);
    let goods = history.opening_stock().iter().map(|goods| {
        let body = json!({
            "site": goods.item.site,
            "key": goods.item.key,
            "quantity": goods.quantity.to_string(),
            "reference": goods.reference,
        });
        envelope(EnvelopeKind::Receipt, Bytes::from(body.to_string()))
    });
    let webhooks = history
        .deliveries
        .iter()
        .map(|delivery| envelope(EnvelopeKind::Webhook, delivery.body.clone()));
    goods.chain(webhooks).collect()
}

fn envelope(kind: EnvelopeKind, body: Bytes) -> Envelope {
    Envelope {
        message_id: MessageId(uuid::Uuid::now_v7()),
        kind,
        received_at: clock::now(),
        source: "duda".to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body,
    }
}

/// A webhook of an order that holds so many of `product:P` in `shop`.
fn order(id: &str, status: &str, quantity: u32) -> Envelope {
    let body = json!({
        "event_type": "ECOMM_ORDER_UPDATED",
        "event_timestamp": Timestamp::from_millis(1_700_000_000_000).millis(),
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": id,
            "status": status,
            "items": [{"id": "L", "product_id": "P", "sku": "S", "quantity": quantity}],
        },
    });
    envelope(EnvelopeKind::Webhook, Bytes::from(body.to_string()))
}

/// A webhook of an order that goes by an external id too, or by that alone. What holds more is
/// newer.
fn linked(id: Option<&str>, external: &str, status: &str, quantity: u32) -> Envelope {
    let body = json!({
        "event_type": "ECOMM_ORDER_UPDATED",
        "event_timestamp": 1_700_000_000_000_i64 + i64::from(quantity) * 1000,
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": id,
            "external_id": external,
            "status": status,
            "items": [{"id": "L", "product_id": "P", "quantity": quantity}],
        },
    });
    envelope(EnvelopeKind::Webhook, Bytes::from(body.to_string()))
}

/// The stock that the envelopes must lead to.
fn expected(envelopes: &[Envelope], policy: ModelPolicy) -> BTreeMap<Item, Counts> {
    let mut model = Model::new(policy);
    for envelope in envelopes {
        match envelope.kind {
            EnvelopeKind::Receipt => model.receive(receipt(envelope)),
            EnvelopeKind::Webhook => {
                drop(model.observe(&envelope.body, envelope.received_at.millis()));
            }
            // They are about dead letters, and move no stock.
            EnvelopeKind::Edit | EnvelopeKind::Discard | EnvelopeKind::Heartbeat => {}
            EnvelopeKind::Correction => panic!("what was shown is not in the envelope"),
        }
    }
    assert_eq!(model.ambiguous_orders(), []);
    model.stock()
}

fn receipt(envelope: &Envelope) -> Receipt {
    let body: serde_json::Value = serde_json::from_slice(&envelope.body).unwrap();
    let text = |field: &str| body[field].as_str().unwrap().to_owned();
    Receipt {
        item: Item { site: text("site"), key: text("key") },
        reference: text("reference"),
        message_id: envelope.message_id.to_string(),
        quantity: text("quantity").parse().unwrap(),
    }
}

//! The worker pool beside a Store that misbehaves: what fails costs itself and nothing else.
//!
//! The Store is the embedded one behind a decorator that tampers with what it loads or commits.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::broker::{Broker, Envelope, EnvelopeKind};
use storekeeper::clock;
use storekeeper::config::Settings;
use storekeeper::domain::{
    Code, MessageId, Policy, PolicyOrigin, REFUNDS_MAX, Site, StockKey, Timestamp,
};
use storekeeper::health::Health;
use storekeeper::metrics::Metrics;
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{
    DeadLetterFilter, EntityId, EntityName, PageRequest, ReadStore, StateStore, Store,
};
use storekeeper::worker::{Drained, Pool};
use tokio_util::sync::CancellationToken;

use crate::harness::eventually;
use crate::tampered::{Call, Fault, Faults, Tampered};

/// How the Store misbehaves towards the order of this name, so many times.
#[derive(Debug)]
struct Tampering {
    order: &'static str,
    fault: Fault,
    times: AtomicUsize,
}

impl Faults for Tampering {
    fn strike(&self, call: Call, entities: &[EntityId]) -> Option<Fault> {
        let when = match self.fault {
            Fault::Panic | Fault::Refusal | Fault::Newer => Call::Load,
            Fault::Away | Fault::LostAnswer | Fault::Race | Fault::Beaten | Fault::Overflow => {
                Call::Commit
            }
        };
        let name = format!("id:{}", self.order);
        let is_concerned = |entity: &EntityId| match &entity.name {
            EntityName::Order(order) => order.to_string() == name,
            EntityName::Catalogue(_) | EntityName::Receipt(_) => false,
        };
        let left = |left: usize| left.checked_sub(1);
        let strikes = call == when
            && entities.iter().any(is_concerned)
            && self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok();
        strikes.then_some(self.fault)
    }
}

/// A pool at work on a fresh directory.
struct AtWork {
    directory: tempfile::TempDir,
    broker: Arc<EmbeddedBroker>,
    store: Arc<Tampered<Tampering>>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    pool: tokio::task::JoinHandle<Drained>,
}

impl AtWork {
    async fn start(order: &'static str, fault: Fault, times: usize) -> Self {
        Self::start_with(&["a", "b", "c"], Tampering { order, fault, times: times.into() }).await
    }

    async fn start_with(orders: &[&str], tampering: Tampering) -> Self {
        Self::start_on(orders.iter().map(|order| envelope(order)), tampering).await
    }

    async fn start_on(envelopes: impl IntoIterator<Item = Envelope>, tampering: Tampering) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let broker = Arc::new(EmbeddedBroker::open(directory.path()).unwrap());
        let inner = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
        let store = Arc::new(Tampered::new(inner, tampering));
        let metrics = Arc::new(Metrics::new());
        let origin = PolicyOrigin { actor: "test".to_owned(), at: clock::now() };
        let mut settings = Settings::load_from(None, []).unwrap();
        settings.retry.ladder = vec![Duration::from_millis(20)];
        settings.retry.max_age = Duration::from_millis(200);
        settings.worker.delivery_limit = 2;
        let pool = Pool::new(
            Arc::clone(&broker) as Arc<dyn Broker>,
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::clone(&metrics),
            Arc::new(Health::new()),
            store.adopt_policy(&Policy::default(), &origin).await.unwrap(),
            &settings.worker,
            &settings.retry,
        );
        let stop = CancellationToken::new();
        // Everything is in the queue before the pool looks: it all meets in one batch.
        for envelope in envelopes {
            broker.publish(envelope).await.unwrap();
        }
        let tracker = tokio_util::task::TaskTracker::new();
        let running = pool.run(stop.clone(), CancellationToken::new());
        let pool = tracker.spawn(async { running.await.unwrap() });
        Self { directory, broker, store, metrics, stop, pool }
    }

    /// Waits until every envelope has its outcome, and stops the pool.
    async fn settle(self) -> (Settled, Arc<Metrics>) {
        eventually("the queues are empty", async || {
            let depth = self.broker.depth().await.unwrap();
            let waiting =
                depth.work_ready + depth.work_in_flight + depth.retry_ready + depth.dead_intake;
            (waiting == 0).then_some(())
        })
        .await;
        self.stop.cancel();
        assert_eq!(self.pool.await.unwrap(), Drained::Whole);
        self.broker.close().await;
        assert_eq!(self.store.repeating_calls.load(Ordering::SeqCst), 0);
        (Settled { store: self.store, _directory: self.directory }, self.metrics)
    }
}

/// The Store that a pool has worked on, and the directory of its file.
struct Settled {
    store: Arc<Tampered<Tampering>>,
    _directory: tempfile::TempDir,
}

impl Deref for Settled {
    type Target = Tampered<Tampering>;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

fn envelope(order: &str) -> Envelope {
    let body = json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_700_000_000_000_i64,
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": order,
            "status": "PROCESSED",
            "items": [{"product_id": "P", "quantity": 1}],
        },
    });
    of(&body)
}

fn of(body: &Value) -> Envelope {
    Envelope {
        message_id: MessageId(uuid::Uuid::now_v7()),
        kind: EnvelopeKind::Webhook,
        received_at: clock::now(),
        source: "duda".to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: Bytes::from(body.to_string()),
    }
}

async fn committed(store: &dyn Store) -> String {
    let (site, key) = (Site::parse("shop").unwrap(), StockKey::parse("product:P").unwrap());
    let item = store.stock_item(&site, &key, &PageRequest::first(10)).await.unwrap().unwrap();
    item.item.counts.committed.to_string()
}

async fn letters(store: &dyn Store) -> Vec<Code> {
    let all = DeadLetterFilter::default();
    let page = store.dead_letters(&all, &PageRequest::first(10)).await.unwrap();
    page.items.into_iter().map(|letter| letter.rejection.code).collect()
}

#[tokio::test]
async fn a_panic_costs_the_delivery_that_panics() {
    let (store, _) = AtWork::start("b", Fault::Panic, usize::MAX).await.settle().await;
    assert_eq!(letters(&*store).await, [Code::WorkerPanic]);
    assert_eq!(committed(&*store).await, "2");
}

#[tokio::test]
async fn a_passing_panic_of_a_batch_costs_nothing() {
    let (store, _) = AtWork::start("b", Fault::Panic, 1).await.settle().await;
    assert_eq!(letters(&*store).await, []);
    assert_eq!(committed(&*store).await, "3");
}

#[tokio::test]
async fn what_the_store_refuses_is_retried_alone_until_it_is_too_old() {
    let (store, metrics) = AtWork::start("b", Fault::Refusal, usize::MAX).await.settle().await;
    assert_eq!(letters(&*store).await, [Code::RetryExhausted]);
    assert_eq!(committed(&*store).await, "2");
    assert!(metrics.deliveries_retried.get() > 0);
}

#[tokio::test]
async fn what_the_store_refuses_for_a_while_is_applied_in_the_end() {
    let (store, _) = AtWork::start("b", Fault::Refusal, 3).await.settle().await;
    assert_eq!(letters(&*store).await, []);
    assert_eq!(committed(&*store).await, "3");
}

/// As a dead letter that is replayed after its `retry.max_age`.
#[tokio::test]
async fn what_was_received_long_ago_is_retried_all_the_same() {
    let old = Envelope { received_at: clock::now().plus_micros(-3_600_000_000), ..envelope("b") };
    let tampering = Tampering { order: "b", fault: Fault::Refusal, times: 3.into() };
    let (store, metrics) = AtWork::start_on([old], tampering).await.settle().await;
    assert_eq!(letters(&*store).await, []);
    assert_eq!(committed(&*store).await, "1");
    assert!(metrics.deliveries_retried.get() > 0);
}

/// Whatever its body is: of what it would become, a worker that knows the source decides.
#[tokio::test]
async fn what_comes_from_an_unknown_source_is_retried_until_it_is_too_old() {
    let from_agency = |envelope| Envelope { source: "agency".to_owned(), ..envelope };
    let unknown = from_agency(of(&json!({"event_type": "SOMETHING_NEW", "data": 7})));
    let broken = from_agency(Envelope { body: Bytes::from_static(b"{"), ..envelope("c") });
    let envelopes = [envelope("a"), from_agency(envelope("b")), unknown, broken];
    let tampering = Tampering { order: "nobody's", fault: Fault::Refusal, times: 0.into() };
    let (store, metrics) = AtWork::start_on(envelopes, tampering).await.settle().await;
    assert_eq!(letters(&*store).await, [Code::SourceUnknown; 3]);
    assert_eq!(committed(&*store).await, "1");
    assert!(metrics.deliveries_retried.get() >= 3);
    assert_eq!(metrics.sources_unknown.get(), metrics.deliveries_retried.get() + 3);
}

#[tokio::test]
async fn what_a_newer_release_wrote_waits_for_it_however_often_it_comes() {
    let (store, metrics) = AtWork::start("b", Fault::Newer, 15).await.settle().await;
    assert_eq!(letters(&*store).await, []);
    assert_eq!(committed(&*store).await, "3");
    assert_eq!(metrics.deliveries_retried.get(), 0, "nobody has failed");
}

#[tokio::test]
async fn a_lost_race_is_computed_again_and_counts_once() {
    let (store, metrics) = AtWork::start("b", Fault::Race, 1).await.settle().await;
    assert_eq!(committed(&*store).await, "3");
    assert!(metrics.commit_conflicts.get() > 0);
}

#[tokio::test]
async fn races_that_are_lost_again_and_again_are_retried_later() {
    let tampering = Tampering { order: "b", fault: Fault::Beaten, times: 25.into() };
    let (store, metrics) = AtWork::start_with(&["b"], tampering).await.settle().await;
    assert_eq!(committed(&*store).await, "1");
    assert_eq!(letters(&*store).await, []);
    assert_eq!(metrics.commit_conflicts.get(), 25);
    assert_eq!(metrics.deliveries_retried.get(), 1);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_counts_once() {
    let (store, metrics) = AtWork::start("b", Fault::LostAnswer, 1).await.settle().await;
    assert_eq!(committed(&*store).await, "3");
    assert_eq!(letters(&*store).await, []);
    assert!(metrics.store_away_seconds.get() > 0.0);
    let feed = store.changes(&Site::parse("shop").unwrap(), 0, 10).await.unwrap();
    assert_eq!(feed.len(), 3, "each order is in the change feed once");
    let times: Vec<Timestamp> = feed.iter().map(|change| change.at).collect();
    assert!(times.is_sorted());
}

#[tokio::test]
async fn an_event_that_its_order_has_no_room_for_becomes_a_dead_letter_alone() {
    let refunds: Vec<_> = (0..REFUNDS_MAX).map(|id| json!({"id": id.to_string()})).collect();
    let updated = |at: i64, quantity: u32, refunds: &[Value]| {
        let items = [json!({"product_id": "P", "quantity": quantity})];
        of(&json!({
            "event_type": "ECOMM_ORDER_UPDATED",
            "event_timestamp": 1_700_000_000_000_i64 + at,
            "resource_data": {"site_name": "shop"},
            "data": {"id": "a", "status": "PROCESSED", "items": items, "refunds": refunds},
        }))
    };
    let envelopes = [
        updated(1, 2, &refunds),
        updated(2, 4, &[json!({"id": "one more"})]),
        updated(3, 8, &refunds),
    ];
    let tampering = Tampering { order: "nobody's", fault: Fault::Refusal, times: 0.into() };
    let (store, _) = AtWork::start_on(envelopes, tampering).await.settle().await;
    assert_eq!(letters(&*store).await, [Code::TooManyRefunds]);
    assert_eq!(committed(&*store).await, "8");
}

#[tokio::test]
async fn events_of_one_order_that_overflow_together_are_tried_one_after_the_other() {
    let tampering = Tampering { order: "b", fault: Fault::Overflow, times: 1.into() };
    let at_work = AtWork::start_with(&["b", "b", "b"], tampering).await;
    let (store, metrics) = at_work.settle().await;
    assert_eq!(committed(&*store).await, "1");
    assert_eq!(letters(&*store).await, []);
    assert_eq!(metrics.commit_conflicts.get(), 0, "nobody else wrote");
}

//! Two workers that link overlapping names at the same moments, thousands of times.
//!
//! Method: many small families of orders. In each, a few events name their order by an id, by an id
//! and a second name, or by the second name alone; in some families two ids bear one second name.
//! Every event is put into the queues of two real pools, in different orders, so that both decide the
//! same families at once and lose races to each other. Meanwhile an observer audits. In the end all
//! is as one worker makes it that takes the events one after the other, and the change feed, read
//! commit by commit, never shows a record that holds something after it was linked to an id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::broker::{Broker, Envelope, EnvelopeKind};
use storekeeper::config::Settings;
use storekeeper::domain::{
    Cause, Hold, Link, List, MessageId, OrderId, Policy, PolicyInForce, Quantity, Record,
};
use storekeeper::health::Health;
use storekeeper::metrics::Metrics;
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{Direction, EntityId, EntityName, EntityState, PageRequest, Store};
use storekeeper::worker::{Drained, Pool};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{load, open, options, origin, site};
use crate::conformance::deciding::{RECEIVED, event, take, update};
use crate::harness::{eventually_within, is_long, seed, tell};
use crate::servers::shared_redis;

/// An order, or two that bear one second name; all of its events are about one item of its own.
#[derive(Debug)]
struct Family {
    number: usize,
    is_contested: bool,
    bodies: Vec<Value>,
}

impl Family {
    fn new(number: usize, rng: &mut ChaCha8Rng) -> Self {
        let second = format!("E{number}");
        let is_contested = rng.random_bool(0.3);
        let mut names = vec![
            json!({"external_id": second}),
            json!({"id": format!("A{number}"), "external_id": second}),
            json!({"id": format!("A{number}")}),
        ];
        if is_contested {
            names.push(json!({"id": format!("B{number}"), "external_id": second}));
        }
        let bodies = (0..rng.random_range(names.len()..8)).map(|place| {
            // Each name at least once. Statuses that hold something: what is released was linked.
            let other = rng.random_range(0..names.len());
            let names = &names[if place < names.len() { place } else { other }];
            let status = if rng.random_bool(0.2) { "SHIPPED" } else { "PROCESSED" };
            let line = json!({
                "id": "L", "product_id": format!("P{number}"), "quantity": rng.random_range(1..4),
                "name": format!("good {}", rng.random_range(0..3)),
            });
            update(names, i64::try_from(place).unwrap(), status, &[line])
        });
        Self { number, is_contested, bodies: bodies.collect() }
    }

    fn second_name(&self) -> OrderId {
        OrderId::parse(&format!("external-id:E{}", self.number)).unwrap()
    }
}

/// A real pool with a queue of its own.
struct Worker {
    broker: Arc<EmbeddedBroker>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    pool: tokio::task::JoinHandle<Drained>,
    _directory: tempfile::TempDir,
}

impl Worker {
    async fn start(store: Arc<dyn Store>, in_force: &PolicyInForce, bodies: &[Value]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let broker = Arc::new(EmbeddedBroker::open(directory.path()).unwrap());
        for (number, some) in bodies.chunks(500).enumerate() {
            let publishing = some.iter().enumerate().map(|(place, body)| {
                broker.publish(envelope(body, u128::try_from(500 * number + place).unwrap()))
            });
            for published in futures_util::future::join_all(publishing).await {
                published.unwrap();
            }
        }
        let metrics = Arc::new(Metrics::new());
        let mut settings = Settings::load_from(None, []).unwrap();
        // Small batches, several at a time: more moments at which somebody else may be first.
        settings.worker.batch_max = 8;
        let pool = Pool::new(
            Arc::clone(&broker) as Arc<dyn Broker>,
            store,
            Arc::clone(&metrics),
            Arc::new(Health::new()),
            in_force.clone(),
            &settings.worker,
            &settings.retry,
        );
        let stop = CancellationToken::new();
        let running = pool.run(stop.clone(), CancellationToken::new());
        let pool = TaskTracker::new().spawn(async { running.await.unwrap() });
        Self { broker, metrics, stop, pool, _directory: directory }
    }

    /// Waits until every envelope has its outcome, and stops; answers with how many races were lost.
    async fn settle(self) -> u64 {
        eventually_within(10 * crate::harness::DEADLINE, "the queues are empty", async || {
            let depth = self.broker.depth().await.unwrap();
            let waiting =
                depth.work_ready + depth.work_in_flight + depth.retry_ready + depth.dead_intake;
            (waiting == 0).then_some(())
        })
        .await;
        self.stop.cancel();
        assert_eq!(self.pool.await.unwrap(), Drained::Whole);
        self.broker.close().await;
        self.metrics.commit_conflicts.get()
    }
}

fn envelope(body: &Value, number: u128) -> Envelope {
    Envelope {
        message_id: MessageId(Uuid::from_u128(number)),
        kind: EnvelopeKind::Webhook,
        received_at: RECEIVED,
        source: "duda".to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: Bytes::from(body.to_string()),
    }
}

/// An item: its key and counts, its name, and who holds it.
type Item = (String, Option<String>, Vec<(OrderId, Hold)>);

/// All that rules read, and what the items say.
#[derive(Debug, PartialEq)]
struct Seen {
    records: BTreeMap<OrderId, Record>,
    links: Vec<(OrderId, Link)>,
    lists: BTreeMap<&'static str, BTreeSet<OrderId>>,
    stock: Vec<Item>,
}

impl Seen {
    async fn of(store: &Arc<dyn Store>, families: &[Family]) -> Self {
        let site = site("alpha");
        let all = PageRequest::first(1_000_000);
        let links = store.links(&site, &all).await.unwrap().items;
        let mut lists = BTreeMap::new();
        for list in List::ALL {
            let listed = store.listed(&site, list, Direction::OldestFirst, &all).await.unwrap();
            lists.insert(list.as_str(), listed.items.into_iter().map(|it| it.order).collect());
        }
        let names = families.iter().flat_map(|family| {
            ["id:A", "id:B", "external-id:E"].map(|name| format!("{name}{}", family.number))
        });
        let names: Vec<OrderId> = names.map(|name| OrderId::parse(&name).unwrap()).collect();
        let entity = |order: &OrderId| EntityId {
            site: site.clone(),
            name: EntityName::Order(order.clone()),
        };
        let entities: Vec<EntityId> = names.iter().map(entity).collect();
        let mut records = BTreeMap::new();
        for (order, loaded) in names.into_iter().zip(load(store, &entities).await.unwrap()) {
            let Some(EntityState::Order(mut record)) = loaded.map(|loaded| loaded.state) else {
                continue;
            };
            // Which message came first, and what was known then, is for people.
            record.timeline.clear();
            records.insert(order, *record);
        }
        let mut stock = Vec::new();
        for item in store.stock(&site, None, &all).await.unwrap().items {
            let detail = store.stock_item(&site, &item.key, &all).await.unwrap().unwrap();
            let holds = detail.holds.items.into_iter().map(|held| (held.order, held.hold));
            let counts = (detail.item.counts.committed, detail.item.counts.fulfilled);
            let key = format!("{} {counts:?}", item.key);
            stock.push((key, detail.item.name, holds.collect()));
        }
        Self { records, links, lists, stock }
    }
}

/// What one worker makes of the events, one after the other.
async fn in_order(families: &[Family]) -> Seen {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let in_force = store.adopt_policy(&Policy::default(), &origin()).await.unwrap();
    for (place, body) in families.iter().flat_map(|family| &family.bodies).enumerate() {
        let event = [event(body, u128::try_from(place).unwrap())];
        let outcomes = take(&*store, &in_force, &event).await;
        assert!(outcomes[0].is_ok(), "{body}");
    }
    Seen::of(&store, families).await
}

/// Looks all the while: what items say, what orders say and what totals say is one at every moment,
/// and a record that leads to an id holds nothing.
async fn observe(
    store: Arc<dyn Store>,
    families: Arc<Vec<Family>>,
    is_done: Arc<AtomicBool>,
) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let site = site("alpha");
    let mut looks = 0;
    while !is_done.load(Ordering::Relaxed) {
        let family = &families[rng.random_range(0..families.len())];
        let names =
            ["id:A", "id:B", "external-id:E"].map(|name| format!("{name}{}", family.number));
        let names = names.map(|name| OrderId::parse(&name).unwrap());
        for audited in store.audit_orders(&site, &names).await.unwrap() {
            assert_eq!(audited.held, audited.record.applied, "{audited:?}");
        }
        let page = PageRequest { after: Some(format!("product:P{}", family.number)), limit: 5 };
        for item in store.audit_items(&site, &page).await.unwrap().items {
            assert_eq!(Some(item.counts), item.sums, "{item:?}");
        }
        // A link that leads to an id in a family that is never contested leads there for good.
        let links = vec![(site.clone(), family.second_name())];
        let asked = storekeeper::store::Asked { entities: Vec::new(), links };
        let found = store.load(&asked).await.unwrap().links.remove(0);
        if !family.is_contested && found.is_some() {
            let key = format!("product:P{}", family.number);
            let key = storekeeper::domain::StockKey::parse(&key).unwrap();
            let all = PageRequest::first(9);
            let detail = store.stock_item(&site, &key, &all).await.unwrap().unwrap();
            let holders = detail.holds.items.iter().map(|held| held.order.to_string());
            assert!(holders.eq([format!("id:A{}", family.number)]), "held twice: {detail:?}");
        }
        looks += 1;
        // The workers need the processors more.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    looks
}

/// Replays the feed: from the change on in which a second name gives back what it held, a family
/// that is not contested is held by its id alone, and by no more than one snapshot says.
async fn assert_held_once(store: &Arc<dyn Store>, families: &[Family]) -> usize {
    let by_key: BTreeMap<String, &Family> =
        families.iter().map(|family| (format!("product:P{}", family.number), family)).collect();
    let mut held: BTreeMap<(String, OrderId), i64> = BTreeMap::new();
    let (mut linked, mut sequence) = (BTreeSet::new(), 0);
    loop {
        let feed = store.changes(&site("alpha"), sequence, 1000).await.unwrap();
        let Some(last) = feed.last() else { break };
        assert!(feed.iter().map(|change| change.sequence).eq(sequence + 1..=last.sequence));
        sequence = last.sequence;
        for change in feed {
            let Cause::Order(order) = change.cause else { panic!("{change:?}") };
            let key = change.key.to_string();
            let family = by_key[&key];
            let units = |of: Quantity| of.millionths() / 1_000_000;
            let holds = held.entry((key.clone(), order.clone())).or_default();
            *holds += units(change.delta.committed) + units(change.delta.fulfilled);
            assert!((0..4).contains(holds), "{order} holds {holds} of {key}");
            if family.is_contested {
                continue;
            }
            if order == family.second_name() && *holds == 0 {
                assert!(linked.insert(key.clone()), "{order} was linked twice");
            }
            if linked.contains(&key) {
                let after = units(change.after.committed) + units(change.after.fulfilled);
                assert!(after < 4, "{key} is held twice: {after}");
                assert!(order != family.second_name() || *holds == 0, "{order} holds {holds}");
            }
        }
    }
    linked.len()
}

async fn race(stores: [Arc<dyn Store>; 3]) {
    let [one, two, observing] = stores;
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let count = if is_long() { 6000 } else { 300 };
    let families: Vec<Family> = (0..count).map(|number| Family::new(number, &mut rng)).collect();
    let families = Arc::new(families);
    let in_force = one.adopt_policy(&Policy::default(), &origin()).await.unwrap();
    // Both go through the families in one order, so that they meet in each, and several at a time, so
    // that the events of a family are in several batches.
    let [first, second] = [0, 1].map(|_| {
        let mut bodies = Vec::new();
        for some in families.chunks(10) {
            let mut mixed: Vec<Value> =
                some.iter().flat_map(|family| family.bodies.iter().cloned()).collect();
            mixed.shuffle(&mut rng);
            bodies.extend(mixed);
        }
        bodies
    });
    let is_done = Arc::new(AtomicBool::new(false));
    let watching = observe(Arc::clone(&observing), Arc::clone(&families), Arc::clone(&is_done));
    let watching = TaskTracker::new().spawn(watching);
    let (one, two) =
        tokio::join!(Worker::start(one, &in_force, &first), Worker::start(two, &in_force, &second));
    let conflicts = one.settle().await + two.settle().await;
    is_done.store(true, Ordering::Relaxed);
    let looks = watching.await.unwrap();
    let linked = assert_held_once(&observing, &families).await;
    tell(&format!(
        "{} events of {count} families: {conflicts} races lost, {linked} linked, {looks} looks",
        first.len() + second.len()
    ));
    assert!(conflicts > 0 && linked > 0 && looks > 0, "nobody raced: {conflicts} {linked} {looks}");
    assert_eq!(observing.dead_letter_counts().await.unwrap(), []);
    let findings =
        storekeeper::upkeep::audit::site(&*observing, &site("alpha"), |_| ()).await.unwrap();
    assert_eq!(findings.differences, []);
    let (expected, found) = (in_order(&families).await, Seen::of(&observing, &families).await);
    for (name, record) in &expected.records {
        assert_eq!(found.records.get(name), Some(record), "{name}");
    }
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_link_names_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Arc::new(EmbeddedStore::open(directory.path()).unwrap()) as Arc<dyn Store>;
    race([open(), open(), open()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_link_names_in_redis() {
    let options = options(shared_redis());
    race([open(&options), open(&options), open(&options)]).await;
}

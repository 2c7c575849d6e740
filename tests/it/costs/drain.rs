//! Webhooks through an ingress, and then through a worker that finds them all in its queue.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rust_decimal::Decimal;
use storekeeper::domain::Site;
use storekeeper::store::PageRequest;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::callgrind::{self, Counts};
use super::kinds::Kinds;
use super::strace;
use crate::distributed::deployment::Surroundings;
use crate::harness::{Server, eventually_within};
use crate::load::post;
use crate::servers::RedisServer;
use crate::servers::rabbitmq::RabbitMq;

/// How long a queue may take: under callgrind, everything takes fifty times as long.
const TIMEOUT: Duration = Duration::from_mins(5);
/// Clients that post at the same time.
const CLIENTS: usize = 16;
/// How many sites the orders are of.
const SITES: u32 = 20;
/// A creation and an update in `fixtures/webhooks`, and what they call their order and site.
const CREATED: &str = "order_created.json";
const UPDATED: &str = "order_updated.json";
const ORDER: &str = "5b0d7e12-93c4-4f6a-8a1b-2d70c9e4f358";
const SITE: &str = "lantern-house-2f81c3";

/// The site of one more order, the last in the queue: once that is applied, a worker has taken all.
const LAST_SITE: &str = "last";

/// Bodies, and how many orders of one unit they are of. Of ten webhooks, six create an order, three
/// update one and one repeats a creation, of orders that were created a hundred webhooks before.
fn posted(events: u32) -> (Vec<Bytes>, usize) {
    let (mut posted, mut orders) = (Vec::new(), BTreeSet::new());
    for number in 0..events {
        let (fixture, order) = match (number % 10, number.checked_sub(100)) {
            (6..9, Some(before)) => (UPDATED, before - 6),
            (9, Some(before)) => (CREATED, before - 9),
            _ => (CREATED, number),
        };
        posted.push(body(fixture, order, &format!("shop-{}", order % SITES)));
        orders.insert(order);
    }
    (posted, orders.len())
}

/// A body of `fixtures/webhooks` as that of another order and site.
fn body(fixture: &str, order: u32, site: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/webhooks").join(fixture);
    let body = std::fs::read_to_string(path).unwrap();
    Bytes::from(body.replace(ORDER, &format!("order-{order}")).replace(SITE, site))
}

/// What was counted of an ingress and a worker, each in a file, and of Redis while the worker ran.
struct Drained {
    directory: TempDir,
    commands: Kinds,
}

impl Drained {
    /// Posts so many webhooks to an ingress under a program; once it has ended, has a worker under
    /// that program drain the queue.
    async fn run(events: u32, runner: fn(&Path) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
        let namespace = format!("costs-{:016x}", rand::random::<u64>());
        let settings = [
            ("STOREKEEPER__RABBITMQ__NAMESPACE", &*namespace),
            // Two batches at a time may be in each other's way, and then one is decided again.
            ("STOREKEEPER__WORKER__CONCURRENCY", "1"),
            // Otherwise there are as many threads as the machine has cores.
            ("TOKIO_WORKER_THREADS", "1"),
        ];
        let rabbitmq = RabbitMq::shared().await.url();
        let surroundings = Surroundings::new(rabbitmq, redis.url(), &settings);
        let (bodies, orders) = posted(events);

        let ingress = directory.path().join("ingress");
        let ingress = surroundings.role_under(&runner(&ingress), "ingress").await;
        post_all(bodies, &ingress).await;
        let last = body(CREATED, events, LAST_SITE);
        post(&reqwest::Client::new(), &ingress.webhooks(), last).await;
        end(ingress).await;

        let broker = surroundings.broker().await;
        eventually_within(TIMEOUT, "all are in the queue", async || {
            (broker.depth().await.ok()?.work_ready == u64::from(events) + 1).then_some(())
        })
        .await;
        redis.tell(&["CONFIG", "RESETSTAT"]);
        let worker = directory.path().join("worker");
        let worker = surroundings.role_under(&runner(&worker), "worker").await;
        eventually_within(TIMEOUT, "all have left the queue", async || {
            (broker.depth().await.ok()?.work_ready == 0).then_some(())
        })
        .await;
        // The worker is not asked, which would cost it system calls.
        let (store, last) = (surroundings.store().await, Site::parse(LAST_SITE).unwrap());
        eventually_within(TIMEOUT, "the last order is applied", async || {
            store.sites().await.ok()?.contains(&last).then_some(())
        })
        .await;
        end(worker).await;
        let commands = commands_of(&redis);

        let mut committed = Decimal::ZERO;
        for site in store.sites().await.unwrap() {
            let items = store.stock(&site, None, &PageRequest::first(10)).await.unwrap().items;
            committed +=
                items.iter().map(|item| item.counts.committed.to_decimal()).sum::<Decimal>();
        }
        assert_eq!(committed, Decimal::from(orders + 1), "not all was applied");
        broker.close().await;
        store.close().await;
        Self { directory, commands }
    }

    fn file(&self, role: &str) -> PathBuf {
        self.directory.path().join(role)
    }
}

async fn post_all(bodies: Vec<Bytes>, ingress: &Server) {
    let client = reqwest::Client::new();
    let mut clients = JoinSet::new();
    for bodies in bodies.chunks(bodies.len().div_ceil(CLIENTS)) {
        let (client, url, bodies) = (client.clone(), ingress.webhooks(), bodies.to_vec());
        clients.spawn(async move {
            for body in bodies {
                post(&client, &url, body).await;
            }
        });
    }
    clients.join_all().await;
}

/// Has a process end, with everything settled that it had in flight.
async fn end(mut process: Server) {
    process.signal("TERM");
    let status = process.ended().await;
    assert_eq!(status.code(), Some(0), "{}", process.log());
}

/// What Redis did since its counts were reset, also for scripts.
fn commands_of(redis: &RedisServer) -> Kinds {
    let counts: String = redis.ask(&["INFO", "commandstats"]).unwrap();
    let counts = counts.lines().filter_map(|line| {
        let (command, counts) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((command.to_owned(), counts.split_once(',')?.0.parse().unwrap()))
    });
    Kinds::new(counts)
}

/// What the clock and the scheduler add to a count, they do not add each time: of three attempts, one
/// must succeed. What the code adds is there each time.
async fn holds_once(attempt: impl AsyncFn() -> Result<(), String>) {
    for _ in 0..2 {
        if attempt().await.is_ok() {
            return;
        }
    }
    attempt().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_costs_the_system_calls_and_commands_that_it_did() {
    const EVENTS: u32 = 2000;
    // How many bodies, acknowledgements or confirms share a call depends on how fast each side is:
    // 3.4 to 3.7, 0.5 to 0.8 and 7.9 were seen.
    const INGRESS_CALLS: f64 = 4.3;
    const WORKER_CALLS: f64 = 0.7;
    const REDIS_COMMANDS: f64 = 8.2;

    holds_once(async || {
        let once = Drained::run(EVENTS, strace::runner).await;
        let twice = Drained::run(2 * EVENTS, strace::runner).await;
        for (role, constant, accepted) in
            [("ingress", "INGRESS_CALLS", INGRESS_CALLS), ("worker", "WORKER_CALLS", WORKER_CALLS)]
        {
            let [once, twice] = [&once, &twice].map(|run| run.file(role));
            let (once, twice) = (strace::read(&once).await, strace::read(&twice).await);
            twice.compare_growth(&once, "system calls", EVENTS, constant, accepted)?;
        }
        let (once, twice) = (&once.commands, &twice.commands);
        twice.compare_growth(once, "commands", EVENTS, "REDIS_COMMANDS", REDIS_COMMANDS)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_costs_the_instructions_and_allocations_that_it_did() {
    const EVENTS: u32 = 128;
    const INGRESS_INSTRUCTIONS: f64 = 392_000.0;
    const INGRESS_ALLOCATIONS: f64 = 59.6;
    const WORKER_INSTRUCTIONS: f64 = 1_800_000.0;
    const WORKER_ALLOCATIONS: f64 = 196.2;

    holds_once(async || {
        let once = Drained::run(EVENTS, callgrind::runner).await;
        let twice = Drained::run(2 * EVENTS, callgrind::runner).await;
        let counts = |role| Counts::read(&twice.file(role)).minus(Counts::read(&once.file(role)));
        let accepted = (INGRESS_INSTRUCTIONS, INGRESS_ALLOCATIONS);
        counts("ingress").compare(EVENTS, "INGRESS", accepted)?;
        let accepted = (WORKER_INSTRUCTIONS, WORKER_ALLOCATIONS);
        counts("worker").compare(EVENTS, "WORKER", accepted)
    })
    .await;
}

//! The real binary under load: from the first request to the last commit.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use storekeeper::app::Addresses;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{Arguments, body, per_second};

/// How many lines each order has.
pub(crate) const LINES: u32 = 2;
/// Lines share this many products.
pub(crate) const PRODUCTS: u32 = 500;
/// How often the server is asked whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How a run went.
pub(crate) struct Run {
    /// Events a second, from the first request to the last commit.
    pub(crate) rate: f64,
    /// The most memory that the server has had, in mebibytes.
    pub(crate) memory: u64,
}

pub(crate) async fn run(events: u32, clients: u32) -> Run {
    let server = Server::start().await;
    // Pages, statements and connections are warm when the clock starts.
    server.post(0..events / 10, clients).await;
    server.settled().await;
    let began = Instant::now();
    server.post(events / 10..events / 10 + events, clients).await;
    server.settled().await;
    Run { rate: per_second(events, began.elapsed()), memory: server.memory() }
}

/// How many webhooks a second of a history have their outcome.
pub(crate) async fn run_history(bodies: &Arc<[Bytes]>, clients: u32) -> f64 {
    let server = Server::start().await;
    let (count, url) = (u32::try_from(bodies.len()).unwrap(), server.url());
    let began = Instant::now();
    let bodies = Arc::clone(bodies);
    post_each(&server.client, &url, 0..count, clients, move |place| bodies[place as usize].clone())
        .await;
    server.settled().await;
    per_second(count, began.elapsed())
}

/// The cost of an event as the store grows, and what it takes on disk.
pub(crate) async fn grow(arguments: &Arguments) {
    let server = Server::start().await;
    let steps = [arguments.orders / 30, arguments.orders / 3, arguments.orders];
    let probe = arguments.scaled(10_000);
    let mut orders = 0;
    for step in steps.map(|orders| arguments.scaled(orders)) {
        if step > orders {
            server.post(orders..step, 128).await;
            server.settled().await;
            orders = step;
        }
        let began = Instant::now();
        server.post(orders..orders + probe, 128).await;
        server.settled().await;
        let cost = began.elapsed().as_secs_f64() * 1e6 / f64::from(probe);
        let at = orders;
        orders += probe;
        let (broker, store) = (server.bytes("broker.db"), server.bytes("store.db"));
        println!(
            "at {at} orders: {cost:.0} us an event; on disk {} bytes an event in the journal, \
             {} bytes an order in the store; {} MiB resident at most",
            broker / u64::from(orders),
            store / u64::from(orders),
            server.memory(),
        );
    }
}

/// Posts the creations of these orders, by so many clients at a time.
pub(crate) async fn post(client: &reqwest::Client, url: &str, orders: Range<u32>, clients: u32) {
    post_each(client, url, orders, clients, |order| body::of(order).into()).await;
}

async fn post_each(
    client: &reqwest::Client,
    url: &str,
    places: Range<u32>,
    clients: u32,
    body: impl Fn(u32) -> Bytes + Clone + Send + 'static,
) {
    let next = Arc::new(AtomicU32::new(places.start));
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (next, url, client) = (Arc::clone(&next), url.to_owned(), client.clone());
        let body = body.clone();
        tasks.spawn(async move {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= places.end {
                    return;
                }
                let answer = client.post(&url).body(body(place)).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

struct Server {
    child: Child,
    directory: tempfile::TempDir,
    addresses: Addresses,
    client: reqwest::Client,
}

impl Server {
    async fn start() -> Self {
        // Beside the build, so that it is the disk that the sources are on and no memory.
        let directory = tempfile::tempdir_in(".").unwrap();
        let ready: PathBuf = directory.path().join("ready.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_storekeeper"));
        command.args(["serve", "--ready-file"]).arg(&ready).env_clear();
        command.env("STOREKEEPER__EMBEDDED__PATH", directory.path()).stderr(Stdio::inherit());
        // A mixed history has dead letters, and each is a warning.
        command.env("STOREKEEPER__LOG__LEVEL", "error");
        for listener in ["INGRESS", "CONSOLE", "PROBES"] {
            command.env(format!("STOREKEEPER__{listener}__LISTEN"), "127.0.0.1:0");
        }
        let child = command.spawn().unwrap();
        let addresses = loop {
            if let Ok(text) = std::fs::read(&ready) {
                break serde_json::from_slice(&text).unwrap();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let client = reqwest::Client::builder().pool_max_idle_per_host(512).build().unwrap();
        Self { child, directory, addresses, client }
    }

    /// Posts the creations of these orders.
    async fn post(&self, orders: Range<u32>, clients: u32) {
        post(&self.client, &self.url(), orders, clients).await;
    }

    fn url(&self) -> String {
        format!("http://{}/webhooks/duda", self.addresses.ingress.unwrap())
    }

    /// Waits until every event has its outcome.
    async fn settled(&self) {
        let url = format!("http://{}/v1/queues", self.addresses.console.unwrap());
        loop {
            let queues: Value = self.client.get(&url).send().await.unwrap().json().await.unwrap();
            let waits = |path| queues.pointer(path).and_then(Value::as_u64).unwrap();
            if waits("/work/ready") + waits("/work/in_flight") == 0 {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The most memory that the process has had, in mebibytes.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }

    fn bytes(&self, file: &str) -> u64 {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        size(&self.directory.path().join(file))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then the benchmark has failed already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

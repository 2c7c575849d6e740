//! The real binary under load: from the first request to the last commit.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use storekeeper::app::Addresses;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{Arguments, per_second};

/// How many lines each order has.
const LINES: u32 = 2;
/// Lines share this many products.
const PRODUCTS: u32 = 500;
/// How often the server is asked whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

pub(crate) async fn run(arguments: &Arguments, bare: [f64; 2]) {
    for (clients, bare) in [64, 256].into_iter().zip(bare) {
        let server = Server::start().await;
        let events = arguments.scaled(20_000);
        // Pages, statements and connections are warm when the clock starts.
        server.post(0..events / 10, clients).await;
        let began = Instant::now();
        server.post(events / 10..events / 10 + events, clients).await;
        let posted = began.elapsed();
        server.settled().await;
        let took = began.elapsed();
        let rate = per_second(events, took);
        println!(
            "end to end: {rate:.0} events/s with {clients} clients, {:.2} of the bare writer \
             (all answered after {:.1} s, all applied after {:.1} s)",
            rate / bare,
            posted.as_secs_f64(),
            took.as_secs_f64(),
        );
        println!("memory: {} resident at most", server.memory());
    }
    grow(arguments).await;
}

/// The cost of an event as the store grows, and what it takes on disk.
async fn grow(arguments: &Arguments) {
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
        orders += probe;
        let (broker, store) = (server.bytes("broker.db"), server.bytes("store.db"));
        println!(
            "at {orders} orders: {cost:.0} us an event; on disk {} bytes an event in the journal, \
             {} bytes an order in the store; memory {}",
            broker / u64::from(orders),
            store / u64::from(orders),
            server.memory(),
        );
    }
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
    async fn post(&self, orders: std::ops::Range<u32>, clients: u32) {
        let next = Arc::new(AtomicU32::new(orders.start));
        let url = format!("http://{}/webhooks/duda", self.addresses.ingress.unwrap());
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let (next, url, client) = (Arc::clone(&next), url.clone(), self.client.clone());
            tasks.spawn(async move {
                loop {
                    let order = next.fetch_add(1, Ordering::Relaxed);
                    if order >= orders.end {
                        return;
                    }
                    let answer = client.post(&url).body(body(order)).send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.unwrap();
                }
            });
        }
        tasks.join_all().await;
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

    /// The most memory that the process has had.
    fn memory(&self) -> String {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes.map_or_else(|| "?".to_owned(), |kibibytes| format!("{} MiB", kibibytes / 1024))
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

/// An order of the usual size.
fn body(order: u32) -> String {
    let address = json!({
        "name": "Example Buyer", "first_name": "Example", "last_name": "Buyer",
        "full_name": "Example Buyer", "address_1": "1 Example Street", "address_2": null,
        "street_number": "1", "street_name": "Example Street", "city": "Example",
        "sub_locality": null, "region": "EX", "country": "US", "postal_code": "00000",
        "phone": "000-0000",
    });
    let items: Vec<Value> = (0..LINES)
        .map(|line| {
            let product = (order * 7 + line * 131) % PRODUCTS;
            json!({
                "id": format!("line-{order}-{line}"), "product_id": format!("product-{product}"),
                "variation_id": null, "name": "An example of a product", "quantity": 1 + line,
                "image": "https://shop.example.com/images/an-example-of-a-product.jpg",
                "options": [{"name": "Size", "value": "Small"}], "unit_price": "45.00",
                "unit_weight": null, "unit_dimensions": null, "total": "45.00",
                "combined_weight": 0, "metadata": {},
            })
        })
        .collect();
    json!({
        "data": {
            "mode": "LIVE", "id": format!("order-{order}"), "status": "PROCESSED",
            "email": "buyer@example.com", "invoice_number": format!("EX-{order}"), "items": items,
            "billing_address": address, "shipping_address": address,
            "shipping_method": {"name": "Zone 1", "cost": "14.00"},
            "shipping_instructions": "Leave it at the door", "discounts": [],
            "taxes": [{"name": "Tax", "amount": "8.85", "rate": 0.15}], "subtotal": "90.00",
            "total": "112.85", "refunds": [], "tracking_url": null, "tracking_number": null,
            "payment": {
                "transaction_id": format!("tx-{order}"), "status": "PAID", "currency": "USD",
                "method": "CreditCard", "card_brand": "EXAMPLE", "card_last_4": "0000",
            },
            "created": "2024-01-12T18:12:58Z", "ip_address": "192.0.2.1",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) ExampleBrowser/1.0", "metadata": {},
        },
        "source": null,
        "resource_data": {"site_name": format!("shop-{}", order % 4)},
        "event_timestamp": 1_705_083_178_000_i64 + i64::from(order),
        "event_type": "ECOMM_ORDER_CREATED",
    })
    .to_string()
}

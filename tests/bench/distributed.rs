//! The server on RabbitMQ and Redis, beside a bare pipeline on the same, in turns.

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use lapin::{Connection, ConnectionProperties};
use serde_json::Value;
use storekeeper::app::Addresses;
use tokio::time::Instant;

use crate::end_to_end::post;
use crate::{Arguments, median, per_second};

/// How often a process is asked whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Ticks of the processor's clock in a second, as Linux counts the time of processes.
const TICKS: f64 = 100.0;
const ROUNDS: usize = 5;
/// The delays of the retry ladder, by which its queues are named.
const LADDER: [u32; 4] = [5, 30, 120, 600];

/// Where a run has its queues and keys.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) rabbitmq: String,
    pub(crate) redis: String,
    pub(crate) namespace: String,
}

impl Place {
    /// Empty queues and keys, which nobody else uses.
    fn fresh(arguments: &Arguments) -> Self {
        Self {
            rabbitmq: arguments.rabbitmq.clone(),
            redis: arguments.redis.clone(),
            namespace: format!("bench-{}", uuid::Uuid::now_v7().simple()),
        }
    }

    /// Removes queues and keys: they have the bodies of all events.
    async fn remove(&self) {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.rabbitmq, properties).await.unwrap();
        let queues = ["work", "journal", "dead", "unrouted"].map(str::to_owned).into_iter();
        let retries = ["retry", "dead-retry"].into_iter();
        let retries = retries.flat_map(|kind| LADDER.map(|seconds| format!("{kind}.{seconds}")));
        let channel = connection.create_channel().await.unwrap();
        for queue in queues.chain(retries) {
            let name = format!("{}.{queue}", self.namespace);
            // One that is not there is fine.
            channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.ok();
        }
        connection.close(200, "done".into()).await.ok();
        let client = redis::Client::open(self.redis.as_str()).unwrap();
        let mut keys = client.get_multiplexed_async_connection().await.unwrap();
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{}:*", self.namespace));
            let (next, found): (u64, Vec<String>) =
                scan.arg("COUNT").arg(1000).query_async(&mut keys).await.unwrap();
            if !found.is_empty() {
                redis::cmd("UNLINK").arg(found).exec_async(&mut keys).await.unwrap();
            }
            if next == 0 {
                return;
            }
            cursor = next;
        }
    }
}

/// What is measured of a process: events a second, and its time on the processor for each event in
/// microseconds.
#[derive(Debug, Clone, Copy)]
struct Measured {
    rate: f64,
    cpu: f64,
}

pub(crate) async fn run(arguments: &Arguments) {
    for clients in [64, 256] {
        compare(arguments, clients).await;
    }
    drain(arguments).await;
}

/// From the first request to the last acknowledgement.
async fn compare(arguments: &Arguments, clients: u32) {
    let events = arguments.scaled(20_000);
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let place = Place::fresh(arguments);
        bare.push(Process::bare(&place).measure(events, clients).await);
        place.remove().await;
        let place = Place::fresh(arguments);
        whole.push(Process::role("serve", &place).await.measure(events, clients).await);
        place.remove().await;
    }
    let rates = |runs: &[Measured]| median(runs.iter().map(|run| run.rate).collect());
    let cpus = |runs: &[Measured]| median(runs.iter().map(|run| run.cpu).collect());
    println!(
        "on RabbitMQ and Redis: {:.0} events/s with {clients} clients and {:.0} us of processor an \
         event; a bare pipeline: {:.0} events/s and {:.0} us; ratios {:.2} and {:.2} (medians of \
         {ROUNDS} rounds of {events})",
        rates(&whole),
        cpus(&whole),
        rates(&bare),
        cpus(&bare),
        rates(&whole) / rates(&bare),
        cpus(&whole) / cpus(&bare),
    );
}

/// How fast workers get through a backlog that waited for them.
async fn drain(arguments: &Arguments) {
    let events = arguments.scaled(200_000);
    for workers in 1..=3 {
        let place = Place::fresh(arguments);
        let ingress = Process::role("ingress", &place).await;
        ingress.post(0..events, 256).await;
        let mut pool = Vec::new();
        let began = Instant::now();
        for _ in 0..workers {
            pool.push(Process::role("worker", &place).await);
        }
        let console = Process::role("console", &place).await;
        console.settled(0).await;
        let rate = per_second(events, began.elapsed());
        println!("a backlog of {events} is drained by {workers} worker(s) at {rate:.0} events/s");
        drop((ingress, console, pool));
        place.remove().await;
    }
}

/// The server in a role, or the bare pipeline.
struct Process {
    child: Child,
    _directory: tempfile::TempDir,
    addresses: Addresses,
    is_bare: bool,
    client: reqwest::Client,
}

impl Process {
    async fn role(role: &str, place: &Place) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ready: PathBuf = directory.path().join("ready.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_storekeeper"));
        command.args([role, "--ready-file"]).arg(&ready).env_clear();
        command.current_dir(directory.path()).stderr(Stdio::inherit());
        for (setting, value) in [
            ("BACKEND", "distributed"),
            ("RABBITMQ__URL", &place.rabbitmq),
            ("RABBITMQ__NAMESPACE", &place.namespace),
            ("REDIS__URL", &place.redis),
            ("REDIS__PREFIX", &place.namespace),
            ("REDIS__ALLOW_VOLATILE", "true"),
            ("INGRESS__LISTEN", "127.0.0.1:0"),
            ("CONSOLE__LISTEN", "127.0.0.1:0"),
            ("PROBES__LISTEN", "127.0.0.1:0"),
            ("LOG__LEVEL", "error"),
        ] {
            command.env(format!("STOREKEEPER__{setting}"), value);
        }
        let child = command.spawn().unwrap();
        let addresses = loop {
            if let Ok(text) = std::fs::read(&ready) {
                break serde_json::from_slice(&text).unwrap();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        Self { child, _directory: directory, addresses, is_bare: false, client: client() }
    }

    fn bare(place: &Place) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--bare-pipeline", &place.namespace, "--rabbitmq", &place.rabbitmq]);
        command.args(["--redis", &place.redis]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        let addresses = Addresses { ingress: Some(address), console: None, probes: address };
        Self { child, _directory: directory, addresses, is_bare: true, client: client() }
    }

    async fn measure(&self, events: u32, clients: u32) -> Measured {
        // Connections are warm when the clock starts.
        let warm = events / 10;
        self.post(0..warm, clients).await;
        self.settled(warm).await;
        let (began, cpu) = (Instant::now(), self.cpu());
        self.post(warm..warm + events, clients).await;
        self.settled(warm + events).await;
        let rate = per_second(events, began.elapsed());
        Measured { rate, cpu: (self.cpu() - cpu) * 1e6 / f64::from(events) }
    }

    async fn post(&self, orders: Range<u32>, clients: u32) {
        let url = format!("http://{}/webhooks/duda", self.addresses.ingress.unwrap());
        post(&self.client, &url, orders, clients).await;
    }

    /// Waits until every event has its outcome; the bare pipeline counts how many it had in all.
    async fn settled(&self, events: u32) {
        loop {
            let waits = if self.is_bare {
                let url = format!("http://{}/done", self.addresses.probes);
                let done: u32 = self.ask(&url).await.parse().unwrap();
                u64::from(events - done)
            } else {
                let url = format!("http://{}/v1/queues", self.addresses.console.unwrap());
                let queues: Value = serde_json::from_str(&self.ask(&url).await).unwrap();
                let waits = |path| queues.pointer(path).and_then(Value::as_u64).unwrap();
                waits("/work/ready") + waits("/work/in_flight")
            };
            if waits == 0 {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn ask(&self, url: &str) -> String {
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// The seconds that the process has had of the processor.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name in parentheses may have spaces; behind it, the 12th and 13th fields are ticks.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().pool_max_idle_per_host(512).build().unwrap()
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then the benchmark has failed already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

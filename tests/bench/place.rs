//! Where a run has its queue and its state: private servers, or files.

use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use storekeeper::store::redis::{RedisOptions, RedisStore};
use storekeeper::store::{ReadStore, StateStore};
use tempfile::TempDir;

use crate::measure::cpu_seconds;
use crate::rabbitmq::RabbitMq;
use crate::redis_server::RedisServer;

/// The poll interval of what must cost RabbitMQ or a disk little.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long servers must do nothing to be at rest.
const REST: Duration = Duration::from_millis(200);
/// How long they may take to get there: RabbitMQ removes queues for a while.
const REST_TIMEOUT: Duration = Duration::from_secs(10);
/// The delays of the retry ladder, by which its queues are named.
const LADDER: [u32; 4] = [5, 30, 120, 600];

/// A RabbitMQ and a Redis of the benchmark's own, so that their time on the processor is due to
/// what is measured alone.
pub(crate) struct Servers {
    rabbitmq: RabbitMq,
    redis: RedisServer,
    /// Their processes, RabbitMQ first.
    pub(crate) ids: [u32; 2],
}

impl Servers {
    pub(crate) async fn start() -> Self {
        // The default, which tests have smaller.
        let rabbitmq = RabbitMq::start_with("raft.wal_max_size_bytes = 536870912\n").await;
        let id = rabbitmq.control(&["--quiet", "eval", "os:getpid()."]).await;
        let id = id.trim().trim_matches('"').parse().unwrap();
        let redis = RedisServer::start(&[]);
        let info: String = redis.ask(&["INFO", "server"]).unwrap();
        let redis_id = info.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap();
        let ids = [id, redis_id.trim().parse().unwrap()];
        Self { rabbitmq, redis, ids }
    }

    /// An empty place.
    pub(crate) async fn place(&self) -> Place {
        self.redis.tell(&["FLUSHALL"]);
        self.rest().await;
        Place::Distributed {
            rabbitmq: self.rabbitmq.url(),
            redis: self.redis.url(),
            namespace: format!("bench-{}", uuid::Uuid::now_v7().simple()),
        }
    }

    /// Waits until both do nothing any more.
    pub(crate) async fn rest(&self) {
        let cpu = || self.ids.map(cpu_seconds).iter().sum::<f64>();
        for _ in 0..REST_TIMEOUT.as_millis() / REST.as_millis() {
            let before = cpu();
            tokio::time::sleep(REST).await;
            if cpu() - before < REST.as_secs_f64() / 10.0 {
                return;
            }
        }
    }
}

/// Queues and keys of one run, or its files.
pub(crate) enum Place {
    Embedded(TempDir),
    Distributed { rabbitmq: String, redis: String, namespace: String },
}

impl Place {
    /// Empty files beside the build, so that they are on a disk and not in memory.
    pub(crate) fn files() -> Self {
        Self::Embedded(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    /// The settings of a process that works here.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Embedded(directory) => {
                vec![("EMBEDDED__PATH", directory.path().display().to_string())]
            }
            Self::Distributed { rabbitmq, redis, namespace } => [
                ("BACKEND", "distributed"),
                ("RABBITMQ__URL", rabbitmq),
                ("RABBITMQ__NAMESPACE", namespace),
                ("REDIS__URL", redis),
                ("REDIS__PREFIX", namespace),
                ("REDIS__ALLOW_VOLATILE", "true"),
            ]
            .map(|(setting, value)| (setting, value.to_owned()))
            .into(),
        }
    }

    /// The work queue, to be looked at.
    pub(crate) async fn queue(&self) -> Queue {
        match self {
            Self::Embedded(directory) => Queue::File(file(directory, "broker.db").unwrap()),
            Self::Distributed { rabbitmq, namespace, .. } => {
                let (connection, channel) = channel(rabbitmq).await;
                Queue::Named { _connection: connection, channel, name: format!("{namespace}.work") }
            }
        }
    }

    /// Waits until every change of stock was announced, which goes on after the events.
    pub(crate) async fn is_announced(&self) {
        let Self::Distributed { redis, namespace, .. } = self else { return };
        let prefix = namespace.clone();
        let options = RedisOptions { prefix, allow_volatile: true, ..RedisOptions::single(redis) };
        let store = RedisStore::connect(&options).await.unwrap();
        for site in store.sites().await.unwrap() {
            loop {
                let last = store.relayed(&site).await.unwrap().map_or(0, |last| last.sequence);
                if store.changes(&site, last, 1).await.unwrap().is_empty() {
                    break;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        store.close().await;
    }

    /// How many bytes the state takes: in the file, or in the memory of Redis.
    pub(crate) fn state_bytes(&self) -> u64 {
        match self {
            Self::Embedded(directory) => {
                let pages =
                    "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
                file(directory, "store.db").map_or(0, |file| number(&file, pages))
            }
            Self::Distributed { redis, .. } => {
                let mut connection =
                    redis::Client::open(redis.as_str()).unwrap().get_connection().unwrap();
                let info: String = redis::cmd("INFO").arg("memory").query(&mut connection).unwrap();
                let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
                used.unwrap().trim().parse().unwrap()
            }
        }
    }

    /// Removes the queues, which have the bodies of all events. The next place empties Redis.
    pub(crate) async fn remove(self) {
        let Self::Distributed { rabbitmq, namespace, .. } = self else { return };
        let (connection, channel) = channel(&rabbitmq).await;
        let queues = ["work", "journal", "dead", "unrouted", "foreign"].map(str::to_owned);
        let retries = ["retry", "dead-retry"].into_iter();
        let retries = retries.flat_map(|kind| LADDER.map(|seconds| format!("{kind}.{seconds}")));
        for queue in queues.into_iter().chain(retries) {
            let name = format!("{namespace}.{queue}");
            // One that is not there is fine.
            channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.ok();
        }
        for exchange in ["", ".events", ".again", ".changes", ".unrouted"] {
            let (name, options) =
                (format!("{namespace}{exchange}"), ExchangeDeleteOptions::default());
            channel.exchange_delete(name.as_str().into(), options).await.ok();
        }
        connection.close(200, "done".into()).await.ok();
    }
}

/// A work queue. It is asked how much waits there, which costs little; what workers have in hand
/// counts only in a file.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Queue {
    File(rusqlite::Connection),
    Named { _connection: Connection, channel: Channel, name: String },
}

impl Queue {
    pub(crate) async fn waiting(&self) -> usize {
        let waiting = match self {
            Self::File(file) => number(file, "SELECT count(*) FROM work"),
            Self::Named { channel, name, .. } => {
                let passive = QueueDeclareOptions { passive: true, ..Default::default() };
                let name = name.as_str().into();
                let look = channel.queue_declare(name, passive, FieldTable::default());
                look.await.unwrap().message_count().into()
            }
        };
        usize::try_from(waiting).unwrap()
    }

    pub(crate) async fn is_empty(&self) {
        while self.waiting().await > 0 {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// A file of the embedded backend, if it is there.
fn file(directory: &TempDir, name: &str) -> Option<rusqlite::Connection> {
    let file = directory.path().join(name);
    file.exists().then(|| rusqlite::Connection::open(file).unwrap())
}

fn number(file: &rusqlite::Connection, sql: &str) -> u64 {
    file.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
}

async fn channel(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

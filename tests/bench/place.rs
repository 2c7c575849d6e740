//! Queues and keys of one run, which nobody else uses.

use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use storekeeper::domain::Site;
use storekeeper::store::redis::{RedisOptions, RedisStore};
use storekeeper::store::{ReadStore, StateStore};

use crate::Arguments;
use crate::body::SITES;

/// How often is looked whether something is through.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
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
    /// Empty queues and keys.
    pub(crate) fn fresh(arguments: &Arguments) -> Self {
        Self {
            rabbitmq: arguments.rabbitmq.clone(),
            redis: arguments.redis.clone(),
            namespace: format!("bench-{}", uuid::Uuid::now_v7().simple()),
        }
    }

    /// Waits until nothing waits in the work queue: with one look at a time, which costs RabbitMQ
    /// the same whatever is measured.
    pub(crate) async fn is_taken(&self) {
        let (connection, channel) = self.channel().await;
        let name = format!("{}.work", self.namespace);
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        loop {
            let looked =
                channel.queue_declare(name.as_str().into(), passive, FieldTable::default());
            if looked.await.unwrap().message_count() == 0 {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        connection.close(200, "done".into()).await.ok();
    }

    /// Waits until a worker has noted the history of the data in Redis. Without that note, what it
    /// finds in the journal is put through the workers once more, as if Redis had lost it.
    pub(crate) async fn is_known(&self) {
        let store = self.store().await;
        while store.known_history().await.unwrap().is_none() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        store.close().await;
    }

    /// Waits until every change of stock was announced, which goes on behind the events.
    pub(crate) async fn is_announced(&self) {
        let store = self.store().await;
        for site in 0..SITES {
            let site = Site::parse(&format!("shop-{site}")).unwrap();
            loop {
                let last = store.relayed(&site).await.unwrap().map_or(0, |last| last.sequence);
                if store.changes(&site, last, 1).await.unwrap().is_empty() {
                    break;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        store.close().await;
    }

    /// Removes queues and keys: they have the bodies of all events.
    pub(crate) async fn remove(&self) {
        let (connection, channel) = self.channel().await;
        let queues = ["work", "journal", "dead", "unrouted", "foreign"].map(str::to_owned);
        let retries = ["retry", "dead-retry"].into_iter();
        let retries = retries.flat_map(|kind| LADDER.map(|seconds| format!("{kind}.{seconds}")));
        for queue in queues.into_iter().chain(retries) {
            let name = format!("{}.{queue}", self.namespace);
            // One that is not there is fine.
            channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.ok();
        }
        for exchange in ["", ".events", ".again", ".changes", ".unrouted"] {
            let name = format!("{}{exchange}", self.namespace);
            channel
                .exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default())
                .await
                .ok();
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

    async fn store(&self) -> RedisStore {
        let options = RedisOptions {
            prefix: self.namespace.clone(),
            allow_volatile: true,
            ..RedisOptions::single(&self.redis)
        };
        RedisStore::connect(&options).await.unwrap()
    }

    async fn channel(&self) -> (Connection, Channel) {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.rabbitmq, properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }
}

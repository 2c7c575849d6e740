//! A queue and a Store of this release, on whatever they find.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::broker::rabbitmq::{RabbitBroker, RabbitOptions};
use storekeeper::broker::{Broker, Envelope, EnvelopeKind};
use storekeeper::config::Settings;
use storekeeper::domain::{Content, MessageId, ReceiptContent, decode_receipt};
use storekeeper::health::Health;
use storekeeper::metrics::Metrics;
use storekeeper::simulate::Model;
use storekeeper::simulate::model::{Item, Receipt};
use storekeeper::store::Store;
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::redis::{RedisOptions, RedisStore};
use storekeeper::upkeep::rebuild::{self, Selection};
use storekeeper::worker::{Drained, Pool};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::given::{KEY, SITE, later, policy};
use super::same;
use super::seen::{seen, unordered};
use crate::generators::{greatest_fingerprint, model_policy};
use crate::harness::{eventually, origin};
use crate::servers::RedisServer;

pub(super) struct Shop {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) store: Arc<dyn Store>,
}

impl Shop {
    pub(super) fn embedded(directory: &Path) -> Self {
        Self {
            broker: Arc::new(EmbeddedBroker::open(directory).unwrap()),
            store: Arc::new(EmbeddedStore::open(directory).unwrap()),
        }
    }

    pub(super) async fn distributed(rabbitmq: &RabbitOptions, redis: &RedisServer) -> Self {
        let options = RedisOptions { allow_volatile: true, ..RedisOptions::single(&redis.url()) };
        Self {
            broker: Arc::new(RabbitBroker::connect(rabbitmq).await.unwrap()),
            store: Arc::new(RedisStore::connect(&options).await.unwrap()),
        }
    }

    pub(super) async fn seen(&self) -> Value {
        seen(&*self.store).await
    }

    /// Publishes one after the other, each when the one before is done.
    pub(super) async fn publish_and_work_off(&self, envelopes: &[Envelope]) {
        self.work(envelopes).await;
        // A dead letter that was in hand shows in no queue until it is handed back.
        while self.waiting().await > 0 {
            self.work(&[]).await;
        }
    }

    /// Publishes and works until nothing waits.
    async fn work(&self, envelopes: &[Envelope]) {
        let settings = Settings::load_from(None, []).unwrap();
        let pool = Pool::new(
            Arc::clone(&self.broker),
            Arc::clone(&self.store),
            Arc::new(Metrics::new()),
            Arc::new(Health::new()),
            self.store.adopt_policy(&policy(), &origin()).await.unwrap(),
            &settings.worker,
            &settings.retry,
        );
        let stop = CancellationToken::new();
        let working = Box::pin(pool.run(stop.clone(), CancellationToken::new()));
        let publishing = async {
            self.settled().await;
            for envelope in envelopes {
                self.broker.publish(envelope.clone()).await.unwrap();
                self.settled().await;
            }
            stop.cancel();
        };
        let (drained, ()) = tokio::join!(working, publishing);
        assert_eq!(drained.unwrap(), Drained::Whole);
    }

    pub(super) async fn work_off(&self) {
        self.publish_and_work_off(&[]).await;
    }

    /// Looks more than once: what RabbitMQ has sent and the worker has not read is counted nowhere.
    async fn settled(&self) {
        eventually("the queues are empty", async || {
            for _ in 0..3 {
                if self.waiting().await > 0 {
                    return None;
                }
                sleep(Duration::from_millis(10)).await;
            }
            Some(())
        })
        .await;
    }

    async fn waiting(&self) -> u64 {
        let depth = self.broker.depth().await.unwrap();
        depth.work_ready + depth.work_in_flight + depth.retry_ready + depth.dead_intake
    }

    /// Publishes what comes after an upgrade: it acts on the orders that were there.
    pub(super) async fn later_events_are_applied(&self) {
        let holds = async || self.seen().await["sites"][SITE]["holds"].clone();
        let name = |order: &str| format!("id:{order} of {KEY}");
        let before = holds().await;
        assert_eq!(before[name("3")]["committed"], "3");
        assert_eq!(before[name("4")], json!({"committed": "0", "fulfilled": "4"}));
        self.publish_and_work_off(&later()).await;
        let after = holds().await;
        assert_eq!(after[name("3")], json!({"committed": "7", "fulfilled": "0"}));
        // What has left stays gone, although the order is deleted.
        assert_eq!(after[name("4")], before[name("4")]);
        self.audit_is_clean().await;
    }

    /// `journal replay`, of all of it.
    pub(super) async fn replay_journal(&self, is_empty: bool) {
        assert_eq!(self.store.sites().await.unwrap().is_empty(), is_empty);
        let all = Selection::default();
        rebuild::replay(&*self.broker, &*self.store, all, |_| {}).await.unwrap();
    }

    /// The stock that bodies lead to by the rules as they are now.
    pub(super) fn stock_of_the_model(bodies: &[(MessageId, EnvelopeKind, &Bytes)]) -> Value {
        let mut model = Model::new(model_policy(&policy())).with_tie_break(greatest_fingerprint);
        for (id, kind, body) in bodies {
            match kind {
                EnvelopeKind::Webhook => drop(model.observe(body, 0)),
                EnvelopeKind::Receipt => receive(&mut model, *id, body),
                // They are about dead letters, and move no stock.
                EnvelopeKind::Edit | EnvelopeKind::Discard | EnvelopeKind::Heartbeat => {}
                EnvelopeKind::Correction => panic!("0.1.0 knew no corrections"),
            }
        }
        let mut sites: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        for (Item { site, key }, counts) in model.stock() {
            sites.entry(site).or_default().insert(key, json!(counts));
        }
        json!(sites)
    }

    /// Fails unless the empty Store becomes what was seen, from the journal alone.
    pub(super) async fn is_rebuilt_as(&self, what: &Path, expected: Value) {
        self.replay_journal(true).await;
        self.work_off().await;
        same(what, &unordered(self.seen().await), &unordered(expected));
        self.audit_is_clean().await;
    }

    pub(super) async fn audit_is_clean(&self) {
        for site in self.store.sites().await.unwrap() {
            let found =
                storekeeper::upkeep::audit::site(&*self.store, &site, |_| {}).await.unwrap();
            assert_eq!(found.differences, [], "{site}");
        }
    }

    pub(super) async fn close(self) {
        self.broker.close().await;
        self.store.close().await;
    }
}

fn receive(model: &mut Model, id: MessageId, body: &[u8]) {
    let event = decode_receipt(body).unwrap();
    let Content::Receipt(receipt) = event.content else { panic!("it is no receipt") };
    let ReceiptContent::Goods { quantity } = receipt.content else { panic!("{receipt:?}") };
    model.receive(Receipt {
        item: Item { site: event.site.to_string(), key: receipt.receipt.key.to_string() },
        reference: receipt.receipt.reference.to_string(),
        message_id: id.to_string(),
        quantity: quantity.to_decimal(),
    });
}

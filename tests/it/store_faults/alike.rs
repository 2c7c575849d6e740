//! Random histories of commits, closings, policies and trims, told to both backends: whatever can
//! be seen of one can be seen of the other, after every step.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use storekeeper::domain::{
    CatalogueEntry, CatalogueId, Counts, Description, Fingerprint, Hold, Identifier, Latest,
    MessageId, OrderId, OrderState, Policy, Quantity, Rank, Receipt, ReceiptContent, ReceiptId,
    Remains, Restock, STOCK_TOTAL_MAX, Snapshot, Status, StockChange, StockKey, Timestamp, Version,
};
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{
    Closing, Commit, Committed, EntityId, EntityName, EntityState, PageRequest, Revision, Store,
};
use uuid::Uuid;

use super::{open, options, site};
use crate::harness::{is_long, seed};
use crate::servers::shared_redis;

/// So few names that they meet often.
const SITES: [&str; 2] = ["alpha", "x}:{y"];
const ORDERS: [&str; 5] = ["id:1", "id:2", "external-id:1", "external-id:{2}", "invoice-number:1"];
const KEYS: [&str; 4] = ["sku:A", "sku:a|received", "product:\u{1f600}", "line:~closed"];
const ENTRIES: [&str; 3] = ["product:1", "product:2", "category:1"];
const NAMES: [&str; 4] = ["Shirt", "\u{c9}charpe", "sku:A of\nold", "shirt, blue"];

/// One step; commits say what they are computed from in a way that suits both Stores.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(Commit, From)>),
    Close(i64),
    Policy(bool),
    Trim(i64),
}

/// Which revision a commit names.
#[derive(Debug, Clone, Copy)]
enum From {
    Newest,
    Nothing,
    Another,
}

struct Teller {
    rng: ChaCha8Rng,
    policy: u64,
    now: i64,
}

impl Teller {
    fn step(&mut self) -> Step {
        self.now += self.rng.random_range(0..3);
        match self.rng.random_range(0..20) {
            0..16 => {
                let mut commits = BTreeMap::new();
                for _ in 0..self.rng.random_range(1..4) {
                    let commit = self.commit();
                    let from = match self.rng.random_range(0..20) {
                        0 => From::Nothing,
                        1 => From::Another,
                        _ => From::Newest,
                    };
                    commits.insert(commit.entity.clone(), (commit, from));
                }
                Step::Commit(commits.into_values().collect())
            }
            16..18 => Step::Close(self.now - self.rng.random_range(0..9)),
            18 if self.rng.random_bool(0.4) => Step::Policy(self.rng.random_bool(0.5)),
            _ => Step::Trim(self.now - self.rng.random_range(0..40)),
        }
    }

    fn pick(&mut self, names: &[&'static str]) -> &'static str {
        names.choose(&mut self.rng).unwrap()
    }

    fn key(&mut self) -> StockKey {
        StockKey::parse(self.pick(&KEYS)).unwrap()
    }

    /// Mostly small, now and then at the end of what is counted.
    fn quantity(&mut self) -> Quantity {
        Quantity::from_millionths(match self.rng.random_range(0..30) {
            0 => STOCK_TOTAL_MAX,
            1 => STOCK_TOTAL_MAX / 2 + 1,
            2 => i64::MAX,
            _ => self.rng.random_range(0..4),
        })
    }

    fn version(&mut self, status: Status) -> Version {
        let event_timestamp = self.rng.random_range(0..9);
        Version { event_timestamp, rank: Rank::Updated, status, fingerprint: Fingerprint(1) }
    }

    fn commit(&mut self) -> Commit {
        let (name, state, changes) = match self.rng.random_range(0..10) {
            0..6 => self.order(),
            6..8 => self.receipt(),
            _ => self.catalogue(),
        };
        Commit {
            entity: EntityId { site: site(self.pick(&SITES)), name },
            loaded: None,
            state,
            changes,
            message_id: MessageId(Uuid::from_u128(self.rng.random_range(0..100))),
            at: Timestamp::from_millis(self.now * 1000),
        }
    }

    fn order(&mut self) -> (EntityName, EntityState, Vec<StockChange>) {
        let order = OrderId::parse(self.pick(&ORDERS)).unwrap();
        let mut state = OrderState { policy: self.policy, ..OrderState::default() };
        for _ in 0..self.rng.random_range(0..3) {
            state.aliases.push(OrderId::parse(self.pick(&ORDERS)).unwrap());
        }
        if self.rng.random_bool(0.5) {
            let version = self.version(Status::Delivered);
            state.latest = Some(Latest { version, snapshot: Snapshot::default() });
        }
        if self.rng.random_bool(0.1) {
            state.policy = self.rng.random_range(0..4);
        }
        for _ in 0..self.rng.random_range(0..3) {
            let hold = Hold { committed: self.quantity(), fulfilled: self.quantity() };
            state.applied.insert(self.key(), hold);
        }
        // Differences to what was held are not looked at by a Store: any will do.
        let changes = state.applied.iter().map(|(key, hold)| {
            let mut change = |count: Quantity| match self.rng.random_range(0..8) {
                0 => -Quantity::from_millionths(1),
                1 => Quantity::ZERO,
                _ => count,
            };
            let (committed, fulfilled) = (change(hold.committed), change(hold.fulfilled));
            let delta = Counts { received: Quantity::ZERO, committed, fulfilled };
            StockChange { key: key.clone(), delta, hold: Some(*hold) }
        });
        let changes = changes.collect();
        (EntityName::Order(order), EntityState::Order(Box::new(state)), changes)
    }

    fn receipt(&mut self) -> (EntityName, EntityState, Vec<StockChange>) {
        let key = self.key();
        let reference = Identifier::parse(self.pick(&["R", "R|1", "id:1"])).unwrap();
        let mut quantity = self.quantity();
        if self.rng.random_bool(0.3) {
            quantity = -quantity;
        }
        let message_id = MessageId(Uuid::nil());
        let receipt = Receipt { message_id, content: ReceiptContent::Goods { quantity } };
        let delta = Counts { received: quantity, ..Counts::default() };
        let change = StockChange { key: key.clone(), delta, hold: None };
        let name = EntityName::Receipt(ReceiptId { key, reference });
        (name, EntityState::Receipt(receipt), vec![change])
    }

    fn catalogue(&mut self) -> (EntityName, EntityState, Vec<StockChange>) {
        let id = CatalogueId::parse(self.pick(&ENTRIES)).unwrap();
        let name = self.rng.random_bool(0.8).then(|| self.pick(&NAMES).to_owned());
        let stock_keys = (0..self.rng.random_range(0..4)).map(|_| self.key()).collect();
        let entry = CatalogueEntry {
            described: Some(self.version(Status::Unknown)),
            description: Description { name, stock_keys, ..Description::default() },
            deleted: self.rng.random_bool(0.3).then(|| self.version(Status::Unknown)),
        };
        (EntityName::Catalogue(id), EntityState::Catalogue(entry), Vec::new())
    }
}

/// Does a step, and answers with what was answered.
async fn tell(store: &Arc<dyn Store>, step: Step) -> String {
    match step {
        Step::Commit(commits) => {
            let mut named = Vec::new();
            for (mut commit, from) in commits {
                let found = store.load(std::slice::from_ref(&commit.entity)).await.unwrap();
                commit.loaded = match from {
                    From::Newest => found[0].as_ref().map(|loaded| loaded.revision),
                    From::Nothing => None,
                    From::Another => Some(Revision(7)),
                };
                named.push(commit);
            }
            let committed: Vec<Committed> = store.commit(named).await.unwrap();
            format!("{committed:?}")
        }
        Step::Close(before) => {
            let before = Timestamp::from_millis(before * 1000);
            let page = PageRequest::first(100);
            let mut settled = store.settled_orders(before, &page).await.unwrap().items;
            settled.sort_by_key(|it| (it.site.clone(), it.order.clone()));
            let closings = settled.into_iter().map(|it| Closing {
                remains: Remains {
                    fulfilled: it
                        .state
                        .applied
                        .iter()
                        .map(|(k, h)| (k.clone(), h.fulfilled))
                        .collect(),
                    forgotten: vec![OrderId::parse("invoice-number:1").unwrap()],
                },
                site: it.site,
                order: it.order,
                loaded: it.revision,
                before,
            });
            format!("{:?}", store.close_orders(closings.collect()).await.unwrap())
        }
        Step::Policy(lines) => {
            let restock = if lines { Restock::Lines } else { Restock::Never };
            let policy = Policy { restock, ..Policy::default() };
            format!("{:?}", store.replace_policy(&policy).await.unwrap())
        }
        Step::Trim(before) => {
            let before = Timestamp::from_millis(before * 1000);
            format!("{:?}", store.trim_changes(before).await.unwrap())
        }
    }
}

/// Everything that can be seen, without what is drawn at random.
async fn seen(store: &Arc<dyn Store>) -> Vec<String> {
    let all = PageRequest::first(100);
    let mut seen = Vec::new();
    let mut see = |what: &str, found: &dyn Debug| seen.push(format!("{what}: {found:?}"));
    see("sites", &store.sites().await.unwrap());
    see("policy", &store.policy().await.unwrap());
    see("oversold", &store.oversold().await.unwrap());
    for site in SITES.map(site) {
        for prefix in [None, Some("sku:"), Some("sh"), Some("\u{c9}"), Some("sku:a of"), Some("x")]
        {
            see("stock", &store.stock(&site, prefix, &all).await.unwrap());
        }
        for key in KEYS {
            let key = StockKey::parse(key).unwrap();
            for page in [PageRequest::first(1), all.clone()] {
                see(&key.to_string(), &store.stock_item(&site, &key, &page).await.unwrap());
            }
        }
        let mut orders = store.audit_orders(&site, &all).await.unwrap();
        for order in &mut orders.items {
            order.stored.revision = Revision(0);
        }
        see("orders", &orders);
        see("holds", &store.audit_holds(&site, &all).await.unwrap());
        see("items", &store.audit_items(&site, &all).await.unwrap());
        see("catalogue", &store.catalogue(&site, &all).await.unwrap());
        for order in ORDERS {
            let order = OrderId::parse(order).unwrap();
            see(&format!("closed {order}"), &store.closed_order(&site, &order).await.unwrap());
        }
        let mut changes = store.changes(&site, 0, 1000).await.unwrap();
        for change in &mut changes {
            change.epoch.clear();
        }
        see("changes", &changes);
        see("trimmed", &store.feed_start(&site).await.unwrap().trimmed);
    }
    seen
}

#[tokio::test]
async fn both_backends_show_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let embedded: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let redis = open(&options(shared_redis()));
    let mut teller = Teller { rng: ChaCha8Rng::seed_from_u64(seed()), policy: 1, now: 100 };
    let firsts = SITES.map(|name| (super::first(name, 1), From::Newest));
    for store in [&embedded, &redis] {
        store.replace_policy(&Policy::default()).await.unwrap();
        // Redis may list a site for a commit that was refused.
        tell(store, Step::Commit(firsts.to_vec())).await;
    }
    let mut told = Vec::new();
    for number in 0..if is_long() { 1000 } else { 120 } {
        let step = teller.step();
        told.push(format!("{number}: {step:?}"));
        let answers = [tell(&embedded, step.clone()).await, tell(&redis, step).await];
        let context = || told[told.len().saturating_sub(6)..].join("\n");
        assert_eq!(answers[0], answers[1], "after\n{}", context());
        let (expected, found) = (seen(&embedded).await, seen(&redis).await);
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected, found, "after\n{}", context());
        }
        teller.policy = embedded.policy().await.unwrap().unwrap().revision;
    }
}

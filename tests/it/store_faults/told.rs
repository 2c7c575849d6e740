//! Random histories of what a Store may be told: commits of every kind, closings, policies, names,
//! trims. Few names, so that they meet often.

use std::collections::BTreeSet;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use storekeeper::domain::{
    CatalogueEntry, CatalogueId, Cause, Class, ClosedName, Counts, Description, Fingerprint, Hold,
    Identifier, ItemNames, Latest, LineNames, Link, List, Lists, MessageId, Note, OrderId,
    Quantity, Rank, Receipt, ReceiptContent, ReceiptId, Record, STOCK_TOTAL_MAX, Said, Snapshot,
    Status, StockChange, StockKey, Timestamp, Version, Write,
};
use storekeeper::store::{Commit, EntityName, EntityState};
use uuid::Uuid;

use super::site;

pub(super) const SITES: [&str; 2] = ["alpha", "x}:{y"];
pub(super) const ORDERS: [&str; 5] =
    ["id:1", "id:2", "external-id:1", "external-id:{2}", "store-order-id:9/1"];
/// What links are of.
pub(super) const NAMES: [&str; 4] =
    ["external-id:1", "external-id:{2}", "store-order-id:9/1", "invoice-number:~"];
pub(super) const KEYS: [&str; 4] = ["sku:A", "sku:a|received", "product:\u{1f600}", "line:~closed"];
const ENTRIES: [&str; 4] = ["product:1", "product:2", "category:1", "store-product:9/1"];
const TITLES: [&str; 4] = ["Shirt", "\u{c9}charpe", "sku:A of\nold", "shirt, blue"];

/// One step; commits say what they are computed from in a way that suits every Store.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Commit(Vec<Told>),
    Close(i64),
    Policy(bool),
    Trim(i64),
}

/// A commit, and what it says of what it was computed from: of each entity, of each link, and of the
/// closing of new names.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) commit: Commit,
    pub(super) read: Vec<From>,
    pub(super) links: Vec<From>,
    pub(super) closed: From,
}

/// What a commit says of something that it read.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    Newest,
    Nothing,
    Another,
}

pub(super) struct Teller {
    pub(super) rng: ChaCha8Rng,
    pub(super) policy: u64,
    pub(super) now: i64,
}

impl Teller {
    pub(super) fn step(&mut self) -> Step {
        self.now += self.rng.random_range(0..3);
        match self.rng.random_range(0..22) {
            0..18 => {
                let mut entities = BTreeSet::new();
                let mut commits = Vec::new();
                for _ in 0..self.rng.random_range(1..4) {
                    let told = self.told();
                    // At most one commit of an entity may be in one call.
                    let names = told.commit.read.iter().map(|(name, _)| name.clone());
                    let names: Vec<_> = names.map(|it| (told.commit.site.clone(), it)).collect();
                    if names.iter().all(|name| !entities.contains(name)) {
                        entities.extend(names);
                        commits.push(told);
                    }
                }
                Step::Commit(commits)
            }
            18..20 => Step::Close(self.now - self.rng.random_range(0..9)),
            20 if self.rng.random_bool(0.4) => Step::Policy(self.rng.random_bool(0.5)),
            _ => Step::Trim(self.now - self.rng.random_range(0..40)),
        }
    }

    fn pick(&mut self, names: &[&'static str]) -> &'static str {
        names.choose(&mut self.rng).unwrap()
    }

    fn some(&mut self, names: &[&'static str], most: usize) -> BTreeSet<&'static str> {
        (0..self.rng.random_range(0..=most)).map(|_| self.pick(names)).collect()
    }

    fn from(&mut self) -> From {
        match self.rng.random_range(0..30) {
            0 => From::Nothing,
            1 => From::Another,
            _ => From::Newest,
        }
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
        Version {
            class: if self.rng.random_bool(0.5) { Class::Creation } else { Class::Later },
            event_timestamp: self.rng.random_range(-2..9),
            observed_at: self.rng.random_range(0..2),
            rank: Rank::Updated,
            status,
            fingerprint: Fingerprint(1),
        }
    }

    fn told(&mut self) -> Told {
        let message_id = MessageId(Uuid::from_u128(self.rng.random_range(0..100)));
        let at = Timestamp::from_millis(self.now * 1000);
        let commit = Commit::nothing(site(self.pick(&SITES)), message_id, at);
        let mut commit = match self.rng.random_range(0..12) {
            0..7 => self.orders(commit),
            7 => self.receipt(commit),
            8..10 => self.catalogue(commit),
            _ => commit,
        };
        if self.rng.random_bool(0.4) {
            commit.item_names = self.names();
        }
        Told {
            read: commit.read.iter().map(|_| self.from()).collect(),
            links: commit.links_read.iter().map(|_| self.from()).collect(),
            closed: self.from(),
            commit,
        }
    }

    /// One or two records, with links, of which some are only read.
    fn orders(&mut self, mut commit: Commit) -> Commit {
        commit.policy = Some(if self.rng.random_bool(0.05) {
            self.rng.random_range(0..4)
        } else {
            self.policy
        });
        let mut names = self.some(&ORDERS, 2);
        names.insert(self.pick(&ORDERS));
        for name in names {
            let order = OrderId::parse(name).unwrap();
            let entity = EntityName::Order(order.clone());
            commit.read.push((entity.clone(), None));
            if self.rng.random_bool(0.2) {
                continue;
            }
            let record = self.record();
            self.change(&order, &record, &mut commit.changes);
            let lists = (Lists::NONE, record.lists);
            let is_there = self.rng.random_bool(0.9);
            let state = is_there.then(|| EntityState::Order(Box::new(record)));
            let lists = if is_there { lists } else { (Lists::NONE, Lists::NONE) };
            commit.writes.push(Write { name: entity, state, lists });
        }
        for name in self.some(&NAMES, 3) {
            let name = OrderId::parse(name).unwrap();
            commit.links_read.push((name.clone(), None));
            if self.rng.random_bool(0.7) {
                let ids = self.some(&ORDERS, 2).into_iter();
                let link = Link {
                    ids: ids.map(|id| OrderId::parse(id).unwrap()).collect(),
                    led_to_closed: self.rng.random_bool(0.2),
                };
                commit.links.push((name, (!link.is_empty()).then_some(link)));
            }
        }
        commit
    }

    fn record(&mut self) -> Record {
        let mut record = Record { policy: self.policy, ..Record::default() };
        let every: Vec<List> =
            List::ALL.into_iter().filter(|_| self.rng.random_bool(0.4)).collect();
        record.lists = every.into_iter().collect();
        if self.rng.random_bool(0.5) {
            let (version, is_ambiguous) = (self.version(Status::Delivered), false);
            record.latest = Some(Latest { version, is_ambiguous, snapshot: Snapshot::default() });
        }
        for _ in 0..self.rng.random_range(0..3) {
            let hold = Hold { committed: self.quantity(), fulfilled: self.quantity() };
            record.applied.insert(self.key(), hold);
        }
        record
    }

    /// Differences to what was held are not looked at by a Store: any will do.
    fn change(&mut self, order: &OrderId, record: &Record, changes: &mut Vec<StockChange>) {
        for (key, hold) in &record.applied {
            let mut change = |count: Quantity| match self.rng.random_range(0..8) {
                0 => -Quantity::from_millionths(1),
                1 => Quantity::ZERO,
                _ => count,
            };
            let (committed, fulfilled) = (change(hold.committed), change(hold.fulfilled));
            changes.push(StockChange {
                key: key.clone(),
                cause: Cause::Order(order.clone()),
                delta: Counts { received: Quantity::ZERO, committed, fulfilled },
                hold: Some(*hold),
                closed: None,
            });
        }
    }

    fn receipt(&mut self, mut commit: Commit) -> Commit {
        let key = self.key();
        let reference = Identifier::parse(self.pick(&["R", "R|1", "id:1"])).unwrap();
        let mut quantity = self.quantity();
        if self.rng.random_bool(0.3) {
            quantity = -quantity;
        }
        let said = |content| Said {
            message_id: MessageId(Uuid::nil()),
            received_at: Timestamp::from_micros(1),
            content,
            note: Note::default(),
        };
        let receipt = Receipt {
            said: Some(said(ReceiptContent::Goods { quantity })),
            void: self.rng.random_bool(0.2).then(|| said(ReceiptContent::Void)),
        };
        commit.changes.push(StockChange {
            key: key.clone(),
            cause: Cause::Receipt(reference.clone()),
            delta: Counts { received: quantity, ..Counts::default() },
            hold: None,
            closed: None,
        });
        let name = EntityName::Receipt(ReceiptId { key, reference });
        put(commit, name, EntityState::Receipt(receipt))
    }

    fn catalogue(&mut self, commit: Commit) -> Commit {
        let id = CatalogueId::parse(self.pick(&ENTRIES)).unwrap();
        let name = self.rng.random_bool(0.8).then(|| self.pick(&TITLES).to_owned());
        let goods = (0..self.rng.random_range(0..4)).map(|_| self.key());
        let goods = goods.map(|key| LineNames::from_iter([(key.kind, key.identifier)])).collect();
        let is_untracked = self.rng.random_bool(0.3);
        let entry = CatalogueEntry {
            described: Some(self.version(Status::Unknown)),
            description: Description { name, goods, is_untracked, ..Description::default() },
            deleted: self.rng.random_bool(0.3).then(|| self.version(Status::Unknown)),
        };
        let mut commit = put(commit, EntityName::Catalogue(id), EntityState::Catalogue(entry));
        if self.rng.random_bool(0.1) {
            commit.writes[0].state = None;
        }
        commit
    }

    fn names(&mut self) -> Vec<ItemNames> {
        let name = |_| {
            let is_named = self.rng.random_bool(0.7);
            let line = (self.version(Status::Processed), self.pick(&TITLES).to_owned());
            let also = (0..self.rng.random_range(0..3)).map(|_| self.key()).collect();
            ItemNames { key: self.key(), line: is_named.then_some(line), also }
        };
        (0..4).map(name).collect()
    }

    /// What is remembered of the name of an order that a step closes: of each order the same in every
    /// Store.
    pub(super) fn closing(order: &OrderId, at: Timestamp) -> ClosedName {
        if order.kind.is_second_name() && at.micros() / 1_000_000 % 2 == 0 {
            ClosedName::BesideAnId
        } else {
            ClosedName::Itself
        }
    }
}

fn put(mut commit: Commit, name: EntityName, state: EntityState) -> Commit {
    commit.read.push((name.clone(), None));
    commit.writes.push(Write { name, state: Some(state), lists: (Lists::NONE, Lists::NONE) });
    commit
}

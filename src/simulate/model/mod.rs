//! The model: what stock must be, computed from the whole set of bodies that were observed.
//!
//! It is written as a specification. Facts are only collected; every answer is a maximum, a union
//! or a filter over all of them, so there is no state in which an order of arrival could hide.
//! It is slow for large orders and simple to check by reading. It knows nothing of retention: no
//! order is ever closed.
//!
//! # Ties
//! Two different contents under one version are told apart by a fingerprint, which is a hash that a
//! model cannot know. Such a tie is handed to the closure of [`Model::with_tie_break`]; without
//! one, the least content wins, and [`Model::ambiguous_orders`] names the orders concerned.

mod body;
mod fields;
mod order;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rust_decimal::Decimal;
use serde::Serialize;

pub use fields::quantity_of;
pub use order::{Line, Refund, RefundedLine, Snapshot, Status, Tied};
pub use policy::{
    CancelledOrders, DeletedOrders, KeyKind, ModelPolicy, RestockedRefunds, TestOrders,
};

use body::Meaning;
use order::Order;

/// Chooses the winner of a tie: an index into what it is given.
pub type TieBreak = Arc<dyn Fn(&Tied<'_>) -> usize + Send + Sync>;

/// What the service must make of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It says something of this order (of this site), and may move stock.
    Counted {
        /// The shop.
        site: String,
        /// The order as `kind:id`.
        order: String,
    },
    /// It is a catalogue entry.
    Catalogue,
    /// It is a third-party store's notice.
    Notice,
    /// No rule knows its name.
    Ignored,
    /// It becomes a dead letter of this code.
    DeadLetter(&'static str),
}

/// A stock item's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Item {
    /// The shop.
    pub site: String,
    /// The stock key as `kind:name`.
    pub key: String,
}

/// A stock item's counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Units that came in.
    #[serde(serialize_with = "as_text")]
    pub received: Decimal,
    /// Units that are promised and still here.
    #[serde(serialize_with = "as_text")]
    pub committed: Decimal,
    /// Units that have left.
    #[serde(serialize_with = "as_text")]
    pub fulfilled: Decimal,
}

impl Counts {
    /// Whether nothing is counted.
    pub fn is_zero(&self) -> bool {
        self.received.is_zero() && self.committed.is_zero() && self.fulfilled.is_zero()
    }
}

pub(super) fn as_text<S: serde::Serializer>(
    decimal: &Decimal,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&decimal.normalize())
}

/// What one order holds of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The order as `kind:id`.
    pub order: String,
    /// Units that are promised and still here.
    #[serde(serialize_with = "as_text")]
    pub committed: Decimal,
    /// Units that have left.
    #[serde(serialize_with = "as_text")]
    pub fulfilled: Decimal,
}

/// Goods that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The item.
    pub item: Item,
    /// The receipt's own name: it counts once for each item.
    pub reference: String,
    /// The message that brought it; of two contents, the lower message's counts.
    pub message_id: String,
    /// What it adds to `received`; a count may take away.
    pub quantity: Decimal,
}

/// What was observed, and what it must lead to.
#[derive(Clone)]
pub struct Model {
    policy: ModelPolicy,
    tie_break: TieBreak,
    orders: BTreeMap<(String, String), Order>,
    /// Every name that an order event gave each order.
    names: BTreeMap<(String, String), BTreeSet<String>>,
    receipts: BTreeMap<(Item, String), BTreeMap<String, Decimal>>,
}

impl Model {
    /// A model that has seen nothing.
    pub fn new(policy: ModelPolicy) -> Self {
        Self {
            policy,
            tie_break: Arc::new(|_| 0),
            orders: BTreeMap::new(),
            names: BTreeMap::new(),
            receipts: BTreeMap::new(),
        }
    }

    /// The same model with a judge for ties; see the module's documentation.
    #[must_use]
    pub fn with_tie_break(
        mut self,
        tie_break: impl Fn(&Tied<'_>) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.tie_break = Arc::new(tie_break);
        self
    }

    /// Collects what a body says, whatever it is, and answers what the service must make of it.
    pub fn observe(&mut self, body: &Bytes, received_at_ms: i64) -> Verdict {
        let event = match body::read(body, received_at_ms, &self.policy.key_precedence) {
            Ok(event) => event,
            Err(code) => return Verdict::DeadLetter(code),
        };
        let (site, order, names, fact) = match event {
            Meaning::Ignored => return Verdict::Ignored,
            Meaning::Catalogue => return Verdict::Catalogue,
            Meaning::Notice => return Verdict::Notice,
            Meaning::Order { site, order, names, fact } => (site, order, names, fact),
        };
        let name = (site.clone(), order.clone());
        self.orders.entry(name.clone()).or_default().collect(fact);
        self.names.entry(name).or_default().extend(names);
        Verdict::Counted { site, order }
    }

    /// Collects a receipt.
    pub fn receive(&mut self, receipt: Receipt) {
        self.receipts
            .entry((receipt.item, receipt.reference))
            .or_default()
            .entry(receipt.message_id)
            .or_insert(receipt.quantity);
    }

    /// The stock items that count something.
    pub fn stock(&self) -> BTreeMap<Item, Counts> {
        let mut stock: BTreeMap<Item, Counts> = BTreeMap::new();
        for (item, holders) in self.holders() {
            let counts = stock.entry(item).or_default();
            counts.committed = holders.iter().map(|holder| holder.committed).sum();
            counts.fulfilled = holders.iter().map(|holder| holder.fulfilled).sum();
        }
        for ((item, _), by_message) in &self.receipts {
            if let Some(quantity) = by_message.values().next() {
                stock.entry(item.clone()).or_default().received += *quantity;
            }
        }
        stock.retain(|_, counts| !counts.is_zero());
        stock
    }

    /// The orders that hold some of each item, in order of their names.
    pub fn holders(&self) -> BTreeMap<Item, Vec<Holder>> {
        let mut holders: BTreeMap<Item, Vec<Holder>> = BTreeMap::new();
        for ((site, name), order) in &self.orders {
            for (key, hold) in order.holds(&self.policy, &self.tie_break) {
                let item = Item { site: site.clone(), key };
                holders.entry(item).or_default().push(Holder {
                    order: name.clone(),
                    committed: hold.committed,
                    fulfilled: hold.fulfilled,
                });
            }
        }
        holders
    }

    /// The orders (site, `kind:id`) for which a fingerprint decides something.
    pub fn ambiguous_orders(&self) -> Vec<(String, String)> {
        let ambiguous = self.orders.iter().filter(|(_, order)| order.is_ambiguous());
        ambiguous.map(|(name, _)| name.clone()).collect()
    }

    /// The orders (site, `kind:id`) of which nothing more is expected: they are deleted, delivered
    /// or cancelled.
    pub fn settled_orders(&self) -> Vec<(String, String)> {
        let settled = self.orders.iter().filter(|(_, order)| order.is_settled());
        settled.map(|(name, _)| name.clone()).collect()
    }

    /// Every name that was said of each order (site, `kind:id`).
    pub fn names(&self) -> &BTreeMap<(String, String), BTreeSet<String>> {
        &self.names
    }

    /// The orders (site, `kind:id`) that share an id or an external id with another of their site.
    /// Shops give invoice numbers more than once: those make no conflict.
    pub fn alias_conflicts(&self) -> BTreeSet<(String, String)> {
        let mut bearers: BTreeMap<(&str, &str), BTreeSet<&(String, String)>> = BTreeMap::new();
        for (order, names) in &self.names {
            for name in
                names.iter().chain([&order.1]).filter(|name| !name.starts_with("invoice-number:"))
            {
                bearers.entry((&order.0, name)).or_default().insert(order);
            }
        }
        bearers.into_values().filter(|orders| orders.len() > 1).flatten().cloned().collect()
    }

    /// How many orders were observed.
    pub fn orders_observed(&self) -> usize {
        self.orders.len()
    }

    /// The sites of all orders and receipts that were observed.
    pub fn sites(&self) -> BTreeSet<String> {
        let of_orders = self.orders.keys().map(|(site, _)| site.clone());
        let of_receipts = self.receipts.keys().map(|(item, _)| item.site.clone());
        of_orders.chain(of_receipts).collect()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("policy", &self.policy)
            .field("orders", &self.orders.len())
            .field("receipts", &self.receipts.len())
            .finish_non_exhaustive()
    }
}

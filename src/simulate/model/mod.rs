//! The model: what stock must be, computed from the whole set of observed bodies.
//!
//! It is written as a specification. Facts are only collected; every result is a maximum, a union
//! or a filter over all of them, so no state can depend on the order of arrival. It is slow for
//! large orders and simple to check by reading. It does not model retention (no order is ever
//! closed), fetched orders, or the limits on how much one order may keep.
//!
//! # Names
//! Everything that is seen joins the *record* of one name. An order is the join of its id's record
//! and of the records of all second names that lead to that id; the id is its *leading* name. A
//! record that leads nowhere is an order of its own.
//!
//! # Ties
//! Two different contents under one version are told apart by a fingerprint: a hash that a model
//! cannot know. Such a tie is passed to the closure of [`Model::with_tie_break`]. Without one, the
//! least content wins, and [`Model::ambiguous_orders`] lists the orders concerned. Two contents
//! with one fingerprint are expected to be equal here too: status, mode, lines, refunds.

mod body;
mod correction;
mod fields;
mod order;
mod policy;
mod quantity;
mod refunds;
mod remembered;
mod shipment;
mod statement;
#[cfg(test)]
mod tests;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rust_decimal::Decimal;
use serde::Serialize;

pub use correction::{Action, Correction, Shown};
pub use policy::{
    CancelledOrders, DeletedOrders, KeyKind, ModelPolicy, RestockedRefunds, TestOrders,
};
pub use quantity::quantity_of;
pub use statement::{Line, Occasion, Refund, RefundedLine, Statement, Status, Tied};

use body::{Meaning, Names};
use order::{Order, Record};

/// Chooses the winner of a tie: returns an index into the tied contents.
pub type TieBreak = Arc<dyn Fn(&Tied<'_>) -> usize + Send + Sync>;

/// How the service must treat a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It states something about this order of this site, and may change stock.
    Counted {
        /// The shop.
        site: String,
        /// The record that it joins, as `kind:name`; the order may have another name.
        order: String,
    },
    /// It is a catalogue entry.
    Catalogue,
    /// It is a third-party store's notice, which at most names an order.
    Notice,
    /// No rule knows its event type.
    Ignored,
    /// It becomes a dead letter with this code.
    DeadLetter(&'static str),
}

/// The name of a stock item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Item {
    /// The shop.
    pub site: String,
    /// The stock key as `kind:name`.
    pub key: String,
}

/// The counts of a stock item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Units received.
    #[serde(serialize_with = "as_text")]
    pub received: Decimal,
    /// Units committed and still here.
    #[serde(serialize_with = "as_text")]
    pub committed: Decimal,
    /// Units that have left.
    #[serde(serialize_with = "as_text")]
    pub fulfilled: Decimal,
}

impl Counts {
    /// Returns whether all counts are zero.
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
    /// The order's leading name, as `kind:name`.
    pub order: String,
    /// Units committed and still here.
    #[serde(serialize_with = "as_text")]
    pub committed: Decimal,
    /// Units that have left.
    #[serde(serialize_with = "as_text")]
    pub fulfilled: Decimal,
}

/// Goods that were received, or that left for another reason than an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The item.
    pub item: Item,
    /// The receipt's reference: it counts once for each item.
    pub reference: String,
    /// The message that carried it; of two different contents, the one with the lower message id
    /// counts.
    pub message_id: String,
    /// What it adds to `received`; a negative quantity subtracts.
    pub quantity: Decimal,
}

/// A list that shows an order to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum List {
    /// Only a fingerprint decides which snapshot counts.
    Ambiguous,
    /// One of its names was seen beside two ids.
    Contested,
    /// A snapshot comes after its deletion.
    AfterDeletion,
    /// Neither a snapshot nor a deletion of it is known.
    Waiting,
    /// A line that counts has no stock key.
    Unmapped,
    /// A person corrected it.
    Corrected,
}

/// A site, and the name of an order, of a record, or a second name within it.
type SiteAndName = (String, String);

/// All observed facts; computes the results that they must lead to.
#[derive(Clone)]
pub struct Model {
    policy: ModelPolicy,
    tie_break: TieBreak,
    records: BTreeMap<SiteAndName, Record>,
    /// Every second name, with the ids that were seen beside it.
    links: BTreeMap<SiteAndName, BTreeSet<String>>,
    receipts: BTreeMap<(Item, String), BTreeMap<String, Decimal>>,
    voided: BTreeSet<(Item, String)>,
}

impl Model {
    /// Creates a model that has observed nothing.
    pub fn new(policy: ModelPolicy) -> Self {
        Self {
            policy,
            tie_break: Arc::new(|_| 0),
            records: BTreeMap::new(),
            links: BTreeMap::new(),
            receipts: BTreeMap::new(),
            voided: BTreeSet::new(),
        }
    }

    /// Returns the same model with a tie break; see the module's documentation.
    #[must_use]
    pub fn with_tie_break(
        mut self,
        tie_break: impl Fn(&Tied<'_>) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.tie_break = Arc::new(tie_break);
        self
    }

    /// Collects what a body says, whatever it is, and returns how the service must treat it. The
    /// time of receipt decides nothing: a replay must end as the first run did.
    pub fn observe(&mut self, body: &Bytes, _received_at_ms: i64) -> Verdict {
        match body::read(body) {
            Err(code) => Verdict::DeadLetter(code),
            Ok(Meaning::Ignored) => Verdict::Ignored,
            Ok(Meaning::Catalogue) => Verdict::Catalogue,
            Ok(Meaning::StoreEntry) => Verdict::Notice,
            Ok(Meaning::Notice { site, names }) => {
                self.record(&site, names);
                Verdict::Notice
            }
            Ok(Meaning::Order { site, names, fact }) => {
                let (order, record) = self.record(&site, names);
                record.collect(fact);
                Verdict::Counted { site, order }
            }
        }
    }

    /// Collects which names were seen beside each other, and returns the record that they name.
    fn record(&mut self, site: &str, names: Names) -> (String, &mut Record) {
        let name = names.record().cloned().unwrap_or_default();
        if let Some(second) = names.second {
            self.links.entry((site.to_owned(), second)).or_default().extend(names.id);
        }
        let record = self.records.entry((site.to_owned(), name.clone())).or_default();
        (name, record)
    }

    /// Collects a person's correction.
    pub fn correct(&mut self, correction: Correction) {
        let record = (correction.site.clone(), correction.order.clone());
        self.records.entry(record).or_default().correct(correction);
    }

    /// Returns what a person is now shown of the order with a name, leading or not, or `None` as
    /// long as no snapshot of it is known.
    pub fn shown(&self, site: &str, order_name: &str) -> Option<Shown> {
        let leading = self.leading(&(site.to_owned(), order_name.to_owned()));
        self.orders().get(&leading)?.shown()
    }

    /// Collects a receipt.
    pub fn receive(&mut self, receipt: Receipt) {
        self.receipts
            .entry((receipt.item, receipt.reference))
            .or_default()
            .entry(receipt.message_id)
            .or_insert(receipt.quantity);
    }

    /// Collects that an item's receipts with a reference do not count, whether they come before or
    /// after this call.
    pub fn void(&mut self, item: Item, reference: String) {
        self.voided.insert((item, reference));
    }

    /// Returns the stock items with counts that are not all zero.
    pub fn stock(&self) -> BTreeMap<Item, Counts> {
        let mut stock: BTreeMap<Item, Counts> = BTreeMap::new();
        for (item, holders) in self.holders() {
            let counts = stock.entry(item).or_default();
            counts.committed = holders.iter().map(|holder| holder.committed).sum();
            counts.fulfilled = holders.iter().map(|holder| holder.fulfilled).sum();
        }
        for (name, by_message) in &self.receipts {
            let counted = by_message.values().next().filter(|_| !self.voided.contains(name));
            if let Some(quantity) = counted {
                stock.entry(name.0.clone()).or_default().received += *quantity;
            }
        }
        stock.retain(|_, counts| !counts.is_zero());
        stock
    }

    /// Returns the orders that hold some of each item, sorted by name.
    pub fn holders(&self) -> BTreeMap<Item, Vec<Holder>> {
        let mut holders: BTreeMap<Item, Vec<Holder>> = BTreeMap::new();
        for ((site, name), order) in self.orders() {
            for (key, hold) in order.holds(&self.policy) {
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

    /// Returns the orders (site, leading name) for which a fingerprint decides something.
    pub fn ambiguous_orders(&self) -> Vec<(String, String)> {
        names(self.orders().into_iter().filter(|(_, order)| order.is_ambiguous()))
    }

    /// Returns the orders (site, leading name) for which no more events are expected: they are
    /// deleted, delivered or cancelled.
    pub fn settled_orders(&self) -> Vec<(String, String)> {
        names(self.orders().into_iter().filter(|(_, order)| order.is_settled()))
    }

    /// Returns every order (site, leading name), and the lists in which it is shown.
    pub fn lists(&self) -> BTreeMap<(String, String), BTreeSet<List>> {
        let contested = self.contested_orders();
        let orders = self.orders().into_iter().map(|(name, order)| {
            let lists = [
                (order.has_ambiguous_snapshot(), List::Ambiguous),
                (contested.contains(&name), List::Contested),
                (order.is_after_deletion(), List::AfterDeletion),
                (order.latest().is_none() && !order.is_deleted(), List::Waiting),
                (order.has_unmapped_line(&self.policy), List::Unmapped),
                (!order.corrections.is_empty(), List::Corrected),
            ];
            let lists = lists.into_iter().filter_map(|(holds, list)| holds.then_some(list));
            (name, lists.collect())
        });
        orders.collect()
    }

    /// Returns every second name (site, name) that was seen, and the ids that were seen beside it:
    /// none, the one that it leads to, or those that contest it.
    pub fn links(&self) -> &BTreeMap<(String, String), BTreeSet<String>> {
        &self.links
    }

    /// Returns the second names (site, name) that were seen beside two ids, and so lead to none.
    pub fn contested_names(&self) -> BTreeSet<(String, String)> {
        let contested = self.links.iter().filter(|(_, ids)| ids.len() > 1);
        contested.map(|(name, _)| name.clone()).collect()
    }

    /// Returns how many orders were observed, including those of which only a name is known.
    pub fn orders_observed(&self) -> usize {
        self.leading_names().collect::<BTreeSet<_>>().len()
    }

    /// Returns the sites of all orders and receipts that were observed.
    pub fn sites(&self) -> BTreeSet<String> {
        let of_orders = self.records.keys().map(|(site, _)| site.clone());
        let of_receipts = self.receipts.keys().map(|(item, _)| item.site.clone());
        of_orders.chain(of_receipts).collect()
    }

    /// Returns the leading name of a record's order: the only id that was seen beside its name, or
    /// its own name otherwise.
    fn leading(&self, record: &SiteAndName) -> SiteAndName {
        let mut ids = self.links.get(record).into_iter().flatten();
        match (ids.next(), ids.next()) {
            (Some(id), None) => (record.0.clone(), id.clone()),
            _ => record.clone(),
        }
    }

    fn leading_names(&self) -> impl Iterator<Item = SiteAndName> {
        self.records.keys().map(|record| self.leading(record))
    }

    /// Returns every order by its leading name.
    fn orders(&self) -> BTreeMap<SiteAndName, Order<'_>> {
        let mut joined: BTreeMap<SiteAndName, Vec<&Record>> = BTreeMap::new();
        for (leading, record) in self.leading_names().zip(self.records.values()) {
            joined.entry(leading).or_default().push(record);
        }
        let orders = joined.into_iter();
        orders.map(|(name, records)| (name, Order::join(&records, &self.tie_break))).collect()
    }

    /// Returns the ids that were seen beside contested names, and the records of those names.
    fn contested_orders(&self) -> BTreeSet<SiteAndName> {
        let contested = self.links.iter().filter(|(_, ids)| ids.len() > 1);
        contested
            .flat_map(|((site, name), ids)| {
                ids.iter().chain([name]).map(|name| (site.clone(), name.clone()))
            })
            .collect()
    }
}

fn names<'a>(orders: impl Iterator<Item = (SiteAndName, Order<'a>)>) -> Vec<SiteAndName> {
    orders.map(|(name, _)| name).collect()
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("policy", &self.policy)
            .field("records", &self.records.len())
            .field("receipts", &self.receipts.len())
            .finish_non_exhaustive()
    }
}

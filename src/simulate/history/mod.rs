//! Histories: what invented shops would send over a year, and how it would arrive.
//!
//! Orders in the shapes of Duda's samples are created, edited, shipped, cancelled, refunded and
//! deleted, under several names and spellings. Catalogue entries, third-party notices, foreign
//! events and broken bodies come between them. Then everything is delivered late, shuffled and
//! repeated. A seed and a number of orders produce the same bytes everywhere, and a longer history
//! of a seed contains all events of the shorter ones. All `event_timestamp`s are in 2024 and
//! December 2023.

mod customer;
mod delivery;
mod dice;
mod fate;
mod json;
mod malformed;
mod noise;
mod order;
mod shop;
mod spelling;
mod story;
#[cfg(test)]
mod tests;
mod webhook;

use std::collections::BTreeMap;

use bytes::Bytes;
use rust_decimal::Decimal;

use super::model::Item;
use dice::Dice;

/// 2024-01-01 UTC, in milliseconds.
const FIRST_DAY_MS: i64 = 1_704_067_200_000;
const DAY_MS: i64 = 86_400_000;

const SHOPS_STREAM: u64 = 0;
const CATALOGUE_STREAM: u64 = 1;
const DELIVERY_STREAM: u64 = 2;
const OPENING_STREAM: u64 = 3;
/// The random streams of the orders, and of the events beside them.
const ORDERS_STREAM: u64 = 1 << 32;
const NOISE_STREAM: u64 = 2 << 32;

/// The parameters of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryOptions {
    /// The seed of all random choices.
    pub seed: u64,
    /// The number of orders.
    pub orders: u32,
    /// How many of a thousand webhooks are repeated, and how many of those are repeated again, up
    /// to four times.
    pub duplicates_per_mille: u64,
}

/// The kind of a delivery, for people and statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An order was created.
    OrderCreated,
    /// An order was updated.
    OrderUpdated,
    /// An order was updated, under the name that the guide uses.
    OrderStatusUpdated,
    /// An order was cancelled.
    OrderCancelled,
    /// An order was deleted.
    OrderDeleted,
    /// Lines of an order were refunded.
    Refund,
    /// A product of the catalogue changed.
    Product,
    /// A category of the catalogue changed.
    Category,
    /// A notice from a third-party store.
    Notice,
    /// An event that no rule knows.
    Unknown,
    /// A body that becomes a dead letter with this code.
    Malformed(&'static str),
}

impl Kind {
    /// Returns the code of the dead letter that the delivery becomes, if it becomes one.
    pub const fn code(self) -> Option<&'static str> {
        if let Self::Malformed(code) = self { Some(code) } else { None }
    }

    /// Returns the kind in words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::OrderCreated => "order created",
            Self::OrderUpdated => "order updated",
            Self::OrderStatusUpdated => "order status updated",
            Self::OrderCancelled => "order cancelled",
            Self::OrderDeleted => "order deleted",
            Self::Refund => "refund created",
            Self::Product => "product",
            Self::Category => "category",
            Self::Notice => "third-party notice",
            Self::Unknown => "unknown event",
            Self::Malformed(_) => "malformed body",
        }
    }
}

/// A body to post.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The body, byte for byte.
    pub body: Bytes,
    /// The kind of event.
    pub kind: Kind,
    /// Whether the same event was delivered before.
    pub is_duplicate: bool,
}

/// Units that a shop has when the history begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpeningStock {
    /// The item.
    pub item: Item,
    /// The number of units.
    pub quantity: Decimal,
    /// The reference of the receipt.
    pub reference: &'static str,
}

/// A history, ready to be posted in this order.
#[derive(Debug, Clone)]
pub struct History {
    /// The parameters that it was written with.
    pub options: HistoryOptions,
    /// The bodies to post.
    pub deliveries: Vec<Delivery>,
    /// How many deliveries come after a later event of their order.
    pub reordered: u64,
    opening: Vec<OpeningStock>,
}

/// Something that happened.
struct Event {
    at_ms: i64,
    kind: Kind,
    /// The number of the order that the event concerns.
    order: Option<u32>,
    body: Bytes,
}

impl History {
    /// Writes a history; about 12 kB per order.
    pub fn write(options: HistoryOptions) -> Self {
        let seed = options.seed;
        let shops = shop::shops(seed, &mut Dice::new(seed, SHOPS_STREAM));
        let mut events = noise::catalogue(&shops, &mut Dice::new(seed, CATALOGUE_STREAM));
        let mut wanted: BTreeMap<Item, u64> = BTreeMap::new();
        for number in 0..options.orders {
            let life =
                order::live(Dice::new(seed, ORDERS_STREAM + u64::from(number)), number, &shops);
            events.extend(life.events);
            for (item, quarters) in life.wanted {
                *wanted.entry(item).or_default() += quarters;
            }
            let mut dice = Dice::new(seed, NOISE_STREAM + u64::from(number));
            events.extend(noise::around(seed, &shops, &mut dice));
            events.extend(malformed::beside(number, &shops, &mut dice));
        }
        let (deliveries, reordered) = delivery::deliver(
            events,
            options.duplicates_per_mille,
            &mut Dice::new(seed, DELIVERY_STREAM),
        );
        let opening = opening(wanted, &mut Dice::new(seed, OPENING_STREAM));
        Self { options, deliveries, reordered, opening }
    }

    /// Returns the initial stock of the shops: more of most items than is ordered, and less of a
    /// few. A demonstration may publish it as receipts; nothing in the history depends on it.
    pub fn opening_stock(&self) -> &[OpeningStock] {
        &self.opening
    }

    /// Returns the sites of all shops, including the third-party store's, which holds no stock.
    pub fn sites(&self) -> Vec<String> {
        shop::site_names(self.options.seed)
    }

    /// Returns the number of deliveries of each kind, in words.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for delivery in &self.deliveries {
            *counts.entry(delivery.kind.label()).or_default() += 1;
        }
        counts
    }

    /// Returns how many deliveries repeat an earlier one.
    pub fn duplicates(&self) -> u64 {
        self.deliveries.iter().filter(|delivery| delivery.is_duplicate).count() as u64
    }

    /// Returns how many deliveries become dead letters.
    pub fn malformed(&self) -> u64 {
        self.deliveries.iter().filter(|delivery| delivery.kind.code().is_some()).count() as u64
    }
}

fn opening(wanted: BTreeMap<Item, u64>, dice: &mut Dice) -> Vec<OpeningStock> {
    let opened = wanted.into_iter().map(|(item, quarters)| {
        let percent = if dice.chance(80) { dice.between(35, 60) } else { dice.between(105, 190) };
        let units = (quarters * percent).div_ceil(400);
        OpeningStock { item, quantity: Decimal::from(units), reference: "opening-stock" }
    });
    opened.collect()
}

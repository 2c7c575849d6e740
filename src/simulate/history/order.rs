//! The lives of orders: what happens to them, and what their shop says of it.
//!
//! Every order has a stream of chance of its own, so a longer history of a seed contains the
//! shorter ones. No two events of an order share timestamp, rank and status unless they say the
//! same, so that no fingerprint ever decides what the history leads to.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::dice::Dice;
use super::json::{Fields, Json, Layout};
use super::shop::Shop;
use super::webhook::{
    Customer, Identity, Order, OrderLine, OrderRefund, Picture, QuantityForm, Shape, envelope,
};
use super::{DAY_MS, Event, FIRST_DAY_MS, Kind};
use crate::simulate::model::Item;

const MINUTE_MS: i64 = 60_000;
const BOM: &str = "\u{feff}";

/// What becomes of an order, and how often.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Kept,
    Delivered,
    Edited,
    Cancelled,
    Deleted,
    Refunded,
    /// Cancelled, refunded and deleted: its units come back once.
    GivenUp,
    Disputed,
    /// A status that the rules do not know.
    Odd,
}

const FATES: [(Fate, u64); 9] = [
    (Fate::Kept, 16),
    (Fate::Delivered, 34),
    (Fate::Edited, 14),
    (Fate::Cancelled, 9),
    (Fate::Deleted, 6),
    (Fate::Refunded, 11),
    (Fate::GivenUp, 4),
    (Fate::Disputed, 3),
    (Fate::Odd, 3),
];

/// Which event says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Occasion {
    Created,
    Updated,
    StatusUpdated,
    Deleted,
}

/// An order's events, and how many quarters of each stock key it wanted in the end.
pub(super) struct Life {
    pub(super) events: Vec<Event>,
    pub(super) wanted: BTreeMap<Item, u64>,
}

/// Lives the n-th order of a history.
pub(super) fn live(mut dice: Dice, number: u32, shops: &[Shop]) -> Life {
    let shop = dice.pick(shops);
    let order = new_order(&mut dice, number, shop);
    let lines = (0..dice.between(1, 4)).map(|_| new_line(&mut dice, &order)).collect();
    let at_ms = order.created_at_ms;
    let mut story = Story {
        dice,
        order: &order,
        number,
        lines,
        refunds: Vec::new(),
        status: "PROCESSED",
        at_ms,
        said: BTreeSet::new(),
        events: Vec::new(),
    };
    story.tell();
    let mut wanted = BTreeMap::new();
    for line in &story.lines {
        if let Some(key) = line.product.stock_key(line.variation) {
            let item = Item { site: shop.site.clone(), key };
            *wanted.entry(item).or_default() += line.quarters;
        }
    }
    Life { events: story.events, wanted }
}

fn new_order<'a>(dice: &mut Dice, number: u32, shop: &'a Shop) -> Order<'a> {
    let (identity, shape) = *dice.pick_weighted(&[
        ((Identity::Id, Shape::Reference), 52),
        ((Identity::Id, Shape::Api), 28),
        ((Identity::ExternalId, Shape::Guide), 12),
        ((Identity::InvoiceNumber, Shape::Guide), 8),
    ]);
    Order {
        shop,
        identity,
        shape,
        quantity_form: *dice.pick(&[
            QuantityForm::Plain,
            QuantityForm::Plain,
            QuantityForm::Decimals,
            QuantityForm::Text,
            QuantityForm::Exponent,
        ]),
        layout: *dice.pick(&[Layout::Compact, Layout::Compact, Layout::Indented, Layout::Tabs]),
        id: dice.uuid(),
        external_id: format!("shop-{number}-{}", dice.hex(4)),
        invoice_number: format!("{}-{}", shop.invoice_prefix, 1000 + number),
        mode: *dice.pick_weighted(&[(Some("LIVE"), 90), (None, 6), (Some("TEST"), 4)]),
        created_at_ms: FIRST_DAY_MS + dice.time(300 * DAY_MS),
        customer: Customer::invent(dice),
        metadata: metadata(dice),
    }
}

/// Anything: no rule reads it.
fn metadata(dice: &mut Dice) -> Json {
    match dice.below(5) {
        0 => Json::text(""),
        1 => Json::text("gift"),
        2 => Json::Object(vec![("campaign", Json::text("spring")), ("weight", Json::Raw("1e999"))]),
        3 => Json::List(vec![Json::Object(vec![("nested", Json::List(vec![Json::Null]))])]),
        _ => Json::Object(Vec::new()),
    }
}

fn new_line<'a>(dice: &mut Dice, order: &Order<'a>) -> OrderLine<'a> {
    let products: Vec<_> =
        order.shop.products.iter().map(|product| (product, product.popularity)).collect();
    let product = *dice.pick_weighted(&products);
    let variation = (!product.variations.is_empty()).then(|| dice.pick(&product.variations));
    let units = *dice.pick_weighted(&[(1, 60), (2, 22), (3, 9), (4, 5), (12, 4)]);
    let quarters = if product.by_measure { dice.between(2, 26) } else { units * 4 };
    let id = (order.shape != Shape::Guide).then(|| dice.uuid());
    OrderLine { id, product, variation, quarters }
}

/// An order while it lives.
struct Story<'a> {
    dice: Dice,
    order: &'a Order<'a>,
    number: u32,
    lines: Vec<OrderLine<'a>>,
    refunds: Vec<OrderRefund>,
    status: &'static str,
    at_ms: i64,
    /// The versions of what was said.
    said: BTreeSet<(i64, Occasion, &'static str)>,
    events: Vec<Event>,
}

impl Story<'_> {
    fn tell(&mut self) {
        let fate = *self.dice.pick_weighted(&FATES);
        self.status =
            *self.dice.pick_weighted(&[("PROCESSED", 55), ("IN_PROGRESS", 30), ("PENDING", 15)]);
        self.say(Occasion::Created);
        if self.dice.chance(350) {
            self.update("PROCESSED");
        }
        match fate {
            Fate::Kept => {}
            Fate::Delivered => self.deliver(),
            Fate::Edited => self.edit(),
            Fate::Cancelled => self.cancel(),
            Fate::Deleted => {
                if self.dice.chance(300) {
                    self.deliver();
                }
                self.delete();
            }
            Fate::Refunded => {
                self.deliver();
                self.refund();
            }
            Fate::GivenUp => {
                self.cancel();
                self.refund();
                self.delete();
            }
            Fate::Disputed => {
                if self.dice.chance(600) {
                    self.deliver();
                }
                self.update("DISPUTED");
            }
            Fate::Odd => {
                if self.dice.chance(500) {
                    self.deliver();
                }
                self.update("AWAITING_PICKUP");
            }
        }
    }

    /// Lets time pass, or not: in practice events of one order share their timestamp.
    fn wait(&mut self) {
        if !self.dice.chance(180) {
            let minutes = *self.dice.pick(&[20, 600, 5000]);
            self.at_ms += 1 + self.dice.time(minutes * MINUTE_MS);
        }
    }

    fn update(&mut self, status: &'static str) {
        self.wait();
        self.status = status;
        let is_by_guide =
            self.dice.chance(if self.order.shape == Shape::Guide { 700 } else { 100 });
        let occasion = if is_by_guide { Occasion::StatusUpdated } else { Occasion::Updated };
        self.say(occasion);
        if self.dice.chance(60) {
            // Both names of one change, with the same content and version.
            let other = if is_by_guide { Occasion::Updated } else { Occasion::StatusUpdated };
            let body = self.body(other);
            self.record(self.kind(other), body);
        }
    }

    fn deliver(&mut self) {
        for (status, chance) in [("DISPATCHED", 500), ("SHIPPED", 800), ("DELIVERED", 750)] {
            if self.dice.chance(chance) {
                self.update(status);
            }
        }
    }

    fn edit(&mut self) {
        for _ in 0..self.dice.between(1, 3) {
            match self.dice.below(4) {
                0 if self.lines.len() > 1 => drop(self.lines.pop()),
                1 => {
                    let line = new_line(&mut self.dice, self.order);
                    self.lines.push(line);
                }
                _ => {
                    let quarters = self.dice.between(1, 6) * 4;
                    if let Some(line) = self.lines.first_mut() {
                        line.quarters = quarters;
                    }
                }
            }
            self.update(self.status);
        }
    }

    fn cancel(&mut self) {
        if self.dice.chance(250) {
            self.deliver();
        }
        self.update("CANCELLED");
        if self.dice.chance(60) {
            // Somebody changed their mind.
            self.at_ms += MINUTE_MS;
            self.update("PROCESSED");
        }
    }

    fn delete(&mut self) {
        self.wait();
        self.say(Occasion::Deleted);
        if self.dice.chance(80) {
            // What is said behind a deletion changes nothing.
            self.update(self.status);
        }
    }

    /// Refunds some lines or all of them: by events, within later snapshots, or both.
    fn refund(&mut self) {
        let is_whole = self.dice.chance(450);
        for _ in 0..self.dice.between(1, 2) {
            let ids = self.lines.iter().filter_map(|line| Some((line.id.clone()?, line.quarters)));
            let ids: Vec<(String, u64)> = ids.collect();
            let mut lines = Vec::new();
            for (id, quarters) in ids {
                if is_whole || self.dice.chance(500) {
                    let part = if is_whole { quarters } else { self.dice.between(1, quarters) };
                    lines.push((id, part));
                }
            }
            let id = format!("refund_{}", self.dice.hex(10));
            self.refunds.push(OrderRefund { id, lines, cents: self.dice.between(100, 9000) });
            let has_event = self.order.identity == Identity::Id && self.dice.chance(750);
            if has_event {
                self.wait();
                self.say_refund();
            }
            if !has_event || self.dice.chance(500) {
                self.update(self.status);
            }
            if is_whole {
                break;
            }
        }
        if self.dice.chance(100) {
            self.amend_refund();
        }
    }

    /// Says something else of a refund that is known; later, so that no fingerprint decides.
    fn amend_refund(&mut self) {
        self.at_ms += 7 * MINUTE_MS;
        if let Some((_, quarters)) = self.refunds.last_mut().and_then(|last| last.lines.first_mut())
        {
            *quarters += 1;
        }
        self.say(Occasion::Updated);
    }

    fn say(&mut self, occasion: Occasion) {
        // Two names of one kind of event.
        let rank = if occasion == Occasion::StatusUpdated { Occasion::Updated } else { occasion };
        let version = |at_ms| (at_ms, rank, self.status);
        while self.said.contains(&version(self.at_ms)) {
            self.at_ms += 1;
        }
        self.said.insert(version(self.at_ms));
        let body = self.body(occasion);
        self.record(self.kind(occasion), body);
    }

    fn say_refund(&mut self) {
        let Some(refund) = self.refunds.last() else { return };
        let data = Json::Object(refund.fields(self.order));
        let body = envelope(Some(data), &self.order.shop.site, self.at_ms, "ECOMM_REFUND_CREATED");
        self.record(Kind::Refund, body);
    }

    fn body(&self, occasion: Occasion) -> Fields {
        let event_type = match occasion {
            Occasion::Created => "ECOMM_ORDER_CREATED",
            Occasion::Updated => "ECOMM_ORDER_UPDATED",
            Occasion::StatusUpdated => "ECOMM_ORDER_STATUS_UPDATED",
            Occasion::Deleted => "ECOMM_ORDER_DELETED",
        };
        // A deletion does not say that the order is cancelled.
        let status = if occasion == Occasion::Deleted && self.status == "CANCELLED" {
            "PROCESSED"
        } else {
            self.status
        };
        let picture =
            Picture { order: self.order, lines: &self.lines, refunds: &self.refunds, status };
        envelope(Some(picture.data()), &self.order.shop.site, self.at_ms, event_type)
    }

    fn kind(&self, occasion: Occasion) -> Kind {
        match occasion {
            Occasion::Created => Kind::OrderCreated,
            Occasion::Updated | Occasion::StatusUpdated if self.status == "CANCELLED" => {
                Kind::OrderCancelled
            }
            Occasion::Updated => Kind::OrderUpdated,
            Occasion::StatusUpdated => Kind::OrderStatusUpdated,
            Occasion::Deleted => Kind::OrderDeleted,
        }
    }

    fn record(&mut self, kind: Kind, body: Fields) {
        let mut text = Json::Object(body).write(self.order.layout);
        if self.dice.chance(10) {
            text.insert_str(0, BOM);
        }
        self.events.push(Event {
            at_ms: self.at_ms,
            kind,
            order: Some(self.number),
            body: Bytes::from(text),
        });
    }
}

//! The orders of a history: what each one is before anything happens to it.
//!
//! Every order has a random stream of its own, so a longer history of a seed contains the shorter
//! ones.

use std::collections::BTreeMap;

use super::customer::Customer;
use super::dice::Dice;
use super::json::{Json, Layout};
use super::shop::Shop;
use super::spelling::QuantityForm;
use super::story::Story;
use super::webhook::{Identity, Order, OrderLine, Shape};
use super::{DAY_MS, Event, FIRST_DAY_MS};
use crate::simulate::model::Item;

/// Numeric order ids are this plus the number of the order.
const NUMERIC_IDS_FROM: u32 = 7_000_000;

/// An order's events, and how many quarters of a unit it wants of each stock key in the end.
pub(super) struct Life {
    pub(super) events: Vec<Event>,
    pub(super) wanted: BTreeMap<Item, u64>,
}

/// Writes the events of the n-th order of a history.
pub(super) fn live(mut dice: Dice, number: u32, shops: &[Shop]) -> Life {
    let shop = dice.pick(shops);
    let order = new_order(&mut dice, number, shop);
    let lines = (0..dice.between(1, 4)).map(|_| new_line(&mut dice, &order)).collect();
    let mut story = Story::new(dice, &order, number, lines);
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
        ((Identity::Several, Shape::Api), 28),
        ((Identity::ExternalId, Shape::Guide), 12),
        ((Identity::InvoiceNumber, Shape::Guide), 8),
    ]);
    let created_at_ms = FIRST_DAY_MS + dice.time(300 * DAY_MS);
    let has_id = matches!(identity, Identity::Id | Identity::Several);
    let constant = shop.plugin.filter(|plugin| has_id && created_at_ms >= plugin.since_ms);
    let external_id = format!("shop-{number}-{}", dice.hex(4));
    let id = dice.uuid();
    let has_numeric_ids = has_id && dice.chance(80);
    let invoice_number = 1000 + number;
    Order {
        shop,
        identity: if constant.is_some() { Identity::Constant } else { identity },
        shape,
        quantity_form: QuantityForm::pick(dice),
        layout: *dice.pick(&[Layout::Compact, Layout::Compact, Layout::Indented, Layout::Tabs]),
        id: if has_numeric_ids { (NUMERIC_IDS_FROM + number).to_string() } else { id },
        external_id: constant.map_or(external_id, |plugin| plugin.external_id.to_owned()),
        invoice_number: if has_numeric_ids {
            invoice_number.to_string()
        } else {
            format!("{}-{invoice_number}", shop.invoice_prefix)
        },
        has_numeric_ids,
        pads_skus: dice.chance(30),
        mode: *dice.pick_weighted(&[(Some("LIVE"), 90), (None, 6), (Some("TEST"), 4)]),
        created_at_ms,
        customer: Customer::invent(dice),
        metadata: metadata(dice),
    }
}

/// Returns arbitrary JSON: no rule reads it.
fn metadata(dice: &mut Dice) -> Json {
    match dice.below(5) {
        0 => Json::text(""),
        1 => Json::text("gift"),
        2 => Json::Object(vec![("campaign", Json::text("spring")), ("weight", Json::Raw("1e999"))]),
        3 => Json::List(vec![Json::Object(vec![("nested", Json::List(vec![Json::Null]))])]),
        _ => Json::Object(Vec::new()),
    }
}

pub(super) fn new_line<'a>(dice: &mut Dice, order: &Order<'a>) -> OrderLine<'a> {
    let products: Vec<_> =
        order.shop.products.iter().map(|product| (product, product.popularity)).collect();
    let product = *dice.pick_weighted(&products);
    let variation = (!product.variations.is_empty()).then(|| dice.pick(&product.variations));
    let units = *dice.pick_weighted(&[(1, 60), (2, 22), (3, 9), (4, 5), (12, 4)]);
    let quarters = if product.by_measure { dice.between(2, 26) } else { units * 4 };
    let id = (order.shape != Shape::Guide).then(|| {
        if order.has_numeric_ids {
            dice.between(10_000_000, 9_999_999_999).to_string()
        } else {
            dice.uuid()
        }
    });
    OrderLine { id, product, variation, quarters, is_discontinued: false }
}

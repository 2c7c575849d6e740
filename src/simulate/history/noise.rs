//! Events beside the orders: the catalogue, third-party notices, and events that concern other
//! things.

use bytes::Bytes;

use super::dice::Dice;
use super::json::{Fields, Json, Layout};
use super::shop::{Product, STORE, Shop, site_name};
use super::webhook::{amount, envelope};
use super::{DAY_MS, Event, FIRST_DAY_MS, Kind};

const STORE_ID: u64 = 48_151_623;

/// Returns the catalogue of all shops, starting the day before the first order.
pub(super) fn catalogue(shops: &[Shop], dice: &mut Dice) -> Vec<Event> {
    let mut events = Vec::new();
    for shop in shops {
        let category = dice.short_id();
        for event_type in ["ECOMM_CATEGORY_CREATED", "CATEGORY_UPDATED"] {
            let data = category_data(&category, shop);
            let body = envelope(Some(data), &shop.site, FIRST_DAY_MS - DAY_MS, event_type);
            events.push(event(Kind::Category, FIRST_DAY_MS - DAY_MS, body));
        }
        for product in &shop.products {
            let at_ms = FIRST_DAY_MS - DAY_MS + dice.time(DAY_MS);
            let is_old = dice.chance(200);
            let created = if is_old { "PRODUCT_CREATED" } else { "ECOMM_PRODUCT_CREATED" };
            let body = envelope(Some(product_data(product)), &shop.site, at_ms, created);
            events.push(event(Kind::Product, at_ms, body));
            if dice.chance(300) {
                // In practice a creation and its update share their timestamp.
                let updated = "ECOMM_PRODUCT_UPDATED";
                let body = envelope(Some(product_data(product)), &shop.site, at_ms, updated);
                events.push(event(Kind::Product, at_ms, body));
            }
        }
    }
    events
}

/// Returns events around the time of an order that do not concern it; mostly none.
pub(super) fn around(seed: u64, shops: &[Shop], dice: &mut Dice) -> Vec<Event> {
    let at_ms = FIRST_DAY_MS + dice.time(300 * DAY_MS);
    let mut events = Vec::new();
    if dice.chance(50) {
        events.extend(store_order(&site_name(seed, STORE), dice, at_ms));
    }
    if dice.chance(25) {
        events.push(store_entry(&site_name(seed, STORE), dice, at_ms));
    }
    if dice.chance(40) {
        events.push(other(&dice.pick(shops).site, dice, at_ms));
    }
    if dice.chance(20) {
        let gone = Json::Object(vec![
            ("id", Json::text(dice.short_id())),
            ("external_id", Json::text("discontinued")),
        ]);
        let site = &dice.pick(shops).site;
        let body = envelope(Some(gone), site, at_ms, "ECOMM_PRODUCT_DELETED");
        events.push(event(Kind::Product, at_ms, body));
    }
    events
}

/// Returns the notices of one order of the third-party store.
fn store_order(site: &str, dice: &mut Dice, at_ms: i64) -> Vec<Event> {
    let entity = dice.between(100_000, 999_999);
    let order_id = dice.text(b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 5);
    let mut notices = vec![("CREATED", "AWAITING_PAYMENT", "AWAITING_PROCESSING")];
    if dice.chance(600) {
        notices.push(("UPDATED", "PAID", "DELIVERED"));
    }
    if dice.chance(200) {
        notices.push(("DELETED", "", ""));
    }
    let mut events = Vec::new();
    for (index, (what, payment, fulfillment)) in (0_i64..).zip(notices) {
        let details = Json::Object(vec![
            ("newPaymentStatus", Json::text(payment)),
            ("newFulfillmentStatus", Json::text(fulfillment)),
            ("orderId", Json::text(&order_id)),
        ]);
        let details = if what == "DELETED" { Json::Null } else { details };
        let at_ms = at_ms + index * 3_600_000;
        let data = notice_data(site, "order", what, entity, at_ms, details);
        let body = envelope(Some(data), site, at_ms, &format!("STORE_ORDER_{what}"));
        events.push(event(Kind::Notice, at_ms, body));
    }
    events
}

/// Returns a notice of a product or category of the third-party store.
fn store_entry(site: &str, dice: &mut Dice, at_ms: i64) -> Event {
    let kind = *dice.pick(&["PRODUCT", "CATEGORY"]);
    let what = *dice.pick(&["CREATED", "UPDATED", "DELETED"]);
    let entity = dice.between(1, 40);
    let data = notice_data(site, &kind.to_lowercase(), what, entity, at_ms, Json::Null);
    let body = envelope(Some(data), site, at_ms, &format!("STORE_{kind}_{what}"));
    event(Kind::Notice, at_ms, body)
}

/// Returns the data of a third-party store's notice.
fn notice_data(site: &str, kind: &str, what: &str, entity: u64, at_ms: i64, details: Json) -> Json {
    Json::Object(vec![
        ("siteAlias", Json::text(site)),
        ("eventType", Json::text(format!("{kind}.{}", what.to_lowercase()))),
        // One id for all, as in Duda's samples: no code may rely on it.
        ("eventId", Json::text("e6097159-0000-4000-8000-000000000000")),
        ("storeId", Json::number(STORE_ID)),
        ("eventCreated", Json::number(at_ms / 1000)),
        ("entityId", Json::number(entity)),
        ("data", details),
    ])
}

/// Returns an event that no rule knows, with the data that such events carry.
fn other(site: &str, dice: &mut Dice, at_ms: i64) -> Event {
    let (event_type, data) = match dice.below(5) {
        0 => ("UNPUBLISH", Some(Json::number(at_ms))),
        1 => ("SITE_CREATED", None),
        2 => ("ECOMM_STORE_CREATED", Some(Json::Object(Vec::new()))),
        3 => ("ECOMM_CART_UPDATED", Some(Json::List(vec![Json::Raw("-0.5e3")]))),
        _ => ("MEMBER_UPDATED", Some(Json::Null)),
    };
    event(Kind::Unknown, at_ms, envelope(data, site, at_ms, event_type))
}

fn event(kind: Kind, at_ms: i64, body: Fields) -> Event {
    let body = Bytes::from(Json::Object(body).write(Layout::Compact));
    Event { at_ms, kind, order: None, body }
}

fn category_data(id: &str, shop: &Shop) -> Json {
    let products = (0_u32..).zip(&shop.products).map(|(place, product)| {
        Json::Object(vec![
            ("id", Json::text(&product.id)),
            ("name", Json::text(product.name)),
            ("order", Json::number(place)),
        ])
    });
    Json::Object(vec![
        ("id", Json::text(id)),
        ("title", Json::text("Everything")),
        ("description", Json::Null),
        ("parent_id", Json::text("ROOT")),
        ("image", Json::Null),
        ("seo", Json::Null),
        ("subcategories", Json::List(Vec::new())),
        ("products", Json::List(products.collect())),
    ])
}

fn product_data(product: &Product) -> Json {
    let variations = product.variations.iter().map(|variation| {
        Json::Object(vec![
            ("id", Json::text(&variation.id)),
            ("external_id", Json::text(&variation.external_id)),
            ("sku", Json::Null),
            ("status", Json::text("ACTIVE")),
            ("options", Json::List(vec![Json::text(variation.label)])),
        ])
    });
    let price = Json::Object(vec![
        ("currency", Json::text("EUR")),
        ("price", Json::text(amount(product.price_cents))),
        ("compare_at_price", Json::Null),
    ]);
    Json::Object(vec![
        ("id", Json::text(&product.id)),
        ("name", Json::text(product.name)),
        ("type", Json::text("PHYSICAL")),
        ("description", Json::text("")),
        ("seo", Json::Null),
        ("status", Json::text("ACTIVE")),
        ("sku", Json::text(&product.sku)),
        ("images", Json::List(Vec::new())),
        ("prices", Json::List(vec![price])),
        ("external_id", Json::text(&product.external_id)),
        ("options", Json::Null),
        ("variations", Json::List(variations.collect())),
        ("managed_inventory", Json::Bool(true)),
        ("custom_fields", Json::List(Vec::new())),
        ("categories", Json::List(Vec::new())),
        ("requires_shipping", Json::Bool(true)),
        ("stock_status", Json::text("IN_STOCK")),
    ])
}

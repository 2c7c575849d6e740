//! Tests that a history of usual size contains every case that is known from the field.

use serde_json::Value;

use super::*;
use crate::simulate::model::{List, RestockedRefunds};

/// The bodies that joined each record, by site and name.
static RECORDS: LazyLock<BTreeMap<(String, String), Vec<Value>>> = LazyLock::new(|| {
    let (history, verdicts, _) = &*OBSERVED;
    let mut records: BTreeMap<_, BTreeSet<&Bytes>> = BTreeMap::new();
    for (delivery, verdict) in history.deliveries.iter().zip(verdicts) {
        if let Verdict::Counted { site, order } = verdict {
            records.entry((site.clone(), order.clone())).or_default().insert(&delivery.body);
        }
    }
    let read = |body: &Bytes| {
        // A number too large for a float; no rule reads it.
        let text = str::from_utf8(body).unwrap().replace("1e999", "1");
        serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap()
    };
    records
        .into_iter()
        .map(|(name, bodies)| (name, bodies.into_iter().map(read).collect()))
        .collect()
});

/// Returns how many records have two bodies for which `is_so` is true.
fn records_with_pair(is_so: impl Fn(&Value, &Value) -> bool) -> usize {
    let has_pair = |bodies: &&Vec<Value>| bodies.iter().any(|a| bodies.iter().any(|b| is_so(a, b)));
    RECORDS.values().filter(has_pair).count()
}

fn bodies() -> impl Iterator<Item = &'static Value> {
    RECORDS.values().flatten()
}

fn status(body: &Value) -> String {
    body["data"]["status"].as_str().unwrap_or_default().to_uppercase()
}

fn is_deletion(body: &Value) -> bool {
    body["event_type"] == "ECOMM_ORDER_DELETED"
}

fn is_later(a: &Value, b: &Value) -> bool {
    a["event_timestamp"].as_i64() > b["event_timestamp"].as_i64()
}

fn has_left(body: &Value) -> bool {
    ["DISPATCHED", "SHIPPED", "DELIVERED"].contains(&status(body).as_str())
}

fn listed_refunds(body: &Value) -> impl Iterator<Item = &Value> {
    body["data"]["refunds"].as_array().into_iter().flatten()
}

#[track_caller]
fn at_least(least: usize, found: usize) {
    assert!(found >= least, "{found} are fewer than {least}");
}

#[test]
fn orders_have_several_names_that_lead_to_one_id() {
    let (.., model) = &*OBSERVED;
    let links = model.links();
    at_least(300, links.values().filter(|ids| ids.len() == 1).count());
    // The records of second names that lead to an id, and those that never had one.
    let led = |expected: usize| {
        let records = RECORDS.keys().filter_map(|record| links.get(record));
        records.filter(|ids| ids.len() == expected).count()
    };
    at_least(50, led(1));
    at_least(100, led(0));
    at_least(
        50,
        records_with_pair(|a, b| {
            a["data"]["external_id"].is_null() && b["data"]["external_id"].is_string()
        }),
    );
}

#[test]
fn one_external_id_is_constant_and_contested() {
    let (.., model) = &*OBSERVED;
    let name = ("seed7-garden".to_owned(), "external-id:storefront".to_owned());
    assert_eq!(model.contested_names(), BTreeSet::from([name.clone()]));
    at_least(30, model.links()[&name].len());
    at_least(4, RECORDS[&name].len());
    let lists = model.lists();
    at_least(30, lists.values().filter(|lists| lists.contains(&List::Contested)).count());
    assert!(lists[&name].contains(&List::Contested));
}

#[test]
fn goods_leave_and_are_here_again_or_stay_away_when_their_order_is_deleted() {
    at_least(
        20,
        records_with_pair(|a, b| {
            has_left(a) && status(b) == "PROCESSED" && !is_deletion(b) && is_later(b, a)
        }),
    );
    at_least(20, records_with_pair(|a, b| has_left(a) && !is_deletion(a) && is_deletion(b)));
    at_least(
        4,
        records_with_pair(|a, b| has_left(a) && is_deletion(b) && status(b) == "PROCESSED"),
    );
    let (.., model) = &*OBSERVED;
    let lists = model.lists();
    at_least(4, lists.values().filter(|lists| lists.contains(&List::AfterDeletion)).count());
}

#[test]
fn refunds_are_made_before_and_after_goods_leave() {
    let created = |body: &Value| {
        let data = &body["data"];
        listed_refunds(body).chain([data]).any(|refund| {
            refund["items"].is_array() && refund["created"].is_string() && refund["id"].is_string()
        })
    };
    at_least(100, bodies().filter(|body| created(body)).count());
    let history = history(7, 400);
    let stock = |restock| {
        let mut model = Model::new(ModelPolicy { restock, ..ModelPolicy::default() });
        for delivery in &history.deliveries {
            model.observe(&delivery.body, RECEIVED_MS);
        }
        let counts = model.stock().into_values();
        counts.map(|counts| counts.committed + counts.fulfilled).sum::<Decimal>()
    };
    let [never, unshipped, lines] =
        [RestockedRefunds::Never, RestockedRefunds::Unshipped, RestockedRefunds::Lines].map(stock);
    assert!(never > unshipped && unshipped > lines, "{never} {unshipped} {lines}");
}

#[test]
fn refunds_turn_into_stubs() {
    let entry = |body: &Value, is_stub: bool| {
        let is_refund = body["event_type"] == "ECOMM_REFUND_CREATED";
        let mut entries = listed_refunds(body).chain(is_refund.then_some(&body["data"]));
        entries.any(|refund| refund["id"].is_string() && refund["items"].is_array() != is_stub)
    };
    at_least(10, records_with_pair(|a, b| entry(a, false) && entry(b, true) && is_later(b, a)));
}

#[test]
fn lines_lose_their_names() {
    let product = |body: &Value, is_lost: bool| -> Vec<String> {
        let lines = body["data"]["items"].as_array().into_iter().flatten();
        let lines = lines.filter(|line| {
            line["sku"] != "" && line["id"].is_string() && line["product_id"].is_null() == is_lost
        });
        lines.map(|line| line["id"].to_string()).collect()
    };
    let loses = |a: &Value, b: &Value| {
        let lost = product(b, true);
        is_later(b, a) && product(a, false).iter().any(|id| lost.contains(id))
    };
    at_least(20, records_with_pair(loses));
    // Their orders hold the same as before: every item that is held under a SKU is sold under that
    // SKU.
    let (history, _, model) = &*OBSERVED;
    let sold: BTreeSet<&Item> = history.opening_stock().iter().map(|it| &it.item).collect();
    let stock = model.stock();
    let by_sku = stock.keys().filter(|item| item.key.starts_with("sku:"));
    assert_eq!(by_sku.filter(|item| !sold.contains(item)).count(), 0);
}

#[test]
fn modes_are_left_out() {
    let mode = |body: &Value| body["data"]["mode"].as_str().map(str::to_owned);
    at_least(
        4,
        records_with_pair(|a, b| {
            mode(a).as_deref() == Some("TEST") && mode(b).is_none() && !b["data"]["items"].is_null()
        }),
    );
    at_least(
        100,
        records_with_pair(|a, b| mode(a).as_deref() == Some("LIVE") && mode(b).is_none()),
    );
}

#[test]
fn clocks_are_apart() {
    at_least(
        30,
        records_with_pair(|a, b| {
            a["event_type"] == "ECOMM_ORDER_CREATED"
                && b["event_type"] != "ECOMM_REFUND_CREATED"
                && is_later(a, b)
        }),
    );
}

#[test]
fn names_are_numbers_or_have_white_space_around_them() {
    let id = |body: &Value| body["data"]["id"].clone();
    let is_order = |body: &Value| body["data"]["items"].is_array();
    at_least(
        40,
        records_with_pair(|a, b| {
            is_order(a) && is_order(b) && id(a).is_number() && id(b).is_string()
        }),
    );
    let padded = |name: &Value| name.as_str().is_some_and(|name| name.trim() != name);
    at_least(20, bodies().filter(|body| padded(&id(body))).count());
    let padded_sku = |body: &Value| {
        let mut lines = body["data"]["items"].as_array().into_iter().flatten();
        lines.any(|line| padded(&line["sku"]))
    };
    at_least(20, bodies().filter(|body| padded_sku(body)).count());
}

#[test]
fn orders_are_begun_and_finished_or_not() {
    at_least(10, bodies().filter(|body| status(body) == "INCOMPLETE").count());
    at_least(4, records_with_pair(|a, b| status(a) == "INCOMPLETE" && status(b) == "PROCESSED"));
}

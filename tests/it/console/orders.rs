//! Orders as they are shown: their names, why they hold what they hold, refunds and corrections.

use serde_json::{Value, json};
use storekeeper::broker::EnvelopeKind;
use storekeeper::store::Store;

use super::given::{Received, hook};
use super::{Backends, Served, field, given};

const ORDER: &str = "/v1/sites/shop/orders/id:7";

/// An order of two mugs and a plate, updated so long after the start.
async fn order(store: &dyn Store, number: u128, millis: i64, fields: &Value) {
    let mut data = json!({
        "id": "7",
        "external_id": "SO-7",
        "invoice_number": "INV-7",
        "status": "PROCESSED",
        "items": [
            {"id": "L1", "product_id": "mug", "quantity": 2, "name": "Blue mug"},
            {"id": "L2", "product_id": "plate", "quantity": 1},
        ],
    });
    data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    hook(store, "ECOMM_ORDER_UPDATED", (number, millis), &data).await;
}

async fn correct(store: &dyn Store, console: &Served, number: u128, action: &str, reference: &str) {
    let shown = console.json(ORDER).await["shown"].clone();
    let body = json!({
        "site": "shop", "order": "id:7", "action": action, "shown": shown,
        "reference": reference, "reason": "asked for", "actor": "anna",
    });
    let received = Received { message: number, millis: 60_000 + i64::try_from(number).unwrap() };
    given::apply(store, EnvelopeKind::Correction, received, &body).await;
}

async fn opened() -> (Backends, Served) {
    let backends = Backends::open();
    given::policy(&*backends.store).await;
    let console = backends.serve_console().await;
    (backends, console)
}

#[tokio::test]
async fn an_order_is_found_by_each_of_its_names_bare_or_with_its_kind() {
    let (backends, console) = opened().await;
    order(&*backends.store, 1, 0, &json!({})).await;
    let shown = console.json(ORDER).await;
    assert_eq!(
        field(shown["names"].as_array().unwrap(), "name"),
        ["external-id:SO-7", "invoice-number:INV-7",]
    );
    for name in ["7", "SO-7", "external-id:SO-7", "INV-7", "invoice-number:INV-7"] {
        assert_eq!(console.json(&format!("/v1/sites/shop/orders/{name}")).await, shown, "{name}");
    }
}

#[tokio::test]
async fn a_name_of_several_orders_is_refused_with_them() {
    let (backends, console) = opened().await;
    order(&*backends.store, 1, 0, &json!({"external_id": null})).await;
    order(&*backends.store, 2, 0, &json!({"id": "8", "external_id": null})).await;
    let answer = console.get("/v1/sites/shop/orders/INV-7").await;
    assert_eq!(answer.status(), 409);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "order.ambiguous");
    assert_eq!(problem["candidates"], json!(["id:7", "id:8"]));
}

#[tokio::test]
async fn a_contested_name_is_shown_as_such_with_both_orders() {
    let (backends, console) = opened().await;
    order(&*backends.store, 1, 0, &json!({})).await;
    order(&*backends.store, 2, 0, &json!({"id": "8"})).await;
    for id in ["7", "8"] {
        let shown = console.json(&format!("/v1/sites/shop/orders/id:{id}")).await;
        assert_eq!(shown["contested"], true, "{id}");
        let contested = json!({"name": "external-id:SO-7", "contested": true});
        assert_eq!(shown["names"][0], contested, "{id}");
    }
}

#[tokio::test]
async fn refunded_lines_say_whether_they_are_lines_of_the_order() {
    let (backends, console) = opened().await;
    let refunds = json!([{
        "id": "R1",
        "created": "2023-11-14T22:00:00Z",
        "items": [{"id": "L1", "quantity": 0.5}, {"id": "gone", "quantity": 1}],
    }]);
    order(&*backends.store, 1, 0, &json!({"refunds": refunds})).await;
    let shown = console.json(ORDER).await;
    let expected = json!([{
        "id": "R1",
        "at": "2023-11-14T22:00:00.000Z",
        "lines": [
            {"id": "L1", "quantity": "0.5", "matched": true},
            {"id": "gone", "quantity": "1", "matched": false},
        ],
    }]);
    assert_eq!(shown["refunds"], expected);
    let mugs = json!({"key": "product:mug", "committed": "1.5", "fulfilled": "0"});
    assert_eq!(shown["holds"][0], mugs, "the policy gives back what was refunded before it left");
}

#[tokio::test]
async fn corrections_say_which_of_them_are_in_force() {
    let (backends, console) = opened().await;
    let store = &*backends.store;
    order(store, 1, 0, &json!({})).await;
    correct(store, &console, 11, "release", "A").await;
    let released = console.json(ORDER).await;
    assert_eq!((&released["holds"], &released["why"]["rule"]), (&json!([]), &json!("released")));
    correct(store, &console, 12, "hold", "B").await;
    correct(store, &console, 13, "ship", "C").await;
    let shown = console.json(ORDER).await;
    assert_eq!(shown["why"]["rule"], "held");
    assert_eq!(shown["left_since"], "2023-11-14T22:14:20.013Z");
    let in_force = |shown: &Value| -> Vec<(String, bool)> {
        let corrections = shown["corrections"].as_array().unwrap().iter();
        let one = |it: &Value| {
            (it["reference"].as_str().unwrap().to_owned(), it["in_force"].as_bool().unwrap())
        };
        corrections.map(one).collect()
    };
    let of = |expected: [bool; 3]| -> Vec<(String, bool)> {
        ["A", "B", "C"].map(str::to_owned).into_iter().zip(expected).collect()
    };
    assert_eq!(in_force(&shown), of([false, true, true]));
    let first = json!({
        "reference": "A", "action": "release", "reason": "asked for", "actor": "anna",
        "received_at": "2023-11-14T22:14:20.011Z", "in_force": false,
    });
    assert_eq!(shown["corrections"][0], first);
    // Another status is news: nobody said anything about that.
    order(store, 2, 5_000, &json!({"status": "PENDING"})).await;
    let shown = console.json(ORDER).await;
    assert_eq!((&shown["why"]["rule"], &shown["left_since"]), (&json!("promised"), &Value::Null));
    assert_eq!(in_force(&shown), of([false; 3]));
}

#[tokio::test]
async fn a_deletion_that_a_person_took_back_is_none() {
    let (backends, console) = opened().await;
    let store = &*backends.store;
    order(store, 1, 0, &json!({})).await;
    hook(store, "ECOMM_ORDER_DELETED", (2, 1_000), &json!({"id": "7", "status": "PROCESSED"}))
        .await;
    let deleted = console.json(ORDER).await;
    assert_eq!((&deleted["deleted"], &deleted["why"]["rule"]), (&json!(true), &json!("deleted")));
    order(store, 3, 2_000, &json!({})).await;
    assert_eq!(console.json(ORDER).await["after_deletion"], true);
    correct(store, &console, 11, "hold", "A").await;
    let held = console.json(ORDER).await;
    assert_eq!((&held["deleted"], &held["after_deletion"]), (&json!(false), &json!(false)));
    assert_eq!(held["holds"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_line_that_lost_its_names_keeps_its_key() {
    let (backends, console) = opened().await;
    let store = &*backends.store;
    order(store, 1, 0, &json!({})).await;
    let lines = json!([{"id": "L1", "product_id": null, "quantity": 2}]);
    order(store, 2, 1_000, &json!({"items": lines, "status": "ON_ITS_WAY"})).await;
    let shown = console.json(ORDER).await;
    let line = json!({"id": "L1", "key": "product:mug", "quantity": "2"});
    assert_eq!(shown["snapshot"]["lines"], json!([line]));
    assert_eq!(shown["status"], "ON_ITS_WAY");
    let statuses = field(shown["timeline"].as_array().unwrap(), "status");
    assert_eq!(statuses, ["ON_ITS_WAY", "PROCESSED"]);
}

#[tokio::test]
async fn an_item_is_shown_by_any_of_its_names() {
    let (backends, console) = opened().await;
    given::shop(&*backends.store).await;
    let mug = console.json("/v1/sites/shop/stock/product:mug").await;
    for name in ["mug", "sku:MUG-1", "MUG-1"] {
        assert_eq!(console.json(&format!("/v1/sites/shop/stock/{name}")).await, mug, "{name}");
    }
    given::goods(&*backends.store, "shop", "sku:mug", 1).await;
    let answer = console.get("/v1/sites/shop/stock/mug").await;
    assert_eq!(answer.status(), 409);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "stock.ambiguous");
    assert_eq!(problem["candidates"], json!(["product:mug", "sku:mug"]));
}

#[tokio::test]
async fn what_nobody_counts_is_shown_as_not_tracked() {
    let (backends, console) = opened().await;
    let store = &*backends.store;
    let gift = json!({"id": "gift", "name": "Gift card", "managed_inventory": false});
    hook(store, "ECOMM_PRODUCT_CREATED", (1, 0), &gift).await;
    given::order(store, "shop", "9", "gift", 3).await;
    let item = console.json("/v1/sites/shop/stock/product:gift").await;
    assert_eq!((&item["tracked"], &item["available"]), (&json!(false), &json!("-3")));
}

#[tokio::test]
async fn an_order_without_a_snapshot_cannot_be_corrected() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console().await;
    let path = format!("{}/v1/sites/shop/orders/77%2F5", console.url);
    let shown = console.json("/v1/sites/shop/orders/77%2F5").await["shown"].clone();
    let body = json!({"action": "hold", "shown": shown, "reference": "R", "reason": "paid"});
    let answer = console.client.post(format!("{path}/corrections")).json(&body).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 409);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "correction.no_snapshot");
}

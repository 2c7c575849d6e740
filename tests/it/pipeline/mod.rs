//! From a webhook over HTTP to the stock: the real binary, seen through its API.

mod backends;
mod documented;
mod field;
mod hostile;

use std::path::Path;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Server, command, eventually};

const CREATED: &str = "guide_order_created.json";
const UPDATED: &str = "guide_order_status_updated.json";
const DELETED: &str = "guide_order_deleted.json";
/// The site and the stock key of the guide's orders.
const SITE: &str = "lantern-house-2f81c3";
const KEY: &str = "variation:Vamber-s";

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/webhooks").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Posts a body and answers with its message id.
async fn post(server: &Server, body: impl Into<reqwest::Body>) -> String {
    let client = reqwest::Client::new();
    let answer = client.post(server.webhooks()).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    answer["id"].as_str().unwrap().to_owned()
}

async fn get(server: &Server, path: &str) -> Value {
    reqwest::get(server.console(path)).await.unwrap().json().await.unwrap()
}

/// Waits until every accepted body has its outcome.
async fn settled(server: &Server) {
    eventually("the queues are empty", async || {
        let queues = get(server, "/v1/queues").await;
        let waiting = ["/work/ready", "/work/in_flight", "/retry/ready", "/dead/intake"];
        waiting.iter().all(|path| queues.pointer(path).unwrap() == 0).then_some(())
    })
    .await;
}

async fn committed(server: &Server, site: &str, key: &str) -> Value {
    get(server, &format!("/v1/sites/{site}/stock/{key}")).await["committed"].clone()
}

async fn code(server: &Server, id: &str) -> Value {
    get(server, &format!("/v1/dead-letters/{id}")).await["reason"].clone()
}

#[tokio::test]
async fn the_guides_order_holds_one_then_three_then_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    for (name, expected) in [(CREATED, "1"), (UPDATED, "3"), (DELETED, "0")] {
        post(&server, fixture(name)).await;
        settled(&server).await;
        assert_eq!(committed(&server, SITE, KEY).await, expected, "after {name}");
    }
    let order = get(&server, &format!("/v1/sites/{SITE}/orders/external-id:web-7741")).await;
    assert_eq!(order["deleted"], true);
    assert_eq!(order["timeline"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_line_that_changes_its_key_is_shown_on_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    for (at, product) in [(0, "P"), (1, "Q")] {
        let items = json!([{"id": "L", "product_id": product, "quantity": 2}]);
        let body = json!({
            "event_type": "ECOMM_ORDER_UPDATED",
            "event_timestamp": 1_700_000_000_000_i64 + at,
            "resource_data": {"site_name": "shop"},
            "data": {"id": "O", "status": "PROCESSED", "items": items},
        });
        post(&server, body.to_string()).await;
        settled(&server).await;
    }
    let order = get(&server, "/v1/sites/shop/orders/id:O").await;
    assert_eq!(
        (&order["rekeyed_lines"], &order["timeline"][0]["rekeyed_lines"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(order["timeline"][1]["rekeyed_lines"], Value::Null);
    let shown = command(directory.path(), &[]).args(["orders", "show", "shop", "id:O"]).output();
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    for expected in ["1 line came with another stock key", "applied, 1 rekeyed"] {
        assert!(shown.contains(expected), "{shown}");
    }
}

#[tokio::test]
async fn six_orders_of_arrival_and_any_repetition_end_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let orders = [
        [CREATED, UPDATED, DELETED],
        [CREATED, DELETED, UPDATED],
        [UPDATED, CREATED, DELETED],
        [UPDATED, DELETED, CREATED],
        [DELETED, CREATED, UPDATED],
        [DELETED, UPDATED, CREATED],
    ];
    for (number, order) in orders.iter().enumerate() {
        let at = |site: &str, name: &str| fixture(name).replace(SITE, site);
        for name in order {
            // All five at once: they race through the ingress and meet in one batch, or do not.
            let mut posts = JoinSet::new();
            let (url, body) = (server.webhooks(), at(&format!("all-{number}"), name));
            for _ in 0..5 {
                let request = reqwest::Client::new().post(&url).body(body.clone());
                posts.spawn(async { request.send().await.unwrap().error_for_status().unwrap() });
            }
            posts.join_all().await;
            if *name != DELETED {
                post(&server, at(&format!("kept-{number}"), name)).await;
            }
        }
    }
    settled(&server).await;
    for (number, order) in orders.iter().enumerate() {
        let kept = committed(&server, &format!("kept-{number}"), KEY).await;
        assert_eq!(kept, "3", "{order:?} without the deletion");
        let all = get(&server, &format!("/v1/sites/all-{number}/stock/{KEY}")).await;
        // Where the deletion came first, nothing was ever counted.
        let held = all.get("committed").and_then(Value::as_str).unwrap_or("0");
        assert_eq!(held, "0", "{order:?}");
    }
}

#[tokio::test]
async fn a_bad_body_becomes_a_dead_letter_and_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let order = |items: &str| fixture(CREATED).replacen("\"quantity\": 1", items, 1);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("decode.not_json", fixture(CREATED).into_bytes()[..900].into()),
        ("decode.not_json", b"\xff\xfe{}".to_vec()),
        ("decode.not_json", b"NaN".to_vec()),
        ("decode.not_an_object", deep.clone().into()),
        ("decode.invalid_event_type", b"{}".to_vec()),
        ("decode.invalid_quantity", order("\"quantity\": 1e400").into()),
        ("decode.invalid_quantity", order("\"quantity\": \"NaN\"").into()),
        ("decode.invalid_quantity", order("\"quantity\": -0").into()),
        ("decode.invalid_quantity", order("\"quantity\": 1000000000.1").into()),
        ("decode.invalid_quantity", order(&format!("\"quantity\": {deep}")).into()),
    ];
    let mut letters = Vec::new();
    for (expected, body) in bad {
        letters.push((expected, post(&server, body).await));
    }
    let text = "x".repeat(1_000_000);
    let long = fixture(CREATED).replacen("Window", &text, 1);
    post(&server, long).await;
    settled(&server).await;
    for (expected, id) in letters {
        assert_eq!(code(&server, &id).await, expected, "{id}");
    }
    post(&server, fixture(UPDATED)).await;
    settled(&server).await;
    assert_eq!(committed(&server, SITE, KEY).await, "3", "a good order still counts");
}

#[tokio::test]
async fn third_party_notices_are_kept_apart_and_hold_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    for thing in ["order", "product", "category"] {
        for happened in ["created", "updated", "deleted"] {
            post(&server, fixture(&format!("third_party_{thing}_{happened}.json"))).await;
        }
    }
    settled(&server).await;
    let sites = get(&server, "/v1/sites").await;
    let site = sites["items"][0]["site"].as_str().unwrap().to_owned();
    let catalogue = get(&server, &format!("/v1/sites/{site}/catalogue")).await;
    assert_eq!(catalogue["items"].as_array().unwrap().len(), 2, "{catalogue}");
    let stock = get(&server, &format!("/v1/sites/{site}/stock")).await;
    assert_eq!(stock["items"], json!([]));
    let order = get(&server, &format!("/v1/sites/{site}/orders/store-order:52077916%2F1")).await;
    assert_eq!((&order["deleted"], &order["holds"]), (&json!(true), &json!([])), "{order}");
    let names = json!([{"name": "store-order-id:52077916/1", "contested": false}]);
    assert_eq!(order["names"], names, "{order}");
    assert_eq!(order["timeline"].as_array().unwrap().len(), 3, "{order}");
    let letters = get(&server, "/v1/dead-letters").await;
    assert_eq!(letters["items"], json!([]));
}

#[tokio::test]
async fn names_with_any_character_stay_apart() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let emoji = "\u{1f36d}".repeat(64);
    let names = ["x}:holds:foo{", "a|b", "a.b", "a%2Fb", "a/b", emoji.as_str()];
    for (number, name) in names.iter().enumerate() {
        let body = json!({
            "event_type": "ECOMM_ORDER_CREATED",
            "event_timestamp": 1_700_000_000_000_i64,
            "resource_data": {"site_name": name},
            "data": {
                "id": name,
                "status": "PROCESSED",
                "items": [{"product_id": name, "quantity": number + 1}],
            },
        });
        post(&server, body.to_string()).await;
    }
    settled(&server).await;
    for (number, name) in names.iter().enumerate() {
        let name = storekeeper::domain::identifier::encode(name);
        let held = committed(&server, &name, &format!("product:{name}")).await;
        assert_eq!(held, (number + 1).to_string(), "{name}");
        let order = get(&server, &format!("/v1/sites/{name}/orders/id:{name}")).await;
        assert_eq!(order["holds"].as_array().unwrap().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_total_that_would_pass_its_limit_is_refused_whole() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let database = directory.path().join("data/store.db");
    let order = |id: usize, quantity: u64| {
        json!({
            "event_type": "ECOMM_ORDER_CREATED",
            "event_timestamp": 1_700_000_000_000_i64,
            "resource_data": {"site_name": "shop"},
            "data": {
                "id": format!("order-{id}"),
                "status": "PROCESSED",
                "items": [
                    {"product_id": "A", "quantity": 1},
                    {"product_id": "B", "quantity": quantity},
                ],
            },
        })
        .to_string()
    };
    post(&server, order(0, 1)).await;
    settled(&server).await;
    // As after four thousand orders of the largest size.
    let near = 4_000_000_000_000_000_000_i64 - 2_000_000;
    let sql = format!("UPDATE stock SET committed = {near} WHERE key = 'product:B'");
    rusqlite::Connection::open(&database).unwrap().execute_batch(&sql).unwrap();
    let refused = post(&server, order(1, 3)).await;
    post(&server, order(2, 2)).await;
    settled(&server).await;
    assert_eq!(code(&server, &refused).await, "stock.overflow");
    assert_eq!(committed(&server, "shop", "product:B").await, "4000000000000");
    assert_eq!(committed(&server, "shop", "product:A").await, "2", "nothing of the refused order");
}

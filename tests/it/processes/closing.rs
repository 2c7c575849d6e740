//! Orders that outlive their retention, closed by the real binary.

use serde_json::{Value, json};

use super::get;
use crate::harness::{Server, command, eventually};

async fn deliver(server: &Server, quantity: u32, event_timestamp: i64) {
    send(server, "ECOMM_ORDER_UPDATED", "1", quantity, event_timestamp).await;
}

async fn send(server: &Server, event: &str, id: &str, quantity: u32, event_timestamp: i64) {
    let body = json!({
        "event_type": event,
        "event_timestamp": event_timestamp,
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": id,
            "status": "DELIVERED",
            "items": [{"product_id": "P", "quantity": quantity}],
        },
    });
    let client = reqwest::Client::new();
    let answer = client.post(server.webhooks()).body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

async fn item(server: &Server) -> Value {
    get(server.console("/v1/sites/shop/stock/product:P")).await
}

#[tokio::test]
async fn a_settled_order_is_closed_and_what_comes_later_is_shown_to_a_person() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    deliver(&server, 2, 1_700_000_000_000).await;
    eventually("two have left", async || (item(&server).await["fulfilled"] == "2").then_some(()))
        .await;
    server.kill();
    let short = [("STOREKEEPER__ORDERS__RETENTION", "1ms")];
    let server = Server::start(directory.path(), &short).await;
    let closed = eventually("the order is closed", async || {
        let item = item(&server).await;
        (item["closed"]["orders"] == 1).then_some(item)
    })
    .await;
    assert_eq!(closed["closed"], json!({"orders": 1, "fulfilled": "2"}));
    assert_eq!((&closed["fulfilled"], &closed["holds"]), (&json!("2"), &json!([])));
    let order = reqwest::get(server.console("/v1/sites/shop/orders/id:1")).await.unwrap();
    assert_eq!(order.status(), 410);
    assert_eq!(order.json::<Value>().await.unwrap()["code"], "order.closed");
    let show = |order| {
        let mut command = command(directory.path(), &[]);
        let output = command.args(["orders", "show", "shop", order]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (closed, unknown) = (show("id:1"), show("id:2"));
    assert!(closed.0 == Some(1) && closed.1.contains("was closed"), "{closed:?}");
    assert!(unknown.0 == Some(1) && unknown.1.contains("no event"), "{unknown:?}");
    deliver(&server, 9, 1_700_000_000_001).await;
    let letter = eventually("the late event is parked", async || {
        let letters = get(server.console("/v1/dead-letters")).await;
        letters["items"].get(0).cloned()
    })
    .await;
    assert_eq!((&letter["reason"], &letter["order"]), (&json!("order.expired"), &json!("id:1")));
    assert_eq!(item(&server).await["fulfilled"], "2");
}

/// What came while no worker ran must not be taken for known because its order seems old.
#[tokio::test]
async fn an_order_is_not_closed_ahead_of_what_waits() {
    let directory = tempfile::tempdir().unwrap();
    // A deletion that comes in time takes back also what has left.
    let release = ("STOREKEEPER__ORDERS__DELETED", "release");
    let server = Server::start(directory.path(), &[release]).await;
    deliver(&server, 2, 1_700_000_000_000).await;
    eventually("two have left", async || (item(&server).await["fulfilled"] == "2").then_some(()))
        .await;
    server.kill();
    let ingress = Server::start_as("ingress", directory.path(), &[]).await;
    for other in 0..100 {
        send(&ingress, "ECOMM_ORDER_UPDATED", &format!("other-{other}"), 1, 1_700_000_000_001)
            .await;
    }
    send(&ingress, "ECOMM_ORDER_DELETED", "1", 2, 1_700_000_000_002).await;
    ingress.kill();
    let short = [("STOREKEEPER__ORDERS__RETENTION", "1ms"), release];
    let server = Server::start(directory.path(), &short).await;
    eventually("the deletion counts, or is shown to a person", async || {
        let letters = get(server.console("/v1/dead-letters")).await;
        let is_shown = letters["items"][0]["reason"] == "order.expired";
        // The hundred others are delivered too.
        (is_shown || item(&server).await["fulfilled"] == "100").then_some(())
    })
    .await;
}

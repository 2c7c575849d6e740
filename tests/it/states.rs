//! States that this release did not write: newer ones, and damaged ones.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Server, eventually};

async fn post(server: &Server, order: &str, quantity: u32) {
    let body = json!({
        "event_type": "ECOMM_ORDER_UPDATED",
        "event_timestamp": 1_700_000_000_000_i64 + i64::from(quantity),
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": order,
            "status": "PROCESSED",
            "items": [{"product_id": "P", "quantity": quantity}],
        },
    });
    let client = reqwest::Client::new();
    let answer = client.post(server.webhooks()).body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

async fn get(server: &Server, path: &str) -> Value {
    reqwest::get(server.console(path)).await.unwrap().json().await.unwrap()
}

async fn counts(server: &Server, expected: &str) {
    eventually("the item counts what is expected", async || {
        let item = get(server, "/v1/sites/shop/stock/product:P").await;
        (item["committed"] == expected).then_some(())
    })
    .await;
}

async fn not_ready_because(server: &Server) -> String {
    eventually("it is not ready", async || {
        let url = format!("http://{}/readyz", server.addresses.probes);
        let answer = reqwest::get(url).await.unwrap();
        let status = answer.status();
        let reasons = answer.text().await.unwrap();
        (status == 503).then_some(reasons)
    })
    .await
}

/// Replaces the stored state of order `a`, and answers with the one that was there.
fn replace_state(directory: &Path, state: &str) -> String {
    let store = rusqlite::Connection::open(directory.join("data/store.db")).unwrap();
    let find = "SELECT state FROM orders WHERE name = 'id:a'";
    let before: String = store.query_row(find, (), |row| row.get(0)).unwrap();
    let replaced = store.execute("UPDATE orders SET state = ? WHERE name = 'id:a'", [state]);
    assert_eq!(replaced, Ok(1));
    before
}

#[tokio::test]
async fn a_state_of_a_newer_release_is_left_alone_and_pauses_the_worker() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]).await;
    post(&server, "a", 1).await;
    counts(&server, "1").await;
    let newer = r#"{"format":9}"#;
    let before = replace_state(directory.path(), newer);
    post(&server, "a", 2).await;
    let reasons = not_ready_because(&server).await;
    assert!(reasons.contains("newer release"), "{reasons}");
    post(&server, "b", 1).await;
    let queues = get(&server, "/v1/queues").await;
    assert_eq!(queues["dead"], json!({"intake": 0, "parked": 0}), "nobody is blamed");
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(0), "a pause holds no stop up");
    assert_eq!(replace_state(directory.path(), newer), newer, "it was not touched");

    let server = Server::start(directory.path(), &[]).await;
    not_ready_because(&server).await;
    replace_state(directory.path(), &before);
    counts(&server, "3").await;
}

#[tokio::test]
async fn a_damaged_state_holds_up_its_own_events_only() {
    let directory = tempfile::tempdir().unwrap();
    // One slot: whoever waits there would hold up everything.
    let one = [("STOREKEEPER__WORKER__CONCURRENCY", "1"), ("STOREKEEPER__RETRY__LADDER", "100ms")];
    let server = Server::start(directory.path(), &one).await;
    post(&server, "a", 1).await;
    counts(&server, "1").await;
    let before = replace_state(directory.path(), "{broken");
    for order in 0..20 {
        post(&server, "a", 2).await;
        post(&server, &format!("good-{order}"), 1).await;
    }
    counts(&server, "21").await;
    replace_state(directory.path(), &before);
    counts(&server, "22").await;
    let letters = get(&server, "/v1/dead-letters").await;
    assert_eq!(letters["items"], json!([]));
}

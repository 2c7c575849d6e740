//! Several processes of the real binary on one directory, and what becomes of them when one dies,
//! a body kills it, strangers are at it, or the disk is full.

mod audits;
mod clocks;
mod closing;
mod full_disk;
mod pairing;
mod pausing;
mod poison;
mod policy;
mod rights;
mod roles;
mod secrets;
mod standing;
mod strangers;
mod synced;

use std::path::Path;

use serde_json::Value;

use crate::harness::{Server, eventually};

/// Posts the creation of an order of one unit; answers with the status and the problem's code.
async fn try_post(ingress: &Server, order: &str) -> (u16, Value) {
    let body = serde_json::json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_700_000_000_000_i64,
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": order,
            "status": "PROCESSED",
            "items": [{"product_id": "P", "quantity": 1}],
        },
    });
    let client = reqwest::Client::new();
    let answer = client.post(ingress.webhooks()).body(body.to_string()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Posts the creation of an order of one unit, which must be taken.
async fn post(ingress: &Server, order: &str) {
    let (status, answer) = try_post(ingress, order).await;
    assert_eq!(status, 200, "{answer}");
}

async fn get(url: String) -> Value {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// Waits until so many units are committed.
async fn eventually_committed(console: &Server, units: usize) {
    let units = units.to_string();
    eventually(&format!("{units} units are committed"), async || {
        let item = get(console.console("/v1/sites/shop/stock/product:P")).await;
        (item["committed"] == units.as_str()).then_some(())
    })
    .await;
}

/// Waits until so many deliveries are with a worker, in whichever process, and none waits.
async fn eventually_in_flight(console: &Server, deliveries: u64) {
    eventually(&format!("{deliveries} deliveries are in flight"), async || {
        let work = get(console.console("/v1/queues")).await["work"].take();
        (work["in_flight"] == deliveries && work["ready"] == 0).then_some(())
    })
    .await;
}

/// Keeps every other connection from writing to the state: what is delivered stays in flight.
fn lock_store(directory: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(directory.join("data/store.db")).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

async fn readiness(server: &Server) -> u16 {
    let url = format!("http://{}/readyz", server.addresses.probes);
    reqwest::get(url).await.unwrap().status().as_u16()
}

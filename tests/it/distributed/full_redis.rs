//! A Redis with less memory than the dead letters of one shop would take.
//!
//! Goal: the counts of other shops go on, nothing is lost, and one command makes room, also when
//! Redis is full to the last byte. Method: 110 webhooks of 1 MiB that all fail, between orders of
//! another shop.

use rand::RngExt;
use rand::distr::Alphanumeric;
use serde_json::{Value, json};

use super::Deployment;
use crate::harness::{DEADLINE, Server, eventually, eventually_or_told};

const LARGE: usize = 110;
const ORDERS: usize = 220;
/// Under 1 MiB with what is around it.
const FILLER_BYTES: usize = 1_048_000;

fn order(site: &str, id: &str, quantity: &Value, filler: &str) -> String {
    let body = json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_710_000_000_000_i64,
        "resource_data": {"site_name": site},
        "data": {
            "id": id,
            "status": "PROCESSED",
            "note": filler,
            "items": [{"product_id": "P", "quantity": quantity}],
        },
    });
    body.to_string()
}

/// Text that compresses by a quarter at most.
fn filler() -> String {
    rand::rng().sample_iter(Alphanumeric).take(FILLER_BYTES).map(char::from).collect()
}

async fn post(ingress: &Server, body: String) {
    let client = reqwest::Client::new();
    eventually("the webhook is taken", async || {
        let request = client.post(ingress.webhooks()).header("content-type", "application/json");
        let answer = request.body(body.clone()).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

async fn committed(deployment: &Deployment, units: usize) {
    let committed = format!("\"committed\":\"{units}\"");
    eventually_or_told(DEADLINE, "the other shop's orders are counted", async || {
        let stock = deployment.run(&["stock", "list", "shop", "--format", "json"]);
        let is_counted = String::from_utf8_lossy(&stock.stdout).contains(&committed);
        is_counted.then_some(()).ok_or_else(|| format!("{stock:?}"))
    })
    .await;
}

/// How many dead letters are parked, and how many wait in the intake.
async fn letters(deployment: &Deployment) -> (usize, usize) {
    let store = deployment.store().await;
    let counts = store.dead_letter_counts().await.unwrap();
    store.close().await;
    let broker = deployment.broker().await;
    let depth = broker.depth().await.unwrap();
    broker.close().await;
    let parked = counts.iter().map(|(_, count)| *count).sum::<u64>();
    (usize::try_from(parked).unwrap(), usize::try_from(depth.dead_intake).unwrap())
}

/// Discards what is parked; answers with how many those were.
fn discard_all(deployment: &Deployment) -> usize {
    let said = deployment.run_well(&["dead-letters", "discard", "--all"]);
    said.trim().strip_prefix("discarded: ").unwrap_or("0").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_whose_large_webhooks_all_fail_leaves_room_for_the_others() {
    // What finds no room comes round every five seconds.
    let ladder = [("STOREKEEPER__RETRY__LADDER", "100ms,1s,5s")];
    let deployment = Deployment::start_with(&ladder).await;
    let memory = |size| deployment.tell_redis(&["CONFIG", "SET", "maxmemory", size]);
    memory("64mb");
    let ingress = deployment.role("ingress", "ingress").await;
    let _worker = deployment.role("worker", "worker").await;
    let _leader = deployment.role("leader", "leader").await;
    for number in 0..ORDERS {
        post(&ingress, order("shop", &format!("{number}"), &json!(1), "")).await;
        if number < LARGE {
            let id = format!("{number}");
            post(&ingress, order("large", &id, &json!("many"), &filler())).await;
        }
    }
    committed(&deployment, ORDERS).await;
    // A quarter of the memory is for dead letters, and half of that for one source. What a worker
    // has in hand is counted nowhere.
    let parked = eventually_or_told(DEADLINE, "most wait in the intake", async || {
        let (parked, intake) = letters(&deployment).await;
        let is_full = (5..=16).contains(&parked) && intake > LARGE / 2;
        is_full.then_some(parked).ok_or_else(|| format!("{parked} parked, {intake} in the intake"))
    })
    .await;
    // Full to the last byte, a discard is taken all the same.
    memory("1");
    let discarded = discard_all(&deployment);
    assert_eq!(discarded, parked);
    post(&ingress, order("shop", "last", &json!(1), "")).await;
    // With room for all, all of them are there.
    memory("1gb");
    eventually("the others are parked", async || {
        (letters(&deployment).await == (LARGE - discarded, 0)).then_some(())
    })
    .await;
    assert_eq!(discard_all(&deployment), LARGE - discarded);
    assert_eq!(letters(&deployment).await, (0, 0));
    committed(&deployment, ORDERS + 1).await;
    let audited = deployment.run(&["audit"]);
    assert_eq!(audited.status.code(), Some(0), "{audited:?}");
}

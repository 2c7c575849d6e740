//! The Store refuses one of the orders of a batch: nothing of that one is applied, all of the
//! others is, and the audit says which numbers are not right meanwhile.

use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};
use storekeeper::domain::MessageId;
use storekeeper::simulate::History;
use storekeeper::simulate::history::{Delivery, Kind};
use tokio::sync::watch;

use super::super::Deployment;
use super::super::surviving::{Processes, history, survives_on};
use crate::harness::eventually;
use crate::load::{post, post_all};

/// An order of one unit of A, and of so many of another item.
fn order(name: &str, item: &str, quantity: u32) -> Delivery {
    let body = json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_700_000_000_000_i64,
        "resource_data": {"site_name": "refused"},
        "data": {
            "id": name,
            "status": "PROCESSED",
            "items": [
                {"product_id": "A", "quantity": 1},
                {"product_id": item, "quantity": quantity},
            ],
        },
    });
    Delivery { body: body.to_string().into(), kind: Kind::OrderCreated, is_duplicate: false }
}

/// A history that ends with an order that will be refused, in the middle of good ones.
fn history_with(refused: Delivery) -> History {
    let mut history = history();
    history.deliveries.extend((1..=5).map(|number| order(&format!("before-{number}"), "B", 1)));
    history.deliveries.push(refused);
    history.deliveries.extend((1..=5).map(|number| order(&format!("after-{number}"), "B", 1)));
    history
}

fn committed(deployment: &Deployment, item: &str) -> Option<String> {
    let counts: Option<String> =
        deployment.ask(&["HGET", "sk:{refused}:stock", &format!("product:{item}")]);
    // Received, committed, fulfilled.
    Some(counts?.split(' ').nth(1)?.to_owned())
}

/// All is posted while nobody works, so that the orders meet in batches; then something is changed
/// in Redis, and a worker is started. Waits until it has done the good ones.
async fn work_off(deployment: &Deployment, processes: &mut Processes, change: &[&str]) {
    processes.stop_workers().await;
    processes.all_answered().await;
    deployment.tell_redis(change);
    processes.workers.push(deployment.role("worker", "worker-3").await);
    eventually("the good orders are counted", async || {
        committed(deployment, "A").filter(|units| units == "10000000")
    })
    .await;
}

fn audit(deployment: &Deployment) -> (Option<i32>, Vec<Value>, Output) {
    let audited = deployment.run(&["audit", "--site", "refused", "--format", "json"]);
    let lines = String::from_utf8_lossy(&audited.stdout);
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (audited.status.code(), lines, audited)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_of_another_type_stops_its_orders_alone_until_it_is_mended() {
    refused_for_its_type("an item of another type", "sk:{refused}:holds:product%3AC").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_another_type_is_stopped_alone_until_it_is_mended() {
    refused_for_its_type("an order of another type", "sk:{refused}:order:id:odd").await;
}

async fn refused_for_its_type(fault: &str, key: &str) {
    let ladder = [("STOREKEEPER__RETRY__LADDER", "200ms,500ms")];
    let deployment = Deployment::start_with(&ladder).await;
    let history = history_with(order("odd", "C", 1));
    survives_on(fault, &deployment, history, async |processes| {
        work_off(&deployment, processes, &["SET", key, "planted"]).await;
        let url = processes.console.console("/v1/queues");
        eventually("it is tried again and again", async || {
            let queues: Value = reqwest::get(&url).await.ok()?.json().await.ok()?;
            (queues["retry"]["ready"] == 1).then_some(())
        })
        .await;
        assert_eq!(
            committed(&deployment, "A").unwrap(),
            "10000000",
            "nothing of the refused order"
        );
        assert_eq!(committed(&deployment, "C"), None);
        let (code, lines, said) = audit(&deployment);
        assert_eq!((code, lines.len()), (Some(0), 1), "{said:?}");
        deployment.tell_redis(&["DEL", key]);
    })
    .await;
}

/// How many orders of the largest size there may be of an item.
const LARGEST: usize = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_passes_the_limit_of_a_total_is_a_dead_letter_alone() {
    const FULL: &str = "4000000000000000000";
    let deployment = Deployment::start().await;
    let ingress = deployment.role("ingress", "ingress").await;
    let (client, url) = (reqwest::Client::new(), ingress.webhooks());
    let mut worker = deployment.role("worker", "worker-1").await;
    let mut largest = history();
    let numbers = 1..=LARGEST;
    largest.deliveries =
        numbers.map(|number| order(&format!("largest-{number}"), "C", 1_000_000_000)).collect();
    post_all(&Arc::new(largest), url.clone(), watch::channel(0).0).await;
    eventually("the total is at its limit", async || {
        committed(&deployment, "C").filter(|units| units == FULL)
    })
    .await;
    worker.signal("TERM");
    worker.ended().await;
    let units = |good: usize| Some((good * 1_000_000).to_string());
    assert_eq!(committed(&deployment, "A"), units(LARGEST));
    // They meet in a batch, with the one that is refused in the middle.
    for number in 1..=5 {
        post(&client, &url, order(&format!("before-{number}"), "B", 1).body).await;
    }
    let refused = post(&client, &url, order("odd", "C", 1).body).await;
    for number in 1..=5 {
        post(&client, &url, order(&format!("after-{number}"), "B", 1).body).await;
    }
    let _worker = deployment.role("worker", "worker-2").await;
    eventually("the good orders are counted", async || {
        (committed(&deployment, "A") == units(LARGEST + 10)).then_some(())
    })
    .await;
    let store = deployment.store().await;
    let id = MessageId(refused.parse().unwrap());
    let letter = eventually("the refused one is a dead letter", async || {
        store.dead_letter(id).await.unwrap()
    })
    .await;
    assert_eq!(letter.rejection.code.as_str(), "stock.overflow");
    let counts = store.dead_letter_counts().await.unwrap();
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 1, "{counts:?}");
    assert_eq!(committed(&deployment, "A"), units(LARGEST + 10), "nothing of the refused order");
    assert_eq!(committed(&deployment, "C").unwrap(), FULL);
    assert_eq!(deployment.ask(&["EXISTS", "sk:{refused}:order:id:odd"]), Some(0));
    deployment.run_well(&["audit"]);
}

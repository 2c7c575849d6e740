//! The work queue of RabbitMQ is paused by a person, and the heartbeats of every role.

use std::time::Duration;

use serde_json::{Value, json};

use super::Deployment;
use crate::harness::{Server, eventually};

async fn get(console: &Server, path: &str) -> Value {
    reqwest::get(console.console(path)).await.unwrap().json().await.unwrap()
}

async fn post(ingress: &Server, order: u32) {
    let body = json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_700_000_000_000_i64,
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": order.to_string(),
            "status": "PROCESSED",
            "items": [{"product_id": "P", "quantity": 1}],
        },
    });
    let client = reqwest::Client::new();
    let answer = client.post(ingress.webhooks()).body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

async fn eventually_committed(console: &Server, units: u32) {
    let units = units.to_string();
    eventually(&format!("{units} units are committed"), async || {
        let item = get(console, "/v1/sites/shop/stock/product:P").await;
        (item["committed"] == units.as_str()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn workers_hand_back_what_they_have_not_begun_and_processes_say_what_they_do() {
    let deployment = Deployment::start().await;
    let ingress = deployment.role("ingress", "ingress").await;
    let console = deployment.role("console", "console").await;
    let one = deployment.role("worker", "worker-1").await;
    let _another = deployment.role("worker", "worker-2").await;
    let _leader = deployment.role("leader", "leader").await;
    post(&ingress, 0).await;
    eventually_committed(&console, 1).await;

    deployment.run_well(&["queues", "pause", "--reason", "deploy"]);
    let states = async || {
        let processes = get(&console, "/v1/processes").await["items"].take();
        let processes = processes.as_array().unwrap().clone();
        let of = |role: &str| {
            let of_role = processes.iter().filter(|process| process["role"] == role);
            of_role.map(|process| process["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        (of("worker"), of("leader"), of("ingress"))
    };
    eventually("both workers say that they are paused", async || {
        let (workers, leaders, _) = states().await;
        (workers == ["paused", "paused"] && leaders == ["serving"]).then_some(())
    })
    .await;
    for order in 1..=30 {
        post(&ingress, order).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let queues = get(&console, "/v1/queues").await;
    assert!(queues["work"]["ready"].as_u64().unwrap() >= 30, "{queues}");
    assert_eq!(get(&console, "/v1/sites/shop/stock/product:P").await["committed"], "1");

    deployment.run_well(&["queues", "resume"]);
    eventually_committed(&console, 31).await;
    // An ingress has no Store: its heartbeats come through the queue.
    eventually("the ingress was heard from", async || {
        (states().await.2 == ["serving"]).then_some(())
    })
    .await;
    eventually("the queue is empty, and no heartbeat became a dead letter", async || {
        let queues = get(&console, "/v1/queues").await;
        let waiting = ["/work/ready", "/work/in_flight", "/retry/ready", "/dead/intake"];
        waiting.iter().all(|path| queues.pointer(path).unwrap() == 0).then_some(())
    })
    .await;
    assert_eq!(get(&console, "/v1/queues").await["dead"]["parked"], 0);
    let mut ingress = ingress.into_process();
    ingress.signal("TERM");
    assert_eq!(ingress.ended().await.code(), Some(0), "{}", ingress.log());
    eventually("the ingress said that it stopped", async || {
        (states().await.2 == ["stopped"]).then_some(())
    })
    .await;
    let standing = get(&console, "/v1/status").await;
    assert_eq!(standing["webhooks"]["accepted"].as_u64(), Some(31), "{standing}");
    assert!(!one.log().contains("ERROR"), "{}", one.log());
}

//! A body that kills whichever worker takes it, each time, among a load of good orders.

use serde_json::Value;

use super::super::surviving::survives_with;
use crate::harness::{Process, eventually};

const KILLER: &str = r#"{
    "event_type": "ECOMM_ORDER_CREATED",
    "event_timestamp": 1700000000000,
    "resource_data": {"site_name": "killers"},
    "data": {"id": "the killer", "items": [{"product_id": "P", "quantity": 1}]}
}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_kills_each_worker_becomes_a_dead_letter_alone() {
    let limit = [("STOREKEEPER__WORKER__DELIVERY_LIMIT", "20")];
    survives_with("a body that kills each worker", &limit, async |deployment, processes| {
        processes.stop_workers().await;
        // A new leader puts the whole journal of a new installation into the queue again, which may
        // bring the killer after it was discarded.
        drop(processes.leader.take());
        let client = reqwest::Client::new();
        let answer = client.post(processes.ingress.webhooks()).body(KILLER).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let start = |number: usize| {
            let fault = ("STOREKEEPER_TEST_FAULT", "worker.taken:the killer");
            deployment.launch("worker", &format!("mortal-{number}"), &[fault])
        };
        let mut workers: Vec<Process> = vec![start(0), start(1)];
        let mut deaths = 0;
        let letter = eventually("the killer is parked", async || {
            for worker in &mut workers {
                if worker.has_ended().is_some() {
                    deaths += 1;
                    *worker = start(deaths + 1);
                }
            }
            let url = processes.console.console("/v1/dead-letters?reason=poison.delivery_limit");
            let letters: Value = reqwest::get(url).await.ok()?.json().await.ok()?;
            letters["items"].as_array()?.first().cloned()
        })
        .await;
        assert!(deaths >= 10, "{deaths} workers died of it");
        let id = letter["id"].as_str().unwrap();
        let shown = deployment.run_well(&["dead-letters", "show", id, "--format", "json"]);
        assert!(shown.contains("the killer"), "{shown}");
        // The others are those of the history, which are counted in the end.
        deployment.run_well(&["dead-letters", "discard", id]);
        // One of them may have died of it after it was looked at.
        drop(workers);
        for name in ["immortal-1", "immortal-2"] {
            processes.workers.push(deployment.role("worker", name).await);
        }
    })
    .await;
}

//! What may happen to workers while webhooks come in.

use std::os::unix::process::ExitStatusExt;

use serde_json::json;
use storekeeper::broker::QueueDepth;
use storekeeper::domain::{Site, StockKey};
use storekeeper::simulate::History;
use storekeeper::simulate::history::{Delivery, Kind};
use storekeeper::store::{PageRequest, Store};

use super::super::Deployment;
use super::super::changes_out::order;
use super::super::surviving::{history, survives, survives_on};
use crate::harness::{Process, Server, eventually, is_long};

/// What a process that ended itself by `abort` died of.
const SIGABRT: i32 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_and_replaced() {
    survives("a worker killed and replaced", async |deployment, processes| {
        processes.workers.remove(0).kill();
        processes.workers.push(deployment.role("worker", "worker-3").await);
    })
    .await;
}

/// Starts a worker that dies after so many commits.
fn mortal(deployment: &Deployment, name: &str, commits: usize) -> Process {
    let fault = format!("worker.committed:{commits}");
    deployment.launch("worker", name, &[("STOREKEEPER_TEST_FAULT", &fault)])
}

/// Waits until it has died where it should. A release build has no such place, so there nothing of
/// this can be tested, and this fails.
async fn dies(mut worker: Process) {
    let status = worker.ended().await;
    assert_eq!(status.signal(), Some(SIGABRT), "{status}\n{}", worker.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_between_commit_and_acknowledgement() {
    let fault = "a worker that dies between commit and acknowledgement";
    survives(fault, async |deployment, processes| {
        processes.stop_workers().await;
        for (number, commits) in [1, 7, 3].into_iter().enumerate() {
            dies(mortal(deployment, &format!("mortal-{number}"), commits)).await;
        }
        processes.workers.push(deployment.role("worker", "worker-3").await);
    })
    .await;
}

/// What such a worker had committed comes again, and all of it is found to be a duplicate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_and_not_acknowledged_comes_again() {
    const ORDERS: usize = 60;
    let batches = [("STOREKEEPER__WORKER__BATCH_MAX", "8")];
    let deployment = Deployment::start_with(&batches).await;
    let ingress = deployment.role("ingress", "ingress").await;
    for number in 0..ORDERS {
        order(&ingress, "shop", number).await;
    }
    let broker = deployment.broker().await;
    dies(mortal(&deployment, "mortal", 3)).await;
    let waiting = eventually("what it had is in the queue again", async || {
        Some(broker.depth().await.ok()?.work_ready).filter(|ready| *ready > 0)
    })
    .await;
    let store = deployment.store().await;
    let committed = committed(&*store).await;
    let again = committed + waiting - ORDERS as u64;
    assert!(again > 0, "{committed} were committed, and {waiting} came again");
    let worker = deployment.role("worker", "worker").await;
    eventually("all is worked off", async || (settled(&worker, "").await == waiting).then_some(()))
        .await;
    assert_eq!(settled(&worker, "outcome=\"duplicate\"").await, again);
    assert_eq!(self::committed(&*store).await, ORDERS as u64);
    assert_eq!(store.dead_letter_counts().await.unwrap(), []);
    deployment.run_well(&["audit"]);
}

/// The variable does nothing to who is not built for tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_build_for_tests_has_places_to_die_at() {
    let deployment = Deployment::start().await;
    let ingress = deployment.role("ingress", "ingress").await;
    let mut worker = mortal(&deployment, "mortal", 1);
    order(&ingress, "shop", 1).await;
    let store = deployment.store().await;
    eventually("the order is counted", async || (committed(&*store).await == 1).then_some(()))
        .await;
    if cfg!(debug_assertions) {
        dies(worker).await;
    } else {
        let broker = deployment.broker().await;
        eventually("it is acknowledged", async || {
            (broker.depth().await.ok()? == QueueDepth::default()).then_some(())
        })
        .await;
        assert_eq!(worker.has_ended(), None);
    }
}

/// How many units are committed of the one item.
async fn committed(store: &dyn Store) -> u64 {
    let (site, key) = (Site::parse("shop").unwrap(), StockKey::parse("product:a.b").unwrap());
    let item = store.stock_item(&site, &key, &PageRequest::first(1)).await.unwrap();
    item.map_or(0, |item| item.item.counts.committed.to_string().parse().unwrap())
}

/// How many deliveries a worker has settled, of those whose labels have this text.
async fn settled(worker: &Server, labels: &str) -> u64 {
    count(worker, "storekeeper_events_settled_total", labels).await
}

async fn count(worker: &Server, metric: &str, labels: &str) -> u64 {
    let url = format!("http://{}/metrics", worker.addresses.probes);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(metric) && line.contains(labels));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

/// Every body says something else of one of two orders.
fn history_of_two_orders() -> History {
    let bodies = if is_long() { 4_000 } else { 800 };
    let delivery = |number: i64| {
        let body = json!({
            "event_type": "ECOMM_ORDER_UPDATED",
            "event_timestamp": 1_700_000_000_000 + number,
            "resource_data": {"site_name": "shop"},
            "data": {
                "id": (number % 2).to_string(),
                "status": "PROCESSED",
                "items": [{"product_id": "P", "quantity": 1 + number * 7 % 50}],
            },
        });
        Delivery { body: body.to_string().into(), kind: Kind::OrderUpdated, is_duplicate: false }
    };
    let mut history = history();
    history.deliveries = (0..bodies).map(delivery).collect();
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_fight_for_one_order() {
    let deployment = Deployment::start_with(&[("STOREKEEPER__WORKER__BATCH_MAX", "4")]).await;
    let fault = "two workers fight for two orders";
    survives_on(fault, &deployment, history_of_two_orders(), async |processes| {
        processes.all_answered().await;
        // The one number may be right by chance before the last body is worked off.
        let all = u64::try_from(processes.all).unwrap();
        eventually("all is worked off", async || {
            let mut done = 0;
            for worker in &processes.workers {
                done += settled(worker, "").await;
            }
            (done >= all).then_some(())
        })
        .await;
        let mut conflicts = 0;
        for worker in &processes.workers {
            assert!(settled(worker, "").await > 0, "one worker did all");
            conflicts += count(worker, "storekeeper_commit_conflicts_total", "").await;
        }
        assert!(conflicts > 0, "nobody was in the way of anybody");
    })
    .await;
    assert_eq!(deployment.store().await.dead_letter_counts().await.unwrap(), []);
}

//! How much memory a worker takes: no more than deployments give it, under a limit that the system
//! enforces, while all that waits for it is large and most of it cannot be read.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{StreamExt, stream};
use rand::RngExt;
use serde_json::{Value, json};
use storekeeper::broker::QueueDepth;

use super::Deployment;
use crate::harness::{MIB, eventually_or_told, is_long, memory_limit, peak_memory, tell, webhook};

/// A little less than the largest body that an ingress takes.
const LARGE: usize = 1020 * 1024;
const LINES: usize = 600;

/// Bodies of each kind: what cannot be read of them is less than one source may have parked.
fn bodies_of_a_kind() -> usize {
    if is_long() { 150 } else { 40 }
}

/// The memory limit of the worker's container in bytes: the smaller one of both manifests.
fn limit() -> u64 {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let text = |path: &str| fs::read_to_string(deploy.join(path)).unwrap();
    let compose = text("compose.yaml");
    let service = compose.split("\n  worker:").nth(1).unwrap().split("\n  leader:").next().unwrap();
    let manifest = text("kubernetes/base/worker-deployment.yaml");
    memory_limit(service).min(memory_limit(&manifest))
}

/// Bodies that take much more memory than they are long, if all that is made of them is kept.
fn bodies() -> [String; 4] {
    let template = fs::read_to_string("fixtures/webhooks/order_created.json").unwrap();
    let mut order: Value = serde_json::from_str(&template).unwrap();
    let line = order["data"]["items"][0].clone();
    order["data"]["items"] = (0..LINES)
        .map(|number| {
            let mut line = line.clone();
            line["id"] = json!(format!("line-{number}"));
            line["product_id"] = json!(format!("product-{number}"));
            line["metadata"] = json!({ "note": "n".repeat(1000) });
            line
        })
        .collect();
    let mut random = vec![0; LARGE / 4 * 3 - 8];
    rand::rng().fill(&mut random[..]);
    [
        format!(r#"{{"event_type":"{}"}}"#, r"\u0041".repeat(LARGE / 6)),
        "[".repeat(LARGE),
        BASE64_STANDARD.encode(random),
        order.to_string(),
    ]
}

/// The same with another order id, or beginning at another place.
fn another(body: &str, number: usize) -> Vec<u8> {
    if body.starts_with(r#"{"data""#) {
        return body.replace("5b0d7e12-93c4-4f6a", &format!("5b0d7e12-93c4-{number:04}")).into();
    }
    let mut bytes = body.as_bytes().to_vec();
    if !body.starts_with(['{', '[']) {
        bytes.rotate_left(number * 64);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_takes_no_more_memory_than_deployments_give_it() {
    let deployment = Deployment::start().await;
    let broker = deployment.broker().await;
    let kinds = bodies();
    let all = (0..bodies_of_a_kind())
        .flat_map(|number| kinds.iter().map(move |body| another(body, number)).collect::<Vec<_>>());
    stream::iter(all)
        .for_each_concurrent(4, async |body| broker.publish(webhook(body)).await.unwrap())
        .await;

    let limit = limit();
    // Beyond that the system gives it no more, and it ends.
    let words = ["prlimit".to_owned(), format!("--data={limit}")];
    let worker = deployment.role_under(&words, "worker").await;
    let parked = async || {
        let store = deployment.store().await;
        store.dead_letter_groups().await.unwrap().iter().map(|group| group.letters).sum::<u64>()
    };
    let bad = 3 * bodies_of_a_kind() as u64;
    eventually_or_told(Duration::from_mins(5), "all is settled", async || {
        let (depth, parked) = (broker.depth().await.unwrap(), parked().await);
        let is_settled = depth == QueueDepth::default() && parked == bad;
        is_settled.then_some(()).ok_or_else(|| format!("{depth:?}, {parked} of {bad} parked"))
    })
    .await;

    let [peak, limit] = [peak_memory(&worker), limit].map(|bytes| bytes / MIB);
    tell(&format!("a worker took {peak} MiB of {limit} MiB that it may take"));
    assert!(peak <= limit * 4 / 5, "{peak} MiB of {limit}");
}

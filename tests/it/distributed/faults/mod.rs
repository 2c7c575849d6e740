//! One thing that goes wrong while webhooks come in, and what becomes of them.

mod poison;
mod rabbitmq;
mod redis;
mod refused;
mod restored;
mod workers;

use super::Deployment;
use crate::harness::eventually;

/// Goods come in, and are counted.
fn receive(deployment: &Deployment) {
    deployment.run_well(&["stock", "receive", "shop", "sku:A", "5", "--reference", "PO-1"]);
}

fn received(deployment: &Deployment) -> Option<String> {
    deployment.ask(&["HGET", "sk:{shop}:stock", "sku:A|received"])
}

async fn eventually_received(deployment: &Deployment) {
    eventually("the goods are counted", async || {
        received(deployment).filter(|received| received == "5000000")
    })
    .await;
}

//! One thing that goes wrong while webhooks come in, and what becomes of them.

mod poison;
mod rabbitmq;
mod redis;
mod refused;
mod restored;
mod workers;

use super::Deployment;
use super::deployment::Surroundings;
use crate::harness::eventually;

/// Goods come in, and are counted.
pub(super) fn receive(deployment: &Surroundings) {
    let goods = ["stock", "receive", "shop", "sku:A", "5", "--reference", "PO-1", "--create"];
    deployment.run_well(&goods);
}

/// What Redis keeps of the item once they are counted: received, committed, fulfilled.
pub(super) const COUNTED: &str = "5000000 0 0";

fn received(deployment: &Deployment) -> Option<String> {
    deployment.ask(&["HGET", "sk:{shop}:stock", "sku:A"])
}

async fn eventually_received(deployment: &Deployment) {
    eventually("the goods are counted", async || {
        received(deployment).filter(|received| received == COUNTED)
    })
    .await;
}

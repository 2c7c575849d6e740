//! What may happen to Redis while webhooks come in.

use super::super::surviving::{still, survives};
use super::{eventually_received, receive};
use crate::harness::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_started_again_with_its_file() {
    survives("redis killed and started again with its file", async |deployment, _| {
        deployment.redis.kill();
        deployment.redis.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_frozen() {
    survives("redis frozen", async |deployment, _| {
        deployment.redis.freeze();
        tokio::time::sleep(still()).await;
        deployment.redis.thaw();
    })
    .await;
}

/// A backup is older than what was answered; nobody is told to do anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_restored_from_a_backup_heals_by_itself() {
    survives("redis restored from a backup heals by itself", async |deployment, _| {
        // Without this the backup would be of a Store that begins.
        eventually("all is noted to be well", async || {
            let names: Option<String> = deployment.ask(&["HGET", "sk:history", "names"]);
            names.filter(|names| !names.is_empty())
        })
        .await;
        let epoch: String = deployment.ask(&["GET", "sk:epoch"]).unwrap();
        let backup = deployment.redis.back_up();
        receive(deployment);
        eventually_received(deployment).await;
        deployment.redis.kill();
        deployment.redis.restore(&backup);
        deployment.redis.start_again();
        eventually("the feeds begin anew", async || {
            deployment.ask(&["GET", "sk:epoch"]).filter(|now: &String| *now != epoch)
        })
        .await;
        eventually_received(deployment).await;
    })
    .await;
}

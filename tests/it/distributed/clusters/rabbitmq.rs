//! A RabbitMQ of three nodes.

use tokio::time::Instant;

use super::super::deployment::Surroundings;
use super::super::surviving::{history, survives_on};
use crate::harness::tell;
use crate::load::eventually_settled;
use crate::servers::{RabbitMqCluster, RedisServer};

/// Two nodes have all that was confirmed, and go on; so nobody waits for the third one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_that_leads_the_work_queue_is_killed() {
    let rabbitmq = RabbitMqCluster::start().await;
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let surroundings = Surroundings::new(rabbitmq.url(), redis.url(), &[]);
    surroundings.run_well(&["topology", "declare"]);
    let leader = rabbitmq.leader_of("storekeeper.work").await;
    let fault = "the node that leads the work queue killed, of three";
    survives_on(fault, &surroundings, history(), async |processes| {
        let killed_at = Instant::now();
        leader.kill().await;
        processes.answered_again().await;
        tell(&format!("{fault}: webhooks are answered again after {:.1?}", killed_at.elapsed()));
        processes.all_answered().await;
        eventually_settled(&processes.console).await;
        // It is the first to be asked for the journal, and may not have its copy yet.
        rabbitmq.start_again(leader).await;
    })
    .await;
    // What one node does not have is read from another.
    rabbitmq.remove_copy("storekeeper.journal", leader).await;
    let broker = surroundings.broker().await;
    let page = broker.journal(None, 100).await.unwrap();
    assert_eq!(page.len(), 100);
    let rest = broker.journal(page.last().map(|record| record.position), 100).await.unwrap();
    assert_eq!(rest.len(), 100, "a reader goes on where it ended");
}

//! Long outages, in which more than one thing goes wrong.

use super::faults::survives;
use crate::harness::eventually;

/// RabbitMQ counts what a lost channel held; the orders have done nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_channels_lost_again_and_again_while_redis_is_away() {
    survives(async |deployment, processes| {
        deployment.redis.freeze();
        let enough = *processes.answered.borrow() + 600;
        // An error means that all are answered.
        processes.answered.wait_for(|count| *count >= enough).await.ok();
        let answered = *processes.answered.borrow();
        assert!(answered >= 600, "{answered}");
        let broker = deployment.broker().await;
        for _ in 0..4 {
            let before = broker.reconnects();
            deployment.rabbitmq.control(&["close_all_connections", "on purpose"]).await;
            eventually("connections are back", async || {
                let is_back = broker.reconnects() >= before + 2;
                (is_back && broker.depth().await.is_ok()).then_some(())
            })
            .await;
        }
        broker.close().await;
        deployment.redis.thaw();
    })
    .await;
}

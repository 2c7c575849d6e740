//! What may happen to RabbitMQ while webhooks come in.

use lapin::types::FieldTable;

use super::super::surviving::{still, survives};
use crate::harness::{Server, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_killed_and_started_again() {
    survives("rabbitmq killed and started again", async |deployment, _| {
        deployment.rabbitmq.kill().await;
        deployment.rabbitmq.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_closed_by_rabbitmq() {
    survives("every connection closed by rabbitmq", async |deployment, _| {
        deployment.rabbitmq.control(&["close_all_connections", "on purpose"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_frozen() {
    survives("rabbitmq frozen", async |deployment, _| {
        deployment.rabbitmq.freeze().await;
        tokio::time::sleep(still()).await;
        deployment.rabbitmq.thaw();
    })
    .await;
}

/// Webhooks are answered 503 while memory is short, and all the same none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_without_memory() {
    survives("rabbitmq without memory", async |deployment, processes| {
        let watermark = async |part| {
            deployment.rabbitmq.control(&["set_vm_memory_high_watermark", part]).await;
        };
        watermark("0.0001").await;
        eventually("webhooks are refused for now", async || {
            (refusal(&processes.ingress).await? == "broker.blocked").then_some(())
        })
        .await;
        watermark("0.8").await;
    })
    .await;
}

/// The code of the problem that a webhook is answered with, if it is one.
async fn refusal(ingress: &Server) -> Option<String> {
    let client = reqwest::Client::new();
    // One that is taken all the same changes nothing.
    let ignored = r#"{"event_type":"OF_NOTHING","resource_data":{"site_name":"shop"}}"#;
    let answer = client.post(ingress.webhooks()).body(ignored).send().await.ok()?;
    let answer: serde_json::Value = answer.json().await.ok()?;
    answer["code"].as_str().map(str::to_owned)
}

/// Nothing that is published meanwhile is lost: so there is nothing to replay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_work_queue_unbound() {
    survives("the work queue unbound", async |deployment, processes| {
        let connection = deployment.rabbitmq.connection().await;
        let channel = connection.create_channel().await.unwrap();
        eventually("the ingress is not ready", async || {
            for exchange in ["storekeeper.events", "storekeeper.again"] {
                let (queue, key) = ("storekeeper.work".into(), "work".into());
                let none = FieldTable::default();
                channel.queue_unbind(queue, exchange.into(), key, none).await.unwrap();
            }
            let probe = format!("http://{}/readyz", processes.ingress.addresses.probes);
            (reqwest::get(&probe).await.ok()?.status() == 503).then_some(())
        })
        .await;
        eventually_taken(&processes.ingress).await;
    })
    .await;
}

/// What a lost queue had is in the journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_work_queue_deleted_and_the_gap_replayed() {
    survives("the work queue deleted and the gap replayed", async |deployment, processes| {
        deployment.rabbitmq.control(&["delete_queue", "storekeeper.work"]).await;
        eventually("the ingress has declared it again", async || {
            deployment.broker().await.check().await.ok()
        })
        .await;
        eventually_taken(&processes.ingress).await;
        let replayed = deployment.run(&["journal", "replay"]);
        assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
    })
    .await;
}

/// Waits until the ingress is ready.
async fn eventually_taken(ingress: &Server) {
    let url = format!("http://{}/readyz", ingress.addresses.probes);
    eventually("the ingress is ready", async || {
        let answer = reqwest::get(&url).await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

//! What may happen to RabbitMQ, Redis and the workers while webhooks come in.
//!
//! Goal: every body that was answered 200 is accounted for, the stock equals the model, and the
//! audit finds nothing. Method: a history is posted by clients that send a body again until it is
//! answered; when a third of it is, something happens.

use std::sync::Arc;
use std::time::Duration;

use lapin::types::FieldTable;
use storekeeper::simulate::{History, HistoryOptions};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Deployment;
use crate::harness::{Server, eventually, is_long, seed};
use crate::load::{
    all_accounted_for, eventually_settled, post_all, stock_becomes_that_of_the_model,
    stock_equals_the_model,
};

/// The processes that a fault may happen to.
pub(super) struct Processes {
    workers: Vec<Server>,
    ingress: Server,
    console: Server,
    /// How many webhooks were answered.
    pub(super) answered: watch::Receiver<usize>,
}

/// Posts a history, lets `happen` while it is posted, and checks what has become of it all.
pub(super) async fn survives(happen: impl AsyncFnOnce(&Deployment, &mut Processes)) {
    let orders = if is_long() { 2_000 } else { 250 };
    let options = HistoryOptions { seed: seed(), orders, duplicates_per_mille: 200 };
    let history = Arc::new(History::write(options));
    let deployment = Deployment::start().await;
    let (answered, mut count) = watch::channel(0);
    let mut processes = Processes {
        answered: count.clone(),
        ingress: deployment.role("ingress", "ingress").await,
        console: deployment.role("console", "console").await,
        workers: vec![
            deployment.role("worker", "worker-1").await,
            deployment.role("worker", "worker-2").await,
        ],
    };
    let posting = post_all(&history, processes.ingress.webhooks(), answered);
    let happening = async {
        let enough = history.deliveries.len() / 3;
        count.wait_for(|count| *count >= enough).await.unwrap();
        happen(&deployment, &mut processes).await;
        Instant::now()
    };
    let (ids, over) = tokio::join!(posting, happening);
    eventually_settled(&processes.console).await;
    let (broker, store) = (deployment.broker().await, deployment.store().await);
    stock_becomes_that_of_the_model(&*store, &history).await;
    report(over.elapsed());
    all_accounted_for(&*broker, &ids).await;
    stock_equals_the_model(&*store, &history, &ids).await;
    broker.close().await;
    store.close().await;
}

#[expect(clippy::print_stderr, reason = "how long it took is for whoever runs the tests")]
fn report(took: Duration) {
    eprintln!("everything was worked off {} ms later", took.as_millis());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_killed_and_started_again() {
    survives(async |deployment, _| {
        deployment.rabbitmq.kill().await;
        deployment.rabbitmq.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_started_again_with_its_file() {
    survives(async |deployment, _| {
        deployment.redis.kill();
        deployment.redis.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_and_replaced() {
    survives(async |deployment, processes| {
        processes.workers.remove(0).kill();
        processes.workers.push(deployment.role("worker", "worker-3").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_closed_by_rabbitmq() {
    survives(async |deployment, _| {
        deployment.rabbitmq.control(&["close_all_connections", "on purpose"]).await;
    })
    .await;
}

/// How long a server stands still.
pub(super) fn still() -> Duration {
    if is_long() { Duration::from_secs(30) } else { Duration::from_secs(5) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_frozen() {
    survives(async |deployment, _| {
        deployment.rabbitmq.freeze().await;
        tokio::time::sleep(still()).await;
        deployment.rabbitmq.thaw();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_frozen() {
    survives(async |deployment, _| {
        deployment.redis.freeze();
        tokio::time::sleep(still()).await;
        deployment.redis.thaw();
    })
    .await;
}

/// Webhooks are answered 503 while memory is short, and all the same none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_without_memory() {
    survives(async |deployment, processes| {
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
    survives(async |deployment, processes| {
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
    survives(async |deployment, processes| {
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

/// All of the state is lost, receipts too; the journal has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_replaced_by_an_empty_one_and_rebuilt() {
    survives(async |deployment, _| {
        let empty = || redis::cmd("FLUSHALL").exec(&mut deployment.redis.connection()).unwrap();
        let receive = ["stock", "receive", "shop", "sku:A", "5", "--reference", "PO-1"];
        let received = deployment.run(&receive);
        assert_eq!(received.status.code(), Some(0), "{received:?}");
        empty();
        let replayed = deployment.run(&["journal", "replay"]);
        assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
        eventually("the goods are counted again", async || {
            let shown = deployment.run(&["stock", "show", "shop", "sku:A", "--format", "json"]);
            let item: serde_json::Value = serde_json::from_slice(&shown.stdout).ok()?;
            (item["received"] == "5").then_some(())
        })
        .await;
    })
    .await;
}

/// A backup is older than what was answered; nobody is told to do anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_restored_from_a_backup_heals_by_itself() {
    survives(async |deployment, _| {
        // Without this the backup would be of a Store that begins.
        eventually("all is noted to be well", async || {
            let names: Option<String> = ask(deployment, &["HGET", "sk:history", "names"]);
            names.filter(|names| !names.is_empty())
        })
        .await;
        let epoch: String = ask(deployment, &["GET", "sk:epoch"]).unwrap();
        let backup = deployment.redis.back_up();
        let keys: u64 = ask(deployment, &["DBSIZE"]).unwrap();
        eventually("more is counted than the backup has", async || {
            ask(deployment, &["DBSIZE"]).filter(|now: &u64| *now > keys + 100)
        })
        .await;
        deployment.redis.kill();
        deployment.redis.restore(&backup);
        deployment.redis.start_again();
        eventually("the feeds begin anew", async || {
            ask(deployment, &["GET", "sk:epoch"]).filter(|now: &String| *now != epoch)
        })
        .await;
    })
    .await;
}

/// What Redis answers, if it does.
fn ask<T: redis::FromRedisValue>(deployment: &Deployment, command: &[&str]) -> Option<T> {
    let mut connection = deployment.redis.connection();
    redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).ok()
}

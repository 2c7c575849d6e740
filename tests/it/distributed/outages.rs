//! Long outages, in which more than one thing goes wrong.

use std::time::Duration;

use storekeeper::broker::QueueDepth;
use storekeeper::domain::{Site, StockKey};
use storekeeper::store::PageRequest;
use tokio::time::{Instant, sleep_until};

use super::Deployment;
use super::changes_out::order;
use super::surviving::{still, survives, survives_with};
use crate::harness::{Process, Server, eventually};

/// RabbitMQ counts what a lost channel held; the orders have done nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_channels_lost_again_and_again_while_redis_is_away() {
    survives(
        "all channels lost again and again while redis is away",
        async |deployment, processes| {
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
            // What is handed over in vain would come again, and again.
            tokio::time::sleep(still()).await;
            deployment.redis.thaw();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_handed_back_before_rabbitmq_takes_it_away() {
    const ORDERS: usize = 40;
    let unacked_max_age = ("STOREKEEPER__WORKER__UNACKED_MAX_AGE", "1s");
    let deployment = Deployment::start_with(&[unacked_max_age]).await;
    // RabbitMQ takes away what is held for five seconds, and looks every second.
    for (setting, ms) in [("consumer_timeout", 5000), ("channel_tick_interval", 1000)] {
        let set = format!("application:set_env(rabbit, {setting}, {ms}).");
        deployment.rabbitmq.control(&["eval", &set]).await;
    }
    let patience = Duration::from_secs(10);
    let ingress = deployment.role("ingress", "ingress").await;
    let worker = deployment.role("worker", "worker").await;
    order(&ingress, "shop", ORDERS).await;
    let broker = deployment.broker().await;
    let is_empty = async || (broker.depth().await.ok()? == QueueDepth::default()).then_some(());
    let store = deployment.store().await;
    let (site, key) = (Site::parse("shop").unwrap(), StockKey::parse("product:a.b").unwrap());
    // What the worker has in hand shows in no queue.
    let committed = async |units: usize| {
        let item = store.stock_item(&site, &key, &PageRequest::first(1)).await.ok()??;
        (item.item.counts.committed.to_string() == units.to_string()).then_some(())
    };
    eventually("the worker works", async || committed(1).await).await;
    eventually("it has settled that", is_empty).await;
    deployment.redis.freeze();
    let frozen_at = Instant::now();
    for number in 0..ORDERS {
        order(&ingress, "shop", number).await;
    }
    eventually("all is handed back", async || {
        (broker.depth().await.ok()?.work_ready == ORDERS as u64).then_some(())
    })
    .await;
    sleep_until(frozen_at + patience).await;
    let depth = broker.depth().await.unwrap();
    assert_eq!(depth.work_ready, ORDERS as u64, "and not taken again");
    deployment.redis.thaw();
    eventually("the worker works", async || committed(ORDERS + 1).await).await;
    eventually("nothing waits", is_empty).await;
    assert_eq!(store.dead_letter_counts().await.unwrap(), []);
    let said = deployment.rabbitmq.log();
    assert!(!said.contains("timed out waiting"), "{said}");
    drop(worker);
}

/// Workers are killed and stopped again and again, and not one good order becomes a dead letter.
/// The ingress takes webhooks all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_away_for_long_while_workers_are_restarted() {
    const ROUNDS: usize = 5;
    let settings = [
        ("STOREKEEPER__WORKER__DELIVERY_LIMIT", "20"),
        ("STOREKEEPER__WORKER__DRAIN_TIMEOUT", "1s"),
    ];
    let fault = "redis away for long while workers are restarted";
    survives_with(fault, &settings, async |deployment, processes| {
        deployment.redis.freeze();
        let mut workers: Vec<Process> = Vec::new();
        for round in 0..ROUNDS {
            if round == 2 {
                deployment.redis.kill();
            }
            taken(&processes.ingress).await;
            let running = std::mem::take(&mut processes.workers).into_iter();
            let running = running.map(Server::into_process).chain(workers);
            for (signal, mut worker) in
                ["KILL", "TERM"].into_iter().cycle().skip(round).zip(running)
            {
                worker.signal(signal);
                worker.ended().await;
            }
            workers = ["a", "b"]
                .map(|name| deployment.launch("worker", &format!("worker-{round}-{name}"), &[]))
                .into();
            eventually("they wait for Redis", async || {
                let waits = |worker: &Process| worker.log().contains("the worker does not consume");
                workers.iter().all(waits).then_some(())
            })
            .await;
        }
        taken(&processes.ingress).await;
        let refused = refused(&processes.ingress).await;
        assert_eq!(refused, Vec::<String>::new(), "all webhooks are taken");
        deployment.redis.start_again();
        for worker in workers {
            processes.workers.push(worker.ready().await);
        }
    })
    .await;
}

/// A webhook is answered 200, at once.
async fn taken(ingress: &Server) {
    let ignored = r#"{"event_type":"OF_NOTHING","resource_data":{"site_name":"shop"}}"#;
    let client = reqwest::Client::new();
    let answer = client.post(ingress.webhooks()).body(ignored).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// What the ingress counts of answers that were not 200.
async fn refused(ingress: &Server) -> Vec<String> {
    let url = format!("http://{}/metrics", ingress.addresses.probes);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let answers =
        text.lines().filter(|line| line.starts_with("storekeeper_webhooks_received_total{"));
    let answers: Vec<_> = answers.map(str::to_owned).collect();
    assert!(!answers.is_empty(), "{text}");
    let is_refused =
        |line: &String| !line.contains("200") && !line.contains("ok") && !line.ends_with(" 0");
    answers.into_iter().filter(is_refused).collect()
}

//! Workers and the ingress, told to stop under full load and replaced, again and again.
//!
//! Goal and method are those of [`drain`](crate::drain): each ends in time and with all settled,
//! nothing is lost and nothing is counted twice. One more worker consumes beside the one that goes.

use tokio::sync::watch;

use super::Deployment;
use crate::drain::{Drains, drain_count, long_history};
use crate::harness::{free_port, seed};
use crate::load::{
    all_accounted_for, eventually_settled, post_all, stock_becomes_that_of_the_model,
    stock_equals_the_model,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_that_are_told_to_stop_under_load_end_in_time_and_lose_nothing() {
    let history = long_history(seed());
    // The one that replaces an ingress is where that was.
    let place = format!("127.0.0.1:{}", free_port());
    let deployment = Deployment::start_with(&[("STOREKEEPER__INGRESS__LISTEN", &place)]).await;
    let console = deployment.role("console", "console").await;
    let mut ingress = deployment.role("ingress", "ingress").await;
    let mut workers = vec![
        deployment.role("worker", "worker-a").await,
        deployment.role("worker", "worker-b").await,
    ];
    let (answered, mut count) = watch::channel(0);
    let posting = post_all(&history, ingress.webhooks(), answered);
    let (mut of_workers, mut of_ingresses) = (Drains::default(), Drains::default());
    let draining = async {
        let step = history.deliveries.len() / (drain_count() as usize + 1);
        for drain in 1..=drain_count() as usize {
            count.wait_for(|count| *count >= drain * step).await.unwrap();
            of_workers.drain(workers.remove(0)).await;
            workers.push(deployment.role("worker", &format!("worker-{drain}")).await);
            of_ingresses.drain(ingress).await;
            ingress = deployment.role("ingress", "ingress").await;
        }
        ingress
    };
    let (ids, ingress) = tokio::join!(posting, draining);
    eventually_settled(&console).await;
    let (broker, store) = (deployment.broker().await, deployment.store().await);
    stock_becomes_that_of_the_model(&*store, &history).await;
    of_ingresses.drain(ingress).await;
    for worker in workers {
        of_workers.drain(worker).await;
    }
    of_workers.report("workers");
    of_ingresses.report("ingresses");
    all_accounted_for(&*broker, &ids).await;
    stock_equals_the_model(&*store, &history, &ids).await;
    broker.close().await;
    store.close().await;
}

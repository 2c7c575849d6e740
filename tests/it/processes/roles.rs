//! One role a process: each goes on without the others, and each may die.

use super::{eventually_committed, eventually_in_flight, get, lock_store, post, readiness};
use crate::harness::{Server, eventually};

#[tokio::test]
async fn an_ingress_publishes_while_no_worker_runs_and_the_worker_catches_up() {
    let directory = tempfile::tempdir().unwrap();
    let ingress = Server::start_as("ingress", directory.path(), &[]).await;
    assert_eq!(ingress.addresses.console, None);
    assert_eq!(readiness(&ingress).await, 200);
    for order in 0..20 {
        post(&ingress, &format!("early-{order}")).await;
    }
    assert!(!directory.path().join("data/store.db").exists(), "an ingress needs no state");

    let console = Server::start_as("console", directory.path(), &[]).await;
    assert_eq!(console.addresses.ingress, None);
    assert_eq!(get(console.console("/v1/queues")).await["work"]["ready"], 20);
    let worker = Server::start_as("worker", directory.path(), &[]).await;
    assert_eq!((worker.addresses.ingress, worker.addresses.console), (None, None));
    eventually_committed(&console, 20).await;

    worker.kill();
    post(&ingress, "while the worker is dead").await;
    ingress.kill();
    console.kill();
    let worker = Server::start_as("worker", directory.path(), &[]).await;
    let console = Server::start_as("console", directory.path(), &[]).await;
    eventually_committed(&console, 21).await;
    let ingress = Server::start_as("ingress", directory.path(), &[]).await;
    post(&ingress, "after all").await;
    eventually_committed(&console, 22).await;
    for mut role in [ingress, worker, console] {
        assert_eq!(readiness(&role).await, 200);
        role.signal("TERM");
        assert_eq!(role.ended().await.code(), Some(0), "{}", role.log());
    }
}

#[tokio::test]
async fn an_ingress_is_ready_and_publishes_while_the_state_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let worker = Server::start_as("worker", directory.path(), &[]).await;
    let ingress = Server::start_as("ingress", directory.path(), &[]).await;
    let lock = lock_store(directory.path());
    eventually("the worker says that it is not ready", async || {
        (readiness(&worker).await == 503).then_some(())
    })
    .await;
    assert_eq!(readiness(&ingress).await, 200);
    post(&ingress, "meanwhile").await;
    drop(lock);
}

#[tokio::test]
async fn of_two_workers_the_second_stands_by_and_takes_over() {
    let directory = tempfile::tempdir().unwrap();
    let ingress = Server::start_as("ingress", directory.path(), &[]).await;
    let console = Server::start_as("console", directory.path(), &[]).await;
    let first = Server::start_as("worker", directory.path(), &[]).await;
    post(&ingress, "the first worker consumes").await;
    eventually_committed(&console, 1).await;
    let second = Server::start_as("worker", directory.path(), &[]).await;
    assert_eq!(readiness(&second).await, 200, "standing by is nothing to be alarmed about");

    let lock = lock_store(directory.path());
    for order in 0..3 {
        post(&ingress, &format!("in flight {order}")).await;
    }
    eventually_in_flight(&console, 3).await;
    first.kill();
    eventually_in_flight(&console, 3).await;
    drop(lock);
    eventually_committed(&console, 4).await;
    // Who dies between a commit and its acknowledgement leaves the delivery to the next.
    eventually_in_flight(&console, 0).await;
    second.kill();
    let work = get(console.console("/v1/queues")).await["work"].take();
    assert_eq!((work["ready"].as_u64(), work["in_flight"].as_u64()), (Some(0), Some(0)));
}

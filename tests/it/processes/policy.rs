//! A worker whose policy is not in force, and `policy apply` beside it.

use super::{eventually_committed, get, post, readiness};
use crate::harness::{Server, command, eventually};

const OTHER: [(&str, &str); 1] = [("STOREKEEPER__REFUNDS__RESTOCK", "lines")];

/// Waits until the worker says that it waits, for what, and what to do; what was posted waits too.
async fn eventually_waiting(server: &Server) {
    let url = format!("http://{}/readyz", server.addresses.probes);
    eventually("the worker says what it waits for", async || {
        let reasons = reqwest::get(&url).await.unwrap().text().await.unwrap();
        let says = |what: &str| reasons.contains(what);
        (says("worker.paused") && says("refunds.restock") && says("policy apply")).then_some(())
    })
    .await;
    assert_eq!(readiness(server).await, 503);
    // What it had in hand when it learned of another policy is given back or put off.
    eventually("what was posted waits", async || {
        let queues = get(server.console("/v1/queues")).await;
        let count = |path: &str| queues.pointer(path).unwrap().as_u64().unwrap();
        let waiting = count("/work/ready") + count("/retry/ready");
        (waiting == 1 && count("/work/in_flight") == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_waits_consumes_once_its_policy_is_applied_and_no_longer_than_that() {
    let directory = tempfile::tempdir().unwrap();
    let apply = |settings: &[(&str, &str)]| {
        let output = command(directory.path(), settings).args(["policy", "apply"]).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
    };
    let first = Server::start(directory.path(), &[]).await;
    post(&first, "under the first policy").await;
    eventually_committed(&first, 1).await;
    first.kill();

    let server = Server::start(directory.path(), &OTHER).await;
    post(&server, "it waits").await;
    eventually_waiting(&server).await;
    apply(&OTHER);
    eventually_committed(&server, 2).await;
    eventually("it is ready", async || (readiness(&server).await == 200).then_some(())).await;

    // Somebody puts the first policy back in force: what comes now is not this worker's to decide.
    apply(&[]);
    post(&server, "it waits again").await;
    eventually_waiting(&server).await;
    apply(&OTHER);
    eventually_committed(&server, 3).await;
}

//! A worker whose policy is not in force, and `policy apply` beside it.

use std::path::Path;
use std::time::Duration;

use super::{eventually_committed, get, post, readiness};
use crate::harness::{Server, command, eventually, eventually_within};

const OTHER: [(&str, &str); 1] = [("STOREKEEPER__REFUNDS__RESTOCK", "lines")];
/// What a Store has that nobody proposed anything to.
const FIRST: [(&str, &str); 1] = [("STOREKEEPER__REFUNDS__RESTOCK", "unshipped")];
/// A worker says so within seconds.
const SECONDS: Duration = Duration::from_secs(15);

fn apply(directory: &Path, settings: &[(&str, &str)]) {
    let output = command(directory, settings).args(["policy", "apply"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// Waits until the worker says that it waits, for what, and what to do.
async fn eventually_says_why(server: &Server) {
    let url = format!("http://{}/readyz", server.addresses.probes);
    eventually_within(SECONDS, "the worker says what it waits for", async || {
        let reasons = reqwest::get(&url).await.unwrap().text().await.unwrap();
        let says = |what: &str| reasons.contains(what);
        (says("worker.paused") && says("refunds.restock") && says("policy apply")).then_some(())
    })
    .await;
    assert_eq!(readiness(server).await, 503);
}

/// The same; and what was posted waits too.
async fn eventually_waiting(server: &Server) {
    eventually_says_why(server).await;
    // What it had in hand when it learned of another policy is given back or put off.
    eventually("what was posted waits", async || {
        let queues = get(server.console("/v1/queues")).await;
        let count = |path: &str| queues.pointer(path).unwrap().as_u64().unwrap();
        let waiting = count("/work/ready") + count("/retry/ready");
        // Beside it, what was settled a moment before the last end may come again.
        (waiting >= 1 && count("/work/in_flight") == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_waits_consumes_once_its_policy_is_applied_and_no_longer_than_that() {
    let directory = tempfile::tempdir().unwrap();
    let first = Server::start(directory.path(), &[]).await;
    post(&first, "under the first policy").await;
    eventually_committed(&first, 1).await;
    first.kill();

    let server = Server::start(directory.path(), &OTHER).await;
    post(&server, "it waits").await;
    eventually_waiting(&server).await;
    apply(directory.path(), &OTHER);
    eventually_committed(&server, 2).await;
    eventually("it is ready", async || (readiness(&server).await == 200).then_some(())).await;

    // Somebody puts the first policy back in force: what comes now is not this worker's to decide.
    apply(directory.path(), &FIRST);
    post(&server, "it waits again").await;
    eventually_waiting(&server).await;
    apply(directory.path(), &OTHER);
    eventually_committed(&server, 3).await;
}

#[tokio::test]
async fn a_worker_says_that_its_policy_was_replaced_although_nothing_is_posted() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &FIRST).await;
    post(&server, "it consumes").await;
    eventually_committed(&server, 1).await;
    assert_eq!(readiness(&server).await, 200);
    apply(directory.path(), &OTHER);
    eventually_says_why(&server).await;
    apply(directory.path(), &FIRST);
    eventually("it is ready", async || (readiness(&server).await == 200).then_some(())).await;
    post(&server, "it consumes again").await;
    eventually_committed(&server, 2).await;
}

/// A setting that is not configured proposes nothing.
#[tokio::test]
async fn a_worker_without_a_policy_of_its_own_consumes_under_whatever_is_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let first = Server::start(directory.path(), &OTHER).await;
    post(&first, "under a policy").await;
    eventually_committed(&first, 1).await;
    first.kill();
    let server = Server::start(directory.path(), &[]).await;
    post(&server, "without one").await;
    eventually_committed(&server, 2).await;
    assert_eq!(readiness(&server).await, 200);
    // Also when it is replaced while the worker is at work.
    apply(directory.path(), &[("STOREKEEPER__ORDERS__CANCELLED", "keep")]);
    post(&server, "under the next").await;
    eventually_committed(&server, 3).await;
    eventually("it is ready", async || (readiness(&server).await == 200).then_some(())).await;
    // To apply what proposes nothing changes nothing.
    apply(directory.path(), &[]);
    let shown = command(directory.path(), &[]).args(["policy", "show"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for (setting, value) in [("orders.cancelled", "keep"), ("refunds.restock", "lines")] {
        let is_shown = |line: &str| line.contains(setting) && line.contains(value);
        assert!(shown.lines().any(is_shown), "{setting} is not {value}: {shown}");
    }
}

//! The audit that a worker's process makes by itself, as its metric shows it.

use super::{eventually_committed, post};
use crate::harness::{Server, eventually};

/// What the first audit of this process found, once it is done.
async fn differences(server: &Server) -> u64 {
    let url = format!("http://{}/metrics", server.addresses.probes);
    eventually("the worker has audited", async || {
        let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
        let value =
            text.lines().find_map(|line| line.strip_prefix("storekeeper_audit_differences "));
        value.map(|value| value.parse().unwrap())
    })
    .await
}

#[tokio::test]
async fn a_worker_audits_and_shows_how_much_differs() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    post(&server, "1").await;
    eventually_committed(&server, 1).await;
    server.kill();
    let server = Server::start(directory.path(), &[]).await;
    assert_eq!(differences(&server).await, 0);
    server.kill();
    let store = rusqlite::Connection::open(directory.path().join("data/store.db")).unwrap();
    assert_eq!(store.execute("UPDATE stock SET committed = committed + 1", ()), Ok(1));
    drop(store);
    let server = Server::start(directory.path(), &[]).await;
    // The item is not the sum of its holds, and not what the feed says.
    assert_eq!(differences(&server).await, 2);
    server.kill();
}

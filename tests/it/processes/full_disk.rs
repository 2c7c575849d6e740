//! A disk that is really full: nothing is taken, nothing is lost, and all goes on with the room.
//!
//! The test runs itself again in a namespace of its own, where it may mount a small disk whoever
//! started it; the disk goes with the namespace.

use std::path::Path;
use std::process::Command;

use super::{eventually_committed, get, lock_store, post, readiness, try_post};
use crate::harness::{Server, eventually, variable};

/// Says that the test runs in its namespace.
const INSIDE: &str = "STOREKEEPER_TEST_INSIDE";
const NAME: &str =
    "processes::full_disk::a_full_disk_takes_nothing_loses_nothing_and_is_recovered_from";

#[tokio::test]
async fn a_full_disk_takes_nothing_loses_nothing_and_is_recovered_from() {
    if variable(INSIDE).is_some() {
        fill_and_free_the_disk().await;
        return;
    }
    let inside = Command::new("unshare")
        .args(["--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stdout) + String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
}

async fn fill_and_free_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("data");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
        .arg(&disk)
        .status()
        .unwrap();
    assert!(mounted.success());
    let mut server = Server::start(directory.path(), &[]).await;
    post(&server, "before").await;
    eventually_committed(&server, 1).await;

    // What is in flight when the disk is full must be committed when it no longer is.
    let lock = lock_store(directory.path());
    for order in 0..5 {
        post(&server, &format!("in flight {order}")).await;
    }
    fill(&disk);
    drop(lock);
    eventually("the worker is paused because of the disk", async || {
        let url = format!("http://{}/readyz", server.addresses.probes);
        let reasons = reqwest::get(url).await.unwrap().text().await.unwrap();
        (reasons.contains("worker.paused") && reasons.contains("disk is full")).then_some(())
    })
    .await;
    for _ in 0..3 {
        let (status, problem) = try_post(&server, "refused").await;
        assert_eq!((status, problem["code"].as_str()), (503, Some("broker.full")), "{problem}");
    }
    // Dying there is no worse.
    server.kill();
    std::fs::remove_file(disk.join("filler")).unwrap();
    server = Server::start(directory.path(), &[]).await;
    eventually_committed(&server, 6).await;

    fill(&disk);
    assert_eq!(try_post(&server, "refused").await.0, 503);
    std::fs::remove_file(disk.join("filler")).unwrap();
    eventually("it takes webhooks again", async || {
        (try_post(&server, "after").await.0 == 200).then_some(())
    })
    .await;
    eventually_committed(&server, 7).await;
    eventually("it is ready again", async || (readiness(&server).await == 200).then_some(())).await;
    let letters = get(server.console("/v1/dead-letters")).await;
    assert_eq!(letters["items"], serde_json::json!([]));
    for file in ["broker.db", "store.db"] {
        let connection = rusqlite::Connection::open(disk.join(file)).unwrap();
        let check = connection.pragma_query_value(None, "integrity_check", |row| row.get(0));
        assert_eq!(check, Ok("ok".to_owned()), "{file}");
    }
}

/// Leaves no room on the disk.
fn fill(disk: &Path) {
    let mut filler = std::fs::File::create(disk.join("filler")).unwrap();
    let block = [0_u8; 4096];
    while std::io::Write::write_all(&mut filler, &block).is_ok() {}
}

//! Files that are removed, replaced or damaged under a running server: nothing is taken that nobody
//! would find, and no message is blamed.

use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;

use super::{eventually_committed, get, post, readiness, try_post};
use crate::harness::{Server, command, eventually};

async fn eventually_ready(server: &Server, ready: u16) {
    eventually(&format!("readiness is {ready}"), async || {
        (readiness(server).await == ready).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_is_taken_into_a_queue_that_was_removed_or_replaced() {
    for part in ["broker.db", "broker.db-wal"] {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), &[]).await;
        post(&server, "before").await;
        eventually_committed(&server, 1).await;
        let (file, away) =
            (directory.path().join("data").join(part), directory.path().join("away"));
        for is_replaced in [false, true] {
            std::fs::rename(&file, &away).unwrap();
            if is_replaced {
                std::fs::copy(&away, &file).unwrap();
            }
            let (status, problem) = try_post(&server, "lost").await;
            assert_eq!((status, &problem["code"]), (503, &"broker.unavailable".into()), "{part}");
            eventually_ready(&server, 503).await;
            assert!(server.log().contains("was removed or replaced"), "{}", server.log());
            std::fs::rename(&away, &file).unwrap();
            eventually_ready(&server, 200).await;
        }
        post(&server, "after").await;
        eventually_committed(&server, 2).await;
    }
}

#[tokio::test]
async fn nothing_is_settled_into_a_store_that_was_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    post(&server, "before").await;
    eventually_committed(&server, 1).await;
    let file = directory.path().join("data/store.db");
    let away = directory.path().join("away");
    std::fs::rename(&file, &away).unwrap();
    std::fs::copy(&away, &file).unwrap();
    eventually_ready(&server, 503).await;
    post(&server, "meanwhile").await;
    std::fs::rename(&away, &file).unwrap();
    eventually_ready(&server, 200).await;
    eventually_committed(&server, 2).await;
}

/// Overwrites the first page of a table.
fn damage(directory: &Path, table: &str) {
    let path = directory.join("data/store.db");
    let store = Connection::open(&path).unwrap();
    store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    let find = "SELECT (rootpage - 1) * page_size, page_size FROM sqlite_schema, pragma_page_size \
                WHERE name = ?1";
    let (place, bytes): (i64, i64) =
        store.query_row(find, [table], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    drop(store);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let garbage = vec![0xA5; usize::try_from(bytes).unwrap()];
    file.write_all_at(&garbage, place.cast_unsigned()).unwrap();
}

#[tokio::test]
async fn a_damaged_page_is_said_and_charged_to_no_message() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    post(&server, "before").await;
    eventually_committed(&server, 1).await;
    server.kill();
    damage(directory.path(), "orders");
    let server = Server::start(directory.path(), &[]).await;
    post(&server, "meanwhile").await;
    eventually("it is said which file is damaged", async || {
        let log = server.log();
        (log.contains("store.db") && log.contains("the file is damaged")).then_some(())
    })
    .await;
    eventually_ready(&server, 503).await;
    assert_eq!(get(server.console("/v1/dead-letters")).await["items"], serde_json::json!([]));
    let queues = get(server.console("/v1/queues")).await;
    assert_eq!(queues["retry"]["ready"], 0, "{queues}");
    // The way out that it says.
    server.kill();
    for file in ["store.db", "store.db-wal", "store.db-shm"] {
        std::fs::remove_file(directory.path().join("data").join(file)).ok();
    }
    let server = Server::start(directory.path(), &[]).await;
    eventually_committed(&server, 2).await;
}

/// Whatever becomes of its file: the process stays, is not ready, and says the first cause.
#[tokio::test]
async fn a_queue_that_is_damaged_under_a_running_server_is_said_and_takes_nothing() {
    for part in ["wal", "pages"] {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), &[]).await;
        post(&server, "before").await;
        eventually_committed(&server, 1).await;
        let open = |name| {
            let path = directory.path().join("data").join(name);
            std::fs::File::options().write(true).open(path).unwrap()
        };
        if part == "pages" {
            open("broker.db").write_all_at(&vec![0xA5; 40_000], 100).unwrap();
        }
        open("broker.db-wal").set_len(0).unwrap();
        eventually_ready(&server, 503).await;
        let (status, _) = try_post(&server, "meanwhile").await;
        assert_eq!(status, 503, "{part}");
        let log = server.log();
        assert!(log.contains("broker.db: "), "{part}: {log}");
        assert!(!log.contains("ended by itself"), "{part}: {log}");
        assert!(!log.contains("no transaction is active"), "{part}: {log}");
        assert!(!log.contains("filled again from the journal"), "{part}: {log}");
        // It is there to say so a while later too.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(readiness(&server).await, 503, "{part}");
    }
}

#[tokio::test]
async fn the_limit_is_for_both_files() {
    let directory = tempfile::tempdir().unwrap();
    let limit = |size| [("STOREKEEPER__EMBEDDED__BYTES_MAX", size)];
    let server = Server::start(directory.path(), &limit("64MiB")).await;
    post(&server, "before").await;
    let store = Connection::open(directory.path().join("data/store.db")).unwrap();
    let filler = "CREATE TABLE filler AS SELECT zeroblob(80000000); PRAGMA wal_checkpoint";
    store.execute_batch(filler).unwrap();
    drop(store);
    let (status, problem) = try_post(&server, "refused").await;
    assert_eq!((status, &problem["code"]), (503, &"broker.full".into()));
    // What was taken is worked off all the same.
    eventually_committed(&server, 1).await;
    server.kill();
    let server = Server::start(directory.path(), &limit("256MiB")).await;
    post(&server, "after").await;
    eventually_committed(&server, 2).await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_said_at_the_start() {
    for file in ["store.db", "broker.db"] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join(file), vec![0xA5; 8192]).unwrap();
        let output = command(directory.path(), &[]).arg("serve").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(file) && said.contains("the file is damaged"), "{said}");
    }
}

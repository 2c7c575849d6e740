//! Both files of the embedded backend belong together: whatever a person restores, loses or swaps,
//! counts are right in the end, or it is said that they are not.

use std::path::Path;
use std::process::Output;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::{eventually_committed, get, post};
use crate::harness::{Server, command, eventually};

const STORE: &str = "store.db";
const QUEUE: &str = "broker.db";

/// Posts orders, one unit each.
async fn posted(server: &Server, orders: std::ops::Range<u32>) {
    for order in orders {
        post(server, &format!("order-{order}")).await;
    }
}

/// A number that a file of the directory has.
fn number(directory: &Path, file: &str, sql: &str) -> i64 {
    let path = directory.join("data").join(file);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.query_row(sql, (), |row| row.get(0)).unwrap()
}

/// Waits until it is noted that everything up to a position is applied, in both files.
async fn eventually_noted(directory: &Path, position: i64) {
    eventually(&format!("it is noted that {position} is applied"), async || {
        let noted = number(directory, STORE, "SELECT max(applied) FROM queue_note");
        let note = number(directory, STORE, "SELECT max(number) FROM queue_note");
        let confirmed = number(directory, QUEUE, "SELECT number FROM identity");
        (noted == position && note == confirmed).then_some(())
    })
    .await;
}

/// The names of a database and of what SQLite has beside it.
fn parts(file: &str) -> [String; 2] {
    ["", "-wal"].map(|ending| format!("{file}{ending}"))
}

/// Copies a file of a server that was killed.
fn keep(directory: &Path, file: &str) {
    for part in parts(file) {
        std::fs::copy(directory.join("data").join(&part), directory.join(&part)).unwrap();
    }
}

fn lose(directory: &Path, file: &str) {
    for part in [parts(file)[0].clone(), parts(file)[1].clone(), format!("{file}-shm")] {
        std::fs::remove_file(directory.join("data").join(part)).ok();
    }
}

fn put_back(directory: &Path, file: &str) {
    lose(directory, file);
    for part in parts(file) {
        std::fs::copy(directory.join(&part), directory.join("data").join(&part)).unwrap();
    }
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, &[]).args(arguments).output().unwrap()
}

fn assert_audit_is_clean(directory: &Path) {
    let audit = run(directory, &["audit"]);
    assert_eq!(audit.status.code(), Some(0), "{audit:?}");
}

async fn metric(server: &Server, name: &str) -> String {
    let url = format!("http://{}/metrics", server.addresses.probes);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().to_owned()
}

/// What the leader says of the duty that keeps the files together.
async fn recovery(server: &Server) -> Value {
    let url = format!("http://{}/readyz", server.addresses.probes);
    get(url).await["leader"]["duties"]["recover"].take()
}

/// A server with three orders applied, killed; its files are kept. Then with five, killed.
async fn with_older_copies(directory: &Path) {
    let server = Server::start(directory, &[]).await;
    posted(&server, 0..3).await;
    eventually_committed(&server, 3).await;
    eventually_noted(directory, 3).await;
    server.kill();
    for file in [STORE, QUEUE] {
        keep(directory, file);
    }
    let server = Server::start(directory, &[]).await;
    posted(&server, 3..5).await;
    eventually_committed(&server, 5).await;
    eventually_noted(directory, 5).await;
    server.kill();
}

#[tokio::test]
async fn an_older_store_is_caught_up_with_by_whichever_process_leads() {
    let directory = tempfile::tempdir().unwrap();
    with_older_copies(directory.path()).await;
    put_back(directory.path(), STORE);
    let worker = Server::start_as("worker", directory.path(), &[]).await;
    let console = Server::start_as("console", directory.path(), &[]).await;
    eventually_committed(&console, 3).await;
    let leader = Server::start_as("leader", directory.path(), &[]).await;
    eventually_committed(&console, 5).await;
    assert!(leader.log().contains("store.db is an older copy"), "{}", leader.log());
    assert_eq!(metric(&leader, "storekeeper_store_failovers_total").await, "1");
    assert_audit_is_clean(directory.path());
    // Replayed bodies have positions of their own, and are gone.
    eventually("the files belong together again", async || {
        let confirmed = number(directory.path(), QUEUE, "SELECT number FROM identity");
        let noted = number(directory.path(), STORE, "SELECT max(number) FROM queue_note");
        let replayed = number(directory.path(), QUEUE, "SELECT count(*) FROM journal WHERE hidden");
        (replayed == 0 && confirmed == noted).then_some(())
    })
    .await;
    drop((worker, console, leader));
    let server = Server::start(directory.path(), &[]).await;
    eventually("the leader has compared them", async || {
        recovery(&server).await["last_success"].is_string().then_some(())
    })
    .await;
    assert_eq!(metric(&server, "storekeeper_store_failovers_total").await, "0");
}

#[tokio::test]
async fn a_store_that_is_missing_is_filled_from_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    with_older_copies(directory.path()).await;
    lose(directory.path(), STORE);
    let server = Server::start(directory.path(), &[]).await;
    eventually_committed(&server, 5).await;
    eventually("it is said", async || server.log().contains("store.db was missing").then_some(()))
        .await;
    assert_audit_is_clean(directory.path());
}

#[tokio::test]
async fn an_older_queue_costs_no_count_and_is_not_taken_for_the_whole_truth() {
    let directory = tempfile::tempdir().unwrap();
    with_older_copies(directory.path()).await;
    put_back(directory.path(), QUEUE);
    let server = Server::start(directory.path(), &[]).await;
    eventually("it is said", async || {
        server.log().contains("broker.db is an older copy").then_some(())
    })
    .await;
    eventually_committed(&server, 5).await;
    // Its positions are given again.
    posted(&server, 5..7).await;
    eventually_committed(&server, 7).await;
    eventually_noted(directory.path(), 5).await;
    server.kill();
    // The journal has not what was only in the newer queue.
    lose(directory.path(), STORE);
    let server = Server::start(directory.path(), &[]).await;
    eventually("a person is asked", async || {
        let problem = recovery(&server).await["problem"].take();
        problem.as_str()?.contains("no longer has all").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_is_new_beside_a_store_costs_no_count() {
    let directory = tempfile::tempdir().unwrap();
    with_older_copies(directory.path()).await;
    lose(directory.path(), QUEUE);
    let server = Server::start(directory.path(), &[]).await;
    eventually("it is said", async || server.log().contains("broker.db is new").then_some(()))
        .await;
    posted(&server, 5..6).await;
    eventually_committed(&server, 6).await;
    assert_audit_is_clean(directory.path());
}

#[tokio::test]
async fn what_the_journal_no_longer_has_is_said_until_a_person_accepts_it() {
    let directory = tempfile::tempdir().unwrap();
    with_older_copies(directory.path()).await;
    let short = [("STOREKEEPER__JOURNAL__RETENTION", "1s")];
    let server = Server::start(directory.path(), &short).await;
    eventually("the journal is gone", async || {
        (number(directory.path(), QUEUE, "SELECT count(*) FROM journal") == 0).then_some(())
    })
    .await;
    server.kill();
    put_back(directory.path(), STORE);
    let server = Server::start(directory.path(), &[]).await;
    eventually("a person is asked", async || {
        let problem = recovery(&server).await["problem"].take();
        problem.as_str()?.contains("journal.retention removed it").then_some(())
    })
    .await;
    posted(&server, 5..6).await;
    eventually_committed(&server, 4).await;
    let refused = run(directory.path(), &["journal", "replay"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let accepted = run(directory.path(), &["journal", "replay", "--partial"]);
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    eventually("nothing is in the way", async || {
        let recovery = recovery(&server).await;
        (recovery["problem"].is_null() && recovery["last_success"].is_string()).then_some(())
    })
    .await;
    eventually_committed(&server, 4).await;
}

#[tokio::test]
async fn a_new_installation_replays_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    eventually("the leader has compared the files", async || {
        recovery(&server).await["last_success"].is_string().then_some(())
    })
    .await;
    posted(&server, 0..20).await;
    eventually_committed(&server, 20).await;
    eventually_noted(directory.path(), 20).await;
    assert_eq!(metric(&server, "storekeeper_store_failovers_total").await, "0");
    assert_eq!(number(directory.path(), QUEUE, "SELECT seq FROM sqlite_sequence"), 20);
}

#[tokio::test]
async fn a_backup_that_is_put_back_is_completed_from_its_own_journal() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    posted(&server, 0..10).await;
    let posting = posted(&server, 10..60);
    let copying = async {
        let mut backup = command(directory.path(), &[]);
        backup.args(["backup", "copy"]);
        let copied = tokio::task::spawn_blocking(move || backup.output().unwrap()).await.unwrap();
        assert_eq!(copied.status.code(), Some(0), "{copied:?}");
    };
    tokio::join!(posting, copying);
    server.kill();
    let restored = tempfile::tempdir().unwrap();
    std::fs::rename(directory.path().join("copy"), restored.path().join("data")).unwrap();
    let taken = number(restored.path(), QUEUE, "SELECT count(*) FROM journal");
    let server = Server::start(restored.path(), &[]).await;
    eventually_committed(&server, usize::try_from(taken).unwrap()).await;
    assert_audit_is_clean(restored.path());
}

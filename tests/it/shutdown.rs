//! How a process ends: signals, deadlines, exit codes, and what it cannot start with.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use storekeeper::app::{App, Roles};
use storekeeper::config::Settings;
use storekeeper::store::StateStore;
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::worker::Drained;
use tokio_util::sync::CancellationToken;

use crate::harness::{DEADLINE, Server, command, eventually, free_port};

async fn post(server: &Server, order: usize) {
    let body = serde_json::json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_700_000_000_000_i64,
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": format!("order-{order}"),
            "status": "PROCESSED",
            "items": [{"product_id": "P", "quantity": 1}],
        },
    });
    let client = reqwest::Client::new();
    let answer = client.post(server.webhooks()).body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// Keeps every other connection from writing to the state.
fn lock_store(directory: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(directory.join("data/store.db")).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

async fn readiness(server: &Server) -> (u16, String) {
    let answer = reqwest::get(format!("http://{}/readyz", server.addresses.probes)).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn run(directory: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    command(directory, settings).args(arguments).output().unwrap()
}

#[tokio::test]
async fn a_first_signal_drains_and_ends_with_zero() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Server::start(directory.path(), &[]).await;
        for order in 0..50 {
            post(&server, order).await;
        }
        server.signal(signal);
        assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
        // What was answered is applied, now or by the next process.
        let server = Server::start(directory.path(), &[]).await;
        eventually("all fifty count", async || {
            let url = server.console("/v1/sites/shop/stock/product:P");
            let item: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
            (item["committed"] == "50").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_policy_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    EmbeddedStore::open(directory.path()).unwrap().close().await;
    let newer = "INSERT INTO policy VALUES (1, 1, '{\"format\":1000}', 'anna', 0)";
    let file = rusqlite::Connection::open(directory.path().join("store.db")).unwrap();
    file.execute(newer, ()).unwrap();
    let mut settings = Settings::load_from(None, []).unwrap();
    settings.embedded.path = directory.path().into();
    let listeners =
        [&mut settings.ingress.listen, &mut settings.console.listen, &mut settings.probes.listen];
    for listener in listeners {
        listener.set_port(0);
    }
    let app = App::start(settings, Roles::All).await.unwrap();
    let probes = app.addresses().unwrap().probes;
    let stop = CancellationToken::new();
    let running = tokio::time::timeout(DEADLINE, app.run(None, stop.clone()));
    let stopping = async {
        eventually("the worker says that it is paused", async || {
            let answer = reqwest::get(format!("http://{probes}/readyz")).await.ok()?;
            answer.text().await.ok()?.contains("worker.paused").then_some(())
        })
        .await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(running, stopping);
    assert_eq!(ended.expect("it does not stop").unwrap(), Drained::Whole);
}

#[tokio::test]
async fn a_store_that_is_away_is_waited_out() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    assert_eq!(readiness(&server).await.0, 200);
    let lock = lock_store(directory.path());
    for order in 0..5 {
        post(&server, order).await;
    }
    eventually("the worker says that it is paused", async || {
        let (status, reasons) = readiness(&server).await;
        (status == 503 && reasons.contains("worker.paused")).then_some(())
    })
    .await;
    let live = format!("http://{}/livez", server.addresses.probes);
    assert_eq!(reqwest::get(live).await.unwrap().status(), 200, "a restart would not help");
    post(&server, 5).await;
    drop(lock);
    eventually("all six count", async || {
        let url = server.console("/v1/sites/shop/stock/product:P");
        let item: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        (item["committed"] == "6").then_some(())
    })
    .await;
    eventually("it is ready again", async || (readiness(&server).await.0 == 200).then_some(()))
        .await;
    let letters: Value =
        reqwest::get(server.console("/v1/dead-letters")).await.unwrap().json().await.unwrap();
    assert_eq!(letters["items"].as_array().unwrap().len(), 0, "an outage is no attempt");
}

#[tokio::test]
async fn a_drain_that_takes_too_long_ends_with_four_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let short = [("STOREKEEPER__WORKER__DRAIN_TIMEOUT", "1s")];
    let mut server = Server::start(directory.path(), &short).await;
    let lock = lock_store(directory.path());
    post(&server, 1).await;
    eventually("the worker has it", async || {
        let queues = reqwest::get(server.console("/v1/queues")).await.unwrap();
        let queues: Value = queues.json().await.unwrap();
        (queues["work"]["in_flight"] == 1).then_some(())
    })
    .await;
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(4), "{}", server.log());
    drop(lock);
    let server = Server::start(directory.path(), &short).await;
    eventually("it counts", async || {
        let url = server.console("/v1/sites/shop/stock/product:P");
        let item: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        (item["committed"] == "1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]).await;
    let lock = lock_store(directory.path());
    post(&server, 1).await;
    server.signal("TERM");
    eventually("the first signal is taken", async || {
        server.log().contains("a second signal exits at once").then_some(())
    })
    .await;
    server.signal("INT");
    assert_eq!(server.ended().await.code(), Some(130), "{}", server.log());
    drop(lock);
}

#[tokio::test]
async fn the_same_signal_twice_within_a_second_is_one_and_start_and_stop_are_logged() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]).await;
    eventually("it consumes", async || server.log().contains("consuming").then_some(())).await;
    let lock = lock_store(directory.path());
    post(&server, 1).await;
    for _ in 0..3 {
        server.signal("TERM");
    }
    eventually("a signal is taken", async || {
        server.log().contains("a second signal exits at once").then_some(())
    })
    .await;
    drop(lock);
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
    let log = server.log();
    let data = directory.path().canonicalize().unwrap().join("data");
    for said in [
        concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""),
        "backend=\"embedded\"",
        &format!("directory={}", data.display()),
        "webhooks_verified=false",
        "ready ingress=127.0.0.1:",
        "stopped; everything in flight was settled",
    ] {
        assert!(log.contains(said), "{said} is not in {log}");
    }
}

#[tokio::test]
async fn a_worker_of_another_policy_does_not_consume_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]).await;
    server.signal("TERM");
    server.ended().await;
    let other = [("STOREKEEPER__REFUNDS__RESTOCK", "lines")];
    let server = Server::start(directory.path(), &other).await;
    post(&server, 1).await;
    let (status, reasons) = readiness(&server).await;
    assert_eq!(status, 503);
    assert!(reasons.contains("refunds.restock"), "{reasons}");
    let queues: Value =
        reqwest::get(server.console("/v1/queues")).await.unwrap().json().await.unwrap();
    assert_eq!(queues["work"]["ready"], 1);
}

#[tokio::test]
async fn what_it_cannot_start_with_is_said_and_ends_with_two() {
    let directory = tempfile::tempdir().unwrap();
    let check = |settings: &[(&str, &str)], expected: &str| {
        let output = run(directory.path(), settings, &["serve"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    let taken = std::net::TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&[("STOREKEEPER__INGRESS__LISTEN", &address)], "ingress.listen");
    check(&[("STOREKEEPER__INGRESS__LISTEN", "0.0.0.0:0")], "allow_unsigned");
    check(&[("STOREKEEPER__WORKER__THREADS", "2")], "worker.threads");

    let mut server = Server::start(directory.path(), &[]).await;
    server.signal("TERM");
    server.ended().await;
    let store = rusqlite::Connection::open(directory.path().join("data/store.db")).unwrap();
    store.pragma_update(None, "user_version", 99).unwrap();
    check(&[], "newer");
}

/// Commands that work on the files of a service without being one.
const BESIDE: [&[&str]; 9] = [
    &["stock", "list"],
    &["stock", "receive", "shop", "product:P", "1", "--reference", "R"],
    &["orders", "show", "shop", "id:1"],
    &["changes", "shop"],
    &["dead-letters", "list"],
    &["policy", "show"],
    &["policy", "apply"],
    &["audit"],
    &["backup", "copy"],
];

#[tokio::test]
async fn commands_beside_a_service_neither_create_its_files_nor_bring_them_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let check = |status: i32, expected: &str| {
        for arguments in BESIDE {
            let output = run(directory.path(), &[], arguments);
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    };
    check(3, "there is no data/store.db; check embedded.path");
    let replay = run(directory.path(), &[], &["journal", "replay"]);
    assert_eq!(replay.status.code(), Some(3), "there is no journal");
    assert!(!directory.path().join("data").exists());

    EmbeddedStore::open(&directory.path().join("data")).unwrap().close().await;
    let file = rusqlite::Connection::open(directory.path().join("data/store.db")).unwrap();
    file.pragma_update(None, "user_version", 0).unwrap();
    check(2, "which bring it up to date");
    let version: i64 = file.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 0);
}

#[tokio::test]
async fn commands_read_beside_a_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    post(&server, 7).await;
    let listed = eventually("the item is listed", async || {
        let output = run(directory.path(), &[], &["--format", "json", "stock", "list"]);
        serde_json::from_slice::<Value>(&output.stdout).ok()
    });
    assert_eq!(listed.await["key"], "product:P");
    let shown = run(directory.path(), &[], &["stock", "show", "shop", "product:P"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("id:order-7"));
    let order = run(directory.path(), &[], &["orders", "show", "shop", "id:order-7"]);
    assert!(String::from_utf8_lossy(&order.stdout).contains("PROCESSED"));
    let unknown = run(directory.path(), &[], &["orders", "show", "shop", "id:order-8"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(run(directory.path(), &[], &["dead-letters", "list"]).status.code(), Some(0));
    assert_eq!(run(directory.path(), &[], &["policy", "show"]).status.code(), Some(0));
    let probes = format!("http://{}", server.addresses.probes);
    assert_eq!(run(directory.path(), &[], &["health", "--url", &probes]).status.code(), Some(0));
    drop(server);
    assert_eq!(run(directory.path(), &[], &["health", "--url", &probes]).status.code(), Some(3));
}

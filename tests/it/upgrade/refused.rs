//! A Store of release 0.1.0 is refused with the way out, and left as it is.

use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::messages::{keys, put_keys};
use super::{REBUILT, first_release, read, same};
use crate::distributed::deployment::Surroundings;
use crate::harness::{Process, Server, command, eventually, free_port};
use crate::servers::RedisServer;
use crate::servers::rabbitmq::RabbitMq;

/// The policy that the fixtures are read under.
const POLICY: (&str, &str) = ("STOREKEEPER__REFUNDS__RESTOCK", "lines");
/// Commands that need the Store, one of each kind.
const COMMANDS: [&[&str]; 5] = [
    &["stock", "list", "shop"],
    &["orders", "show", "shop", "id:1"],
    &["audit"],
    &["policy", "apply"],
    &["journal", "replay"],
];

/// As many tables of `store.db` as 0.1.0 made with its first order.
const OLD_SCHEMA: &str = "
PRAGMA journal_mode = WAL;
PRAGMA application_id = 0x534B7374;
CREATE TABLE meta (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    epoch TEXT NOT NULL,
    probes INTEGER NOT NULL
) STRICT;
INSERT INTO meta (only, epoch, probes) VALUES (1, 'ab', 0);
CREATE TABLE policy (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    revision INTEGER NOT NULL,
    policy TEXT NOT NULL
) STRICT;
CREATE TABLE orders (
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rev INTEGER NOT NULL,
    state TEXT NOT NULL,
    settled_at INTEGER,
    UNIQUE (site, id)
) STRICT;
INSERT INTO orders VALUES ('shop', 'id:1', 7, '{\"format\":1,\"state\":{\"policy\":1}}', NULL);
PRAGMA user_version = 1;
";

/// A directory as 0.1.0 left it.
fn old_directory(place: &Path) {
    std::fs::create_dir(place).unwrap();
    let store = Connection::open(place.join("store.db")).unwrap();
    store.execute_batch(OLD_SCHEMA).unwrap();
    store.close().unwrap();
    let queue = first_release("embedded").join("broker.db");
    std::fs::copy(queue, place.join("broker.db")).unwrap();
}

#[track_caller]
fn says_the_way_out(said: &str, more: &[&str]) {
    for part in ["release 0.1.0", "storekeeper journal replay"].iter().chain(more) {
        assert!(said.contains(part), "it does not say {part:?}: {said}");
    }
}

#[tokio::test]
async fn a_directory_of_0_1_0_is_refused_untouched_and_the_way_out_leads_to_its_stock() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    old_directory(&data);
    let before = std::fs::read(data.join("store.db")).unwrap();
    for arguments in COMMANDS {
        let output = command(directory.path(), &[POLICY]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        says_the_way_out(&String::from_utf8(output.stderr).unwrap(), &["store.db", "broker.db"]);
    }
    for role in ["serve", "worker", "console"] {
        let mut process = Process::start(role, directory.path(), &[POLICY]);
        assert_eq!(process.ended().await.code(), Some(2), "{role}: {}", process.log());
        says_the_way_out(&process.log(), &["store.db", "broker.db"]);
    }
    assert_eq!(std::fs::read(data.join("store.db")).unwrap(), before, "it was touched");

    for file in ["store.db", "store.db-wal", "store.db-shm"] {
        // Only the first must be there.
        std::fs::rename(data.join(file), directory.path().join(file)).ok();
    }
    assert!(!data.join("store.db").exists());
    let server = Server::start(directory.path(), &[POLICY]).await;
    let replay = command(directory.path(), &[POLICY]).args(["journal", "replay"]).output().unwrap();
    assert_eq!(replay.status.code(), Some(0), "{replay:?}");
    let expected = read(&first_release("embedded").join(REBUILT))["stock"]["shop"].clone();
    let list = server.console("/v1/sites/shop/stock");
    eventually("the stock is that of the journal", async || {
        let found: Value = reqwest::get(&list).await.unwrap().json().await.unwrap();
        let items = found["items"].as_array()?.iter().map(|item| {
            let count = |name: &str| item[name].clone();
            let counts = json!({
                "received": count("received"),
                "committed": count("committed"),
                "fulfilled": count("fulfilled"),
            });
            (item["key"].as_str().unwrap().to_owned(), counts)
        });
        (Value::Object(items.collect()) == expected).then_some(())
    })
    .await;
}

/// The first keys that 0.1.0 wrote, and an order.
fn old_keys() -> Value {
    json!({
        "sk:epoch": {"type": "string", "values": "2dbef984a41eb3570e4bb8e1b431c177"},
        "sk:policy": {"type": "hash", "values": {
            "policy": "{\"format\":1,\"state\":{\"restock\":\"lines\"}}",
            "revision": "1",
        }},
        "sk:sites": {"type": "zset", "values": [["shop", "0"]]},
        "sk:{shop}:orders": {"type": "zset", "values": [["id:1", "0"]]},
        "sk:{shop}:order:id:1": {"type": "hash", "values": {"rev": "7", "state": "base64:AR8d/AQ="}},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_of_0_1_0_is_refused_untouched() {
    let redis = RedisServer::start(&[]);
    let mut connection = redis.connection();
    put_keys(&mut connection, &old_keys());
    let before = keys(&mut connection);
    let rabbitmq = RabbitMq::shared().await;
    let namespace = format!("test-{}", uuid::Uuid::now_v7());
    let settings = [
        ("STOREKEEPER__RABBITMQ__NAMESPACE", namespace.as_str()),
        ("STOREKEEPER__REDIS__ALLOW_VOLATILE", "true"),
        POLICY,
    ];
    let deployment = Surroundings::new(rabbitmq.url(), redis.url(), &settings);
    for arguments in COMMANDS {
        let output = deployment.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        says_the_way_out(&String::from_utf8(output.stderr).unwrap(), &["redis.prefix"]);
    }
    // A server may be set right while they run: they wait, say why, and write nothing.
    for role in ["serve", "worker"] {
        let probes = format!("127.0.0.1:{}", free_port());
        let process = deployment.launch(role, role, &[("STOREKEEPER__PROBES__LISTEN", &probes)]);
        let said = eventually(&format!("{role} says why it does not work"), async || {
            let answer = reqwest::get(format!("http://{probes}/readyz")).await.ok()?;
            let is_ready = answer.status() != 503;
            let said = answer.text().await.ok()?;
            (!is_ready && said.contains("0.1.0")).then_some(said)
        })
        .await;
        says_the_way_out(&said, &["redis.prefix"]);
        drop(process);
    }
    same(Path::new("keys"), &keys(&mut connection), &before);
    // Another prefix is another Store.
    let apart = Surroundings::new(
        rabbitmq.url(),
        redis.url(),
        &[&settings[..], &[("STOREKEEPER__REDIS__PREFIX", "second")]].concat(),
    );
    drop(apart.role("serve", "apart").await);
    let mut found = keys(&mut connection);
    found.as_object_mut().unwrap().retain(|name, _| !name.starts_with("second:"));
    same(Path::new("keys"), &found, &before);
}

//! Which servers are taken, and what is said of those that are not.

use storekeeper::store::redis::{RedisMode, RedisOptions, RedisStore};
use storekeeper::store::{ReadStore, StateStore, StoreError};

use super::{commit, first, open, options};
use crate::harness::{eventually, free_port};
use crate::servers::{RedisServer, shared_redis};

fn told(error: &StoreError) -> String {
    format!("{error:?} {error}")
}

#[tokio::test]
async fn a_server_that_drops_keys_is_refused_until_it_is_set_right() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let options = options(&server);
    let error = RedisStore::connect(&options).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
    assert!(told(&error).contains("noeviction"), "{error:?}");
    let store = open(&options);
    let error = commit(&store, first("alpha", 1)).await.unwrap_err();
    assert!(error.is_transient(), "a service waits for whoever sets it right: {error:?}");
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory-policy").arg("noeviction");
    set.query::<()>(&mut server.connection()).unwrap();
    eventually("the store takes it", async || store.check().await.ok()).await;
    RedisStore::connect(&options).await.unwrap();
}

#[tokio::test]
async fn a_service_starts_before_its_server() {
    let server = RedisServer::start(&[]);
    let options = options(&server);
    server.kill();
    let error = RedisStore::connect(&options).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let store = open(&options);
    assert!(commit(&store, first("alpha", 1)).await.unwrap_err().is_transient());
    server.start_again();
    eventually("the store is there", async || store.check().await.ok()).await;
    commit(&store, first("alpha", 1)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_began_anew_is_noticed() {
    let server = RedisServer::start(&[]);
    let store = RedisStore::connect(&options(&server)).await.unwrap();
    store.check().await.unwrap();
    assert_eq!(store.failovers(), 0);
    server.kill();
    server.start_again();
    eventually("the store is back", async || store.check().await.ok()).await;
    assert_eq!(store.failovers(), 1);
    store.check().await.unwrap();
    assert_eq!(store.failovers(), 1, "it is told once");
}

#[tokio::test]
async fn a_server_that_keeps_nothing_on_disk_is_told_until_it_does() {
    let server = RedisServer::start(&[]);
    let options = options(&server);
    assert_eq!(open(&options).is_volatile(), None, "nobody has looked yet");
    let store = RedisStore::connect(&options).await.unwrap();
    assert_eq!(store.is_volatile(), Some(true));
    let set = |value: &str| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("appendonly").arg(value);
        set.query::<()>(&mut server.connection()).unwrap();
    };
    set("yes");
    store.check().await.unwrap();
    assert_eq!(store.is_volatile(), Some(false));
    set("no");
    store.check().await.unwrap();
    assert_eq!(store.is_volatile(), Some(true));
}

#[tokio::test]
async fn every_node_of_a_cluster_is_looked_at() {
    let node = RedisServer::start(&[
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &free_port().to_string(),
    ]);
    let mut all = redis::cmd("CLUSTER");
    all.arg("ADDSLOTSRANGE").arg(0).arg(16383).query::<()>(&mut node.connection()).unwrap();
    let options = RedisOptions { mode: RedisMode::Cluster, ..options(&node) };
    let connected = eventually("the cluster is whole", async || {
        let store = RedisStore::connect(&options).await.ok()?;
        store.check().await.ok().map(|()| store)
    });
    let store = connected.await;
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory-policy").arg("volatile-lru");
    set.query::<()>(&mut node.connection()).unwrap();
    let error = RedisStore::connect(&options).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
    assert!(store.check().await.unwrap_err().is_transient());
    node.kill();
    node.start_again();
    eventually("the store is back", async || store.check().await.ok()).await;
    assert_eq!(store.failovers(), 1);
}

#[tokio::test]
async fn a_password_is_nowhere() {
    let port = free_port();
    for url in [
        format!("redis://user:hunter2@127.0.0.1:{port}"),
        format!("rediss://user:hunter2@127.0.0.1:{port}"),
        "redis://user:hunter2@".to_owned(),
        "http://user:hunter2@127.0.0.1".to_owned(),
        "redis://user:hunter2@127.0.0.1:6379/hunter2".to_owned(),
        shared_redis().url().replace("redis://", "redis://user:hunter2@"),
    ] {
        let options = RedisOptions::single(&url);
        let error = RedisStore::connect(&options).await.unwrap_err();
        let told = format!("{} {options:?}", told(&error));
        assert!(!told.contains("hunter2"), "{told}");
    }
    let store = RedisStore::start(&RedisOptions::single("redis://user:hunter2@h")).unwrap();
    assert!(!format!("{store:?}").contains("hunter2"));
}

#[test]
fn impossible_options_are_rejected() {
    let one = RedisOptions::single("redis://localhost");
    let two = vec!["redis://a".into(), "redis://b".into()];
    for options in [
        RedisOptions { urls: Vec::new(), ..one.clone() },
        RedisOptions { urls: two.clone(), ..one.clone() },
        RedisOptions::single("localhost:6379:1"),
    ] {
        let error = RedisStore::start(&options).unwrap_err();
        assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
    }
    for mode in [RedisMode::Sentinel, RedisMode::Cluster] {
        RedisStore::start(&RedisOptions { urls: two.clone(), mode, ..one.clone() }).unwrap();
    }
}

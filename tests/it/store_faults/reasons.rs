//! Why the Store is not there: the server's address, its own words, and what to do; never a password.

use storekeeper::domain::causes;
use storekeeper::store::redis::{RedisMode, RedisOptions, RedisStore};
use storekeeper::store::{ReadStore, StateStore};

use super::{commit, first, open, options};
use crate::harness::eventually;
use crate::servers::redis_user::documented_rights;
use crate::servers::{Managed, RedisServer, shared_cluster};

async fn connected(options: &RedisOptions) -> Result<RedisStore, String> {
    RedisStore::connect(options).await.map_err(|error| causes(&error))
}

fn assert_said(why: &str, server: &RedisServer, words: &[&str]) {
    assert_eq!(why.matches(&server.address()).count(), 1, "{why}");
    for word in words {
        assert!(why.contains(word), "no {word:?}: {why}");
    }
    assert!(!why.contains("secret"), "{why}");
}

#[tokio::test]
async fn what_a_server_says_of_itself_is_said_with_its_address() {
    let server = RedisServer::start(&[]);
    let options = options(&server);
    let store = open(&options);
    commit(&store, first("alpha", 1)).await.unwrap();
    let why = async || causes(&store.check().await.unwrap_err());
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_said(&why().await, &server, &["did not do SET", "OOM", "raise its maxmemory"]);
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    server.tell(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    assert_said(&why().await, &server, &["volatile-lru", "set it to noeviction"]);
    server.tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    eventually("it is well again", async || store.check().await.ok()).await;
    server.tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_said(&why().await, &server, &["NOREPLICAS"]);
    server.tell(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    server.kill();
    eventually("it is away", async || store.check().await.err()).await;
    assert_said(&why().await, &server, &["cannot be reached", "refused"]);
}

/// What is read from a replica may be old, or nothing: that is no empty shop.
#[tokio::test]
async fn a_replica_is_no_empty_shop() {
    let master = RedisServer::start(&["--repl-diskless-sync-delay", "0"]);
    let port = master.port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]);
    replica.set_user(&documented_rights("~*"));
    let on_replica = RedisOptions { urls: vec![replica.url_of_user().into()], ..options(&master) };
    for right in ["+info", "-info"] {
        replica.set_user(&[right]);
        let why = connected(&on_replica).await.unwrap_err();
        assert_said(&why, &replica, &["is a replica", "name the server that takes them"]);
        let store = RedisStore::start(&on_replica).unwrap();
        assert!(store.sites().await.unwrap_err().is_transient());
    }
    // One that becomes a replica while it is used is noticed too.
    let store = connected(&options(&master)).await.unwrap();
    let other = RedisServer::start(&[]);
    master.tell(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    let error = store.check().await.unwrap_err();
    assert!(error.is_transient() && causes(&error).contains("replica"), "{error:?}");
    eventually("nothing is read there", async || store.sites().await.err()).await;
}

#[tokio::test]
async fn a_node_of_a_cluster_is_no_empty_shop() {
    let cluster = shared_cluster();
    // A prefix whose keys are not all of the first node.
    let single = RedisOptions { prefix: "sk-moved".into(), ..RedisOptions::single(&cluster.url()) };
    let why = connected(&single).await.unwrap_err();
    assert!(why.contains("MOVED") && why.contains("set redis.mode to cluster"), "{why}");
    let store = RedisStore::start(&single).unwrap();
    let error = store.sites().await.unwrap_err();
    assert!(error.is_transient() && causes(&error).contains("MOVED"), "{error:?}");
}

/// Nobody has a list of what proxies say; what they say is passed on, and is about no message if the
/// check fails too.
#[tokio::test]
async fn the_words_of_a_proxy_are_passed_on() {
    let server = RedisServer::start(&[]);
    let proxy = Managed::before(server.port()).await;
    let options = RedisOptions { urls: vec![proxy.url().into()], ..options(&server) };
    let store = open(&options);
    commit(&store, first("alpha", 1)).await.unwrap();
    for words in ["ERR max daily request limit exceeded", "upstream failure", "MOVED 1 h:1"] {
        proxy.answer(&[], words);
        let errors = [
            commit(&store, first("alpha", 2)).await.unwrap_err(),
            store.check().await.unwrap_err(),
        ];
        for error in errors {
            let why = causes(&error);
            assert!(!error.is_of_data() && why.contains(words), "{why}");
            assert_eq!(why.matches(&proxy.address()).count(), 1, "{why}");
        }
        proxy.answer_as_the_server();
        eventually("the store is there", async || store.check().await.ok()).await;
    }
}

/// A setting that is wrong does not pass by itself: a command ends with another exit code than where
/// nothing answers. A service goes on trying all the same.
#[tokio::test]
async fn a_wrong_setting_is_told_from_a_server_that_is_away() {
    let server = RedisServer::start(&[]);
    let address = server.address();
    let options = options(&server);
    let at = |url: String| RedisOptions { urls: vec![url.into()], ..options.clone() };
    let no_database = at(format!("redis://{address}/99"));
    let no_cluster = RedisOptions { mode: RedisMode::Cluster, ..options.clone() };
    let no_sentinel = RedisOptions { mode: RedisMode::Sentinel, ..options.clone() };
    for (options, words) in [
        (no_database, "DB index is out of range"),
        (no_cluster, "set redis.mode to single"),
        (no_sentinel, "it is no Sentinel"),
        (at(format!("redis://:secret@{address}")), "without any password configured"),
    ] {
        assert_rejected(&options, &server, words).await;
    }
    server.tell(&["CONFIG", "SET", "requirepass", "secret-of-now"]);
    for (login, words) in [("", "NOAUTH"), (":secret@", "WRONGPASS"), ("u:secret@", "WRONGPASS")] {
        let options = at(format!("redis://{login}{address}"));
        assert_rejected(&options, &server, words).await;
    }
    let tls = at(format!("rediss://:secret-of-now@{address}"));
    let error = RedisStore::connect(&tls).await.unwrap_err();
    assert!(error.is_transient() && causes(&error).contains("TLS was tried"), "{error:?}");
}

async fn assert_rejected(options: &RedisOptions, server: &RedisServer, words: &str) {
    let error = RedisStore::connect(options).await.unwrap_err();
    let why = causes(&error);
    assert!(!error.is_transient(), "{why}");
    assert_said(&why, server, &[words]);
    assert_eq!(why.matches(words).count(), 1, "{why}");
    let service = RedisStore::start(options).unwrap();
    assert!(service.sites().await.unwrap_err().is_transient(), "{why}");
}

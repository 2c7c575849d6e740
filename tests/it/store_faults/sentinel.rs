//! A master that Sentinels name, and the next one; and Sentinels with users of their own.

use std::sync::Arc;

use storekeeper::store::redis::{RedisMode, RedisOptions, RedisStore};
use storekeeper::store::{Committed, ReadStore, StateStore, Store};

use super::{commit, committed_everywhere, first, options};
use crate::harness::eventually;
use crate::servers::RedisServer;
use crate::servers::redis_user::documented_rights;

#[tokio::test]
async fn the_store_follows_the_master() {
    let master = RedisServer::start(&["--repl-diskless-sync-delay", "0"]);
    let address = master.address();
    let (_, port) = address.split_once(':').unwrap();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", port]);
    let sentinel = RedisServer::start_sentinel(&master);
    let options = RedisOptions {
        urls: vec![sentinel.url().into()],
        mode: RedisMode::Sentinel,
        ..options(&master)
    };
    let store = Arc::new(RedisStore::connect(&options).await.unwrap());
    let port: Arc<dyn Store> = Arc::<RedisStore>::clone(&store);
    for number in 0..10 {
        assert_eq!(commit(&port, first("alpha", number)).await.unwrap(), Committed::Written);
    }
    eventually("the replica has all of it, and the sentinel knows the replica", async || {
        let size = |server: &RedisServer| -> u64 {
            // A replica that is loading does not answer.
            redis::cmd("DBSIZE").query(&mut server.connection()).unwrap_or(0)
        };
        let has_all = size(&replica) == size(&master);
        let mut known = redis::cmd("SENTINEL");
        known.arg("REPLICAS").arg("mymaster");
        let known: Vec<redis::Value> = known.query(&mut sentinel.connection()).unwrap();
        (has_all && known.len() == 1).then_some(())
    })
    .await;
    assert_eq!(store.failovers(), 0);
    master.kill();
    assert!(commit(&port, first("alpha", 10)).await.unwrap_err().is_transient());
    eventually("the replica is the master", async || store.check().await.ok()).await;
    assert_eq!(store.failovers(), 1);
    assert_eq!(commit(&port, first("alpha", 11)).await.unwrap(), Committed::Written);
    assert_eq!(committed_everywhere(&port, "alpha").await, 11);
}

#[tokio::test]
async fn sentinels_have_credentials_of_their_own() {
    let master = RedisServer::start(&[]);
    master.set_user(&documented_rights("~*"));
    master.set_user(&["+role"]);
    let users = "user default on nopass ~* &* -@all +ping\nuser watch on >hush ~* &* +@all\n";
    let sentinel = RedisServer::start_sentinel_with(&master, users);
    // A database that Sentinels do not have.
    let url = format!("{}/3", sentinel.url_of_user());
    let of_master =
        RedisOptions { urls: vec![url.into()], mode: RedisMode::Sentinel, ..options(&master) };
    master.set_user(&["+select"]);
    let error = RedisStore::connect(&of_master).await.unwrap_err();
    let why = storekeeper::domain::causes(&error);
    assert!(!error.is_transient() && why.contains(&sentinel.address()), "{why}");
    let own = RedisOptions {
        sentinel_username: Some("watch".to_owned()),
        sentinel_password: Some("hush".into()),
        ..of_master
    };
    let store: Arc<dyn Store> = Arc::new(RedisStore::connect(&own).await.unwrap());
    assert_eq!(commit(&store, first("alpha", 1)).await.unwrap(), Committed::Written);
    let shown = format!("{own:?} {store:?} {why}");
    assert!(!shown.contains("hush") && !shown.contains("secret"), "{shown}");
}

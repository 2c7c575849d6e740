//! A master that Sentinels name, and the next one.

use std::sync::Arc;

use storekeeper::store::redis::{RedisMode, RedisOptions, RedisStore};
use storekeeper::store::{Committed, ReadStore, StateStore, Store};

use super::{commit, committed_everywhere, first, options};
use crate::harness::eventually;
use crate::servers::RedisServer;

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

//! The real binary, killed in the middle of its work, again and again.
//!
//! Goal: every body that was answered 200 is accounted for, and the stock equals the model.
//! Method: a history is posted by several clients that send a body again until it is answered.
//! Meanwhile the server gets SIGKILL after a random number of answers and a random moment more, and
//! is started again on the same files. `STOREKEEPER_TEST_LONG=1` kills it 50 times.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use storekeeper::broker::Broker;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::simulate::{History, HistoryOptions};
use storekeeper::store::StateStore;
use storekeeper::store::embedded::EmbeddedStore;
use tokio::sync::watch;

use crate::harness::{Server, free_port, is_long, seed};
use crate::load::{all_accounted_for, eventually_settled, post_all, stock_equals_the_model};

/// Orders for each kill, each of several webhooks.
const ORDERS_PER_KILL: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_and_counts_nothing_twice() {
    let kills = if is_long() { 50 } else { 8 };
    let seed = seed();
    let options =
        HistoryOptions { seed, orders: kills * ORDERS_PER_KILL, duplicates_per_mille: 200 };
    let history = Arc::new(History::write(options));
    let directory = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let settings = [
        ("STOREKEEPER__INGRESS__LISTEN", ports[0].as_str()),
        ("STOREKEEPER__CONSOLE__LISTEN", ports[1].as_str()),
        ("STOREKEEPER__PROBES__LISTEN", ports[2].as_str()),
    ];
    let mut dice = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let server = Server::start(directory.path(), &settings).await;
    let (answered, mut count) = watch::channel(0);
    let posting = post_all(&history, server.webhooks(), answered);
    let (files, deliveries) = (directory.path(), history.deliveries.len());
    let killing = async move {
        let mut server = server;
        let step = deliveries / (kills as usize + 1);
        for kill in 1..=kills as usize {
            let enough = (kill - 1) * step + dice.random_range(1..=step);
            count.wait_for(|count| *count >= enough).await.unwrap();
            tokio::time::sleep(Duration::from_micros(dice.random_range(0..20_000))).await;
            server.kill();
            server = Server::start(files, &settings).await;
        }
        server
    };
    let (ids, mut server) = tokio::join!(posting, killing);
    eventually_settled(&server).await;
    server.signal("TERM");
    assert!(server.ended().await.success(), "{}", server.log());

    let data = directory.path().join("data");
    let broker = EmbeddedBroker::open(&data).unwrap();
    all_accounted_for(&broker, &ids).await;
    broker.close().await;
    let store = EmbeddedStore::open(&data).unwrap();
    stock_equals_the_model(&store, &history, &ids).await;
    store.close().await;
}

//! The real binary, told to stop under full load and started again, again and again.
//!
//! Goal: each time it ends by itself, in time, with all that it had in hand settled; and at the end
//! every body that was answered 200 is accounted for, and the stock equals the model. Method: as in
//! [`crash`](super::crash), with SIGTERM in the place of SIGKILL. `STOREKEEPER_TEST_LONG=1` tells it
//! 50 times. The roles as processes of their own are in `distributed/drains.rs`.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use storekeeper::broker::Broker;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::config::Settings;
use storekeeper::simulate::{History, HistoryOptions};
use storekeeper::store::StateStore;
use storekeeper::store::embedded::EmbeddedStore;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::harness::{Server, free_port, is_long, seed};
use crate::load::{all_accounted_for, eventually_settled, post_all, stock_equals_the_model};

/// Orders for each drain, each of several webhooks.
const ORDERS_PER_DRAIN: u32 = 40;
/// How long it may take to take leave of servers, after `worker.drain_timeout`.
const GOODBYE: Duration = Duration::from_secs(13);

/// How often a process is told to stop.
pub(crate) fn drain_count() -> u32 {
    if is_long() { 50 } else { 4 }
}

/// A history that is long enough to be posted while that happens.
pub(crate) fn long_history(seed: u64) -> Arc<History> {
    let orders = drain_count() * ORDERS_PER_DRAIN;
    Arc::new(History::write(HistoryOptions { seed, orders, duplicates_per_mille: 200 }))
}

/// How long drains took.
#[derive(Debug, Default)]
pub(crate) struct Drains(Vec<Duration>);

impl Drains {
    /// Tells a server to stop, and waits until it has ended as it should.
    pub(crate) async fn drain(&mut self, mut server: Server) {
        let drain_timeout = Settings::load_from(None, []).unwrap().worker.drain_timeout;
        let begun = Instant::now();
        server.signal("TERM");
        assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
        let took = begun.elapsed();
        assert!(took < drain_timeout + GOODBYE, "it took {took:?}\n{}", server.log());
        self.0.push(took);
    }

    #[expect(clippy::print_stderr, reason = "how long it took is for whoever runs the tests")]
    pub(crate) fn report(mut self, what: &str) {
        self.0.sort_unstable();
        let [median, most] = [self.0[self.0.len() / 2], self.0[self.0.len() - 1]];
        let (count, median, most) = (self.0.len(), median.as_millis(), most.as_millis());
        eprintln!("{count} drains of {what}: median {median} ms, longest {most} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_under_load_ends_in_time_and_loses_nothing() {
    let seed = seed();
    let history = long_history(seed);
    let directory = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let settings = [
        ("STOREKEEPER__INGRESS__LISTEN", ports[0].as_str()),
        ("STOREKEEPER__CONSOLE__LISTEN", ports[1].as_str()),
        ("STOREKEEPER__PROBES__LISTEN", ports[2].as_str()),
    ];
    let mut dice = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut server = Server::start(directory.path(), &settings).await;
    let (answered, mut count) = watch::channel(0);
    let posting = post_all(&history, server.webhooks(), answered);
    let mut drains = Drains::default();
    let draining = async {
        let step = history.deliveries.len() / (drain_count() as usize + 1);
        for drain in 1..=drain_count() as usize {
            let enough = (drain - 1) * step + dice.random_range(1..=step);
            count.wait_for(|count| *count >= enough).await.unwrap();
            drains.drain(server).await;
            server = Server::start(directory.path(), &settings).await;
        }
        server
    };
    let (ids, server) = tokio::join!(posting, draining);
    eventually_settled(&server).await;
    drains.drain(server).await;
    drains.report("a server");

    let data = directory.path().join("data");
    let broker = EmbeddedBroker::open(&data).unwrap();
    all_accounted_for(&broker, &ids).await;
    broker.close().await;
    let store = EmbeddedStore::open(&data).unwrap();
    stock_equals_the_model(&store, &history, &ids).await;
    store.close().await;
}

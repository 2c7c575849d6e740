//! A shop at work: both files, a worker and a replayer on them, and what operators do to it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::broker::{Broker, JournalRecord};
use storekeeper::clock;
use storekeeper::config::Settings;
use storekeeper::domain::{Code, MessageId, Policy, Timestamp};
use storekeeper::duties::close_final;
use storekeeper::health::Health;
use storekeeper::metrics::Metrics;
use storekeeper::simulate::model::{Counts, Item};
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{
    DeadLetterFilter, DeadLetterSummary, NewReplay, Pace, PageRequest, ReadStore, Replay, ReplayId,
    StateStore, Store, UpkeepStore,
};
use storekeeper::upkeep::audit;
use storekeeper::upkeep::rebuild::{self, Selection};
use storekeeper::upkeep::recompute::{self, Mode};
use storekeeper::worker::{Drained, Pool, PoolError};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::mishaps::{Mishaps, OfOperators, OfWorkers};
use crate::harness::{eventually_within, origin};
use crate::replays::run_replays;
use crate::tampered::Tampered;

/// How long the queues may take to be empty, in hurried time.
const PATIENCE: Duration = Duration::from_mins(20);
/// How many orders may bear one invoice number.
const ORDERS_OF_INVOICE_MAX: usize = 8;
const STORE_FILES: [&str; 3] = ["store.db", "store.db-wal", "store.db-shm"];

/// Everything that a page of a list can have.
fn all() -> PageRequest {
    PageRequest::first(10_000)
}

#[derive(Debug)]
pub(super) struct Shop {
    pub(super) broker: Arc<EmbeddedBroker>,
    pub(super) store: Arc<EmbeddedStore>,
    /// The same, as operators meet it.
    operated: Tampered<OfOperators>,
    mishaps: Arc<Mishaps>,
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
    directory: TempDir,
}

impl Shop {
    /// Opens the files of a directory and starts to work by the policy in force, or by this one.
    pub(super) async fn open(directory: TempDir, policy: &Policy, mishaps: Arc<Mishaps>) -> Self {
        let broker = Arc::new(EmbeddedBroker::open(directory.path()).unwrap());
        let store = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
        store.adopt_policy(policy, &origin()).await.unwrap();
        let of_workers = OfWorkers(Arc::clone(&mishaps));
        let worked: Arc<dyn Store> = Arc::new(Tampered::new(Arc::clone(&store), of_workers));
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let port = Arc::clone(&broker) as Arc<dyn Broker>;
        let replayer = run_replays(Arc::clone(&port), Arc::clone(&worked), stop.clone());
        let consumer = consume(port, worked, stop.clone());
        let tasks = [tracker.spawn(consumer), tracker.spawn(replayer)];
        let operated = Tampered::new(Arc::clone(&store), OfOperators(Arc::clone(&mishaps)));
        Self { broker, store, operated, mishaps, stop, tasks, directory }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Dies; answers with what is left.
    pub(super) async fn crash(self) -> TempDir {
        for task in self.tasks {
            task.abort();
            task.await.ok();
        }
        self.directory
    }

    /// Stops in order.
    pub(super) async fn stop(self) -> TempDir {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        self.broker.close().await;
        self.store.close().await;
        self.directory
    }

    /// The Store as its callers know it.
    pub(super) fn port(&self) -> &dyn Store {
        &*self.store
    }

    /// Stops, loses the Store and finds a copy of it, if there is one.
    pub(super) async fn lose_store(self, copy: Option<&Path>) -> TempDir {
        let directory = self.stop().await;
        for file in STORE_FILES {
            // Beside the first there is only what was not tidied up.
            std::fs::remove_file(directory.path().join(file)).ok();
        }
        if let Some(copy) = copy {
            std::fs::copy(copy.join("store.db"), directory.path().join("store.db")).unwrap();
        }
        directory
    }

    /// Waits until there is nothing to do.
    pub(super) async fn rest(&self) {
        eventually_within(PATIENCE, "nothing is left to do", async || {
            assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a part of it has ended");
            // In this order: what a replay sends is in the queue before the replay ends.
            let replays = self.port().open_replays().await.unwrap();
            let depth = self.broker.depth().await.unwrap();
            let waiting =
                depth.work_ready + depth.work_in_flight + depth.retry_ready + depth.dead_intake;
            (replays.is_empty() && waiting == 0).then_some(())
        })
        .await;
    }

    /// Waits until there is nothing to do, and nothing that only failed by mishap is left aside.
    pub(super) async fn heal(&self) {
        self.mishaps.turn(false);
        for _ in 0..10 {
            self.rest().await;
            let letters = self.letters(&DeadLetterFilter::default()).await;
            let ids: Vec<_> =
                letters.into_iter().filter(is_by_mishap).map(|letter| letter.id).collect();
            if ids.is_empty() {
                self.mishaps.turn(true);
                return;
            }
            self.replay_letters(DeadLetterFilter { ids, ..DeadLetterFilter::default() }).await;
        }
        panic!("what nothing speaks against is not applied");
    }

    pub(super) async fn replay_letters(&self, filter: DeadLetterFilter) -> Replay {
        let id = ReplayId(Uuid::now_v7());
        let new = NewReplay { id, filter, pace: Pace::default(), made_at: clock::now() };
        self.port().make_replay(new).await.unwrap()
    }

    /// The letters that are parked; of each message one.
    pub(super) async fn letters(&self, filter: &DeadLetterFilter) -> Vec<DeadLetterSummary> {
        let page = self.port().dead_letters(filter, &all()).await.unwrap();
        assert_eq!(page.next, None);
        page.items
    }

    /// `policy apply`
    pub(super) async fn apply(&self, policy: &Policy) {
        until_done(async || {
            let in_force = self.operated.replace_policy(policy, &origin()).await?;
            let mode = Mode::Write { message_id: MessageId(Uuid::now_v7()), at: clock::now() };
            for site in self.store.sites().await? {
                let effect =
                    recompute::site(&self.operated, &site, &in_force, mode, |_| {}).await?;
                assert_eq!(effect.overflowed, []);
            }
            Ok::<_, recompute::RecomputeError>(())
        })
        .await;
    }

    /// Closes what was settled before a time.
    pub(super) async fn close(&self, before: Timestamp) {
        // Of orders that bear one invoice number each turn closes one: both change what is known of it.
        for _ in 0..ORDERS_OF_INVOICE_MAX {
            until_done(async || close_final(&self.operated, before).await).await;
        }
    }

    /// `journal replay`
    pub(super) async fn replay_journal(&self, since: Option<Timestamp>) {
        let is_empty = self.store.sites().await.unwrap().is_empty();
        let selection = Selection { since: since.filter(|_| !is_empty), partial: false };
        until_done(async || {
            rebuild::replay(&*self.broker, &self.operated, selection, |_| {}).await
        })
        .await;
    }

    pub(super) async fn journal(&self) -> Vec<JournalRecord> {
        self.broker.journal(None, usize::MAX).await.unwrap()
    }

    /// The stock items that count something.
    pub(super) async fn stock(&self) -> BTreeMap<Item, Counts> {
        let mut stock = BTreeMap::new();
        for site in self.store.sites().await.unwrap() {
            let page = self.store.stock(&site, None, &all()).await.unwrap();
            assert_eq!(page.next, None);
            stock.extend(page.items.into_iter().map(|item| {
                let counts = Counts {
                    received: item.counts.received.to_decimal(),
                    committed: item.counts.committed.to_decimal(),
                    fulfilled: item.counts.fulfilled.to_decimal(),
                };
                (Item { site: item.site.to_string(), key: item.key.to_string() }, counts)
            }));
        }
        stock.retain(|_, counts| !counts.is_zero());
        stock
    }

    /// Fails unless every sum is right.
    pub(super) async fn audit(&self) {
        for site in self.store.sites().await.unwrap() {
            let found = audit::site(&*self.store, &site, |_| {}).await.unwrap();
            assert_eq!(found.differences, [], "{site}");
        }
    }
}

/// Whether a letter says of its body that it is good, and that applying it failed.
pub(super) fn is_by_mishap(letter: &DeadLetterSummary) -> bool {
    matches!(letter.rejection.code, Code::RetryExhausted | Code::WorkerPanic)
}

/// Works by whichever policy is in force, in batches that are often too small for what waits.
async fn consume(broker: Arc<dyn Broker>, store: Arc<dyn Store>, stop: CancellationToken) {
    let mut settings = Settings::load_from(None, []).unwrap();
    settings.worker.batch_max = 4;
    settings.worker.concurrency = 3;
    // What fails by mishap is put aside at once, so that no case depends on the time.
    settings.retry.ladder = vec![Duration::from_millis(1)];
    settings.retry.max_age = Duration::ZERO;
    loop {
        let pool = Pool::new(
            Arc::clone(&broker),
            Arc::clone(&store),
            Arc::new(Metrics::new()),
            Arc::new(Health::new()),
            store.policy().await.unwrap().unwrap(),
            &settings.worker,
            &settings.retry,
        );
        match pool.run(stop.clone(), CancellationToken::new()).await {
            Ok(drained) => return assert_eq!(drained, Drained::Whole),
            Err(PoolError::PolicyChanged) if stop.is_cancelled() => return,
            Err(PoolError::PolicyChanged) => {}
            Err(error @ (PoolError::Subscribe(_) | PoolError::QueueEnded)) => panic!("{error}"),
        }
    }
}

/// Does something again until it goes well, as an operator does who reads the messages.
async fn until_done<T, E: Debug>(mut step: impl AsyncFnMut() -> Result<T, E>) -> T {
    let mut failure = None;
    for _ in 0..100 {
        match step().await {
            Ok(done) => return done,
            Err(error) => failure = Some(error),
        }
    }
    panic!("it never goes well: {failure:?}");
}

//! Replays of dead letters: in one process beside a worker, and in a server that is killed.

mod forecast;
mod kinds;
mod racing;
mod redis;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use serde_json::json;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::broker::{Broker, Envelope, EnvelopeKind};
use storekeeper::clock;
use storekeeper::config::Settings;
use storekeeper::dead_letters::{self, Replayer, WouldBe};
use storekeeper::domain::{
    Code, MessageId, Outcome, Policy, Rejection, Site, SourceRules, StockKey,
};
use storekeeper::health::Health;
use storekeeper::metrics::{Metrics, OutcomeLabels};
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{
    DeadLetter, DeadLetterFilter, DeadLetterName, Fence, NewReplay, Pace, PageRequest, Replay,
    ReplayId, ReplayState, Store,
};
use storekeeper::worker::Pool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::{Server, eventually, is_long, origin};

/// Sends what is due of every replay until `stop`, as the leader does.
pub(crate) async fn run_replays(
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    stop: CancellationToken,
) {
    let mut replayer = Replayer::new(broker, store);
    // Greater for every later one.
    let leader = Fence(clock::now().micros().cast_unsigned());
    let turns = async {
        loop {
            let rest = replayer.turn(leader).await.ok().flatten();
            let rest = rest.unwrap_or(Duration::from_millis(200));
            tokio::time::sleep(rest).await;
        }
    };
    stop.run_until_cancelled(turns).await;
}

/// The body of an order of one unit; one that is broken if asked for.
fn body(order: usize, is_broken: bool) -> Bytes {
    let quantity = if is_broken { json!("many") } else { json!(1) };
    let body = json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_700_000_000_000_i64,
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": order.to_string(),
            "status": "PROCESSED",
            "items": [{"product_id": "P", "quantity": quantity}],
        },
    });
    body.to_string().into()
}

fn letter(order: usize, is_broken: bool) -> DeadLetter {
    let envelope = Envelope {
        message_id: MessageId(Uuid::now_v7()),
        kind: EnvelopeKind::Webhook,
        received_at: clock::now(),
        source: "duda".to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: body(order, is_broken),
    };
    let rejection = Rejection::new(Code::WorkerPanic, "the worker panicked on this body");
    DeadLetter { envelope, rejection, failed_at: clock::now(), attempts: 1, original: None }
}

async fn make(store: &dyn Store, pace: Pace) -> Replay {
    let id = ReplayId(Uuid::now_v7());
    let filter = DeadLetterFilter::default();
    let new = NewReplay { id, filter, pace, made_at: clock::now() };
    store.make_replay(new).await.unwrap()
}

async fn ended(store: &dyn Store, replay: &Replay) -> Replay {
    eventually("the replay has ended", async || {
        let now = store.replay(replay.id).await.unwrap().unwrap();
        (now.state != ReplayState::Running && now.open() == 0).then_some(now)
    })
    .await
}

/// What is committed of the one product, and how many entries its change feed has.
async fn committed(store: &dyn Store) -> (String, usize) {
    let (site, key) = (Site::parse("shop").unwrap(), StockKey::parse("product:P").unwrap());
    let item = store.stock_item(&site, &key, &PageRequest::first(1)).await.unwrap();
    let counts = item.map(|item| item.item.counts).unwrap_or_default();
    let feed = store.changes(&site, 0, 10_000).await.unwrap();
    (counts.committed.to_string(), feed.len())
}

/// The generations of the dead letters that are parked, with their reasons.
async fn parked(store: &dyn Store) -> Vec<(u32, Code)> {
    let all = PageRequest::first(10_000);
    let page = store.dead_letters(&DeadLetterFilter::default(), &all).await.unwrap();
    page.items.iter().map(|letter| (letter.generation, letter.rejection.code)).collect()
}

/// A pool and a replayer at work on a fresh directory.
struct AtWork {
    _directory: tempfile::TempDir,
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    tracker: tokio_util::task::TaskTracker,
}

impl AtWork {
    async fn start() -> Self {
        Self::start_with(&[], SourceRules::default()).await
    }

    async fn start_with(settings: &[(&str, &str)], sources: SourceRules) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
        Self::start_in(directory, store, settings, sources).await
    }

    /// Beside others at work on the same Store, with a queue of its own.
    async fn start_on(store: Arc<dyn Store>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, store, &[], SourceRules::default()).await
    }

    async fn start_in(
        directory: tempfile::TempDir,
        store: Arc<dyn Store>,
        settings: &[(&str, &str)],
        sources: SourceRules,
    ) -> Self {
        let broker: Arc<dyn Broker> = Arc::new(EmbeddedBroker::open(directory.path()).unwrap());
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let settings = Settings::load_from(None, settings).unwrap();
        let policy = settings.policy().over(&Policy::default());
        let metrics = Arc::new(Metrics::new());
        let pool = Pool::new(
            Arc::clone(&broker),
            Arc::clone(&store),
            Arc::clone(&metrics),
            Arc::new(Health::new()),
            store.adopt_policy(&policy, &origin()).await.unwrap(),
            &settings.worker,
            &settings.retry,
        );
        let (stop, tracker) = (CancellationToken::new(), tokio_util::task::TaskTracker::new());
        let running = pool.with_sources(sources).run(stop.clone(), CancellationToken::new());
        tracker.spawn(async { running.await.map(drop).unwrap() });
        tracker.spawn(run_replays(Arc::clone(&broker), Arc::clone(&store), stop.clone()));
        Self { _directory: directory, broker, store, metrics, stop, tracker }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.broker.close().await;
        self.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_decide_is_counted_apart_from_events() {
    let work = AtWork::start().await;
    let letters = [letter(1, true), letter(2, false), letter(3, false)];
    let [edited, discarded, event] = letters;
    let name = |letter: &DeadLetter| {
        let message_id = letter.envelope.message_id;
        DeadLetterName { message_id, generation: 1 }
    };
    work.store.park(vec![edited.clone(), discarded.clone()]).await.unwrap();
    dead_letters::edit(&work.broker, &*work.store, name(&edited), b"{}").await.unwrap();
    dead_letters::discard(&work.broker, &*work.store, name(&discarded)).await.unwrap();
    work.broker.publish(event.envelope).await.unwrap();
    let applied = |reason| {
        let labels = OutcomeLabels { outcome: "applied", reason };
        work.metrics.events_settled.get_or_create(&labels).get()
    };
    let counted = eventually("all have their outcome", async || {
        let counted = ["", "edited", "discarded"].map(applied);
        (counted.iter().sum::<u64>() == 3).then_some(counted)
    });
    assert_eq!(counted.await, [1, 1, 1]);
    work.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_does_what_its_dry_run_said() {
    let work = AtWork::start().await;
    let store = &*work.store;
    // The order of 3 comes twice, and every fifth is broken.
    let letters: Vec<_> = (0..30).map(|n| letter(if n == 4 { 3 } else { n }, n % 5 == 0)).collect();
    store.park(letters).await.unwrap();
    let filter = DeadLetterFilter::default();
    let said =
        dead_letters::dry_run(store, &SourceRules::default(), &filter).await.unwrap().unwrap();
    assert_eq!(committed(store).await, ("0".to_owned(), 0), "a dry run changes nothing");
    assert_eq!(parked(store).await, vec![(1, Code::WorkerPanic); 30]);
    let would_be = |wanted: &dyn Fn(&WouldBe) -> bool| {
        said.letters.iter().filter(|letter| wanted(&letter.would_be)).count()
    };
    let outcome = |wanted: Outcome| {
        would_be(
            &move |would_be| matches!(would_be, WouldBe::Settled(settled) if settled.outcome == wanted),
        )
    };
    assert_eq!((outcome(Outcome::Applied), outcome(Outcome::Duplicate)), (23, 1));
    assert_eq!(said.rejected(), 6);
    let replay = make(store, Pace::default()).await;
    let now = ended(store, &replay).await;
    assert_eq!((now.state, now.selected, now.settled, now.failed), (ReplayState::Done, 30, 24, 6));
    let [effect] = &said.effects[..] else { panic!("one item: {:?}", said.effects) };
    assert_eq!(committed(store).await, (effect.delta.committed.to_string(), 23));
    assert_eq!(parked(store).await, vec![(2, Code::InvalidQuantity); 6]);
    work.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_letter_is_applied_once_and_a_rebuild_repeats_it() {
    let work = AtWork::start().await;
    let broken = letter(1, true).envelope;
    let discarded = letter(2, true).envelope;
    let names = [&broken, &discarded]
        .map(|envelope| DeadLetterName { message_id: envelope.message_id, generation: 1 });
    // The commands of a person may come before the dead letters do.
    work.broker.publish(broken).await.unwrap();
    work.broker.publish(discarded).await.unwrap();
    dead_letters::edit(&work.broker, &*work.store, names[0], &body(1, false)).await.unwrap();
    dead_letters::discard(&work.broker, &*work.store, names[1]).await.unwrap();
    let ready = async |store: &dyn Store| {
        eventually("the edit is in effect", async || {
            let letter = store.dead_letter(names[0].message_id).await.unwrap()?;
            let is_discarded = store.dead_letter(names[1].message_id).await.unwrap().is_none();
            (letter.envelope.body == body(1, false) && is_discarded).then_some(letter)
        })
        .await
    };
    let edited = ready(&*work.store).await;
    assert_eq!((edited.generation(), edited.original), (1, Some(body(1, true))));
    assert_eq!(committed(&*work.store).await.0, "0", "an edit by itself applies nothing");
    let replay = make(&*work.store, Pace::default()).await;
    assert_eq!(ended(&*work.store, &replay).await.settled, 1);
    assert_eq!(committed(&*work.store).await, ("1".to_owned(), 1));
    assert_eq!(parked(&*work.store).await, []);
    let journal = work.broker.journal(None, 100).await.unwrap();
    work.end().await;
    let again = AtWork::start().await;
    for record in journal {
        again.broker.replay(vec![record.envelope]).await.unwrap();
    }
    eventually("the rebuild equals it", async || {
        let depth = again.broker.depth().await.unwrap();
        let waiting = depth.work_ready + depth.work_in_flight + depth.dead_intake;
        (waiting == 0).then_some(())
    })
    .await;
    assert_eq!(committed(&*again.store).await, ("1".to_owned(), 1));
    assert_eq!(parked(&*again.store).await, []);
    again.end().await;
}

/// The replay that sent a copy may be over in any way by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discard_wins_over_a_copy_that_is_on_its_way() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let letter = letter(1, false);
    store.park(vec![letter.clone()]).await.unwrap();
    let replay = make(&*store, Pace::default()).await;
    let fence = store.run_replays(Fence(1)).await.unwrap().unwrap();
    assert!(store.record_sent(replay.id, fence, vec![letter.name()], None).await.unwrap());
    store.cancel_replay(replay.id).await.unwrap();
    let work = AtWork::start_in(directory, store, &[], SourceRules::default()).await;
    dead_letters::discard(&work.broker, &*work.store, letter.name()).await.unwrap();
    work.broker.replay(vec![Envelope { replays: 1, ..letter.envelope }]).await.unwrap();
    eventually("the copy has an outcome", async || {
        let labels = OutcomeLabels { outcome: "ignored", reason: "discarded" };
        let counted = work.metrics.events_settled.get_or_create(&labels).get();
        (counted == 1).then_some(())
    })
    .await;
    assert_eq!(committed(&*work.store).await, ("0".to_owned(), 0));
    assert_eq!(parked(&*work.store).await, []);
    let replay = work.store.replay(replay.id).await.unwrap().unwrap();
    assert_eq!((replay.state, replay.gone, replay.open()), (ReplayState::Cancelled, 1, 0));
    work.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_stops_after_so_many_came_back() {
    let work = AtWork::start().await;
    work.store.park((0..50).map(|n| letter(n, true)).collect()).await.unwrap();
    let pace = Pace { abort_after: Some(3), ..Pace::default() };
    let replay = make(&*work.store, pace).await;
    let now = ended(&*work.store, &replay).await;
    assert_eq!((now.state, now.sent, now.failed), (ReplayState::Aborted, 3, 3));
    assert_eq!(parked(&*work.store).await.len(), 50);
    work.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_killed_in_the_middle_goes_on() {
    let kills = if is_long() { 20 } else { 3 };
    let letters = 60 * kills;
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&directory.path().join("data")).unwrap();
    let store: &dyn Store = &store;
    let is_broken = |n: usize| n.is_multiple_of(7);
    let parking = (0..letters).map(|n| letter(n, is_broken(n))).collect();
    store.park(parking).await.unwrap();
    let pace = Pace { rate: Some(400), ..Pace::default() };
    let replay = make(store, pace).await;
    let mut server = Server::start(directory.path(), &[]).await;
    for kill in 1..=kills {
        let enough = u64::try_from((kill - 1) * 60 + rand::random_range(1..50)).unwrap();
        eventually("the replay goes on", async || {
            (store.replay(replay.id).await.unwrap().unwrap().sent >= enough).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_micros(rand::rng().random_range(0..20_000))).await;
        server.kill();
        server = Server::start(directory.path(), &[]).await;
    }
    let now = ended(store, &replay).await;
    let broken = (0..letters).filter(|n| is_broken(*n)).count();
    let counts = (now.selected, now.sent, now.settled, now.failed, now.gone);
    let whole = [letters, letters, letters - broken, broken, 0];
    let [selected, sent, settled, failed, gone] = whole.map(|count| count as u64);
    assert_eq!(now.state, ReplayState::Done, "{}", server.log());
    assert_eq!(counts, (selected, sent, settled, failed, gone));
    assert_eq!(committed(store).await, (settled.to_string(), letters - broken));
    assert_eq!(parked(store).await, vec![(2, Code::InvalidQuantity); broken]);
    server.signal("TERM");
    assert!(server.ended().await.success(), "{}", server.log());
    store.close().await;
    journalled_nothing(&directory.path().join("data")).await;
}

/// What was put back is no part of the journal.
async fn journalled_nothing(data: &Path) {
    let broker = EmbeddedBroker::open(data).unwrap();
    assert_eq!(broker.journal(None, 1).await.unwrap(), []);
    broker.close().await;
}

//! Replays of processes that are killed again and again, while people edit and discard what is
//! replayed.
//!
//! Goal: every letter has exactly one outcome, the counters say which, and each order is counted
//! once. Method: a replay of letters of which some are good, some broken, some are edited and some
//! discarded at about the moment when it is their turn. `STOREKEEPER_TEST_LONG=1` replays 10,000
//! letters and kills 20 times.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use rand::RngExt;
use storekeeper::app;
use storekeeper::broker::Broker;
use storekeeper::config::Settings;
use storekeeper::dead_letters;
use storekeeper::domain::{Code, MessageId, Site, StockKey};
use storekeeper::store::{
    DeadLetterFilter, DeadLetterName, Pace, PageRequest, Replay, ReplayState, Store,
};

use super::{body, committed, letter, make};
use crate::distributed::deployment::Deployment;
use crate::harness::{Server, eventually, eventually_within, is_long, tell};

const LETTERS_A_KILL: usize = 500;
/// A leader that was killed keeps its lease for ten seconds, each time.
const PATIENCE: Duration = Duration::from_mins(10);

fn kills() -> usize {
    if is_long() { 20 } else { 2 }
}

/// What shall become of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// It is good.
    Counted,
    /// It is broken.
    ComesBack,
    /// It is broken until it is edited.
    Edited,
    /// It is discarded; it may have been counted before.
    DiscardedGood,
    /// It is broken, and discarded.
    DiscardedBroken,
}

fn fate(order: usize) -> Fate {
    match order % 10 {
        0 | 1 => Fate::ComesBack,
        2 => Fate::Edited,
        3 => Fate::DiscardedBroken,
        4 => Fate::DiscardedGood,
        _ => Fate::Counted,
    }
}

/// A replay under way, and what races it.
struct Race {
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    ids: Vec<MessageId>,
    replay: Replay,
}

impl Race {
    async fn start(broker: Arc<dyn Broker>, store: Arc<dyn Store>) -> Self {
        let is_good = |order| matches!(fate(order), Fate::Counted | Fate::DiscardedGood);
        let all = LETTERS_A_KILL * kills();
        let letters: Vec<_> = (0..all).map(|order| letter(order, !is_good(order))).collect();
        let ids = letters.iter().map(|letter| letter.envelope.message_id).collect();
        store.park(letters).await.unwrap();
        let replay = make(&*store, Pace { rate: Some(1_000), ..Pace::default() }).await;
        Self { broker, store, ids, replay }
    }

    async fn now(&self) -> Option<Replay> {
        // The servers may be away.
        self.store.replay(self.replay.id).await.ok()?
    }

    /// Waits until so many are sent.
    async fn sent(&self, enough: usize) {
        eventually_within(PATIENCE, "the replay goes on", async || {
            let now = self.now().await?;
            (now.sent >= enough as u64 || now.state != ReplayState::Running).then_some(())
        })
        .await;
    }

    /// Edits and discards letters, each shortly before or after its turn.
    async fn interfere(&self) {
        let mut turns: Vec<(usize, usize)> = (0..self.ids.len())
            .filter(|order| !matches!(fate(*order), Fate::Counted | Fate::ComesBack))
            .map(|order| ((order + 50).saturating_sub(rand::random_range(0..400)), order))
            .collect();
        turns.sort_unstable();
        let reached = Cell::new(0);
        let acts = stream::iter(turns).map(|(turn, order)| {
            let reached = &reached;
            async move {
                if turn > reached.get() {
                    self.sent(turn).await;
                    reached.set(turn);
                }
                let name = DeadLetterName { message_id: self.ids[order], generation: 1 };
                eventually("the command is taken", async || {
                    let (broker, store) = (&self.broker, &*self.store);
                    let taken = if fate(order) == Fate::Edited {
                        dead_letters::edit(broker, store, name, &body(order, false)).await
                    } else {
                        dead_letters::discard(broker, store, name).await
                    };
                    taken.ok()
                })
                .await;
            }
        });
        acts.buffer_unordered(4).collect::<Vec<()>>().await;
    }

    /// Lets something be killed while it is sent.
    async fn disturb(&self, mut kill: impl AsyncFnMut(usize)) {
        for number in 0..kills() {
            let within = rand::rng().random_range(20..LETTERS_A_KILL - 50);
            self.sent(number * LETTERS_A_KILL + within).await;
            kill(number).await;
        }
    }

    async fn is_done(&self, id: &Replay) -> Replay {
        eventually_within(PATIENCE, "the replay has ended", async || {
            let now = self.store.replay(id.id).await.ok()??;
            (now.state != ReplayState::Running && now.open() == 0).then_some(now)
        })
        .await
    }

    /// The parked letters: how many of each fate.
    async fn parked(&self) -> BTreeMap<Fate, usize> {
        let (mut found, mut page) = (BTreeMap::new(), PageRequest::first(10_000));
        let orders: BTreeMap<_, _> = self.ids.iter().zip(0..).collect();
        loop {
            let letters = self.store.dead_letters(&DeadLetterFilter::default(), &page).await;
            let letters = letters.unwrap();
            for letter in letters.items {
                assert_eq!(letter.rejection.code, Code::InvalidQuantity);
                *found.entry(fate(orders[&letter.id])).or_default() += 1;
            }
            let Some(next) = letters.next else { return found };
            page.after = Some(next);
        }
    }

    /// Looks at all that must be true when the replay is over.
    async fn check(&self) {
        let done = self.is_done(&self.replay).await;
        let all = self.ids.len();
        let a_tenth = all / 10;
        assert_eq!((done.state, done.selected), (ReplayState::Done, all as u64));
        assert_eq!(done.settled + done.failed + done.gone, done.selected, "{done:?}");
        self.nothing_queued().await;
        let counted = self.counted().await;
        // A letter may be discarded after its order was counted and before its outcome is known; of
        // one that was sent twice, the copy from before the edit may have failed first.
        let late = counted.get(&Fate::DiscardedGood).copied().unwrap_or_default();
        let edited = counted.get(&Fate::Edited).copied().unwrap_or_default();
        let settled = usize::try_from(done.settled).unwrap();
        let least = counted[&Fate::Counted];
        assert!((least..=least + late + edited).contains(&settled), "{done:?}, {counted:?}");
        let parked = self.parked().await;
        let edited_left = parked.get(&Fate::Edited).copied().unwrap_or_default();
        let left = BTreeMap::from([(Fate::ComesBack, 2 * a_tenth), (Fate::Edited, edited_left)]);
        assert_eq!(parked, left.into_iter().filter(|(_, count)| *count > 0).collect());
        let discarded_before = all - usize::try_from(done.gone).unwrap();
        assert!(discarded_before >= 8 * a_tenth, "only what was discarded is gone: {done:?}");
        // Those whose edit came too late are good now.
        let again = make(&*self.store, Pace::default()).await;
        let again = self.is_done(&again).await;
        let counts = [again.selected, again.settled, again.failed, again.gone];
        let left = 2 * a_tenth;
        assert_eq!(counts, [left + edited_left, edited_left, left, 0].map(|count| count as u64));
        let counted = self.counted().await;
        assert_eq!(counted.len(), 3, "{counted:?}");
        assert_eq!((counted[&Fate::Counted], counted[&Fate::Edited]), (5 * a_tenth, a_tenth));
        tell(&format!(
            "{all} letters, {} kills: settled {}, came back {}, gone {}; {late} were counted that \
             were discarded, and {edited_left} edits came after their letter was sent",
            kills(),
            done.settled,
            done.failed,
            done.gone
        ));
    }

    /// The orders that are counted, each once: how many of each fate.
    async fn counted(&self) -> BTreeMap<Fate, usize> {
        let (site, key) = (Site::parse("shop").unwrap(), StockKey::parse("product:P").unwrap());
        let (mut found, mut page) = (BTreeMap::new(), PageRequest::first(1_000));
        loop {
            let item = self.store.stock_item(&site, &key, &page).await.unwrap().unwrap();
            for held in item.holds.items {
                assert_eq!(held.hold.committed.to_string(), "1");
                let order: usize = held.order.identifier.as_str().parse().unwrap();
                *found.entry(fate(order)).or_default() += 1;
            }
            let Some(next) = item.holds.next else { break };
            page.after = Some(next);
        }
        let all: usize = found.values().sum();
        // Each is in the feed once, so nothing was counted twice or taken back.
        assert_eq!(committed(&*self.store).await, (all.to_string(), all));
        found
    }

    /// Waits until nothing is on its way.
    async fn nothing_queued(&self) {
        eventually("nothing is queued", async || {
            let depth = self.broker.depth().await.ok()?;
            let waiting = depth.work_ready + depth.work_in_flight + depth.retry_ready;
            (waiting + depth.dead_intake == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_are_edited_and_discarded_while_the_server_is_killed_have_one_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let server = Cell::new(Some(Server::start(directory.path(), &[]).await));
    let path = directory.path().join("data").into_os_string();
    let settings = [("STOREKEEPER__EMBEDDED__PATH".into(), path)];
    let settings = Settings::load_from(None, settings.into_iter()).unwrap();
    let broker = app::open_broker(&settings).await.unwrap();
    let race = Race::start(broker, app::open_store(&settings).await.unwrap()).await;
    let kill = async |_| {
        server.take().unwrap().kill();
        server.set(Some(Server::start(directory.path(), &[]).await));
    };
    tokio::join!(race.disturb(kill), race.interfere());
    race.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_are_edited_and_discarded_while_leader_and_worker_are_killed_have_one_outcome()
{
    let deployment = Deployment::start().await;
    let leader = Cell::new(Some(deployment.role("leader", "leader").await));
    let worker = Cell::new(Some(deployment.role("worker", "worker").await));
    let race = Race::start(deployment.broker().await, deployment.store().await).await;
    let kill = async |number: usize| {
        let name = format!("{number}");
        if number.is_multiple_of(2) {
            leader.take().unwrap().kill();
            leader.set(Some(deployment.role("leader", &format!("leader-{name}")).await));
        } else {
            worker.take().unwrap().kill();
            worker.set(Some(deployment.role("worker", &format!("worker-{name}")).await));
        }
    };
    tokio::join!(race.disturb(kill), race.interfere());
    race.check().await;
}

//! What was answered is there, once, whatever happens to the server in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use storekeeper::domain::{
    Class, ClosedName, Counts, Fingerprint, Hold, ItemNames, Link, List, Lists, OrderId, Quantity,
    Rank, Status, StockKey, Timestamp, Version,
};
use storekeeper::store::{
    Closing, Commit, Committed, EntityId, EntityName, EntityState, Store, StoreError,
};
use tokio_util::task::TaskTracker;

use super::{
    commit, committed_everywhere, first, holding, load, on, open, options, order_entity, order_id,
};
use crate::harness::eventually;
use crate::servers::{RedisServer, shared_redis};

/// Commits until all are there, as a worker does: a call that failed is computed again from what a
/// fresh load finds. Answers with how many calls failed.
async fn commit_until_written(store: &Arc<dyn Store>, commits: &[Commit]) -> usize {
    let entity =
        |commit: &Commit| EntityId { site: commit.site.clone(), name: commit.read[0].0.clone() };
    let entities: Vec<_> = commits.iter().map(entity).collect();
    let mut failed = 0;
    loop {
        let Ok(loaded) = load(store, &entities).await else {
            failed += 1;
            continue;
        };
        let missing = commits.iter().zip(loaded).filter(|(_, loaded)| loaded.is_none());
        let missing: Vec<Commit> = missing.map(|(commit, _)| commit.clone()).collect();
        if missing.is_empty() {
            return failed;
        }
        match store.commit(missing).await {
            Ok(committed) => {
                assert!(committed.iter().all(|it| *it == Committed::Written), "{committed:?}");
            }
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                failed += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_are_forgotten_in_the_middle_of_a_batch_run_once() {
    // Of its own: every test of a server shares its scripts.
    let server = RedisServer::start(&[]);
    let store = open(&options(&server));
    let is_done = AtomicBool::new(false);
    let mut connection = server.connection();
    let flushing = async {
        let mut flushed = 0;
        while !is_done.load(Ordering::Relaxed) {
            redis::cmd("SCRIPT").arg("FLUSH").query::<()>(&mut connection).unwrap();
            flushed += 1;
            // Without a pause no batch would ever find its script on a busy machine.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        flushed
    };
    let committing = async {
        for batch in 0..20 {
            let commits: Vec<Commit> =
                (0..100).map(|it| first("alpha", batch * 100 + it)).collect();
            commit_until_written(&store, &commits).await;
        }
        is_done.store(true, Ordering::Relaxed);
    };
    let (flushed, ()) = tokio::join!(flushing, committing);
    assert!(flushed > 20, "{flushed}");
    assert_eq!(committed_everywhere(&store, "alpha").await, 2000);
}

#[tokio::test]
async fn a_full_server_is_away_and_nothing_is_half_written() {
    let server = RedisServer::start(&[]);
    let store = open(&options(&server));
    commit(&store, first("alpha", 1)).await.unwrap();
    let mut connection = server.connection();
    let mut set_memory = |bytes: u32| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(bytes).query::<()>(&mut connection).unwrap();
    };
    set_memory(1);
    for site_name in ["alpha", "beta"] {
        let error = commit(&store, first(site_name, 2)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    }
    assert!(store.check().await.unwrap_err().is_transient());
    assert_eq!(load(&store, &[order_entity("alpha", 2)]).await.unwrap(), [None]);
    assert_eq!(committed_everywhere(&store, "alpha").await, 1, "it still can be read");
    set_memory(0);
    assert_eq!(commit(&store, first("alpha", 2)).await.unwrap(), Committed::Written);
    assert_eq!(committed_everywhere(&store, "alpha").await, 2);
}

#[tokio::test]
async fn a_damaged_key_fails_its_own_commit_before_anything_is_written() {
    let options = options(shared_redis());
    let store = open(&options);
    commit(&store, first("alpha", 1)).await.unwrap();
    let mut connection = shared_redis().connection();
    let holds = format!("{}:{{beta}}:holds:sku%3AA", options.prefix);
    redis::cmd("SET").arg(&holds).arg("no hash").query::<()>(&mut connection).unwrap();
    let batch = vec![first("alpha", 2), first("beta", 2), first("alpha", 3)];
    let error = store.commit(batch).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains(&holds), "{error}");
    assert_eq!(load(&store, &[order_entity("beta", 2)]).await.unwrap(), [None]);
    assert_eq!(committed_everywhere(&store, "alpha").await, 3, "its neighbours are written");

    let stock = format!("{}:{{alpha}}:stock", options.prefix);
    let mut damage = redis::cmd("HSET");
    damage.arg(&stock).arg("sku:A").arg("0 many 0");
    damage.query::<()>(&mut connection).unwrap();
    let error = commit(&store, first("alpha", 4)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { .. }), "{error:?}");
    assert_eq!(load(&store, &[order_entity("alpha", 4)]).await.unwrap(), [None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlives_a_server_that_is_killed() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&options(&server));
    let mut answered = 0;
    for round in 0..3 {
        let writing = TaskTracker::new().spawn({
            let store = Arc::clone(&store);
            async move {
                let mut written = Vec::new();
                for number in round * 10_000.. {
                    match commit(&store, first("alpha", number)).await {
                        Ok(committed) => {
                            assert_eq!(committed, Committed::Written);
                            written.push(order_entity("alpha", number));
                        }
                        Err(error) => {
                            assert!(error.is_transient(), "{error:?}");
                            break;
                        }
                    }
                }
                written
            }
        });
        eventually("something is written", async || {
            let feed = store.changes(&super::site("alpha"), answered, 200).await.ok()?;
            (feed.len() >= 50).then_some(())
        })
        .await;
        server.kill();
        let written = writing.await.unwrap();
        assert!(written.len() >= 49);
        server.start_again();
        eventually("the store is back", async || store.check().await.ok()).await;
        let found = load(&store, &written).await.unwrap();
        assert!(found.iter().all(Option::is_some), "an answered commit is lost");
        answered = u64::try_from(committed_everywhere(&store, "alpha").await).unwrap();
    }
}

#[tokio::test]
async fn a_frozen_server_is_away_and_nothing_counts_twice_afterwards() {
    let server = RedisServer::start(&[]);
    let store = open(&options(&server));
    commit(&store, first("alpha", 1)).await.unwrap();
    server.freeze();
    let started = tokio::time::Instant::now();
    for number in 2..6 {
        let error = commit(&store, first("alpha", number)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    }
    let each = started.elapsed() / 4;
    assert!(each < Duration::from_secs(5), "{each:?}");
    server.thaw();
    eventually("the store is back", async || store.check().await.ok()).await;
    let commits: Vec<Commit> = (2..6).map(|number| first("alpha", number)).collect();
    commit_until_written(&store, &commits).await;
    assert_eq!(committed_everywhere(&store, "alpha").await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_stores_exactly_one_wins_each_revision() {
    let options = options(shared_redis());
    let fighters = (0..2).map(|fighter| {
        let store = open(&options);
        TaskTracker::new().spawn(async move {
            let entity = order_entity("alpha", 1);
            let mut won = 0;
            for step in 0..200 {
                let loaded = load(&store, std::slice::from_ref(&entity)).await.unwrap().remove(0);
                let held = loaded.as_ref().map_or(0, |loaded| {
                    let EntityState::Order(state) = &loaded.state else { unreachable!() };
                    state.applied.values().map(|hold| hold.committed.millionths()).sum()
                });
                let add = 1 + (step + fighter) % 3;
                let next = holding(entity.clone(), held, held + add, 1);
                let next = on(next, loaded.map(|loaded| loaded.revision));
                match commit(&store, next).await.unwrap() {
                    Committed::Written => won += add,
                    Committed::Conflict => {}
                    other @ (Committed::PolicyChanged
                    | Committed::Overflow(_)
                    | Committed::Closed { .. }) => panic!("{other:?}"),
                }
            }
            won
        })
    });
    let mut won = 0;
    for fighter in fighters.collect::<Vec<_>>() {
        won += fighter.await.unwrap();
    }
    assert_eq!(committed_everywhere(&open(&options), "alpha").await, won);
}

/// All keys of a prefix, each as Redis itself would write it down.
pub(super) fn everything(
    connection: &mut redis::Connection,
    prefix: &str,
) -> BTreeMap<String, Vec<u8>> {
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("{prefix}:*")).query(connection).unwrap();
    let mut dump = |key: &String| redis::cmd("DUMP").arg(key).query(connection).unwrap();
    let dumps: Vec<Vec<u8>> = keys.iter().map(&mut dump).collect();
    keys.into_iter().zip(dumps).collect()
}

/// A commit of an order that takes over what a second name held: it writes to every kind of key.
fn linking() -> Commit {
    let (known, other) = (StockKey::parse("sku:A").unwrap(), StockKey::parse("sku:B").unwrap());
    let mut commit = first("alpha", 2);
    commit.changes[0].key = other.clone();
    let Some(EntityState::Order(record)) = &mut commit.writes[0].state else { panic!("no order") };
    let held = record.applied.remove(&known).unwrap();
    record.applied.insert(other, held);
    record.lists = [List::All, List::Ambiguous].into_iter().collect();
    commit.writes[0].lists.1 = record.lists;
    let name = OrderId::parse("external-id:E").unwrap();
    commit.links_read = vec![(name.clone(), None)];
    commit.links = vec![(name, Some(Link { ids: [order_id(2)].into(), led_to_closed: false }))];
    let version = Version {
        class: Class::Creation,
        event_timestamp: 1,
        observed_at: 0,
        rank: Rank::Created,
        status: Status::Processed,
        fingerprint: Fingerprint(1),
    };
    let key = StockKey::parse("sku:B").unwrap();
    let also = vec![StockKey::parse("product:P").unwrap()];
    commit.item_names = vec![ItemNames { key, line: Some((version, "Mug".to_owned())), also }];
    commit
}

/// A commit that closes the order that is there.
fn closing(mut commit: Commit) -> Commit {
    let EntityName::Order(order) = commit.read[0].0.clone() else { panic!("no order") };
    commit.writes[0].state = None;
    commit.writes[0].lists.1 = Lists::NONE;
    commit.changes[0].delta = Counts::default();
    commit.changes[0].hold = Some(Hold::default());
    commit.changes[0].closed = Some(Quantity::ZERO);
    let before = Timestamp::from_millis(1);
    let names = vec![(order, ClosedName::Itself)];
    commit.closing = Some(Closing { names, before });
    commit
}

#[tokio::test]
async fn a_key_of_another_type_fails_a_commit_with_nothing_written() {
    #[derive(Clone, Copy)]
    enum Refused {
        New,
        Next,
        Last,
    }
    use Refused::{Last, New, Next};
    let cases = [
        (New, "order:id:2"),
        (New, "orders"),
        (New, "orders:ambiguous"),
        (New, "names"),
        (New, "stock"),
        (New, "items"),
        (New, "changes"),
        (New, "oversold"),
        (New, "line-names"),
        (New, "line-named"),
        (New, "also"),
        (New, "holds:sku%3AB"),
        (New, "closed:"),
        (Next, "order:id:1"),
        (Next, "orders"),
        (Next, "stock"),
        (Next, "changes"),
        (Next, "holds:sku%3AA"),
        (Last, "order:id:1"),
        (Last, "orders"),
        (Last, "stock"),
        (Last, "holds:sku%3AA"),
        (Last, "closed:"),
    ];
    let mut connection = shared_redis().connection();
    for (refused, part) in cases {
        let options = options(shared_redis());
        let store = open(&options);
        commit(&store, first("alpha", 1)).await.unwrap();
        let loaded = load(&store, &[order_entity("alpha", 1)]).await.unwrap().remove(0).unwrap();
        let next = on(holding(order_entity("alpha", 1), 1, 2, 1), Some(loaded.revision));
        let refused = match refused {
            New => linking(),
            Next => next,
            Last => closing(next),
        };
        // Which of these sets has a name is nobody's business.
        let parts: Vec<String> = match part {
            "closed:" => (0..512).map(|set| format!("{part}{set}")).collect(),
            _ => vec![part.to_owned()],
        };
        for part in parts {
            let key = format!("{}:{{alpha}}:{part}", options.prefix);
            redis::cmd("DEL").arg(&key).query::<()>(&mut connection).unwrap();
            redis::cmd("RPUSH").arg(&key).arg("a list").query::<()>(&mut connection).unwrap();
        }
        let before = everything(&mut connection, &options.prefix);
        let answer = commit(&store, refused.clone()).await;
        let is_corrupt = matches!(&answer, Err(StoreError::Corrupt { .. }));
        assert!(is_corrupt, "{part}: {answer:?} to {refused:?}");
        assert_eq!(everything(&mut connection, &options.prefix), before, "{part}");
    }
}

#[tokio::test]
async fn a_name_that_nobody_writes_fails_a_commit_with_nothing_written() {
    let mut connection = shared_redis().connection();
    for name in ["", "Mug", "0123456789abcdef", &"z".repeat(99)] {
        let options = options(shared_redis());
        let store = open(&options);
        commit(&store, first("alpha", 1)).await.unwrap();
        let key = format!("{}:{{alpha}}:line-names", options.prefix);
        redis::cmd("HSET").arg(&key).arg("sku:B").arg(name).exec(&mut connection).unwrap();
        let before = everything(&mut connection, &options.prefix);
        let answer = commit(&store, linking()).await;
        assert!(matches!(&answer, Err(StoreError::Corrupt { .. })), "{name}: {answer:?}");
        assert_eq!(everything(&mut connection, &options.prefix), before, "{name}");
    }
}

/// What only removes gives memory back: it must be possible when there is none.
#[tokio::test]
async fn an_order_is_closed_on_a_server_that_is_full() {
    let server = RedisServer::start(&[]);
    let store = open(&options(&server));
    commit(&store, first("alpha", 1)).await.unwrap();
    let loaded = load(&store, &[order_entity("alpha", 1)]).await.unwrap().remove(0).unwrap();
    let mut connection = server.connection();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory").arg(1).query::<()>(&mut connection).unwrap();
    let error = commit(&store, first("alpha", 2)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    let closing = closing(on(first("alpha", 1), Some(loaded.revision)));
    assert_eq!(commit(&store, closing).await.unwrap(), Committed::Written);
    assert_eq!(load(&store, &[order_entity("alpha", 1)]).await.unwrap(), [None]);
}

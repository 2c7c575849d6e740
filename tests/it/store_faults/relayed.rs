//! What the relay has not told yet outlives its retention, but not for ever.

use std::time::Duration;

use storekeeper::clock;
use storekeeper::domain::{Policy, Timestamp};
use storekeeper::store::redis::{KnownHistory, RedisOptions, RedisStore, Relayed};
use storekeeper::store::{Commit, Fence, ReadStore, StateStore, UpkeepStore};
use uuid::Uuid;

use super::{first, options, origin, site};
use crate::harness::eventually;
use crate::servers::shared_redis;

fn days_ago(days: i64) -> Timestamp {
    clock::now().plus_micros(-days * 24 * 3600 * 1_000_000)
}

#[tokio::test]
async fn what_is_not_told_is_kept_for_twice_as_long() {
    let store = RedisStore::start(&options(shared_redis())).unwrap();
    store.replace_policy(&Policy::default(), &origin()).await.unwrap();
    for number in 1..=4 {
        let commit = Commit { at: days_ago(10), ..first("alpha", number) };
        store.commit(vec![commit]).await.unwrap();
    }
    let fence = store.acquire_lease(Uuid::now_v7(), Duration::from_mins(1)).await.unwrap();
    let epoch = store.feed_start(&site("alpha")).await.unwrap().epoch;
    let relayed = Relayed { epoch, sequence: 2 };
    assert!(store.record_relayed(&site("alpha"), fence.unwrap(), &relayed).await.unwrap());
    assert_eq!(store.relayed(&site("alpha")).await.unwrap(), Some(relayed));
    let trimmed = async |days| {
        store.trim_changes(days_ago(days)).await.unwrap();
        store.feed_start(&site("alpha")).await.unwrap().trimmed
    };
    assert_eq!(trimmed(11).await, 0);
    assert_eq!(trimmed(6).await, 2, "what is told goes");
    assert_eq!(trimmed(4).await, 4, "all goes in the end");
}

/// A round trip less for each call that commits.
#[tokio::test]
async fn news_are_noted_only_where_changes_are_announced() {
    let server = shared_redis();
    for announces in [true, false] {
        let options = RedisOptions { announces, ..options(server) };
        let store = RedisStore::start(&options).unwrap();
        store.replace_policy(&Policy::default(), &origin()).await.unwrap();
        store.commit(vec![first("alpha", 1)]).await.unwrap();
        let key = format!("{}:dirty", options.prefix);
        let noted: usize = server.ask(&["EXISTS", &key]).unwrap();
        assert_eq!(noted, usize::from(announces));
        assert_eq!(store.take_changed_sites().await.unwrap(), vec![site("alpha"); noted]);
    }
}

#[tokio::test]
async fn a_lease_is_held_by_one_until_it_is_over() {
    let store = RedisStore::start(&options(shared_redis())).unwrap();
    let [first, second] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let (long, short) = (Duration::from_mins(1), Duration::from_millis(50));
    let lease = async |owner, lasts| store.acquire_lease(owner, lasts).await.unwrap();
    let held = lease(first, long).await.unwrap();
    assert_eq!(lease(second, long).await, None);
    assert_eq!(lease(first, short).await, Some(held), "the holder renews it");
    let other = eventually("it is over", async || lease(second, long).await).await;
    assert!(other.0 > held.0, "{other:?} {held:?}");
    assert_eq!(lease(first, long).await, None);
    store.release_lease(first).await.unwrap();
    assert_eq!(lease(first, long).await, None, "it is not the first's to release");
    store.release_lease(second).await.unwrap();
    let again = lease(first, long).await.unwrap();
    assert!(again.0 > other.0, "{again:?} {other:?}");
}

/// What the relay and the recovery record: a leader that was frozen writes nothing over it.
#[tokio::test]
async fn a_leader_that_was_superseded_records_nothing() {
    let store = RedisStore::start(&options(shared_redis())).unwrap();
    let site = site("alpha");
    let relayed = |sequence| Relayed { epoch: "e".into(), sequence };
    let known = |name: &str, micros| KnownHistory {
        names: [name.to_owned()].into(),
        settled_before: Timestamp::from_micros(micros),
        lost_at: 0,
    };
    for (fence, is_recorded) in [(5, true), (4, false), (5, true), (6, true), (5, false)] {
        let (sequence, fence) = (fence + 10, Fence(fence));
        let before = (store.relayed(&site).await.unwrap(), store.known_history().await.unwrap());
        let now = (relayed(sequence), known("server", 7));
        assert_eq!(store.record_relayed(&site, fence, &now.0).await.unwrap(), is_recorded);
        assert_eq!(store.record_history(&now.1, fence).await.unwrap(), is_recorded);
        let expected = if is_recorded { (Some(now.0), Some(now.1)) } else { before };
        let found = (store.relayed(&site).await.unwrap(), store.known_history().await.unwrap());
        assert_eq!(found, expected, "{fence:?}");
    }
}

//! The change feed.

use std::collections::BTreeSet;
use std::sync::Arc;

use storekeeper::domain::ReceiptId;
use storekeeper::store::{Change, Commit, EntityName, FeedStart, Store};

use super::Harness;
use super::given::{
    Given, counts, hold, identifier, key, message, order, order_entity, order_id, receipt,
    revision, site, time, write,
};

pub(super) async fn the_change_feed_has_no_gaps_in_any_site(harness: &Harness) {
    let store = harness.open();
    for number in 0..6 {
        for site_name in ["alpha", "beta"] {
            let commit = order(site_name, &format!("id:{number}"))
                .holding("sku:A", hold(0, 0), hold(number, 0))
                .holding("sku:B", hold(0, 0), hold(0, 1));
            store.commit(vec![commit.clone(), commit]).await.unwrap();
        }
    }
    for site_name in ["alpha", "beta"] {
        let feed = store.changes(&site(site_name), 0, 100).await.unwrap();
        assert!(feed.iter().map(|change| change.sequence).eq(1..=11), "{feed:?}");
        let page = store.changes(&site(site_name), 4, 3).await.unwrap();
        assert_eq!(page, feed[4..7]);
        assert_eq!(store.changes(&site(site_name), 11, 3).await.unwrap(), []);
        assert_eq!(store.changes(&site(site_name), u64::MAX, 3).await.unwrap(), []);
    }
}

pub(super) async fn a_change_says_what_caused_it(harness: &Harness) {
    let store = harness.open();
    write(&store, receipt("alpha", "sku:A", "R|1", 5).due_to(1)).await;
    write(&store, order("alpha", "id:a:b").due_to(2).holding("sku:A", hold(0, 0), hold(2, 0)))
        .await;
    let loaded = revision(&store, &order_entity("alpha", "id:a:b")).await;
    let shipped = order("alpha", "id:a:b").due_to(3).on(loaded);
    write(&store, shipped.holding("sku:A", hold(2, 0), hold(0, 2))).await;
    let feed = store.changes(&site("alpha"), 0, 100).await.unwrap();
    let by_receipt = ReceiptId { key: key("sku:A"), reference: identifier("R|1") };
    let by_order = EntityName::Order(order_id("id:a:b"));
    let expected = [
        (EntityName::Receipt(by_receipt), counts(5, 0, 0), counts(5, 0, 0)),
        (by_order.clone(), counts(0, 2, 0), counts(5, 2, 0)),
        (by_order, counts(0, -2, 2), counts(5, 0, 2)),
    ];
    assert_eq!(feed.len(), expected.len());
    for ((number, found), (cause, delta, after)) in (1_u32..).zip(feed).zip(expected) {
        let epoch = found.epoch.clone();
        let (at, key, message_id) = (time(1_700_000_000), key("sku:A"), message(number.into()));
        let sequence = number.into();
        assert_eq!(found, Change { sequence, epoch, at, key, cause, message_id, delta, after });
    }
}

pub(super) async fn what_changes_nothing_is_no_change(harness: &Harness) {
    let store = harness.open();
    write(&store, order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(1, 0))).await;
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    let again = order("alpha", "id:1").on(loaded).holding("sku:A", hold(1, 0), hold(1, 0));
    write(&store, again).await;
    write(&store, order("alpha", "id:2").holding("sku:B", hold(0, 0), hold(0, 0))).await;
    let feed = store.changes(&site("alpha"), 0, 100).await.unwrap();
    assert_eq!(feed.len(), 1, "{feed:?}");
}

pub(super) async fn the_epoch_stays(harness: &Harness) {
    let mut store = harness.open();
    let mut epochs = BTreeSet::new();
    for number in 1..=3_u64 {
        for site_name in ["alpha", "beta"] {
            write(&store, receipt(site_name, "sku:A", &number.to_string(), 1)).await;
            let feed = store.changes(&site(site_name), number - 1, 1).await.unwrap();
            epochs.insert(feed[0].epoch.clone());
        }
        store = harness.crash_and_reopen(store);
    }
    assert_eq!(epochs.len(), 1);
    assert!(epochs.first().is_some_and(|epoch| epoch.len() >= 16), "{epochs:?}");
}

fn at(mut commit: Commit, seconds: i64) -> Commit {
    commit.at = time(seconds);
    commit
}

async fn sequences(store: &Arc<dyn Store>, site_name: &str) -> Vec<u64> {
    let feed = store.changes(&site(site_name), 0, 10_000).await.unwrap();
    feed.iter().map(|change| change.sequence).collect()
}

pub(super) async fn a_trimmed_feed_says_where_it_begins(harness: &Harness) {
    let mut store = harness.open();
    let begin = async |store: &Arc<dyn Store>, name| store.feed_start(&site(name)).await.unwrap();
    assert_eq!(begin(&store, "alpha").await.trimmed, 0, "nothing is known of it");
    for seconds in 1..=4 {
        write(&store, at(receipt("alpha", "sku:A", &seconds.to_string(), 1), seconds)).await;
    }
    write(&store, at(receipt("beta", "sku:A", "R", 1), 9)).await;
    let epoch = store.changes(&site("alpha"), 0, 1).await.unwrap()[0].epoch.clone();
    assert_eq!(begin(&store, "alpha").await, FeedStart { epoch: epoch.clone(), trimmed: 0 });
    assert_eq!(store.trim_changes(time(3)).await.unwrap(), 2);
    assert_eq!(sequences(&store, "alpha").await, [3, 4], "3 is not older than itself");
    store = harness.crash_and_reopen(store);
    assert_eq!(begin(&store, "alpha").await, FeedStart { epoch: epoch.clone(), trimmed: 2 });
    assert_eq!(store.trim_changes(time(5)).await.unwrap(), 2);
    assert_eq!(begin(&store, "alpha").await, FeedStart { epoch, trimmed: 4 });
    assert_eq!(begin(&store, "beta").await.trimmed, 0);
    write(&store, at(receipt("alpha", "sku:A", "R", 1), 6)).await;
    assert_eq!(sequences(&store, "alpha").await, [5], "numbers are not given twice");
    assert_eq!(begin(&store, "alpha").await.trimmed, 4);
}

pub(super) async fn a_young_change_keeps_the_old_ones_behind_it(harness: &Harness) {
    let store = harness.open();
    for (reference, seconds) in [("a", 1), ("b", 5), ("c", 2)] {
        write(&store, at(receipt("alpha", "sku:A", reference, 1), seconds)).await;
    }
    assert_eq!(store.trim_changes(time(4)).await.unwrap(), 1);
    assert_eq!(sequences(&store, "alpha").await, [2, 3]);
}

pub(super) async fn a_long_feed_is_trimmed_whole(harness: &Harness) {
    let store = harness.open();
    let commits = (0..2500).map(|n| at(receipt("alpha", "sku:A", &n.to_string(), 1), n / 2000));
    store.commit(commits.collect()).await.unwrap();
    assert_eq!(store.trim_changes(time(1)).await.unwrap(), 2000);
    assert_eq!(sequences(&store, "alpha").await, (2001..=2500).collect::<Vec<_>>());
}

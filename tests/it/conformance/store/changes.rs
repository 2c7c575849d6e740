//! The change feed.

use std::collections::BTreeSet;
use std::sync::Arc;

use storekeeper::domain::{Cause, STOCK_TOTAL_MAX, StockKey, TotalError};
use storekeeper::store::changes::{self, ChangeFilter};
use storekeeper::store::{Change, Commit, Committed, FeedStart, Store};

use super::Harness;
use super::given::{
    Given, counts, hold, identifier, item, key, message, order, order_entity, order_id, receipt,
    revision, site, time, try_write, write,
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

pub(super) async fn changes_of_one_call_are_each_their_own(harness: &Harness) {
    let store = harness.open();
    let numbers = 1..=40;
    let commit = |number: u128| {
        // Some change nothing in the stock, and some two items.
        let commit = order("alpha", &format!("id:{number}")).due_to(number);
        let units = i64::try_from(number % 3).unwrap();
        let commit = commit.holding("sku:A", hold(0, 0), hold(units, 0));
        if number.is_multiple_of(2) {
            commit.holding("sku:B", hold(0, 0), hold(1, 0))
        } else {
            commit
        }
    };
    let commits: Vec<Commit> = numbers.clone().map(commit).collect();
    let held: i64 = commits
        .iter()
        .flat_map(|it| &it.changes)
        .map(|it| it.delta.committed)
        .fold(0, |sum, committed| sum + committed.millionths() / 1_000_000);
    let written = store.commit(commits).await.unwrap();
    assert!(written.iter().all(|it| *it == Committed::Written), "{written:?}");
    let feed = store.changes(&site("alpha"), 0, 100).await.unwrap();
    assert!(feed.iter().map(|change| change.sequence).eq(1..=feed.len() as u64), "{feed:?}");
    let caused = |change: &Change| {
        let Cause::Order(order) = &change.cause else { panic!("{change:?}") };
        (change.message_id, order.to_string())
    };
    let mut told: Vec<_> = feed.iter().map(caused).collect();
    told.dedup();
    let expected = numbers.filter(|number| number % 3 > 0 || number % 2 == 0);
    let expected = expected.map(|number| (message(number), format!("id:{number}")));
    assert_eq!(told, expected.collect::<Vec<_>>());
    let total = |name: &str| {
        let last = feed.iter().rev().find(|change| change.key == key(name));
        last.unwrap().after.committed.millionths() / 1_000_000
    };
    assert_eq!(total("sku:A") + total("sku:B"), held);
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
    let by_order = Cause::Order(order_id("id:a:b"));
    let expected = [
        (Cause::Receipt(identifier("R|1")), counts(5, 0, 0), counts(5, 0, 0)),
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

async fn sequences(store: &Arc<dyn Store>, site_name: &str) -> Vec<u64> {
    let feed = store.changes(&site(site_name), 0, 10_000).await.unwrap();
    feed.iter().map(|change| change.sequence).collect()
}

pub(super) async fn a_trimmed_feed_says_where_it_begins(harness: &Harness) {
    let mut store = harness.open();
    let begin = async |store: &Arc<dyn Store>, name| store.feed_start(&site(name)).await.unwrap();
    let nothing = begin(&store, "alpha").await;
    assert_eq!((nothing.trimmed, nothing.last), (0, 0), "nothing is known of it");
    for seconds in 1..=4 {
        write(&store, receipt("alpha", "sku:A", &seconds.to_string(), 1).at(seconds)).await;
    }
    write(&store, receipt("beta", "sku:A", "R", 1).at(9)).await;
    let epoch = store.changes(&site("alpha"), 0, 1).await.unwrap()[0].epoch.clone();
    assert_eq!(
        begin(&store, "alpha").await,
        FeedStart { epoch: epoch.clone(), trimmed: 0, last: 4 }
    );
    assert_eq!(store.trim_changes(time(3)).await.unwrap(), 2);
    assert_eq!(sequences(&store, "alpha").await, [3, 4], "3 is not older than itself");
    store = harness.crash_and_reopen(store);
    assert_eq!(
        begin(&store, "alpha").await,
        FeedStart { epoch: epoch.clone(), trimmed: 2, last: 4 }
    );
    assert_eq!(store.trim_changes(time(5)).await.unwrap(), 2);
    assert_eq!(begin(&store, "alpha").await, FeedStart { epoch, trimmed: 4, last: 4 });
    assert_eq!(begin(&store, "beta").await.trimmed, 0);
    write(&store, receipt("alpha", "sku:A", "R", 1).at(6)).await;
    assert_eq!(sequences(&store, "alpha").await, [5], "numbers are not given twice");
    assert_eq!(begin(&store, "alpha").await.trimmed, 4);
}

pub(super) async fn a_young_change_keeps_the_old_ones_behind_it(harness: &Harness) {
    let store = harness.open();
    for (reference, seconds) in [("a", 1), ("b", 5), ("c", 2)] {
        write(&store, receipt("alpha", "sku:A", reference, 1).at(seconds)).await;
    }
    assert_eq!(store.trim_changes(time(4)).await.unwrap(), 1);
    assert_eq!(sequences(&store, "alpha").await, [2, 3]);
}

pub(super) async fn a_long_feed_is_trimmed_whole(harness: &Harness) {
    let store = harness.open();
    let commits = (0..2500).map(|n| receipt("alpha", "sku:A", &n.to_string(), 1).at(n / 2000));
    store.commit(commits.collect()).await.unwrap();
    // A bounded part at a time.
    let mut trimmed = Vec::new();
    while trimmed.last() != Some(&0) {
        trimmed.push(store.trim_changes(time(1)).await.unwrap());
    }
    assert_eq!(trimmed.iter().sum::<u64>(), 2000);
    assert!(trimmed.iter().all(|part| *part <= 1000), "{trimmed:?}");
    assert_eq!(sequences(&store, "alpha").await, (2001..=2500).collect::<Vec<_>>());
}

/// A commit in which an order that loses a record gives back what the other takes.
fn shifted(key_name: &str, from: i64, to: i64) -> Commit {
    order("alpha", "external-id:E")
        .holding(key_name, hold(from, 0), hold(0, 0))
        .and(order("alpha", "id:1").holding(key_name, hold(0, 0), hold(to, 0)))
}

/// What one order gives back another may take, in that order: each change is told with the counts
/// between them.
pub(super) async fn changes_of_one_item_follow_each_other(harness: &Harness) {
    let store = harness.open();
    let most = STOCK_TOTAL_MAX;
    let held = order("alpha", "external-id:E").holding("sku:A", hold(0, 0), hold(most, 0));
    write(&store, held).await;
    let loaded = revision(&store, &order_entity("alpha", "external-id:E")).await;
    let mut taken_first = shifted("sku:A", most, most).on(loaded);
    taken_first.changes.reverse();
    let too_large = Committed::Overflow(TotalError::TooLarge);
    assert_eq!(try_write(&store, taken_first).await, too_large);
    let more = shifted("sku:A", most, most - 3).on(loaded);
    let more = more.and(order("alpha", "id:2").holding("sku:B", hold(0, 0), hold(0, 7)));
    let more = more.and(order("alpha", "id:3").holding("sku:A", hold(0, 0), hold(0, 0)));
    write(&store, more.and(order("alpha", "id:4").holding("sku:A", hold(0, 0), hold(2, 1)))).await;
    let feed = store.changes(&site("alpha"), 1, 9).await.unwrap();
    let found: Vec<_> = feed
        .iter()
        .map(|it| (it.sequence, it.key.to_string(), it.cause.clone(), it.delta, it.after))
        .collect();
    let by = |id: &str| Cause::Order(order_id(id));
    let (a, b) = ("sku:A".to_owned(), "sku:B".to_owned());
    let expected = [
        (2, a.clone(), by("external-id:E"), counts(0, -most, 0), counts(0, 0, 0)),
        (3, a.clone(), by("id:1"), counts(0, most - 3, 0), counts(0, most - 3, 0)),
        (4, b, by("id:2"), counts(0, 0, 7), counts(0, 0, 7)),
        (5, a, by("id:4"), counts(0, 2, 1), counts(0, most - 1, 1)),
    ];
    assert_eq!(found, expected);
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(0, most - 1, 1));
    let holders: Vec<_> = detail.holds.items.iter().map(|held| held.order.to_string()).collect();
    assert_eq!(holders, ["id:1", "id:4"]);
}

/// No total in between may be less than nothing, whatever it is in the end.
pub(super) async fn a_total_between_two_changes_is_checked(harness: &Harness) {
    let store = harness.open();
    let mut below = shifted("sku:A", 2, 2);
    assert_eq!(try_write(&store, below.clone()).await, Committed::Overflow(TotalError::Negative));
    assert_eq!(store.changes(&site("alpha"), 0, 9).await.unwrap(), []);
    below.changes.reverse();
    write(&store, below).await;
    let feed = store.changes(&site("alpha"), 0, 9).await.unwrap();
    let after: Vec<_> = feed.iter().map(|change| change.after).collect();
    assert_eq!(after, [counts(0, 2, 0), counts(0, 0, 0)]);
}

pub(super) async fn a_feed_is_read_from_the_middle_of_a_commit(harness: &Harness) {
    let store = harness.open();
    for (id, items) in [("id:1", 3), ("id:2", 1), ("id:3", 0), ("id:4", 5)] {
        let commit = (0..items).fold(order("alpha", id), |commit, number| {
            commit.holding(&format!("sku:{number}"), hold(0, 0), hold(1, 0))
        });
        write(&store, commit).await;
    }
    let all = store.changes(&site("alpha"), 0, 100).await.unwrap();
    assert!(all.iter().map(|change| change.sequence).eq(1..=9));
    for after in 0..=9 {
        for limit in 1..=10 {
            let found = store.changes(&site("alpha"), after, limit).await.unwrap();
            let rest = &all[usize::try_from(after).unwrap()..];
            assert_eq!(found, rest[..limit.min(rest.len())], "{limit} after {after}");
        }
    }
}

pub(super) async fn a_commit_of_several_changes_is_trimmed_whole(harness: &Harness) {
    let store = harness.open();
    for (id, seconds) in [("id:1", 1), ("id:2", 2)] {
        let commit = ["sku:A", "sku:B", "sku:C"]
            .iter()
            .fold(order("alpha", id), |commit, it| commit.holding(it, hold(0, 0), hold(1, 0)));
        write(&store, commit.at(seconds)).await;
    }
    assert_eq!(store.trim_changes(time(1)).await.unwrap(), 0);
    assert_eq!(store.trim_changes(time(2)).await.unwrap(), 3);
    assert_eq!(store.feed_start(&site("alpha")).await.unwrap().trimmed, 3);
    assert_eq!(sequences(&store, "alpha").await, [4, 5, 6]);
    assert_eq!(store.trim_changes(time(3)).await.unwrap(), 3);
    assert_eq!(store.feed_start(&site("alpha")).await.unwrap().trimmed, 6);
}

pub(super) async fn changes_of_an_item_and_since_a_time_are_found(harness: &Harness) {
    let store = harness.open();
    // A thousand changes, ten minutes apart; every third is of another item. The first is trimmed.
    let at = |number: i64| 1_000_000 + number * 600;
    let commit = |number: i64| {
        let key = if number % 3 == 0 { "sku:B" } else { "sku:A" };
        receipt("alpha", key, &number.to_string(), 1).at(at(number))
    };
    for chunk in (1..=1000).collect::<Vec<i64>>().chunks(100) {
        let commits = chunk.iter().map(|number| commit(*number)).collect();
        let written = store.commit(commits).await.unwrap();
        assert!(written.iter().all(|it| *it == Committed::Written), "{written:?}");
    }
    assert!(store.trim_changes(time(at(2))).await.unwrap() >= 1);
    let (alpha, of_b) = (site("alpha"), Some(key("sku:B")));
    let numbers =
        |changes: &[Change]| -> Vec<u64> { changes.iter().map(|change| change.sequence).collect() };
    let newest = async |key: Option<&StockKey>, bounds| {
        numbers(&changes::newest(&*store, &alpha, key, bounds).await.unwrap())
    };
    assert_eq!(newest(None, (3, 100)).await, [1000, 999, 998]);
    assert_eq!(newest(of_b.as_ref(), (3, 100)).await, [999, 996, 993]);
    assert_eq!(newest(of_b.as_ref(), (1000, 1000)).await.len(), 333);
    assert_eq!(newest(of_b.as_ref(), (1000, 500)).await.len(), 167, "no more is looked at");
    assert_eq!(newest(None, (2000, 2000)).await.len(), 999);
    assert_eq!(newest(Some(&key("sku:C")), (3, 1000)).await, [0; 0]);
    let select = async |key: &Option<StockKey>, since: Option<i64>, bounds| {
        let since = since.map(|number| time(at(number)));
        let filter = ChangeFilter { key: key.clone(), since };
        changes::select(&*store, &alpha, &filter, None, bounds).await.unwrap()
    };
    for since in [1, 2, 3, 499, 500, 501, 999, 1000] {
        let found = select(&None, Some(since), (2000, 2000)).await;
        let first = u64::try_from(since).unwrap().max(2);
        assert!(numbers(&found.changes).into_iter().eq(first..=1000), "{since}: {found:?}");
        assert!(!found.has_more);
    }
    assert_eq!(select(&None, Some(1001), (10, 2000)).await.changes, []);
    // A page that is full, and one that has looked at enough, go on where they ended.
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let filter = ChangeFilter { key: of_b.clone(), since: Some(time(at(300))) };
        let bounds = (100, 500);
        let found =
            changes::select(&*store, &alpha, &filter, after.as_ref(), bounds).await.unwrap();
        seen.extend(numbers(&found.changes));
        pages += 1;
        if !found.has_more {
            break;
        }
        after = found.last;
    }
    assert!(seen.iter().copied().eq((300..=999).step_by(3)), "{seen:?}");
    assert!(pages >= 3, "{pages}");
}

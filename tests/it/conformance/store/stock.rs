//! Counts and holds of stock items.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use storekeeper::domain::{STOCK_TOTAL_MAX, Version};
use storekeeper::store::{EntityState, PageRequest, Store};
use tokio::runtime::Handle;

use super::Harness;
use super::given::{
    ALL, Given, catalogue, counts, hold, item, key, keys, load, order, order_entity, receipt,
    revision, site, version, write,
};

pub(super) async fn a_released_hold_vanishes_and_the_item_stays(harness: &Harness) {
    let store = harness.open();
    write(&store, order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(2, 1))).await;
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    let released = order("alpha", "id:1").on(loaded).holding("sku:A", hold(2, 1), hold(0, 0));
    write(&store, released).await;
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(0, 0, 0));
    assert_eq!(detail.holds.items, []);
    assert_eq!(keys(&store, "alpha", None).await, ["sku:A"]);
}

pub(super) async fn an_item_appears_with_its_first_commit(harness: &Harness) {
    let store = harness.open();
    write(&store, order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(0, 0))).await;
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(0, 0, 0));
    write(&store, receipt("alpha", "sku:B", "R", 0)).await;
    assert_eq!(keys(&store, "alpha", None).await, ["sku:A", "sku:B"]);
}

pub(super) async fn an_unknown_item_is_none(harness: &Harness) {
    let store = harness.open();
    write(&store, receipt("alpha", "sku:A", "R", 1)).await;
    for (site_name, key_name) in [("alpha", "sku:a"), ("alpha", "product:A"), ("Alpha", "sku:A")] {
        let found = store.stock_item(&site(site_name), &key(key_name), &ALL).await.unwrap();
        assert_eq!(found, None, "{site_name} {key_name}");
    }
}

/// What a history does at each step: an order holds so much of an item from now on.
type History = Vec<(u8, u8, i64, i64)>;

pub(super) async fn the_holds_of_an_item_add_up_to_its_counts(harness: &Harness) {
    let store = harness.open();
    let handle = Handle::current();
    let checked = tokio::task::spawn_blocking(move || {
        let config =
            ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
        let history = prop::collection::vec((0..4_u8, 0..3_u8, 0..5_i64, 0..5_i64), 1..30);
        let case = Cell::new(0);
        let mut runner = TestRunner::new(config);
        // Shrinking runs on fresh sites, too. A failure prints the smallest history that fails.
        runner.run(&history, |history| {
            case.set(case.get() + 1);
            handle.block_on(check_sums(&store, &format!("site-{}", case.get()), history));
            Ok(())
        })
    });
    checked.await.unwrap().unwrap();
}

async fn check_sums(store: &Arc<dyn Store>, site_name: &str, history: History) {
    let mut model = BTreeMap::new();
    for (order_number, key_number, committed, fulfilled) in history {
        let (id, key_name) = (format!("id:{order_number}"), format!("sku:{key_number}"));
        let entity = order_entity(site_name, &id);
        let loaded = load(store, &[entity]).await.unwrap()[0].as_ref().map(|it| it.revision);
        let holds = hold(committed, fulfilled);
        let held = model.insert((key_name.clone(), id.clone()), holds).unwrap_or_default();
        let first = order(site_name, &id);
        let commit = match loaded {
            Some(loaded) => first.on(loaded),
            None => first,
        };
        write(store, commit.holding(&key_name, held, holds)).await;
    }
    for item_key in keys(store, site_name, None).await {
        let detail = item(store, site_name, &item_key).await;
        let held = detail.holds.items.iter().map(|held| held.hold);
        let (committed, fulfilled) = held.fold((0, 0), |(committed, fulfilled), hold| {
            (committed + hold.committed.millionths(), fulfilled + hold.fulfilled.millionths())
        });
        assert_eq!(detail.item.counts, counts(0, committed, fulfilled));
        let expected =
            model.iter().filter(|((key, _), holds)| *key == item_key && **holds != hold(0, 0));
        let found = detail.holds.items.iter().map(|held| (held.order.to_string(), held.hold));
        assert!(found.eq(expected.map(|((_, id), holds)| (id.clone(), *holds))));
    }
}

pub(super) async fn an_item_is_oversold_below_nothing(harness: &Harness) {
    let store = harness.open();
    assert_eq!(store.oversold().await.unwrap(), 0);
    write(&store, receipt("alpha", "sku:A", "R", 5)).await;
    write(&store, order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(2, 3))).await;
    assert_eq!(store.oversold().await.unwrap(), 0);
    write(&store, order("alpha", "id:2").holding("sku:A", hold(0, 0), hold(1, 0))).await;
    write(&store, order("beta", "id:1").holding("sku:A", hold(0, 0), hold(0, 1))).await;
    assert_eq!(store.oversold().await.unwrap(), 2);
    write(&store, receipt("alpha", "sku:A", "R-2", 1)).await;
    assert_eq!(store.oversold().await.unwrap(), 1);
}

pub(super) async fn oversold_items_are_counted_at_the_limits(harness: &Harness) {
    let store = harness.open();
    let most = STOCK_TOTAL_MAX;
    write(&store, receipt("alpha", "sku:A", "R", -most)).await;
    write(&store, order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(most, most))).await;
    write(&store, receipt("alpha", "sku:B", "R", most)).await;
    write(&store, order("alpha", "id:2").holding("sku:B", hold(0, 0), hold(most, most))).await;
    write(&store, receipt("alpha", "sku:C", "R", most)).await;
    assert_eq!(store.oversold().await.unwrap(), 2);
}

async fn untracked_and_oversold(store: &Arc<dyn Store>) -> (Vec<String>, u64) {
    let items = store.stock(&site("alpha"), None, &ALL).await.unwrap().items;
    for listed in &items {
        assert_eq!(item(store, "alpha", &listed.key.to_string()).await.item, *listed);
    }
    let untracked = items.into_iter().filter(|item| item.is_untracked);
    let untracked = untracked.map(|item| item.key.to_string()).collect();
    (untracked, store.oversold().await.unwrap())
}

/// As some entry that is there says, or as nobody can receive what only a line names.
pub(super) async fn what_nobody_counts_is_never_oversold(harness: &Harness) {
    let store = harness.open();
    for key_name in ["line:1", "sku:A", "sku:B"] {
        let id = format!("id:{key_name}");
        write(&store, order("alpha", &id).holding(key_name, hold(0, 0), hold(1, 0))).await;
    }
    assert_eq!(untracked_and_oversold(&store).await, (vec!["line:1".to_owned()], 2));
    let entry = |id: &str, keys: &[&str], is_untracked: bool, is_deleted: bool| {
        let mut commit = catalogue("alpha", id, "Service", keys);
        let EntityState::Catalogue(entry) = commit.state() else { unreachable!() };
        entry.description.is_untracked = is_untracked;
        entry.deleted = is_deleted.then(|| Version { event_timestamp: i64::MAX, ..version(1) });
        commit
    };
    let (line, a, b) = ("line:1", "sku:A", "sku:B");
    for (id, keys, is_untracked, is_deleted, untracked, oversold) in [
        ("product:1", vec![a, "sku:C"], true, false, vec![line, a], 1),
        ("product:2", vec![a, b], true, false, vec![line, a, b], 0),
        ("product:2", vec![b], true, false, vec![line, a, b], 0),
        ("product:1", vec![a, "sku:C"], false, false, vec![line, b], 1),
        ("product:1", vec![a], true, false, vec![line, a, b], 0),
        ("product:2", vec![b], true, true, vec![line, a], 1),
        ("product:1", vec![a], true, true, vec![line], 2),
    ] {
        let commit = entry(id, &keys, is_untracked, is_deleted);
        let known = load(&store, &[commit.entity()]).await.unwrap().remove(0);
        let commit = match known {
            Some(known) => commit.on(known.revision),
            None => commit,
        };
        write(&store, commit).await;
        let untracked: Vec<String> = untracked.into_iter().map(str::to_owned).collect();
        assert_eq!(untracked_and_oversold(&store).await, (untracked, oversold), "{id} {keys:?}");
    }
}

pub(super) async fn receipts_of_an_item_are_listed_on_pages(harness: &Harness) {
    let store = harness.open();
    let references = ["a", "b/2", "B", "c:1", "\u{fc}"];
    for reference in references {
        write(&store, receipt("alpha", "sku:A", reference, 5)).await;
    }
    write(&store, receipt("alpha", "sku:B", "other", 1)).await;
    write(&store, receipt("beta", "sku:A", "elsewhere", 1)).await;
    let mut seen = Vec::new();
    let mut page = PageRequest::first(2);
    loop {
        let found = store.receipts(&site("alpha"), &key("sku:A"), &page).await.unwrap();
        assert!(found.items.len() <= 2);
        seen.extend(found.items);
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    let mut sorted = references;
    sorted.sort_unstable();
    let listed: Vec<&str> = seen.iter().map(|stored| stored.reference.as_str()).collect();
    assert_eq!(listed, sorted);
    assert!(seen.iter().all(|stored| stored.receipt.received().millionths() == 5), "{seen:?}");
    let nothing = store.receipts(&site("alpha"), &key("sku:C"), &ALL).await.unwrap();
    assert_eq!((nothing.items, nothing.next), (Vec::new(), None));
}

//! A commit is written whole or not at all, once, from the revision it was computed from.

use storekeeper::domain::{STOCK_TOTAL_MAX, TotalError};
use storekeeper::store::{Commit, Committed, Revision, StoreError};

use super::Harness;
use super::given::{
    Given, WRITTEN, catalogue, counts, hold, item, keys, millionths, order, order_entity, receipt,
    revision, site, try_write, write,
};

const TOO_LARGE: Committed = Committed::Overflow(TotalError::TooLarge);

pub(super) async fn a_commit_on_a_stale_revision_changes_nothing(harness: &Harness) {
    let store = harness.open();
    let entity = order_entity("alpha", "id:1");
    write(&store, order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(1, 0))).await;
    let stale = revision(&store, &entity).await;
    let second = order("alpha", "id:1").on(stale).holding("sku:A", hold(1, 0), hold(3, 0));
    write(&store, second.clone()).await;
    let current = store.load(std::slice::from_ref(&entity)).await.unwrap();
    let late = order("alpha", "id:1")
        .on(stale)
        .bearing(&["external-id:E"])
        .holding("sku:A", hold(1, 0), hold(9, 0))
        .holding("sku:B", hold(0, 0), hold(9, 0));
    assert_eq!(try_write(&store, late).await, Committed::Conflict);
    assert_eq!(store.load(&[entity]).await.unwrap(), current);
    assert_eq!(keys(&store, "alpha", None).await, ["sku:A"]);
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(0, 3, 0));
    assert_eq!(detail.holds.items[0].hold, hold(3, 0));
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap().len(), 2);
    assert!(!write(&store, order("alpha", "external-id:E")).await, "the alias was written");
}

pub(super) async fn a_first_commit_with_a_revision_is_a_conflict(harness: &Harness) {
    let store = harness.open();
    let commit = order("alpha", "id:1").on(Revision(7)).holding("sku:A", hold(0, 0), hold(1, 0));
    assert_eq!(try_write(&store, commit).await, Committed::Conflict);
    assert_eq!(store.load(&[order_entity("alpha", "id:1")]).await.unwrap(), [None]);
    assert!(store.sites().await.unwrap().is_empty());
}

pub(super) async fn a_second_first_commit_is_a_conflict(harness: &Harness) {
    let store = harness.open();
    for commit in [
        order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(1, 0)),
        receipt("alpha", "sku:A", "R", 5),
        catalogue("alpha", "product:1", "Shirt", &["sku:A"]),
    ] {
        assert_eq!(try_write(&store, commit.clone()).await, WRITTEN);
        assert_eq!(try_write(&store, commit).await, Committed::Conflict);
    }
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(5, 1, 0));
}

pub(super) async fn every_commit_replaces_the_revision(harness: &Harness) {
    let store = harness.open();
    let entity = order_entity("alpha", "id:1");
    write(&store, order("alpha", "id:1")).await;
    let mut seen = vec![revision(&store, &entity).await];
    for _ in 0..10 {
        let loaded = seen[seen.len() - 1];
        write(&store, order("alpha", "id:1").on(loaded)).await;
        let replaced = revision(&store, &entity).await;
        assert!(!seen.contains(&replaced));
        seen.push(replaced);
    }
}

pub(super) async fn of_racing_commits_exactly_one_is_written(harness: &Harness) {
    let store = harness.open();
    let entity = order_entity("alpha", "id:1");
    let mut held = 0;
    let mut loaded = None;
    for round in 1..=5 {
        let commit = |add: i64| Commit {
            loaded,
            ..order("alpha", "id:1").holding("sku:A", hold(held, 0), hold(held + add, 0))
        };
        let (a, b) =
            tokio::join!(try_write(&store, commit(round)), try_write(&store, commit(10 * round)));
        held += match (a, b) {
            (WRITTEN, Committed::Conflict) => round,
            (Committed::Conflict, WRITTEN) => 10 * round,
            other => panic!("{other:?}"),
        };
        loaded = Some(revision(&store, &entity).await);
    }
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(0, held, 0));
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap().len(), 5);
}

pub(super) async fn commits_of_one_call_are_independent(harness: &Harness) {
    let store = harness.open();
    write(&store, receipt("alpha", "sku:FULL", "R-1", STOCK_TOTAL_MAX)).await;
    let calls = vec![
        order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(1, 0)),
        order("alpha", "id:2").on(Revision(7)).holding("sku:A", hold(0, 0), hold(10, 0)),
        receipt("alpha", "sku:FULL", "R-2", 1),
        order("alpha", "id:3").holding("sku:A", hold(0, 0), hold(100, 0)),
    ];
    let committed = store.commit(calls).await.unwrap();
    assert_eq!(committed, [WRITTEN, Committed::Conflict, TOO_LARGE, WRITTEN]);
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(0, 101, 0));
    assert_eq!(store.commit(Vec::new()).await.unwrap(), []);
}

pub(super) async fn an_ill_formed_commit_is_rejected(harness: &Harness) {
    let store = harness.open();
    let well_formed = order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(1, 0));
    let of_another_kind =
        Commit { state: receipt("a", "sku:A", "R", 1).state, ..order("a", "id:2") };
    let twice = order("alpha", "id:2").holding("sku:A", hold(0, 0), hold(1, 0)).holding(
        "sku:A",
        hold(0, 0),
        hold(1, 0),
    );
    let less_than_nothing = order("alpha", "id:2").holding("sku:A", hold(0, 0), hold(-1, 0));
    let elsewhere = Commit {
        changes: receipt("alpha", "sku:B", "R", 1).changes,
        ..receipt("alpha", "sku:A", "R", 1)
    };
    let by_name = Commit {
        changes: well_formed.changes.clone(),
        ..catalogue("alpha", "product:1", "Shirt", &[])
    };
    for ill_formed in [of_another_kind, twice, less_than_nothing, elsewhere, by_name] {
        let error = store.commit(vec![well_formed.clone(), ill_formed]).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
        assert!(store.sites().await.unwrap().is_empty());
    }
}

pub(super) async fn totals_reach_their_limit_and_do_not_pass_it(harness: &Harness) {
    let store = harness.open();
    let most = STOCK_TOTAL_MAX;
    write(&store, receipt("alpha", "sku:A", "R-1", most)).await;
    let above = receipt("alpha", "sku:A", "R-2", 1);
    assert_eq!(try_write(&store, above.clone()).await, TOO_LARGE);
    assert_eq!(store.load(&[above.entity]).await.unwrap(), [None]);
    write(&store, receipt("alpha", "sku:B", "R-1", -most)).await;
    let below = receipt("alpha", "sku:B", "R-2", -1);
    assert_eq!(try_write(&store, below).await, TOO_LARGE);
    for (id, holds) in [("id:1", hold(most, 0)), ("id:2", hold(0, most))] {
        write(&store, order("alpha", id).holding("sku:A", hold(0, 0), holds)).await;
    }
    for (id, held, holds) in [
        ("id:3", hold(0, 0), hold(1, 0)),
        ("id:4", hold(0, 0), hold(0, 1)),
        ("id:5", hold(0, 0), hold(i64::MAX, 0)),
    ] {
        let commit = order("alpha", id).holding("sku:A", held, holds);
        assert_eq!(try_write(&store, commit).await, TOO_LARGE, "{id}");
    }
    let released = order("alpha", "id:6").holding("sku:C", hold(1, 0), hold(0, 0));
    assert_eq!(try_write(&store, released).await, Committed::Overflow(TotalError::Negative));
    let found = item(&store, "alpha", "sku:A").await.item;
    assert_eq!(found.counts, counts(most, most, most));
    assert_eq!(found.counts.available(), -millionths(most).to_decimal());
}

pub(super) async fn an_overflow_of_one_item_leaves_the_others_alone(harness: &Harness) {
    let store = harness.open();
    let commit = order("alpha", "id:1")
        .bearing(&["external-id:E"])
        .holding("sku:A", hold(0, 0), hold(1, 0))
        .holding("sku:B", hold(0, 0), hold(STOCK_TOTAL_MAX + 1, 0));
    assert_eq!(try_write(&store, commit).await, TOO_LARGE);
    assert_eq!(keys(&store, "alpha", None).await, Vec::<String>::new());
    assert_eq!(store.load(&[order_entity("alpha", "id:1")]).await.unwrap(), [None]);
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap(), []);
    assert!(!write(&store, order("alpha", "external-id:E")).await, "the alias was written");
}

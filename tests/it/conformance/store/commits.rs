//! A commit is written whole or not at all, once, from the revision it was computed from.

use storekeeper::domain::{Cause, ClosedName, Link, List, STOCK_TOTAL_MAX, TotalError};
use storekeeper::store::{Commit, Committed, Direction, Revision, StoreError};

use super::Harness;
use super::given::{
    ALL, COMMITTED, Given, catalogue, closing, counts, hold, identifier, item, keys, link, links,
    load, millionths, order, order_entity, order_id, receipt, revision, site, time, try_write,
    write,
};

const TOO_LARGE: Committed = Committed::Overflow(TotalError::TooLarge);

pub(super) async fn a_commit_on_a_stale_revision_changes_nothing(harness: &Harness) {
    let store = harness.open();
    let entity = order_entity("alpha", "id:1");
    write(&store, order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(1, 0))).await;
    let stale = revision(&store, &entity).await;
    let second = order("alpha", "id:1").on(stale).holding("sku:A", hold(1, 0), hold(3, 0));
    write(&store, second.clone()).await;
    let current = load(&store, std::slice::from_ref(&entity)).await.unwrap();
    let late = order("alpha", "id:1")
        .on(stale)
        .linking("external-id:E", None, Some(link(&["id:1"])))
        .holding("sku:A", hold(1, 0), hold(9, 0))
        .holding("sku:B", hold(0, 0), hold(9, 0));
    assert_eq!(try_write(&store, late).await, Committed::Conflict);
    assert_eq!(load(&store, &[entity]).await.unwrap(), current);
    assert_eq!(keys(&store, "alpha", None).await, ["sku:A"]);
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(0, 3, 0));
    assert_eq!(detail.holds.items[0].hold, hold(3, 0));
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap().len(), 2);
    assert_eq!(links(&store, &["external-id:E"]).await, [None], "the link was written");
}

pub(super) async fn a_first_commit_with_a_revision_is_a_conflict(harness: &Harness) {
    let store = harness.open();
    let commit = order("alpha", "id:1").on(Revision(7)).holding("sku:A", hold(0, 0), hold(1, 0));
    assert_eq!(try_write(&store, commit).await, Committed::Conflict);
    assert_eq!(load(&store, &[order_entity("alpha", "id:1")]).await.unwrap(), [None]);
    assert_eq!(keys(&store, "alpha", None).await, Vec::<String>::new());
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap(), []);
    assert_eq!(store.count_listed(List::All).await.unwrap(), 0);
}

pub(super) async fn a_second_first_commit_is_a_conflict(harness: &Harness) {
    let store = harness.open();
    for commit in [
        order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(1, 0)),
        receipt("alpha", "sku:A", "R", 5),
        catalogue("alpha", "product:1", "Shirt", &["sku:A"]),
    ] {
        assert_eq!(try_write(&store, commit.clone()).await, Committed::Written);
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
        let commit = |add: i64| {
            let first = order("alpha", "id:1");
            let next = match loaded {
                Some(loaded) => first.on(loaded),
                None => first,
            };
            next.holding("sku:A", hold(held, 0), hold(held + add, 0))
        };
        let (a, b) =
            tokio::join!(try_write(&store, commit(round)), try_write(&store, commit(10 * round)));
        held += match (a, b) {
            (Committed::Written, Committed::Conflict) => round,
            (Committed::Conflict, Committed::Written) => 10 * round,
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
    assert_eq!(committed, [Committed::Written, Committed::Conflict, TOO_LARGE, Committed::Written]);
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(0, 101, 0));
    assert_eq!(store.commit(Vec::new()).await.unwrap(), []);
}

pub(super) async fn an_ill_formed_commit_is_rejected(harness: &Harness) {
    let store = harness.open();
    let well_formed = order("alpha", "id:1").holding("sku:A", hold(0, 0), hold(1, 0));
    let with = |change: fn(&mut Commit)| {
        let mut commit = order("alpha", "id:2").holding("sku:A", hold(0, 0), hold(1, 0));
        change(&mut commit);
        commit
    };
    let mut gives_and_holds = receipt("alpha", "sku:A", "R", 1);
    gives_and_holds.changes[0].hold = Some(hold(1, 0));
    let ill_formed = [
        with(|commit| *commit.state() = receipt("a", "sku:A", "R", 1).state().clone()),
        with(|commit| commit.changes.push(commit.changes[0].clone())),
        with(|commit| commit.changes[0].hold = Some(hold(-1, 0))),
        with(|commit| commit.read.clear()),
        with(|commit| commit.read.push(commit.read[0].clone())),
        with(|commit| commit.links = vec![(order_id("external-id:E"), None)]),
        with(|commit| commit.links_read = vec![(order_id("external-id:E"), None); 2]),
        order("alpha", "id:2").linking("external-id:E", None, Some(Link::default())),
        gives_and_holds,
    ];
    for ill_formed in ill_formed {
        let error = store.commit(vec![well_formed.clone(), ill_formed]).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
        assert!(store.sites().await.unwrap().is_empty());
    }
}

/// One order may change the same item as another, and an order the item of a receipt.
pub(super) async fn changes_of_one_item_are_told_by_their_causes(harness: &Harness) {
    let store = harness.open();
    let mut both = order("alpha", "id:1")
        .holding("sku:A", hold(0, 0), hold(1, 0))
        .and(order("alpha", "id:2").holding("sku:A", hold(0, 0), hold(2, 0)))
        .and(receipt("alpha", "sku:A", "id:1", 5));
    write(&store, both.clone()).await;
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(5, 3, 0));
    assert_eq!(detail.holds.items.len(), 2);
    let causes: Vec<Cause> = both.changes.drain(..).map(|change| change.cause).collect();
    let feed = store.changes(&site("alpha"), 0, 10).await.unwrap();
    assert!(feed.iter().map(|change| &change.cause).eq(&causes));
    assert_eq!(causes[2], Cause::Receipt(identifier("id:1")));
}

/// A decision may depend on what it leaves as it is.
pub(super) async fn a_commit_compares_what_it_only_read(harness: &Harness) {
    let store = harness.open();
    write(&store, order("alpha", "id:1")).await;
    let other = order_entity("alpha", "id:1");
    let known = revision(&store, &other).await;
    write(&store, order("alpha", "id:1").on(known)).await;
    let now = revision(&store, &other).await;
    let absent = order_entity("alpha", "id:9");
    for (name, read, is_written) in [
        (&other.name, Some(known), false),
        (&other.name, None, false),
        (&absent.name, Some(now), false),
        (&other.name, Some(now), true),
    ] {
        let mut commit = order("alpha", "id:2").holding("sku:A", hold(0, 0), hold(1, 0));
        commit.read.push((name.clone(), read));
        let expected = if is_written { Committed::Written } else { Committed::Conflict };
        assert_eq!(try_write(&store, commit).await, expected, "{name:?} {read:?}");
        let is_there = load(&store, &[order_entity("alpha", "id:2")]).await.unwrap()[0].is_some();
        assert_eq!(is_there, is_written);
    }
    assert_eq!(revision(&store, &other).await, now, "what is only read stays");
    let mut absent_too = order("alpha", "id:3");
    absent_too.read.push((absent.name, None));
    write(&store, absent_too).await;
}

/// Both records of an order that is linked are written together, or neither is.
pub(super) async fn a_commit_of_several_entities_is_whole(harness: &Harness) {
    let store = harness.open();
    write(&store, order("alpha", "id:1")).await;
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    let both = || {
        let first = order("alpha", "id:1").on(loaded);
        let first = first.listing(&[List::All], &[List::All, List::Contested]);
        first.and(order("alpha", "external-id:E"))
    };
    let mut stale = both();
    stale.read[1].1 = Some(Revision(7));
    assert_eq!(try_write(&store, stale).await, Committed::Conflict);
    let entities = [order_entity("alpha", "id:1"), order_entity("alpha", "external-id:E")];
    let found = load(&store, &entities).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().revision, loaded);
    assert_eq!(found[1], None);
    assert_eq!(store.count_listed(List::Contested).await.unwrap(), 0);
    write(&store, both()).await;
    let found = load(&store, &entities).await.unwrap();
    let revisions = found.iter().map(|found| found.as_ref().unwrap().revision);
    let revisions: Vec<Revision> = revisions.collect();
    assert!(revisions[0] != loaded && revisions[0] != revisions[1]);
    assert_eq!(store.count_listed(List::Contested).await.unwrap(), 1);
}

/// A record whose state is taken away is as if it had never been there.
pub(super) async fn an_entity_that_goes_is_absent(harness: &Harness) {
    let store = harness.open();
    let first = [
        order("alpha", "id:1"),
        receipt("alpha", "sku:A", "R", 5),
        catalogue("alpha", "product:1", "Shirt", &["sku:A"]),
    ];
    for commit in first {
        write(&store, commit.clone()).await;
        let loaded = revision(&store, &commit.entity()).await;
        let mut gone = commit.clone().on(loaded);
        gone.writes[0].state = None;
        gone.writes[0].lists.1 = storekeeper::domain::Lists::NONE;
        for change in &mut gone.changes {
            change.delta.received = -change.delta.received;
        }
        write(&store, gone).await;
        assert_eq!(load(&store, &[commit.entity()]).await.unwrap(), [None]);
        let again = commit.clone().on(loaded);
        assert_eq!(try_write(&store, again).await, Committed::Conflict);
    }
    let listed = store.listed(&site("alpha"), List::All, Direction::OldestFirst, &ALL).await;
    assert_eq!(listed.unwrap().items, []);
    assert_eq!(store.catalogue(&site("alpha"), &ALL).await.unwrap().items, []);
    let items = store.audit_items(&site("alpha"), &ALL).await.unwrap().items;
    assert_eq!((items[0].counts, items[0].sums), (counts(0, 0, 0), Some(counts(0, 0, 0))));
    assert_eq!(item(&store, "alpha", "sku:A").await.item.name, None);
}

/// What is wrong is told in one order: another policy, another state, a closed name, a total.
pub(super) async fn of_several_refusals_the_first_is_told(harness: &Harness) {
    let store = harness.open();
    let policy = storekeeper::domain::Policy::default();
    store.adopt_policy(&policy, &super::given::origin("a", 1)).await.unwrap();
    write(&store, order("alpha", "id:1")).await;
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    let names = [("id:1", ClosedName::Itself)];
    write(&store, closing("id:1", loaded, &[], &names, time(COMMITTED))).await;
    let wrong = |policy, is_stale: bool, is_new: bool| {
        let mut commit = order("alpha", if is_new { "id:1" } else { "id:2" });
        commit.policy = Some(policy);
        if is_stale {
            commit.links_read.push((order_id("external-id:E"), Some(link(&["id:7"]))));
        }
        commit.holding("sku:A", hold(1, 0), hold(0, 0))
    };
    assert_eq!(try_write(&store, wrong(2, true, true)).await, Committed::PolicyChanged);
    assert_eq!(try_write(&store, wrong(1, true, true)).await, Committed::Conflict);
    let closed = Committed::Closed {
        names: vec![(order_id("id:1"), Some(ClosedName::Itself))],
        watermark: time(COMMITTED),
    };
    assert_eq!(try_write(&store, wrong(1, false, true)).await, closed);
    let negative = Committed::Overflow(TotalError::Negative);
    assert_eq!(try_write(&store, wrong(1, false, false)).await, negative);
}

pub(super) async fn totals_reach_their_limit_and_do_not_pass_it(harness: &Harness) {
    let store = harness.open();
    let most = STOCK_TOTAL_MAX;
    write(&store, receipt("alpha", "sku:A", "R-1", most)).await;
    let above = receipt("alpha", "sku:A", "R-2", 1);
    assert_eq!(try_write(&store, above.clone()).await, TOO_LARGE);
    assert_eq!(load(&store, &[above.entity()]).await.unwrap(), [None]);
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
        .linking("external-id:E", None, Some(link(&["id:1"])))
        .holding("sku:A", hold(0, 0), hold(1, 0))
        .holding("sku:B", hold(0, 0), hold(STOCK_TOTAL_MAX + 1, 0));
    assert_eq!(try_write(&store, commit).await, TOO_LARGE);
    assert_eq!(keys(&store, "alpha", None).await, Vec::<String>::new());
    assert_eq!(load(&store, &[order_entity("alpha", "id:1")]).await.unwrap(), [None]);
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap(), []);
    assert_eq!(links(&store, &["external-id:E"]).await, [None], "the link was written");
}

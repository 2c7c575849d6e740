//! What was committed is there, whole, and stays.

use std::sync::Arc;

use storekeeper::domain::{
    Latest, Line, Outcome, Policy, Refund, RefundEntry, RefundLine, Restock, Snapshot,
    TimelineEntry,
};
use storekeeper::store::{Commit, Committed, EntityState, HeldBy, Store, StoreError};

use super::Harness;
use super::given::{
    ALL, Given, WRITTEN, catalogue, counts, hold, identifier, item, key, message, millionths,
    order, order_entity, order_id, receipt, revision, site, time, try_write, version, write,
};

/// An order with something in every field.
fn full_order() -> Commit {
    let mut commit = order("alpha", "id:1")
        .bearing(&["external-id:E", "invoice-number:7"])
        .holding("sku:A", hold(0, 0), hold(3_000_000, 0))
        .holding("product:é/ü", hold(0, 0), hold(0, 1_250_000));
    let EntityState::Order(state) = &mut commit.state else { unreachable!() };
    let line = Line {
        id: Some(identifier("L1")),
        variation: None,
        product: Some(identifier("é/ü")),
        external_variation: None,
        external_product: None,
        sku: Some(identifier("A")),
        quantity: millionths(3_000_000),
    };
    let snapshot = Snapshot { test: true, lines: vec![line] };
    state.latest = Some(Latest { version: version(u64::MAX), snapshot });
    state.deleted = Some(version(2));
    state.ever_shipped = true;
    state.ambiguous = true;
    let lines = vec![RefundLine { id: Some(identifier("L1")), quantity: millionths(1) }];
    let version = version(1);
    let (event_timestamp, fingerprint) = (version.event_timestamp, version.fingerprint);
    let entry = RefundEntry { event_timestamp, from_event: true, fingerprint, lines };
    let refund = Refund { id: identifier("R1"), entry };
    state.refunds.insert(refund.id, refund.entry);
    state.timeline.push(TimelineEntry {
        version,
        message_id: message(1),
        event_type: identifier("ECOMM_ORDER_CREATED"),
        received_at: time(1),
        outcome: Outcome::Applied,
        reason: None,
        rekeyed_lines: 3,
    });
    commit
}

/// Checks that [`full_order`] is there as it was committed.
async fn assert_full_order(store: &Arc<dyn Store>) {
    let commit = full_order();
    let loaded = store.load(std::slice::from_ref(&commit.entity)).await.unwrap();
    assert_eq!(loaded[0].as_ref().unwrap().state, commit.state);
    let stored = store.order(&site("alpha"), &order_id("id:1")).await.unwrap().unwrap();
    assert_eq!(EntityState::Order(Box::new(stored.state)), commit.state);
    assert_eq!(stored.revision, loaded[0].as_ref().unwrap().revision);
    assert!(!stored.alias_conflict);
    let detail = item(store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(0, 3_000_000, 0));
    let held = HeldBy { order: order_id("id:1"), hold: hold(3_000_000, 0) };
    assert_eq!(detail.holds.items, [held]);
    assert_eq!(item(store, "alpha", "product:é/ü").await.item.counts, counts(0, 0, 1_250_000));
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap().len(), 2);
    assert_eq!(store.sites().await.unwrap(), [site("alpha")]);
}

pub(super) async fn an_order_is_read_back_whole(harness: &Harness) {
    let store = harness.open();
    assert_eq!(try_write(&store, full_order()).await, WRITTEN);
    assert_full_order(&store).await;
}

pub(super) async fn catalogue_entries_and_receipts_are_read_back_whole(harness: &Harness) {
    let store = harness.open();
    let commits = [
        catalogue("alpha", "product:1", "Shirt", &["sku:A"]),
        receipt("alpha", "sku:A", "R-1", 5),
        receipt("alpha", "sku:B", "R-1", 6),
    ];
    assert_eq!(store.commit(commits.to_vec()).await.unwrap(), [WRITTEN; 3]);
    for commit in commits {
        let loaded = store.load(std::slice::from_ref(&commit.entity)).await.unwrap();
        assert_eq!(loaded[0].as_ref().unwrap().state, commit.state);
    }
    assert_eq!(item(&store, "alpha", "sku:B").await.item.counts, counts(6, 0, 0));
}

pub(super) async fn entities_are_loaded_in_the_order_asked_for(harness: &Harness) {
    let store = harness.open();
    for id in ["id:1", "id:3"] {
        write(&store, order("alpha", id)).await;
    }
    let entities = ["id:3", "id:2", "id:1", "id:3"].map(|id| order_entity("alpha", id));
    let loaded = store.load(&entities).await.unwrap();
    assert!(loaded[1].is_none());
    assert_eq!(loaded[0], loaded[3]);
    assert_eq!(loaded[2].as_ref().unwrap().state, order("alpha", "id:1").state);
    assert_eq!(loaded[0].as_ref().unwrap().state, order("alpha", "id:3").state);
}

pub(super) async fn what_was_answered_survives_a_crash(harness: &Harness) {
    let store = harness.open();
    write(&store, full_order()).await;
    let store = harness.crash_and_reopen(store);
    assert_full_order(&store).await;
}

pub(super) async fn what_was_answered_survives_a_close(harness: &Harness) {
    let store = harness.open();
    write(&store, full_order()).await;
    store.close().await;
    assert!(store.sites().await.unwrap_err().is_transient());
    assert_full_order(&harness.open()).await;
}

pub(super) async fn a_state_of_a_newer_format_is_refused_untouched(harness: &Harness) {
    const NEWER: &str = r#"{"format":2,"state":{"policy":"of another kind"}}"#;
    let store = harness.open();
    write(&store, order("alpha", "id:1")).await;
    let entity = order_entity("alpha", "id:1");
    let known = revision(&store, &entity).await;
    (harness.replace_state)(NEWER);
    let error = store.load(std::slice::from_ref(&entity)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Newer { .. }), "{error:?}");
    assert!(error.to_string().contains("run a newer release"), "{error}");
    let error = store.order(&site("alpha"), &order_id("id:1")).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { .. }), "{error:?}");
    let commit = order("alpha", "id:1").on(known);
    assert_eq!(try_write(&store, commit).await, Committed::Conflict);
    assert_eq!((harness.stored_state)(), NEWER);
}

pub(super) async fn a_damaged_state_is_named_and_not_shown(harness: &Harness) {
    let store = harness.open();
    write(&store, order("alpha", "id:1")).await;
    (harness.replace_state)(r#"{"format":1,"state":{"policy":"jane@example.com"}}"#);
    let error = store.load(&[order_entity("alpha", "id:1")]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("order id:1 of site alpha"), "{error}");
    assert!(!format!("{error:?}").contains("jane"), "{error:?}");
}

pub(super) async fn the_first_policy_stays(harness: &Harness) {
    let store = harness.open();
    assert_eq!(store.policy().await.unwrap(), None);
    let first = Policy::default();
    let second = Policy { restock: Restock::Lines, ..Policy::default() };
    let (a, b) = tokio::join!(store.adopt_policy(&first), store.adopt_policy(&second));
    let adopted = a.unwrap();
    assert_eq!(b.unwrap(), adopted);
    assert_eq!(adopted.revision, 1);
    let other = if adopted.policy == first { second } else { first };
    assert_eq!(store.adopt_policy(&other).await.unwrap(), adopted);
    let store = harness.crash_and_reopen(store);
    assert_eq!(store.policy().await.unwrap(), Some(adopted));
}

pub(super) async fn a_store_that_works_says_so(harness: &Harness) {
    let store = harness.open();
    store.check().await.unwrap();
    assert!(store.is_volatile().is_some(), "a store that was looked at says whether it forgets");
    assert!(store.sites().await.unwrap().is_empty());
    assert!(store.stock_item(&site("alpha"), &key("sku:A"), &ALL).await.unwrap().is_none());
    store.close().await;
    assert!(store.check().await.unwrap_err().is_transient());
}

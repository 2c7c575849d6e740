//! What was committed is there, whole, and stays.

use std::sync::Arc;

use storekeeper::domain::{
    Action, Correction, CorrectionContent, Latest, Line, LineNames, List, Mode, Note, Outcome,
    Policy, Reason, ReceiptContent, RefundEntry, RefundLine, Remembered, Restock, Said, Shown,
    Snapshot, Status, TimelineEntry, Version,
};
use storekeeper::store::{Commit, Committed, EntityState, HeldBy, Store, StoreError, orders};

use super::Harness;
use super::given::{
    ALL, Given, catalogue, counts, hold, identifier, item, key, link, load, message, millionths,
    order, order_entity, order_id, origin, receipt, revision, site, time, try_write, version,
    write,
};

/// A record with something in every field.
fn full_order() -> Commit {
    let goods = ["product:é/ü", "sku:A"].map(key);
    let names = LineNames::from_iter(goods.map(|key| (key.kind, key.identifier)));
    let mut commit = order("alpha", "id:1")
        .linking("external-id:E", None, Some(link(&["id:1"])))
        .linking("invoice-number:7", None, Some(link(&["id:1"])))
        .listing(&[], &[List::All, List::Corrected])
        .holding("sku:A", hold(0, 0), hold(3_000_000, 0))
        .holding("product:é/ü", hold(0, 0), hold(0, 1_250_000));
    let record = commit.record();
    let line = Line {
        id: Some(identifier("L1")),
        names: names.clone(),
        quantity: millionths(3_000_000),
        name: Some("a\nline, \u{1f600}".to_owned()),
    };
    let words = version(9).fingerprint;
    let snapshot = Snapshot { words, lines: vec![line] };
    let latest = Version { observed_at: i64::MAX, status: Status::Refunded, ..version(u64::MAX) };
    record.latest = Some(Latest { version: latest, is_ambiguous: true, snapshot });
    record.deleted = Some(version(2));
    record.mode = Some((version(3), Mode::Test));
    record.remembered.push(Remembered { version: version(4), line: identifier("L2"), names });
    let lines = vec![RefundLine { id: Some(identifier("L1")), quantity: millionths(1) }];
    let Version { event_timestamp, fingerprint, .. } = version(5);
    let entry = RefundEntry {
        event_timestamp,
        from_event: true,
        fingerprint,
        lines,
        created: Some(time(7)),
        first_seen: -1,
    };
    record.refunds.insert(identifier("R1"), entry);
    record.shipped = vec![version(6), version(7)];
    record.unshipped = Some((version(8), words));
    let content = CorrectionContent {
        action: Action::Ship,
        shown: Shown { version: latest, words, deleted: Some(version(2)) },
        reason: Some(identifier("lost")),
        actor: None,
    };
    let correction = Correction { content, message_id: message(8), received_at: time(2) };
    record.corrections.insert(identifier("C|1"), correction);
    record.second_names.insert(order_id("external-id:E"));
    record.invoices.push((version(10), order_id("invoice-number:7")));
    record.timeline.push(TimelineEntry {
        version: version(1),
        message_id: message(1),
        event_type: identifier("ECOMM_ORDER_CREATED"),
        received_at: time(1),
        outcome: Outcome::Applied,
        reason: Some(Reason::Ambiguous),
        said: Some("Refunded".to_owned()),
        rekeyed_lines: 3,
    });
    commit
}

/// Checks that [`full_order`] is there as it was committed.
async fn assert_full_order(store: &Arc<dyn Store>) {
    let mut commit = full_order();
    let loaded = load(store, &[commit.entity()]).await.unwrap();
    assert_eq!(loaded[0].as_ref().unwrap().state, *commit.state());
    for name in ["id:1", "external-id:E"] {
        let (site, name) = (site("alpha"), order_id(name));
        let stored = orders::order(&**store, &site, &name).await.unwrap().unwrap();
        assert_eq!(stored.record, *commit.record());
        assert_eq!(stored.revision, loaded[0].as_ref().unwrap().revision);
        assert_eq!(stored.second_names, [(order_id("external-id:E"), false)]);
    }
    let detail = item(store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(0, 3_000_000, 0));
    let held = HeldBy { order: order_id("id:1"), hold: hold(3_000_000, 0) };
    assert_eq!(detail.holds.items, [held]);
    assert_eq!(item(store, "alpha", "product:é/ü").await.item.counts, counts(0, 0, 1_250_000));
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap().len(), 2);
    assert_eq!(store.sites().await.unwrap(), [site("alpha")]);
    for list in [List::All, List::Corrected] {
        assert_eq!(store.count_listed(list).await.unwrap(), 1);
    }
}

pub(super) async fn an_order_is_read_back_whole(harness: &Harness) {
    let store = harness.open();
    assert_eq!(try_write(&store, full_order()).await, Committed::Written);
    assert_full_order(&store).await;
}

pub(super) async fn catalogue_entries_and_receipts_are_read_back_whole(harness: &Harness) {
    let store = harness.open();
    let mut entry = catalogue("alpha", "store-product:9/1", "Shirt", &["sku:A", "product:é"]);
    let EntityState::Catalogue(state) = entry.state() else { unreachable!() };
    state.description.external_id = Some(identifier("E"));
    state.description.sku = Some(identifier("A"));
    state.description.is_untracked = true;
    state.deleted = Some(version(0));
    let said = |content| Said {
        message_id: message(9),
        received_at: time(3),
        content,
        note: Note { reason: Some(identifier("damage")), actor: Some(identifier("josé")) },
    };
    let mut void = receipt("alpha", "sku:A", "R-2", 0);
    let EntityState::Receipt(state) = void.state() else { unreachable!() };
    state.void = Some(said(ReceiptContent::Void));
    let mut count = receipt("alpha", "sku:A", "R|3", -4);
    let EntityState::Receipt(state) = count.state() else { unreachable!() };
    let (on_hand, difference) = (millionths(-3), millionths(-4));
    state.said = Some(said(ReceiptContent::Count { on_hand, difference }));
    let commits = [
        catalogue("alpha", "product:1", "Shirt", &["sku:A"]),
        entry,
        receipt("alpha", "sku:A", "R-1", 5),
        receipt("alpha", "sku:B", "R-1", 6),
        void,
        count,
    ];
    let committed = store.commit(commits.to_vec()).await.unwrap();
    assert!(committed.iter().all(|it| *it == Committed::Written), "{committed:?}");
    let store = harness.crash_and_reopen(store);
    for mut commit in commits {
        let loaded = load(&store, &[commit.entity()]).await.unwrap();
        assert_eq!(loaded[0].as_ref().unwrap().state, *commit.state());
    }
    assert_eq!(item(&store, "alpha", "sku:B").await.item.counts, counts(6, 0, 0));
}

/// A receipt that is void adds nothing, whatever it says: nor does it to what an audit adds up.
pub(super) async fn a_void_receipt_adds_nothing(harness: &Harness) {
    let store = harness.open();
    let first = receipt("alpha", "sku:A", "R", 5);
    write(&store, first.clone()).await;
    write(&store, receipt("alpha", "sku:A", "R-2", 2)).await;
    let loaded = revision(&store, &first.entity()).await;
    let mut void = first.on(loaded);
    let EntityState::Receipt(state) = void.state() else { unreachable!() };
    state.void = state.said.clone();
    void.changes[0].delta = counts(-5, 0, 0);
    write(&store, void).await;
    let audited = store.audit_items(&site("alpha"), &ALL).await.unwrap().items;
    assert_eq!((audited[0].counts, audited[0].sums), (counts(2, 0, 0), Some(counts(2, 0, 0))));
}

pub(super) async fn entities_are_loaded_in_the_order_asked_for(harness: &Harness) {
    let store = harness.open();
    for id in ["id:1", "id:3"] {
        write(&store, order("alpha", id)).await;
    }
    let entities = ["id:3", "id:2", "id:1", "id:3"].map(|id| order_entity("alpha", id));
    let loaded = load(&store, &entities).await.unwrap();
    assert!(loaded[1].is_none());
    assert_eq!(loaded[0], loaded[3]);
    assert_eq!(loaded[2].as_ref().unwrap().state, *order("alpha", "id:1").state());
    assert_eq!(loaded[0].as_ref().unwrap().state, *order("alpha", "id:3").state());
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
    let store = harness.open();
    write(&store, order("alpha", "id:1")).await;
    let entity = order_entity("alpha", "id:1");
    let known = revision(&store, &entity).await;
    (harness.replace_state)(&harness.newer);
    let error = load(&store, std::slice::from_ref(&entity)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Newer { .. }), "{error:?}");
    assert!(error.to_string().contains("run a newer release"), "{error}");
    let error = orders::order(&*store, &site("alpha"), &order_id("id:1")).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { .. }), "{error:?}");
    let commit = order("alpha", "id:1").on(known);
    assert_eq!(try_write(&store, commit).await, Committed::Conflict);
    assert_eq!((harness.stored_state)(), harness.newer);
}

pub(super) async fn a_damaged_state_is_named_and_not_shown(harness: &Harness) {
    let store = harness.open();
    write(&store, order("alpha", "id:1")).await;
    (harness.replace_state)(&harness.damaged);
    let error = load(&store, &[order_entity("alpha", "id:1")]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("order id:1 of site alpha"), "{error}");
    assert!(!format!("{error:?}").contains("jane"), "{error:?}");
}

pub(super) async fn the_first_policy_stays(harness: &Harness) {
    let store = harness.open();
    assert_eq!(store.policy().await.unwrap(), None);
    let first = Policy::default();
    let second = Policy { restock: Restock::Lines, ..Policy::default() };
    let by = origin("a new Store", 1);
    let (a, b) = tokio::join!(store.adopt_policy(&first, &by), store.adopt_policy(&second, &by));
    let adopted = a.unwrap();
    assert_eq!(b.unwrap(), adopted);
    assert_eq!(adopted.revision, 1);
    let other = if adopted.policy == first { second } else { first };
    assert_eq!(store.adopt_policy(&other, &by).await.unwrap(), adopted);
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

//! Closing: an order becomes sums, whole or not at all, once, and stays closed.

use std::sync::Arc;

use storekeeper::domain::{
    Latest, Rank, Remains, STOCK_TOTAL_MAX, Snapshot, Status, Timestamp, Version,
};
use storekeeper::store::{Closing, Commit, Committed, EntityState, PageRequest, Store};

use super::Harness;
use super::given::{
    Given, counts, hold, item, key, millionths, order, order_entity, order_id, revision, site,
    time, try_write, version, write,
};

/// When the commits of the cases are made.
const COMMITTED: i64 = 1_700_000_000;

/// The first commit of an order that is delivered.
fn delivered(id: &str, fulfilled: i64) -> Commit {
    let mut commit = order("alpha", id).holding("sku:A", hold(0, 0), hold(0, fulfilled));
    let EntityState::Order(state) = &mut commit.state else { unreachable!() };
    let version = Version { rank: Rank::Updated, status: Status::Delivered, ..version(1) };
    state.latest = Some(Latest { version, snapshot: Snapshot::default() });
    commit
}

async fn closing(store: &Arc<dyn Store>, id: &str, fulfilled: i64, before: Timestamp) -> Closing {
    Closing {
        site: site("alpha"),
        order: order_id(id),
        loaded: revision(store, &order_entity("alpha", id)).await,
        remains: Remains {
            fulfilled: [(key("sku:A"), millionths(fulfilled))].into(),
            forgotten: vec![order_id("invoice-number:7")],
        },
        before,
    }
}

pub(super) async fn a_settled_order_is_listed_once_it_is_old(harness: &Harness) {
    let store = harness.open();
    write(&store, order("alpha", "id:open").holding("sku:A", hold(0, 0), hold(9, 0))).await;
    let ids = ["id:1", "id:2", "id:3"];
    for id in ids {
        write(&store, delivered(id, 1)).await;
    }
    let none = store.settled_orders(time(COMMITTED), &PageRequest::first(10)).await.unwrap();
    assert_eq!(none.items, []);
    let mut listed = Vec::new();
    let mut page = PageRequest::first(2);
    loop {
        let found = store.settled_orders(time(COMMITTED + 1), &page).await.unwrap();
        for settled in found.items {
            let expected = delivered(&settled.order.to_string(), 1).state;
            assert_eq!(EntityState::Order(Box::new(settled.state)), expected);
            listed.push(settled.order.to_string());
        }
        page.after = found.next;
        if page.after.is_none() {
            break;
        }
    }
    listed.sort();
    assert_eq!(listed, ids);
}

pub(super) async fn a_closed_order_leaves_its_sums_and_nothing_else(harness: &Harness) {
    let store = harness.open();
    write(&store, delivered("id:1", 2).bearing(&["invoice-number:7", "external-id:E"])).await;
    write(&store, delivered("id:2", 3)).await;
    let before = time(COMMITTED + 1);
    let first = closing(&store, "id:1", 2, before).await;
    assert_eq!(store.close_orders(vec![first.clone()]).await.unwrap(), [true]);
    let store = harness.crash_and_reopen(store);
    // Repeated after a crash it changes nothing.
    assert_eq!(store.close_orders(vec![first]).await.unwrap(), [false]);
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(0, 0, 5));
    assert_eq!((detail.closed_orders, detail.closed_fulfilled), (1, millionths(2)));
    let held: Vec<_> = detail.holds.items.iter().map(|held| held.order.to_string()).collect();
    assert_eq!(held, ["id:2"]);
    assert_eq!(store.load(&[order_entity("alpha", "id:1")]).await.unwrap(), [None]);
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap().len(), 2, "no count changed");
    let conflict = write(&store, order("alpha", "id:3").bearing(&["external-id:E"])).await;
    assert!(conflict, "an exclusive name stays the closed order's");
}

pub(super) async fn a_closing_on_a_stale_revision_changes_nothing(harness: &Harness) {
    let store = harness.open();
    write(&store, delivered("id:1", 2)).await;
    let stale = closing(&store, "id:1", 2, time(COMMITTED + 1)).await;
    let again = order("alpha", "id:1").on(stale.loaded).holding("sku:A", hold(0, 2), hold(4, 0));
    write(&store, again).await;
    write(&store, delivered("id:2", 1)).await;
    let other = closing(&store, "id:2", 1, time(COMMITTED + 1)).await;
    assert_eq!(store.close_orders(vec![stale, other]).await.unwrap(), [false, true]);
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(0, 4, 1));
    assert_eq!(detail.holds.items[0].hold, hold(4, 0));
    assert_eq!((detail.closed_orders, detail.closed_fulfilled), (1, millionths(1)));
}

pub(super) async fn a_closing_whose_sum_cannot_be_counted_changes_nothing(harness: &Harness) {
    let store = harness.open();
    let most = STOCK_TOTAL_MAX;
    let mut closings = Vec::new();
    for (id, fulfilled) in [("id:1", most), ("id:2", 1), ("id:3", i64::MAX), ("id:4", 0)] {
        write(&store, delivered(id, 1)).await;
        closings.push(closing(&store, id, fulfilled, time(COMMITTED + 1)).await);
    }
    assert_eq!(store.close_orders(closings).await.unwrap(), [true, false, false, true]);
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!((detail.closed_orders, detail.closed_fulfilled), (2, millionths(most)));
    let held: Vec<_> = detail.holds.items.iter().map(|held| held.order.to_string()).collect();
    assert_eq!(held, ["id:2", "id:3"]);
}

pub(super) async fn a_closed_order_stays_closed_and_the_watermark_rises(harness: &Harness) {
    let store = harness.open();
    let entity = order_entity("alpha", "id:1");
    write(&store, delivered("id:1", 2)).await;
    write(&store, delivered("id:2", 2)).await;
    let loaded = revision(&store, &entity).await;
    let (early, late) = (time(COMMITTED + 1), time(COMMITTED + 9));
    for (id, before, watermark) in [("id:1", late, late), ("id:2", early, late)] {
        let closing = closing(&store, id, 2, before).await;
        assert_eq!(store.close_orders(vec![closing]).await.unwrap(), [true]);
        let anew = try_write(&store, delivered(id, 1)).await;
        assert_eq!(anew, Committed::Closed { watermark });
    }
    let late_commit = try_write(&store, delivered("id:1", 5).on(loaded)).await;
    assert_eq!(late_commit, Committed::Conflict);
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(0, 0, 4));
    // The same name in another site is another order.
    write(&store, Commit { entity: order_entity("beta", "id:1"), ..delivered("id:1", 1) }).await;
}

pub(super) async fn a_closed_order_is_told_with_its_watermark(harness: &Harness) {
    let store = harness.open();
    write(&store, delivered("id:1", 1)).await;
    write(&store, delivered("id:2", 1)).await;
    let before = time(COMMITTED + 1);
    let closing = closing(&store, "id:1", 1, before).await;
    assert_eq!(store.closed_order(&site("alpha"), &order_id("id:1")).await.unwrap(), None);
    assert_eq!(store.close_orders(vec![closing]).await.unwrap(), [true]);
    let store = harness.crash_and_reopen(store);
    let closed =
        async |site_name, id| store.closed_order(&site(site_name), &order_id(id)).await.unwrap();
    assert_eq!(closed("alpha", "id:1").await, Some(before));
    assert_eq!(closed("alpha", "id:2").await, None);
    assert_eq!(closed("beta", "id:1").await, None);
    assert_eq!(closed("alpha", "external-id:1").await, None);
}

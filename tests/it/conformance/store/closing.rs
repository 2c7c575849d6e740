//! Closing: an order becomes sums, whole or not at all, once, and stays closed.

use std::sync::Arc;

use serde_json::json;
use storekeeper::domain::{
    ClosedName, EventOutcome, List, Outcome, Policy, Reason, Refused, STOCK_TOTAL_MAX, Timestamp,
    TotalError,
};
use storekeeper::duties::close_final;
use storekeeper::store::{Commit, Committed, Direction, Store};

use super::Harness;
use super::deciding::{RECEIVED, event, take, update};
use super::given::{
    ALL, COMMITTED, Given, closing, counts, hold, item, keys, link, links, lists, load, millionths,
    order, order_entity, order_id, origin, receipt, revision, site, time, try_write, write,
};

const ITSELF: ClosedName = ClosedName::Itself;
const BESIDE: ClosedName = ClosedName::BesideAnId;

/// The first commit of an order that is delivered.
fn delivered(id: &str, fulfilled: i64) -> Commit {
    let commit = order("alpha", id).holding("sku:A", hold(0, 0), hold(0, fulfilled));
    commit.listing(&[], &[List::All, List::Final])
}

/// The commit that closes such an order.
async fn close(store: &Arc<dyn Store>, id: &str, fulfilled: i64, before: Timestamp) -> Commit {
    let loaded = revision(store, &order_entity("alpha", id)).await;
    let mut closing = closing(id, loaded, &[("sku:A", fulfilled)], &[(id, ITSELF)], before);
    closing.writes[0].lists.0 = lists(&[List::All, List::Final]);
    closing
}

async fn closed(
    store: &Arc<dyn Store>,
    site_name: &str,
    names: &[&str],
) -> (Vec<Option<ClosedName>>, Timestamp) {
    let names: Vec<_> = names.iter().map(|name| order_id(name)).collect();
    store.closed(&site(site_name), &names).await.unwrap()
}

pub(super) async fn a_closed_order_leaves_its_sums_and_nothing_else(harness: &Harness) {
    let store = harness.open();
    write(&store, delivered("id:1", 2)).await;
    write(&store, delivered("id:2", 3)).await;
    let first = close(&store, "id:1", 2, time(COMMITTED + 1)).await;
    write(&store, first.clone()).await;
    let store = harness.crash_and_reopen(store);
    // Repeated after a crash it changes nothing.
    assert_eq!(try_write(&store, first).await, Committed::Conflict);
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(0, 0, 5));
    assert_eq!((detail.closed_orders, detail.closed_fulfilled), (1, millionths(2)));
    let held: Vec<_> = detail.holds.items.iter().map(|held| held.order.to_string()).collect();
    assert_eq!(held, ["id:2"]);
    assert_eq!(load(&store, &[order_entity("alpha", "id:1")]).await.unwrap(), [None]);
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap().len(), 2, "no count changed");
    for list in [List::All, List::Final] {
        let listed = store.listed(&site("alpha"), list, Direction::OldestFirst, &ALL).await;
        let listed = listed.unwrap().items.into_iter().map(|listed| listed.order);
        assert!(listed.eq([order_id("id:2")]), "{list:?}");
    }
    let audited = store.audit_items(&site("alpha"), &ALL).await.unwrap().items;
    assert_eq!(audited[0].sums, Some(counts(0, 0, 5)));
    let holds = store.audit_holds(&site("alpha"), &ALL).await.unwrap().items;
    assert_eq!(holds.len(), 1);
}

pub(super) async fn a_closing_on_a_stale_revision_changes_nothing(harness: &Harness) {
    let store = harness.open();
    write(&store, delivered("id:1", 2)).await;
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    let stale = close(&store, "id:1", 2, time(COMMITTED + 9)).await;
    let again = order("alpha", "id:1").on(loaded).holding("sku:A", hold(0, 2), hold(4, 0));
    write(&store, again).await;
    write(&store, delivered("id:2", 1)).await;
    let other = close(&store, "id:2", 1, time(COMMITTED + 1)).await;
    let committed = store.commit(vec![stale, other]).await.unwrap();
    assert_eq!(committed, [Committed::Conflict, Committed::Written]);
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!(detail.item.counts, counts(0, 4, 1));
    assert_eq!(detail.holds.items[0].hold, hold(4, 0));
    assert_eq!((detail.closed_orders, detail.closed_fulfilled), (1, millionths(1)));
    let (names, watermark) = closed(&store, "alpha", &["id:1", "id:2"]).await;
    assert_eq!((names, watermark), (vec![None, Some(ITSELF)], time(COMMITTED + 1)));
}

pub(super) async fn a_closing_whose_sum_cannot_be_counted_changes_nothing(harness: &Harness) {
    let store = harness.open();
    let most = STOCK_TOTAL_MAX;
    let mut closings = Vec::new();
    for (id, fulfilled) in [("id:1", most), ("id:2", 1), ("id:3", i64::MAX), ("id:4", 0)] {
        write(&store, delivered(id, 1)).await;
        closings.push(close(&store, id, fulfilled, time(COMMITTED + 1)).await);
    }
    let too_large = || Committed::Overflow(TotalError::TooLarge);
    let expected = [Committed::Written, too_large(), too_large(), Committed::Written];
    assert_eq!(store.commit(closings).await.unwrap(), expected);
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!((detail.closed_orders, detail.closed_fulfilled), (2, millionths(most)));
    let held: Vec<_> = detail.holds.items.iter().map(|held| held.order.to_string()).collect();
    assert_eq!(held, ["id:2", "id:3"]);
    let (names, _) = closed(&store, "alpha", &["id:1", "id:2", "id:3", "id:4"]).await;
    assert_eq!(names, [Some(ITSELF), None, None, Some(ITSELF)]);
    assert_eq!(store.count_listed(List::Final).await.unwrap(), 2);
}

pub(super) async fn a_closed_order_stays_closed_and_the_watermark_rises(harness: &Harness) {
    let store = harness.open();
    for id in ["id:1", "id:2", "id:3"] {
        write(&store, delivered(id, 2)).await;
    }
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    assert_eq!(closed(&store, "alpha", &["id:1"]).await, (vec![None], time(0)));
    let [early, late, later] = [1, 9, 10].map(|seconds| time(COMMITTED + seconds));
    for (id, before, watermark) in
        [("id:1", late, late), ("id:2", early, late), ("id:3", later, later)]
    {
        let closing = close(&store, id, 2, before).await;
        write(&store, closing).await;
        let anew = try_write(&store, delivered(id, 1)).await;
        let names = vec![(order_id(id), Some(ITSELF))];
        assert_eq!(anew, Committed::Closed { names, watermark });
        assert_eq!(closed(&store, "alpha", &[]).await, (Vec::new(), watermark));
    }
    let late_commit = try_write(&store, delivered("id:1", 5).on(loaded)).await;
    assert_eq!(late_commit, Committed::Conflict);
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(0, 0, 6));
    // The same name in another site is another order.
    write(&store, order("beta", "id:1")).await;
    assert_eq!(closed(&store, "beta", &["id:1"]).await, (vec![None], time(0)));
}

pub(super) async fn names_of_closed_orders_are_remembered_by_what_they_were(harness: &Harness) {
    let store = harness.open();
    write(&store, delivered("id:1", 1)).await;
    write(&store, delivered("id:2", 1)).await;
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    let remembered = [
        ("id:1", ITSELF),
        ("external-id:E", BESIDE),
        ("external-id:x}:holds:foo{", BESIDE),
        ("invoice-number:7", ITSELF),
        ("store-order-id:9/1", ITSELF),
    ];
    write(&store, closing("id:1", loaded, &[("sku:A", 1)], &remembered, time(COMMITTED))).await;
    let store = harness.crash_and_reopen(store);
    let asked = [
        "external-id:E",
        "id:E",
        "id:1",
        "id:2",
        "external-id:x}:holds:foo{",
        "external-id:1",
        "store-order-id:9/1",
        "invoice-number:7",
        "external-id:E",
    ];
    let (names, watermark) = closed(&store, "alpha", &asked).await;
    let (itself, beside) = (Some(ITSELF), Some(BESIDE));
    assert_eq!(names, [beside, None, itself, None, beside, None, itself, itself, beside]);
    assert_eq!(watermark, time(COMMITTED));
}

/// That a name was seen beside an id is never forgotten, whatever else is closed under it.
pub(super) async fn a_name_that_is_closed_twice_was_beside_an_id(harness: &Harness) {
    let store = harness.open();
    for (name, first, second) in
        [("external-id:E", ITSELF, BESIDE), ("external-id:F", BESIDE, ITSELF)]
    {
        for (id, closed) in [("id:1", first), ("id:2", second)] {
            let id = format!("{id}{}", name.len() + usize::from(first == BESIDE));
            write(&store, order("alpha", &id)).await;
            let loaded = revision(&store, &order_entity("alpha", &id)).await;
            write(&store, closing(&id, loaded, &[], &[(name, closed)], time(COMMITTED))).await;
        }
        assert_eq!(closed(&store, "alpha", &[name]).await.0, [Some(BESIDE)], "{name}");
        let names = vec![(order_id(name), Some(BESIDE))];
        let anew = try_write(&store, order("alpha", name)).await;
        assert_eq!(anew, Committed::Closed { names, watermark: time(COMMITTED) });
    }
}

/// Whoever is wrong about one new name is told of all, so that one more reading is enough.
pub(super) async fn a_commit_says_what_it_knows_of_its_new_names(harness: &Harness) {
    let store = harness.open();
    let unclosed = Committed::Closed {
        names: vec![(order_id("id:1"), None), (order_id("external-id:E"), None)],
        watermark: time(0),
    };
    let expecting = |known: [Option<ClosedName>; 2]| {
        let mut commit = order("alpha", "id:3").holding("sku:B", hold(0, 0), hold(1, 0));
        commit.new_names = ["id:1", "external-id:E"].map(order_id).into_iter().zip(known).collect();
        commit.linking("external-id:E", None, Some(link(&["id:3"])))
    };
    write(&store, order("alpha", "id:1")).await;
    assert_eq!(try_write(&store, expecting([None, Some(BESIDE)])).await, unclosed);
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    let names = [("id:1", ITSELF), ("external-id:E", BESIDE)];
    write(&store, closing("id:1", loaded, &[], &names, time(COMMITTED))).await;
    let told = Committed::Closed {
        names: names.iter().map(|(name, closed)| (order_id(name), Some(*closed))).collect(),
        watermark: time(COMMITTED),
    };
    for known in [
        [None, None],
        [Some(ITSELF), None],
        [None, Some(BESIDE)],
        [Some(BESIDE), Some(BESIDE)],
        [Some(ITSELF), Some(ITSELF)],
        [Some(BESIDE), Some(ITSELF)],
    ] {
        assert_eq!(try_write(&store, expecting(known)).await, told, "{known:?}");
    }
    assert_eq!(load(&store, &[order_entity("alpha", "id:3")]).await.unwrap(), [None]);
    assert_eq!(links(&store, &["external-id:E"]).await, [None]);
    assert_eq!(keys(&store, "alpha", None).await, Vec::<String>::new());
    assert_eq!(store.count_listed(List::All).await.unwrap(), 0);
    write(&store, expecting([Some(ITSELF), Some(BESIDE)])).await;
}

/// Of two that close one order exactly one does.
pub(super) async fn of_racing_closings_exactly_one_is_written(harness: &Harness) {
    let store = harness.open();
    for round in 0..4 {
        let id = format!("id:{round}");
        write(&store, delivered(&id, 1)).await;
        let closing = close(&store, &id, 1, time(COMMITTED)).await;
        let (a, b) = tokio::join!(try_write(&store, closing.clone()), try_write(&store, closing));
        assert!(
            matches!(
                (&a, &b),
                (Committed::Written, Committed::Conflict)
                    | (Committed::Conflict, Committed::Written)
            ),
            "{a:?} {b:?}"
        );
    }
    let detail = item(&store, "alpha", "sku:A").await;
    assert_eq!((detail.closed_orders, detail.closed_fulfilled), (4, millionths(4)));
}

/// One commit may leave several orders' units with an item, and one order those of several items.
pub(super) async fn a_closing_of_many_items_adds_to_each(harness: &Harness) {
    let store = harness.open();
    let many: Vec<String> = (0..1500).map(|number| format!("sku:{number}")).collect();
    let held = many.iter().fold(order("alpha", "id:1"), |commit, key_name| {
        commit.holding(key_name, hold(0, 0), hold(0, 2))
    });
    write(&store, held).await;
    write(&store, receipt("alpha", "sku:7", "R", 5)).await;
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    let fulfilled: Vec<_> = many.iter().map(|key_name| (key_name.as_str(), 2)).collect();
    write(&store, closing("id:1", loaded, &fulfilled, &[("id:1", ITSELF)], time(1))).await;
    for key_name in [&many[0], &many[7], &many[1499]] {
        let detail = item(&store, "alpha", key_name).await;
        assert_eq!((detail.closed_orders, detail.closed_fulfilled), (1, millionths(2)));
        assert_eq!(detail.holds.items, []);
    }
    let items = store.audit_items(&site("alpha"), &ALL).await.unwrap().items;
    assert!(items.iter().all(|item| Some(item.counts) == item.sums));
}

/// The whole way: an order of two records, one of which only a second name leads to.
pub(super) async fn an_order_is_closed_under_all_its_names(harness: &Harness) {
    let store = harness.open();
    let in_force = store.adopt_policy(&Policy::default(), &origin("a", 1)).await.unwrap();
    let line = |quantity: i64| [json!({"product_id": "P", "quantity": quantity})];
    let both = json!({"id": "1", "external_id": "E", "invoice_number": "7"});
    let bodies = [
        update(&json!({"external_id": "E"}), 1, "DELIVERED", &line(2)),
        update(&both, 0, "PROCESSED", &line(5)),
        update(&json!({"external_id": "F", "invoice_number": "7"}), 0, "DELIVERED", &line(3)),
        update(&json!({"id": "9"}), 0, "PROCESSED", &line(1)),
    ];
    let taken = async |store: &Arc<dyn Store>, body, number| {
        take(&**store, &in_force, &[event(body, number)]).await.remove(0)
    };
    for body in &bodies {
        assert!(taken(&store, body, 1).await.is_ok());
    }
    let before = RECEIVED.plus_micros(1);
    assert_eq!(close_final(&*store, RECEIVED).await.unwrap(), 0, "it is not older than itself");
    // Two that share an invoice number are closed in two turns: each changes what it hints at.
    let mut count = 0;
    loop {
        match close_final(&*store, before).await.unwrap() {
            0 => break,
            closed => count += closed,
        }
    }
    assert_eq!(count, 2);
    let store = harness.crash_and_reopen(store);
    let detail = item(&store, "alpha", "product:P").await;
    assert_eq!(detail.item.counts, counts(0, 1_000_000, 5_000_000));
    assert_eq!((detail.closed_orders, detail.closed_fulfilled), (2, millionths(5_000_000)));
    let names = ["id:1", "external-id:E", "external-id:F", "invoice-number:7", "id:9"];
    let entities = names.map(|name| order_entity("alpha", name));
    let found = load(&store, &entities).await.unwrap();
    assert!(found.iter().map(Option::is_some).eq([false, false, false, false, true]));
    assert_eq!(links(&store, &names[1..4]).await, [None, None, None]);
    let expected = vec![Some(ITSELF), Some(BESIDE), Some(ITSELF), None, None];
    assert_eq!(closed(&store, "alpha", &names).await, (expected, before));

    let known = EventOutcome::because(Outcome::Superseded, Reason::OrderClosed);
    for body in &bodies[..3] {
        assert_eq!(taken(&store, body, 2).await, Ok(known));
    }
    let (late, mut arrival) =
        event(&update(&json!({"external_id": "E"}), 9, "PENDING", &line(1)), 3);
    arrival.received_at = before;
    let refused = take(&*store, &in_force, &[(late, arrival)]).await.remove(0);
    assert_eq!(refused, Err(Refused::Expired { watermark: before, open: None }));
    // Beside a new id, a name that led to another, closed id is contested; one that was an order's
    // whole name is closed for good.
    let new = update(&json!({"id": "3", "external_id": "E"}), 0, "PROCESSED", &line(4));
    assert_eq!(taken(&store, &new, 4).await, Ok(EventOutcome::plain(Outcome::Applied)));
    let contested = links(&store, &["external-id:E"]).await.remove(0).unwrap();
    assert!(contested.is_contested() && contested.led_to_closed);
    assert_eq!(store.count_listed(List::Contested).await.unwrap(), 1);
    let old = update(&json!({"id": "4", "external_id": "F"}), 0, "PROCESSED", &line(4));
    assert_eq!(taken(&store, &old, 5).await, Ok(known));
    assert_eq!(
        item(&store, "alpha", "product:P").await.item.counts.committed,
        millionths(5_000_000)
    );
}

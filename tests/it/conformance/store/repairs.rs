//! What repairs stand on, and what they come to.

use std::sync::Arc;

use storekeeper::domain::{Cause, Counts, Hold};
use storekeeper::store::{ItemRepair, Store};
use storekeeper::upkeep::audit::{self, Kind, Repair};

use super::Harness;
use super::given::{
    Given, counts, hold, identifier, item, key, message, order, receipt, site, time, write,
};

async fn repaired(store: &Arc<dyn Store>) -> audit::Repaired {
    let by = Repair { actor: identifier("anna"), message_id: message(7), at: time(9) };
    audit::repair(&**store, &site("alpha"), &by, |_| {}).await.unwrap()
}

/// What the feed says since a change: the cause, what was added, and the counts after it.
async fn told(store: &Arc<dyn Store>, after: u64) -> Vec<(Cause, Counts, Counts)> {
    let changes = store.changes(&site("alpha"), after, 100).await.unwrap();
    assert!(changes.iter().map(|it| it.sequence).eq(after + 1..=after + changes.len() as u64));
    changes.into_iter().map(|it| (it.cause, it.delta, it.after)).collect()
}

pub(super) async fn a_repair_is_written_only_on_what_was_read(harness: &Harness) {
    let store = harness.open();
    write(&store, receipt("alpha", "sku:A", "R-1", 5)).await;
    let repair = |name: &str, read, set, delta| ItemRepair {
        key: key(name),
        read,
        counts: set,
        delta,
        actor: identifier("anna"),
        message_id: message(7),
        at: time(9),
    };
    let outdated = repair("sku:A", counts(4, 0, 0), counts(1, 0, 0), counts(-3, 0, 0));
    assert!(!store.repair_item(&site("alpha"), outdated).await.unwrap());
    assert_eq!(told(&store, 1).await, []);
    let known = repair("sku:A", counts(5, 0, 0), counts(1, 2, 0), counts(-4, 2, 0));
    assert!(store.repair_item(&site("alpha"), known.clone()).await.unwrap());
    assert!(!store.repair_item(&site("alpha"), known).await.unwrap(), "it is done");
    let new = repair("sku:B", counts(0, 0, 0), counts(3, 0, 0), counts(3, 0, 0));
    assert!(store.repair_item(&site("alpha"), new).await.unwrap());
    let store = harness.crash_and_reopen(store);
    let by = || Cause::Repair(identifier("anna"));
    let expected =
        [(by(), counts(-4, 2, 0), counts(1, 2, 0)), (by(), counts(3, 0, 0), counts(3, 0, 0))];
    assert_eq!(told(&store, 1).await, expected);
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(1, 2, 0));
    assert_eq!(item(&store, "alpha", "sku:B").await.item.counts, counts(3, 0, 0));
    assert_eq!(store.oversold().await.unwrap(), 1);
    // The feed goes on behind it.
    write(&store, receipt("alpha", "sku:A", "R-2", 1)).await;
    assert_eq!(told(&store, 3).await[0].2, counts(2, 2, 0));
}

pub(super) async fn sums_that_were_spoiled_are_repaired_once(harness: &Harness) {
    let store = harness.open();
    let none = Hold::default();
    write(&store, receipt("alpha", "sku:A", "R-1", 5)).await;
    write(&store, order("alpha", "id:1").holding("sku:A", none, hold(1, 0))).await;
    // It adds another thing than it holds, and the feed says so.
    let mut torn = order("alpha", "id:2").holding("sku:A", none, hold(1, 0));
    torn.changes[0].delta = counts(0, 3, 0);
    write(&store, torn).await;
    let done = repaired(&store).await;
    let found: Vec<_> = done.before.differences.iter().map(|it| it.kind).collect();
    assert_eq!(found, [Kind::Committed]);
    assert_eq!((done.after.differences_count, done.after.orders), (0, 2));
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(5, 2, 0));
    let expected = (Cause::Repair(identifier("anna")), counts(0, -2, 0), counts(5, 2, 0));
    assert_eq!(told(&store, 3).await, [expected]);
    let again = repaired(&store).await;
    assert_eq!((again.before.differences_count, told(&store, 4).await), (0, Vec::new()));
}

/// What a right that was denied in the middle of a commit leaves behind.
pub(super) async fn holds_become_what_their_orders_say(harness: &Harness) {
    let store = harness.open();
    let none = Hold::default();
    write(&store, order("alpha", "id:1").holding("sku:A", none, hold(1, 0))).await;
    let mut other = order("alpha", "id:2").holding("sku:A", none, hold(1, 0));
    other.changes[0].hold = Some(hold(3, 0));
    write(&store, other).await;
    let mut missing = order("alpha", "id:3").holding("sku:B", none, hold(0, 2));
    missing.changes[0].hold = None;
    write(&store, missing).await;
    let mut superfluous = order("alpha", "id:4").holding("sku:B", none, hold(4, 0));
    superfluous.record().applied.clear();
    write(&store, superfluous).await;
    let done = repaired(&store).await;
    let holds = done.before.differences.iter().filter(|it| it.kind == Kind::Hold);
    assert_eq!((holds.count(), done.after.differences_count), (3, 0));
    let item = item(&store, "alpha", "sku:B").await;
    assert_eq!(item.item.counts, counts(0, 0, 2));
    let holders: Vec<_> = item.holds.items.iter().map(|it| it.order.to_string()).collect();
    assert_eq!(holders, ["id:3"]);
    // Only of the last did the counts and the feed say what no order does.
    let expected = (Cause::Repair(identifier("anna")), counts(0, -4, 0), counts(0, 0, 2));
    assert_eq!(told(&store, 4).await, [expected]);
}

pub(super) async fn an_audit_goes_on_after_an_order_that_cannot_be_read(harness: &Harness) {
    let store = harness.open();
    let none = Hold::default();
    write(&store, order("alpha", "id:1").holding("sku:A", none, hold(1, 0))).await;
    (harness.replace_state)(&harness.damaged);
    for id in ["id:2", "id:3", "id:4"] {
        write(&store, order("alpha", id).holding("sku:A", none, hold(1, 0))).await;
    }
    let mut torn = order("alpha", "id:5").holding("sku:B", none, hold(1, 0));
    torn.changes[0].hold = None;
    write(&store, torn).await;
    let done = repaired(&store).await;
    let of = |found: &audit::Findings| -> Vec<_> {
        let kinds = found.differences.iter().map(|it| {
            assert!(!it.found.contains("jane"), "{it:?}");
            (it.kind, it.order.as_ref().map(ToString::to_string))
        });
        kinds.collect()
    };
    let unreadable = (Kind::Readable, Some("id:1".to_owned()));
    let before = of(&done.before);
    assert!(before.contains(&(Kind::Hold, Some("id:5".to_owned()))), "{before:?}");
    assert!(before.contains(&unreadable), "{before:?}");
    assert_eq!((of(&done.after), done.after.orders), (vec![unreadable], 5));
    // What it holds is not known, and stays.
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(0, 4, 0));
}

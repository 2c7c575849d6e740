//! What audits and changes of policy stand on.

use storekeeper::domain::{Hold, List, Policy, Restock};
use storekeeper::store::{Commit, Committed, Direction, PageRequest, orders};

use super::Harness;
use super::given::{
    ALL, Given, counts, hold, key, load, order, order_entity, order_id, origin, receipt, revision,
    site, try_write, write,
};
use super::names::line_name;

pub(super) async fn a_policy_is_replaced_under_the_next_revision(harness: &Harness) {
    let store = harness.open();
    let other = Policy { restock: Restock::Lines, ..Policy::default() };
    let by = origin("somebody", 1);
    let first = store.replace_policy(&other, &by).await.unwrap();
    assert_eq!((first.revision, &first.policy), (1, &other));
    assert_eq!(store.replace_policy(&other, &by).await.unwrap(), first);
    let second = store.replace_policy(&Policy::default(), &by).await.unwrap();
    assert_eq!((second.revision, &second.policy), (2, &Policy::default()));
    assert_eq!(store.adopt_policy(&other, &by).await.unwrap(), second);
    let store = harness.crash_and_reopen(store);
    assert_eq!(store.policy().await.unwrap(), Some(second));
}

/// Whoever proposes what is in force already has not put it there.
pub(super) async fn a_policy_says_who_put_it_in_force_and_when(harness: &Harness) {
    let store = harness.open();
    let other = Policy { restock: Restock::Lines, ..Policy::default() };
    let [first, late, next] =
        [("a new Store", 1), ("jane", 2), ("jos\u{e9} | 'x'\n", 3)].map(|(by, at)| origin(by, at));
    assert_eq!(store.policy_origin().await.unwrap(), None);
    store.adopt_policy(&Policy::default(), &first).await.unwrap();
    store.adopt_policy(&other, &late).await.unwrap();
    store.replace_policy(&Policy::default(), &late).await.unwrap();
    assert_eq!(store.policy_origin().await.unwrap(), Some(first));
    store.replace_policy(&other, &next).await.unwrap();
    let store = harness.crash_and_reopen(store);
    assert_eq!(store.policy_origin().await.unwrap(), Some(next));
}

pub(super) async fn an_order_of_another_policy_is_not_written(harness: &Harness) {
    let store = harness.open();
    let of_policy = |id: &str, policy| {
        let mut commit = order("alpha", id).holding("sku:A", hold(0, 0), hold(1, 0));
        commit.record().policy = policy;
        commit.policy = Some(policy);
        commit
    };
    let by = origin("somebody", 1);
    store.replace_policy(&Policy::default(), &by).await.unwrap();
    write(&store, of_policy("id:1", 1)).await;
    let other = Policy { restock: Restock::Lines, ..Policy::default() };
    store.replace_policy(&other, &by).await.unwrap();
    for policy in [0, 1, 3] {
        assert_eq!(try_write(&store, of_policy("id:2", policy)).await, Committed::PolicyChanged);
    }
    assert_eq!(load(&store, &[order_entity("alpha", "id:2")]).await.unwrap(), [None]);
    assert_eq!(store.changes(&site("alpha"), 0, 10).await.unwrap().len(), 1);
    write(&store, receipt("alpha", "sku:A", "R-1", 5)).await;
    write(&store, of_policy("id:2", 2)).await;
}

/// Every order is met by following the list of all, and is audited as it is shown.
pub(super) async fn every_order_is_on_exactly_one_page(harness: &Harness) {
    let store = harness.open();
    let names = ["external-id:a", "id:a", "id:b", "id:c"];
    for name in names {
        write(&store, order("alpha", name).holding("sku:A", hold(0, 0), hold(2, 1))).await;
    }
    write(&store, order("beta", "id:z")).await;
    let site = site("alpha");
    for limit in 1..=5 {
        let mut audited = Vec::new();
        let mut page = PageRequest::first(limit);
        loop {
            let direction = Direction::OldestFirst;
            let listed = store.listed(&site, List::All, direction, &page).await.unwrap();
            let orders: Vec<_> = listed.items.into_iter().map(|listed| listed.order).collect();
            audited.extend(store.audit_orders(&site, &orders).await.unwrap());
            let Some(next) = listed.next else { break };
            page.after = Some(next);
        }
        assert!(audited.iter().map(|it| it.order.to_string()).eq(names), "{limit}");
        for it in &audited {
            assert_eq!(it.held, it.record.applied);
            let stored = orders::order(&*store, &site, &it.order).await.unwrap().unwrap();
            assert_eq!((&stored.revision, &stored.record), (&it.revision, &it.record));
        }
    }
}

/// What an item says of an order, it says for the record that the order names, and of no other item.
pub(super) async fn orders_are_audited_in_the_order_asked_for(harness: &Harness) {
    let store = harness.open();
    let none = Hold::default();
    for id in ["id:1", "id:2", "external-id:{x}:y"] {
        let commit = order("alpha", id).holding("sku:A", none, hold(1, 0));
        write(&store, commit.holding("sku:B", none, hold(0, 2))).await;
    }
    write(&store, order("alpha", "id:none")).await;
    write(&store, order("beta", "id:9").holding("sku:A", none, hold(1, 0))).await;
    // What the items say is another thing, or nothing.
    let mut torn = order("alpha", "id:torn").holding("sku:A", none, hold(1, 0));
    torn.changes[0].hold = Some(hold(3, 0));
    torn.record().applied.insert(key("sku:C"), hold(0, 4));
    write(&store, torn).await;
    let asked = ["id:torn", "id:9", "external-id:{x}:y", "id:none", "id:1"].map(order_id);
    let found = store.audit_orders(&site("alpha"), &asked).await.unwrap();
    let both = [(key("sku:A"), hold(1, 0)), (key("sku:B"), hold(0, 2))];
    let expected = [
        ("id:torn", vec![(key("sku:A"), hold(3, 0))]),
        ("external-id:{x}:y", both.to_vec()),
        ("id:none", Vec::new()),
        ("id:1", both.to_vec()),
    ];
    let seen = found.iter().map(|it| (it.order.clone(), it.held.clone().into_iter().collect()));
    let expected = expected.map(|(id, held)| (order_id(id), held));
    assert_eq!(seen.collect::<Vec<(_, Vec<_>)>>(), expected);
    for it in found {
        let entity = order_entity("alpha", &it.order.to_string());
        assert_eq!(it.revision, revision(&store, &entity).await);
    }
    assert_eq!(store.audit_orders(&site("alpha"), &[]).await.unwrap(), []);
}

pub(super) async fn every_hold_is_audited_beside_its_order(harness: &Harness) {
    let store = harness.open();
    let none = Hold::default();
    for id in ["id:1", "id:2"] {
        let commit = order("alpha", id).holding("sku:A", none, hold(1, 0));
        write(&store, commit.holding("sku:B", none, hold(0, 2))).await;
    }
    // One says of itself what its item does not say.
    let mut torn = order("alpha", "id:3").holding("sku:A", none, hold(1, 0));
    torn.changes[0].hold = Some(hold(3, 0));
    write(&store, torn).await;
    for limit in 1..=6 {
        let mut page = PageRequest::first(limit);
        let mut found = Vec::new();
        loop {
            let holds = store.audit_holds(&site("alpha"), &page).await.unwrap();
            found.extend(
                holds
                    .items
                    .into_iter()
                    .map(|it| (it.key.to_string(), it.order.to_string(), it.held, it.applied)),
            );
            let Some(next) = holds.next else { break };
            page.after = Some(next);
        }
        let of = |key: &str, order: &str, held, applied| {
            (key.to_owned(), order.to_owned(), held, Some(applied))
        };
        let expected = [
            of("sku:A", "id:1", hold(1, 0), hold(1, 0)),
            of("sku:A", "id:2", hold(1, 0), hold(1, 0)),
            of("sku:A", "id:3", hold(3, 0), hold(1, 0)),
            of("sku:B", "id:1", hold(0, 2), hold(0, 2)),
            of("sku:B", "id:2", hold(0, 2), hold(0, 2)),
        ];
        assert_eq!(found, expected, "{limit}");
    }
}

pub(super) async fn every_item_is_audited_beside_its_sums(harness: &Harness) {
    let store = harness.open();
    for id in ["id:1", "id:2"] {
        write(&store, order("alpha", id).holding("sku:B", hold(0, 0), hold(1, 3))).await;
    }
    for reference in ["R-1", "R-2"] {
        write(&store, receipt("alpha", "sku:A", reference, 4)).await;
    }
    // The order's hold is another than what it adds.
    let mut torn = order("alpha", "id:3").holding("sku:C", hold(0, 0), hold(1, 0));
    torn.changes[0].hold = Some(hold(2, 0));
    write(&store, torn).await;
    // Of these nothing is counted.
    let nothing = order("alpha", "id:4");
    let item_names = ["sku:AA", "sku:BB", "sku:D"].map(|key| line_name(key, 1, "Mug")).to_vec();
    write(&store, Commit { item_names, ..nothing }).await;
    let all = store.audit_items(&site("alpha"), &ALL).await.unwrap().items;
    let found: Vec<_> = all.iter().map(|it| (it.key.clone(), it.counts, it.sums)).collect();
    let expected = [
        (key("sku:A"), counts(8, 0, 0), Some(counts(8, 0, 0))),
        (key("sku:B"), counts(0, 2, 6), Some(counts(0, 2, 6))),
        (key("sku:C"), counts(0, 1, 0), Some(counts(0, 2, 0))),
    ];
    assert_eq!(found, expected);
    for limit in 1..=4 {
        let mut page = PageRequest::first(limit);
        let mut paged = Vec::new();
        loop {
            let items = store.audit_items(&site("alpha"), &page).await.unwrap();
            paged.extend(items.items);
            let Some(next) = items.next else { break };
            page.after = Some(next);
        }
        assert_eq!(paged, all, "{limit}");
    }
}

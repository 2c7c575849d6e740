//! The lists that orders are in, by the time of their last commit.

use std::sync::Arc;

use storekeeper::domain::List;
use storekeeper::store::{Commit, Direction, Page, PageRequest, Store, StoreError};

use super::Harness;
use super::given::{ALL, Given, order, order_entity, receipt, revision, site, write};
use super::lists::{assert_pages, hostile_names};

const BOTH: [Direction; 2] = [Direction::OldestFirst, Direction::NewestFirst];

/// What a list has, oldest first, each with its time in seconds; newest first it must be the same
/// from the other end.
async fn listed(store: &Arc<dyn Store>, list: List) -> Vec<(String, i64)> {
    let [mut oldest, newest] = [page(store, list, BOTH[0]).await, page(store, list, BOTH[1]).await];
    oldest.reverse();
    assert_eq!(oldest, newest);
    oldest.reverse();
    oldest
}

async fn page(store: &Arc<dyn Store>, list: List, direction: Direction) -> Vec<(String, i64)> {
    let Page { items, next } = store.listed(&site("alpha"), list, direction, &ALL).await.unwrap();
    assert_eq!(next, None);
    items.iter().map(|it| (it.order.to_string(), it.at.micros() / 1_000_000)).collect()
}

fn expected(orders: &[(&str, i64)]) -> Vec<(String, i64)> {
    orders.iter().map(|(order, at)| ((*order).to_owned(), *at)).collect()
}

/// The next commit of an order that is there.
async fn next(store: &Arc<dyn Store>, id: &str, seconds: i64) -> Commit {
    let loaded = revision(store, &order_entity("alpha", id)).await;
    order("alpha", id).on(loaded).at(seconds)
}

pub(super) async fn an_order_is_in_the_lists_that_its_commit_says(harness: &Harness) {
    let store = harness.open();
    for (number, list) in (1..).zip(List::ALL) {
        let id = format!("id:{}", list.as_str());
        let lists = if list == List::All { vec![list] } else { vec![list, List::All] };
        write(&store, order("alpha", &id).listing(&[], &lists).at(number)).await;
        write(&store, order("beta", &id).listing(&[], &lists).at(number)).await;
    }
    // A record that leads no order, and what is no order, are in none.
    write(&store, order("alpha", "external-id:E").listing(&[], &[])).await;
    write(&store, receipt("alpha", "sku:A", "R", 1)).await;
    let store = harness.crash_and_reopen(store);
    let all: Vec<_> =
        (1..).zip(List::ALL).map(|(at, it)| (format!("id:{}", it.as_str()), at)).collect();
    for (place, list) in List::ALL.into_iter().enumerate().skip(1) {
        assert_eq!(listed(&store, list).await, all[place..=place], "{list:?}");
        assert_eq!(store.count_listed(list).await.unwrap(), 2, "{list:?}");
    }
    assert_eq!(listed(&store, List::All).await, all);
    assert_eq!(store.count_listed(List::All).await.unwrap(), 16);
}

pub(super) async fn an_order_moves_in_its_lists_at_each_commit(harness: &Harness) {
    let store = harness.open();
    let lists = [List::All, List::Waiting];
    for (id, at) in [("id:1", 1), ("id:2", 2), ("id:3", 3)] {
        write(&store, order("alpha", id).listing(&[], &lists).at(at)).await;
    }
    // Also to an earlier time: the clock of who commits may be behind.
    for (id, at) in [("id:2", 9), ("id:1", 4), ("id:1", 5), ("id:3", -7)] {
        write(&store, next(&store, id, at).await.listing(&lists, &lists)).await;
    }
    for list in lists {
        let moved = expected(&[("id:3", -7), ("id:1", 5), ("id:2", 9)]);
        assert_eq!(listed(&store, list).await, moved, "{list:?}");
    }
    let (at, other) = (6, [List::All, List::Contested]);
    write(&store, next(&store, "id:2", at).await.listing(&lists, &other)).await;
    let moved = expected(&[("id:3", -7), ("id:1", 5), ("id:2", 6)]);
    assert_eq!(listed(&store, List::All).await, moved);
    assert_eq!(listed(&store, List::Waiting).await, moved[..2]);
    assert_eq!(listed(&store, List::Contested).await, moved[2..]);
    assert_eq!(store.count_listed(List::Waiting).await.unwrap(), 2);
}

/// A record that another leads from now on, or that is gone, is in no list.
pub(super) async fn an_order_that_leaves_a_list_is_gone_from_it(harness: &Harness) {
    let store = harness.open();
    let lists = [List::All, List::Waiting];
    for id in ["id:1", "id:2", "id:3"] {
        write(&store, order("alpha", id).listing(&[], &lists).at(1)).await;
    }
    write(&store, next(&store, "id:1", 2).await.listing(&lists, &[])).await;
    let mut gone = next(&store, "id:2", 2).await.listing(&lists, &[]);
    gone.writes[0].state = None;
    write(&store, gone).await;
    for list in lists {
        assert_eq!(listed(&store, list).await, expected(&[("id:3", 1)]), "{list:?}");
        assert_eq!(store.count_listed(list).await.unwrap(), 1);
    }
    // It may come back.
    write(&store, next(&store, "id:1", 3).await.listing(&[], &[List::All])).await;
    assert_eq!(listed(&store, List::All).await, expected(&[("id:3", 1), ("id:1", 3)]));
    assert_eq!(listed(&store, List::Waiting).await, expected(&[("id:3", 1)]));
}

/// Of two records of one commit the order moves from one to the other.
pub(super) async fn a_commit_changes_the_lists_of_all_that_it_writes(harness: &Harness) {
    let store = harness.open();
    write(&store, order("alpha", "external-id:E").listing(&[], &[List::All, List::Waiting])).await;
    let led = next(&store, "external-id:E", 2).await;
    let led = led.listing(&[List::All, List::Waiting], &[]);
    let leading = order("alpha", "id:1").listing(&[], &[List::All, List::Corrected]);
    write(&store, led.and(leading)).await;
    assert_eq!(listed(&store, List::All).await, expected(&[("id:1", 2)]));
    assert_eq!(listed(&store, List::Corrected).await, expected(&[("id:1", 2)]));
    assert_eq!(listed(&store, List::Waiting).await, []);
    // What was only read stays where it is.
    let mut third = order("alpha", "id:3").at(7);
    let known = revision(&store, &order_entity("alpha", "id:1")).await;
    third.read.push((order_entity("alpha", "id:1").name, Some(known)));
    write(&store, third).await;
    assert_eq!(listed(&store, List::All).await, expected(&[("id:1", 2), ("id:3", 7)]));
}

pub(super) async fn a_refused_commit_changes_no_list(harness: &Harness) {
    let store = harness.open();
    let lists = [List::All, List::Final];
    write(&store, order("alpha", "id:1").listing(&[], &lists).at(1)).await;
    let mut stale = next(&store, "id:1", 2).await.listing(&lists, &[List::All]);
    stale.read[0].1 = Some(storekeeper::store::Revision(7));
    store.commit(vec![stale]).await.unwrap();
    for list in lists {
        assert_eq!(listed(&store, list).await, expected(&[("id:1", 1)]));
    }
}

/// Seven orders at three moments, and one whose names could be taken for a part of a cursor.
pub(super) async fn every_listed_order_is_on_exactly_one_page(harness: &Harness) {
    let store = harness.open();
    let orders = [
        ("id:a", -1),
        ("external-id:b", 5),
        ("id:5.x", 5),
        ("id:B", 5),
        ("id:a b", 5),
        ("id:b", 5),
        ("id:0", 6),
    ];
    for site_name in ["alph", "alpha", "alphabet"] {
        for (id, at) in orders.iter().rev() {
            write(&store, order(site_name, id).at(*at)).await;
        }
    }
    let site = site("alpha");
    let name = |order: &storekeeper::store::Listed| order.order.to_string();
    let mut names: Vec<String> = orders.map(|(id, _)| id.to_owned()).into();
    assert_pages!(
        names.clone(),
        |page| store.listed(&site, List::All, BOTH[0], &page).await.unwrap(),
        |order| name(order)
    );
    names.reverse();
    assert_pages!(
        names,
        |page| store.listed(&site, List::All, BOTH[1], &page).await.unwrap(),
        |order| name(order)
    );
}

pub(super) async fn orders_of_one_time_are_listed_by_name(harness: &Harness) {
    let store = harness.open();
    let mut names: Vec<String> = hostile_names().iter().map(|name| format!("id:{name}")).collect();
    let commits: Vec<_> = names.iter().map(|name| order("alpha", name).at(3)).collect();
    store.commit(commits).await.unwrap();
    names.sort();
    let site = site("alpha");
    for direction in BOTH {
        for limit in [1, 5, 100] {
            let (mut found, mut page) = (Vec::new(), PageRequest::first(limit));
            loop {
                let part = store.listed(&site, List::All, direction, &page).await.unwrap();
                found.extend(part.items.iter().map(|it| it.order.to_string()));
                let Some(next) = part.next else { break };
                page.after = Some(next);
            }
            assert_eq!(found, names, "{direction:?} in pages of {limit}");
        }
        names.reverse();
    }
}

/// Whoever follows a list to its newest end meets each order, however often orders move meanwhile.
pub(super) async fn an_order_that_moves_while_pages_are_read_is_not_missed(harness: &Harness) {
    let store = harness.open();
    for number in 0..7 {
        write(&store, order("alpha", &format!("id:{number}")).at(number)).await;
    }
    let (mut met, mut page) = (Vec::new(), PageRequest::first(2));
    for now in 100.. {
        let part = store.listed(&site("alpha"), List::All, BOTH[0], &page).await.unwrap();
        met.extend(part.items.iter().map(|it| it.order.to_string()));
        let Some(after) = part.next else { break };
        page.after = Some(after);
        // One that was met, and one that was not, in turn; each at most once.
        if now < 104 {
            let id = format!("id:{}", if now % 2 == 0 { 6 - now % 4 } else { 0 });
            let moved = next(&store, &id, now).await;
            write(&store, moved).await;
        }
    }
    met.sort();
    met.dedup();
    assert_eq!(met, (0..7).map(|number| format!("id:{number}")).collect::<Vec<_>>());
}

pub(super) async fn a_cursor_of_another_list_is_rejected(harness: &Harness) {
    let store = harness.open();
    write(&store, order("alpha", "id:1")).await;
    for cursor in ["", "x", "x.id:1", "1"] {
        let page = PageRequest { after: Some(cursor.to_owned()), limit: 1 };
        for direction in BOTH {
            let found = store.listed(&site("alpha"), List::All, direction, &page).await;
            let error = found.unwrap_err();
            assert!(matches!(error, StoreError::Rejected { .. }), "{cursor}: {error:?}");
        }
    }
}

/// Nothing is known of it: it is empty, and no error.
pub(super) async fn the_lists_of_an_unknown_site_are_empty(harness: &Harness) {
    let store = harness.open();
    for list in List::ALL {
        assert_eq!(listed(&store, list).await, []);
        assert_eq!(store.count_listed(list).await.unwrap(), 0);
    }
}

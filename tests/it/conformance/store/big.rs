//! The largest orders that there may be.

use serde_json::{Value, json};
use storekeeper::domain::{
    ClosedName, Counts, EventOutcome, Outcome, Policy, Quantity, Refused, SECOND_NAMES_MAX,
};
use storekeeper::duties::close_final;
use storekeeper::store::orders;

use super::Harness;
use super::deciding::{RECEIVED, event, take, update};
use super::given::{
    ALL, Given, counts, hold, item, link, links, load, order, order_entity, order_id, origin, site,
    write,
};

const LINES: usize = 1000;

fn lines(name: &str) -> Vec<Value> {
    let line = |number| {
        json!({
            "id": format!("{name}L{number}"), "product_id": format!("{name}{number}"),
            "quantity": 1,
        })
    };
    (0..LINES).map(line).collect()
}

/// A thousand lines that become a thousand others are two thousand changes of one commit.
pub(super) async fn an_order_of_a_thousand_lines_becomes_another(harness: &Harness) {
    let store = harness.open();
    let in_force = store.adopt_policy(&Policy::default(), &origin("a", 1)).await.unwrap();
    // A neighbour that holds some of it stays as it is.
    let other = order("alpha", "id:2");
    write(&store, other.holding("product:A7", hold(0, 0), hold(5, 0))).await;
    let id = json!({"id": "1"});
    for (number, name) in [(1, "A"), (2, "B")] {
        let body = update(&id, number, "PROCESSED", &lines(name));
        let events = [event(&body, u128::try_from(number).unwrap())];
        let outcome = take(&*store, &in_force, &events).await;
        assert_eq!(outcome, [Ok(EventOutcome::plain(Outcome::Applied))]);
    }
    let store = harness.crash_and_reopen(store);
    let site = site("alpha");
    let all = store.changes(&site, 0, 10_000).await.unwrap();
    assert!(all.iter().map(|change| change.sequence).eq(1..=3001));
    let one = Quantity::from_millionths(1_000_000);
    let committed = |committed| Counts { committed, ..Counts::default() };
    for (from, until, delta) in [(1, 1001, one), (1001, 2001, -one), (2001, 3001, one)] {
        assert!(all[from..until].iter().all(|change| change.delta == committed(delta)));
    }
    for after in [1, 1000, 1001, 1500, 2500, 3000, 3001] {
        let found = store.changes(&site, after, 700).await.unwrap();
        let rest = &all[usize::try_from(after).unwrap()..];
        assert_eq!(found, rest[..rest.len().min(700)], "after {after}");
    }
    let mut page = ALL;
    let mut items = Vec::new();
    loop {
        let found = store.audit_items(&site, &page).await.unwrap();
        items.extend(found.items);
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    assert_eq!(items.len(), 2 * LINES);
    for item in items {
        let expected = match item.key.to_string().as_str() {
            "product:A7" => counts(0, 5, 0),
            key if key.starts_with("product:A") => counts(0, 0, 0),
            _ => counts(0, 1_000_000, 0),
        };
        assert_eq!((item.counts, item.sums), (expected, Some(expected)), "{}", item.key);
    }
    let audited = store.audit_orders(&site, &[order_id("id:1")]).await.unwrap().remove(0);
    assert_eq!(audited.held, audited.record.applied);
    assert_eq!(audited.held.len(), LINES);
    // Computed again it changes nothing.
    let again = [event(&update(&id, 2, "PROCESSED", &lines("B")), 9)];
    assert_eq!(
        take(&*store, &in_force, &again).await,
        [Ok(EventOutcome::plain(Outcome::Duplicate))]
    );
    assert_eq!(store.changes(&site, 3001, 1).await.unwrap(), []);
}

/// Each was an order of its own; one batch makes them one, which is found, and closed, under all of
/// its names.
pub(super) async fn an_order_of_sixty_four_second_names_is_one_order(harness: &Harness) {
    let store = harness.open();
    let in_force = store.adopt_policy(&Policy::default(), &origin("a", 1)).await.unwrap();
    let line = [json!({"product_id": "P", "quantity": 1})];
    let seconds: Vec<String> = (0..SECOND_NAMES_MAX).map(|it| format!("X{it}")).collect();
    let alone = seconds.iter().zip(1..).map(|(second, number)| {
        event(&update(&json!({"external_id": second}), 1, "DELIVERED", &line), number)
    });
    let outcomes = take(&*store, &in_force, &alone.collect::<Vec<_>>()).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(item(&store, "alpha", "product:P").await.item.counts, counts(0, 0, 64_000_000));
    let beside = |second: &String| json!({"id": "1", "external_id": second});
    let linking = seconds
        .iter()
        .zip(100..)
        .map(|(second, number)| event(&update(&beside(second), 0, "PROCESSED", &line), number));
    let outcomes = take(&*store, &in_force, &linking.collect::<Vec<_>>()).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let store = harness.crash_and_reopen(store);
    let detail = item(&store, "alpha", "product:P").await;
    assert_eq!(detail.item.counts, counts(0, 0, 1_000_000));
    assert!(detail.holds.items.iter().map(|held| held.order.to_string()).eq(["id:1"]));
    // 64 held, then all in one commit: 64 give back, and one takes.
    let feed = store.changes(&site("alpha"), 0, 1000).await.unwrap();
    assert!(feed.iter().map(|change| change.sequence).eq(1..=129));
    assert_eq!(feed[127].after, counts(0, 0, 0));

    let texts: Vec<String> = seconds.iter().map(|second| format!("external-id:{second}")).collect();
    let names: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert!(links(&store, &names).await.iter().all(|it| *it == Some(link(&["id:1"]))));
    for name in [names[0], names[63], "id:1"] {
        let found = orders::order(&*store, &site("alpha"), &order_id(name)).await.unwrap().unwrap();
        assert_eq!(found.order, order_id("id:1"));
        assert_eq!(found.second_names.len(), SECOND_NAMES_MAX);
    }
    let more = event(&update(&beside(&"X64".to_owned()), 2, "PROCESSED", &line), 200);
    assert_eq!(take(&*store, &in_force, &[more]).await, [Err(Refused::TooManyNames)]);
    assert_eq!(links(&store, &["external-id:X64"]).await, [None]);

    assert_eq!(close_final(&*store, RECEIVED.plus_micros(1)).await.unwrap(), 1);
    let all = names.iter().chain(&["id:1"]);
    let entities: Vec<_> = all.clone().map(|name| order_entity("alpha", name)).collect();
    assert!(load(&store, &entities).await.unwrap().iter().all(Option::is_none));
    let all: Vec<_> = all.map(|name| order_id(name)).collect();
    let mut expected = vec![Some(ClosedName::BesideAnId); SECOND_NAMES_MAX];
    expected.push(Some(ClosedName::Itself));
    assert_eq!(store.closed(&site("alpha"), &all).await.unwrap().0, expected);
    assert_eq!(store.links(&site("alpha"), &ALL).await.unwrap().items, []);
    assert_eq!(item(&store, "alpha", "product:P").await.closed_orders, 1);
}

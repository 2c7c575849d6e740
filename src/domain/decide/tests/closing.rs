//! Which orders are closed, what remains of them, and the outcomes of later events.

use serde_json::json;

use super::*;
use crate::domain::{
    Cancelled, ClosedName, Code, EventOutcome, Link, OrderId, Outcome, Reason, Refused,
};

/// When the sweeps of these tests closed the untouched orders.
const WATERMARK: Timestamp = at(1_000_000);

fn after(events: &[Arrived]) -> Shop {
    Shop::after(&Policy::default(), events)
}

/// Creates a shop that received these events and closed this order.
fn closed(events: &[Arrived], order: &str) -> Shop {
    let mut shop = after(events);
    assert!(shop.close(order, WATERMARK), "{order} stays");
    shop
}

fn named(millis: i64, status: &str, names: &Value) -> Arrived {
    let mut change = json!({"id": null, "status": status});
    for (member, value) in names.as_object().unwrap() {
        change[member] = value.clone();
    }
    update(millis, &change)
}

fn external(millis: i64) -> Arrived {
    named(millis, "DELIVERED", &json!({"external_id": "E"}))
}

fn both(millis: i64, id: &str) -> Arrived {
    named(millis, "DELIVERED", &json!({"id": id, "external_id": "E"}))
}

const SUPERSEDED: Result<EventOutcome, Refused> =
    Ok(EventOutcome::because(Outcome::Superseded, Reason::OrderClosed));

/// Checks that an event is treated as one of a closed order: superseded, or expired if it is late
/// or replayed.
#[track_caller]
fn belongs_to_closed(shop: &Shop, event: &Arrived) {
    let before = shop.normal();
    for replayed in [false, true] {
        for received in [999_999, 1_000_000, 2_000_000] {
            let mut shop = shop.clone();
            let event = event.clone().received(at(received));
            let event = if replayed { event.replayed() } else { event };
            let outcome = shop.arrive(&[&event]).pop().unwrap();
            if received < 1_000_000 && !replayed {
                assert_eq!(outcome, SUPERSEDED);
            } else {
                assert_eq!(outcome.unwrap_err().code(), Code::OrderExpired);
            }
            assert_eq!(shop.normal(), before);
        }
    }
}

#[track_caller]
fn is_an_order_of_its_own(shop: &Shop, event: &Arrived, order: &str) -> Shop {
    let mut shop = shop.clone();
    let late = event.clone().received(at(2_000_000));
    assert_eq!(shop.arrive(&[&late]), [Ok(EventOutcome::plain(Outcome::Applied))]);
    assert_eq!(shop.held(order), "product:P fulfilled 2");
    shop
}

#[test]
fn only_settled_orders_that_promise_nothing_are_closed() {
    let closes =
        |policy: &Policy, events: &[Arrived]| Shop::after(policy, events).close("id:O", WATERMARK);
    for (events, expected) in [
        (vec![says(1, "DELIVERED")], true),
        (vec![says(1, "CANCELLED")], true),
        (vec![says(1, "SHIPPED"), says(2, "CANCELLED")], true),
        (vec![created(&json!({})), deleted(1)], true),
        (vec![deleted(1)], true),
        (vec![says(1, "SHIPPED"), deleted(2)], true),
        (vec![says(1, "SHIPPED")], false),
        (vec![says(1, "PROCESSED")], false),
        (vec![says(1, "DISPUTED")], false),
        (vec![says(1, "REFUNDED")], false),
        (vec![says(1, "NONE_OF_OURS")], false),
        (vec![says(1, "INCOMPLETE")], false),
        (vec![refund(1, "r", 1)], false),
    ] {
        assert_eq!(closes(&Policy::default(), &events), expected, "{events:?}");
    }
    let keep = policy(|policy| policy.cancelled = Cancelled::Keep);
    assert!(!closes(&keep, &[says(1, "CANCELLED")]), "it still commits units");
    let first = [says(1, "CANCELLED")];
    let held = [first[0].clone(), correct(Action::Hold, &shown(&first), 1)];
    assert!(!closes(&Policy::default(), &held));
    // There is no order with this name.
    assert!(!after(&[]).close("id:O", WATERMARK));
}

#[test]
fn what_left_for_a_closed_order_stays_counted() {
    let shop = closed(&[says(1, "DELIVERED"), refund(9, "r", 1)], "id:O");
    assert_eq!(shop.counts(), "product:P fulfilled 2");
    assert!(shop.records.is_empty() && shop.links.is_empty());
    let left: Vec<String> = shop.left_by_closed.iter().map(|it| format!("{it:?}")).collect();
    assert_eq!(left.len(), 1);
    let gone = closed(&[created(&json!({})), deleted(1)], "id:O");
    assert_eq!(gone.counts(), "");
}

#[test]
fn an_event_whose_id_is_closed_belongs_to_the_closed_order() {
    let shop = closed(&[says(1, "DELIVERED")], "id:O");
    for event in [says(1, "DELIVERED"), says(9, "PROCESSED"), deleted(9), refund(9, "r", 1)] {
        belongs_to_closed(&shop, &event);
    }
    // Also if a new second name is beside it.
    belongs_to_closed(&shop, &both(9, "O"));
    let seen = shown(&[says(1, "DELIVERED")]);
    belongs_to_closed(&shop, &correct(Action::Release, &seen, 1));
    is_an_order_of_its_own(&shop, &named(9, "DELIVERED", &json!({"id": "other"})), "id:other");
}

#[test]
fn all_records_of_an_order_are_closed_and_its_second_names_with_the_id() {
    let shop = closed(&[external(1), both(2, "A")], "id:A");
    assert!(shop.records.is_empty() && shop.links.is_empty());
    let names: Vec<_> = shop.closed.iter().map(|(name, it)| (name.to_string(), *it)).collect();
    let expected = [
        ("id:A".to_owned(), ClosedName::Itself),
        ("external-id:E".to_owned(), ClosedName::BesideAnId),
    ];
    assert_eq!(names, expected);
    // An event belongs to it if it has no id and its second name is closed, or if its id is.
    belongs_to_closed(&shop, &external(9));
    belongs_to_closed(&shop, &both(9, "A"));
    belongs_to_closed(&shop, &named(9, "DELIVERED", &json!({"id": "A"})));
}

#[test]
fn an_id_beside_a_name_that_led_to_a_closed_one_is_an_order_of_its_own() {
    let shop = closed(&[external(1), both(2, "A")], "id:A");
    let shop = is_an_order_of_its_own(&shop, &both(9, "B"), "id:B");
    assert_eq!(shop.counts(), "product:P fulfilled 4");
    assert_eq!(shop.lists("id:B"), ["settled", "contested"]);
    assert_eq!(shop.findings.names_contested, 1);
    // From then on, the name leads nowhere: without an id, an event still belongs to the closed
    // order.
    belongs_to_closed(&shop, &external(10));
    let shop = is_an_order_of_its_own(&shop, &both(11, "C"), "id:C");
    assert_eq!(shop.counts(), "product:P fulfilled 6");
    // An id that was already open is no exception.
    let open = named(1, "PROCESSED", &json!({"id": "B"}));
    let shop = closed(&[external(1), both(2, "A"), open], "id:A");
    let mut shop = is_an_order_of_its_own(&shop, &both(9, "B"), "id:B");
    assert!(shop.close("id:B", WATERMARK));
    belongs_to_closed(&shop, &both(12, "B"));
    is_an_order_of_its_own(&shop, &both(12, "D"), "id:D");
}

#[test]
fn a_name_that_led_to_a_closed_id_leads_nowhere() {
    for (text, leads_to, is_contested) in [
        ("~", None, false),
        ("id:B", Some("id:B"), false),
        ("~\nid:B", None, true),
        ("id:A\nid:B", None, true),
    ] {
        let link = Link::parse(text).unwrap();
        assert_eq!(link.to_text(), text);
        assert_eq!(link.leads_to().map(ToString::to_string).as_deref(), leads_to, "{text}");
        assert_eq!(link.is_contested(), is_contested, "{text}");
    }
}

#[test]
fn a_closed_second_name_that_never_had_an_id_is_its_orders_whole_name() {
    let shop = closed(&[external(1)], "external-id:E");
    assert_eq!(shop.closed.values().next(), Some(&ClosedName::Itself));
    belongs_to_closed(&shop, &external(9));
    // An event with an id beside the name belongs to the closed order, too.
    belongs_to_closed(&shop, &both(9, "A"));
    is_an_order_of_its_own(&shop, &named(9, "DELIVERED", &json!({"id": "A"})), "id:A");
}

#[test]
fn a_record_that_is_open_under_another_name_is_named() {
    let mut shop = closed(&[external(1)], "external-id:E");
    let open = named(2, "DELIVERED", &json!({"id": "A"}));
    shop.arrive(&[&open]).pop().unwrap().unwrap();
    let late = both(9, "A").received(at(2_000_000));
    let refused = shop.arrive(&[&late]).pop().unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::OrderExpired);
    let Refused::Expired { watermark, open } = &refused else { panic!("{refused:?}") };
    assert_eq!(*watermark, WATERMARK);
    assert_eq!(open.as_ref().unwrap().to_string(), "id:A");
    assert!(refused.to_string().contains("id:A is open"), "{refused}");
    let other = both(9, "B").received(at(2_000_000));
    let refused = shop.arrive(&[&other]).pop().unwrap().unwrap_err();
    assert!(!refused.to_string().contains("is open"), "{refused}");
}

#[test]
fn a_contested_name_stays_contested_when_one_of_its_ids_is_closed() {
    let shop = closed(&[both(1, "A"), both(2, "B"), external(3)], "id:A");
    assert_eq!(shop.counts(), "product:P fulfilled 6");
    assert_eq!(shop.lists("id:B"), ["settled", "contested"]);
    assert_eq!(shop.lists("external-id:E"), ["settled", "contested"]);
    belongs_to_closed(&shop, &both(9, "A"));
    is_an_order_of_its_own(&shop, &both(9, "C"), "id:C");
    // When the name itself is closed, it had ids beside it.
    let mut shop = shop;
    assert!(shop.close("external-id:E", WATERMARK));
    let name = OrderId::parse("external-id:E").unwrap();
    assert_eq!(shop.closed[&name], ClosedName::BesideAnId);
    belongs_to_closed(&shop, &external(9));
    let shop = is_an_order_of_its_own(&shop, &both(9, "C"), "id:C");
    assert!(shop.lists("id:C").contains(&"contested"));
}

#[test]
fn invoice_numbers_of_closed_orders_are_forgotten() {
    let numbered = |id: &str| named(1, "DELIVERED", &json!({"id": id, "invoice_number": "7"}));
    let shop = closed(&[numbered("A"), numbered("B")], "id:A");
    let link = shop.links.values().next().unwrap();
    assert_eq!(link.ids.iter().map(ToString::to_string).collect::<Vec<_>>(), ["id:B"]);
    let shop = closed(&[numbered("A")], "id:A");
    assert!(shop.links.is_empty());
    let only = named(1, "DELIVERED", &json!({"invoice_number": "7"}));
    let shop = closed(std::slice::from_ref(&only), "invoice-number:7");
    belongs_to_closed(&shop, &only);
}

#[test]
fn closed_and_open_orders_of_one_batch_are_told_apart() {
    let mut shop = closed(&[external(1), both(2, "A")], "id:A");
    let late = |it: Arrived| it.received(at(2_000_000));
    let events = [late(external(9)), late(both(9, "B")), late(both(9, "A")), external(3)];
    let outcomes = shop.arrive(&events.iter().collect::<Vec<_>>());
    let codes: Vec<_> =
        outcomes.iter().map(|it| it.as_ref().map(|it| it.outcome).map_err(Refused::code)).collect();
    let expired = Err(Code::OrderExpired);
    assert_eq!(codes, [expired, Ok(Outcome::Applied), expired, Ok(Outcome::Superseded)]);
    assert_eq!(shop.counts(), "product:P fulfilled 4");
}

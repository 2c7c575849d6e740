//! What orders hold, case by case. Goal: each row of the rules has a case that would fail without
//! it. Method: [`check`] plays a history in every order of arrival, each event also twice, one by
//! one and folded, and compares the holds.

use std::slice::from_ref;

use serde_json::{Value, json};

use super::{Arrival, decide};
use crate::domain::event::{Content, Event};
use crate::domain::{
    Cancelled, Decoded, Deleted, EntityState, MessageId, OrderState, Outcome, Policy,
    PolicyInForce, Reason, Restock, StockKeyKind, TestMode, Timestamp, decode_webhook,
};

pub(super) const T0: i64 = 1_700_000_000_000;

pub(super) fn event(name: &str, at: i64, data: &Value) -> Event {
    let body = json!({
        "event_type": name,
        "resource_data": {"site_name": "shop"},
        "event_timestamp": T0 + at,
        "data": data,
    });
    let received_at = Timestamp::from_millis(T0 + 1_000_000);
    match decode_webhook(body.to_string().as_bytes(), received_at).unwrap() {
        Decoded::Event(event) => *event,
        Decoded::Unknown { event_type } => panic!("{event_type} is unknown"),
    }
}

/// An order with one line `l1` of product P.
fn order(kind: &str, at: i64, status: &str, quantity: &str) -> Event {
    order_with(kind, at, status, quantity, &json!([]))
}

fn order_with(kind: &str, at: i64, status: &str, quantity: &str, refunds: &Value) -> Event {
    let items = json!([{"id": "l1", "product_id": "P", "quantity": quantity}]);
    let data = json!({"id": "O", "status": status, "items": items, "refunds": refunds});
    event(&format!("ECOMM_ORDER_{kind}"), at, &data)
}

fn deleted(at: i64) -> Event {
    event("ECOMM_ORDER_DELETED", at, &json!({"id": "O", "status": "PROCESSED"}))
}

fn refund(at: i64, id: &str, quantity: &str) -> Event {
    let items = json!([{"id": "l1", "quantity": quantity}]);
    event("ECOMM_REFUND_CREATED", at, &json!({"id": id, "order_id": "O", "items": items}))
}

fn in_snapshot(id: &str, quantity: &str) -> Value {
    json!([{"id": id, "items": [{"id": "l1", "quantity": quantity}]}])
}

fn play(state: Option<OrderState>, events: &[&Event], policy: &Policy) -> OrderState {
    let in_force = PolicyInForce { revision: 1, policy: policy.clone() };
    let arrival = Arrival {
        message_id: MessageId(uuid::Uuid::nil()),
        received_at: Timestamp::from_millis(T0),
        replays: 0,
        event_type: events[0].event_type.clone(),
    };
    let contents: Vec<(&Content, &Arrival)> =
        events.iter().map(|event| (&event.content, &arrival)).collect();
    let before = state.map(|state| EntityState::Order(Box::new(state)));
    match decide(before, &contents, &in_force).unwrap().state {
        EntityState::Order(state) => *state,
        other @ (EntityState::Catalogue(_) | EntityState::Receipt(_)) => {
            panic!("{other:?} is no order")
        }
    }
}

fn holds_text(state: &OrderState) -> String {
    let holds = state.applied.iter().map(|(key, hold)| {
        let mut text = key.to_string();
        for (name, count) in [("committed", hold.committed), ("fulfilled", hold.fulfilled)] {
            if !count.is_zero() {
                text = format!("{text} {name} {count}");
            }
        }
        text
    });
    holds.collect::<Vec<_>>().join(", ")
}

fn permutations(events: &[Event]) -> Vec<Vec<&Event>> {
    let Some((first, rest)) = events.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for shorter in permutations(rest) {
        for place in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(place, first);
            all.push(longer);
        }
    }
    all
}

#[track_caller]
fn check(policy: &Policy, events: &[Event], expected: &str) {
    for arrivals in permutations(events) {
        let names: Vec<_> = arrivals.iter().map(|event| event.event_type.as_str()).collect();
        let one_by_one =
            arrivals.iter().fold(None, |state, event| Some(play(state, &[event], policy)));
        assert_eq!(holds_text(&one_by_one.unwrap()), expected, "one by one: {names:?}");
        assert_eq!(holds_text(&play(None, &arrivals, policy)), expected, "folded: {names:?}");
        let twice: Vec<_> = arrivals.iter().chain(&arrivals).copied().collect();
        assert_eq!(holds_text(&play(None, &twice, policy)), expected, "twice: {names:?}");
    }
}

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

#[test]
fn the_guides_order_holds_one_then_three_then_nothing() {
    let created = order("CREATED", 0, "PROCESSED", "1");
    let updated = order("STATUS_UPDATED", 0, "PROCESSED", "3");
    let policy = Policy::default();
    check(&policy, from_ref(&created), "product:P committed 1");
    check(&policy, &[created.clone(), updated.clone()], "product:P committed 3");
    check(&policy, &[created, updated, deleted(0)], "");
}

#[test]
fn each_status_holds_in_its_own_way() {
    let policy = Policy::default();
    for status in ["PENDING", "IN_PROGRESS", "PROCESSED", "DISPUTED", "ON_THE_MOON", ""] {
        check(&policy, &[order("CREATED", 0, status, "2")], "product:P committed 2");
    }
    for status in ["DISPATCHED", "SHIPPED", "DELIVERED"] {
        check(&policy, &[order("CREATED", 0, status, "2")], "product:P fulfilled 2");
    }
    check(&policy, &[order("CREATED", 0, "CANCELLED", "2")], "");
}

#[test]
fn a_dispute_of_shipped_goods_does_not_bring_them_back() {
    let shipped = order("UPDATED", 1, "SHIPPED", "2");
    for status in ["DISPUTED", "WHATEVER"] {
        let later = order("UPDATED", 2, status, "2");
        check(&Policy::default(), &[shipped.clone(), later], "product:P fulfilled 2");
    }
}

#[test]
fn a_cancellation_beats_an_update_of_the_same_millisecond() {
    let events = [order("UPDATED", 5, "CANCELLED", "2"), order("UPDATED", 5, "DELIVERED", "2")];
    check(&Policy::default(), &events, "");
}

#[test]
fn cancelled_orders_hold_what_the_policy_says() {
    let shipped = order("UPDATED", 1, "SHIPPED", "2");
    let cancelled = order("UPDATED", 2, "CANCELLED", "2");
    let keep = policy(|policy| policy.cancelled = Cancelled::Keep);
    check(&keep, from_ref(&cancelled), "product:P committed 2");
    check(&keep, &[shipped.clone(), cancelled.clone()], "product:P fulfilled 2");
    let unless_shipped = policy(|policy| policy.cancelled = Cancelled::ReleaseUnlessShipped);
    check(&unless_shipped, from_ref(&cancelled), "");
    check(&unless_shipped, &[shipped, cancelled], "product:P fulfilled 2");
}

#[test]
fn a_deletion_is_final_whatever_comes_after_it() {
    let later = order("UPDATED", 9, "PROCESSED", "5");
    check(&Policy::default(), &[order("CREATED", 0, "PROCESSED", "1"), deleted(3), later], "");
    let unless_shipped = policy(|policy| policy.deleted = Deleted::ReleaseUnlessShipped);
    let shipped = order("UPDATED", 1, "SHIPPED", "2");
    check(&unless_shipped, &[shipped, deleted(2)], "product:P fulfilled 2");
    check(&unless_shipped, &[order("UPDATED", 1, "PROCESSED", "2"), deleted(2)], "");
}

#[test]
fn orders_of_mode_test_count_only_where_the_policy_says_so() {
    let items = json!([{"product_id": "P", "quantity": 1}]);
    let data = json!({"id": "O", "mode": "TEST", "status": "PROCESSED", "items": items});
    let test = event("ECOMM_ORDER_CREATED", 0, &data);
    check(&Policy::default(), from_ref(&test), "");
    let count = policy(|policy| policy.test_mode = TestMode::Count);
    check(&count, &[test], "product:P committed 1");
}

#[test]
fn refunds_restock_only_where_the_policy_says_so() {
    let created = order("CREATED", 0, "PROCESSED", "3");
    let history = |quantity| [created.clone(), refund(1, "r1", quantity)];
    let with = |restock| policy(|policy| policy.restock = restock);
    check(&with(Restock::Never), &history("3"), "product:P committed 3");
    check(&with(Restock::Lines), &history("1.25"), "product:P committed 1.75");
    check(&with(Restock::Lines), &history("9"), "");
    check(&with(Restock::Full), &history("2.999999"), "product:P committed 3");
    check(&with(Restock::Full), &history("3"), "");
}

#[test]
fn refunds_of_snapshots_and_events_are_one_union() {
    let lines = policy(|policy| policy.restock = Restock::Lines);
    // A later snapshot without the refund takes nothing back.
    let refunded = order_with("UPDATED", 1, "PROCESSED", "9", &in_snapshot("r1", "1"));
    let later = order("UPDATED", 2, "PROCESSED", "9");
    check(&lines, &[refunded.clone(), later.clone()], "product:P committed 8");
    // The same refund in both places counts once, another id is another refund.
    let events = [refunded.clone(), refund(1, "r1", "1"), refund(3, "r2", "2")];
    check(&lines, &events, "product:P committed 6");
    // One id, two contents: the later wins; at the same time the event does.
    check(&lines, &[refunded.clone(), refund(2, "r1", "4")], "product:P committed 5");
    check(&lines, &[refunded.clone(), refund(0, "r1", "4")], "product:P committed 8");
    check(&lines, &[refunded, refund(1, "r1", "4")], "product:P committed 5");
}

#[test]
fn two_updates_of_one_millisecond_that_differ_only_in_refunds_both_count() {
    let lines = policy(|policy| policy.restock = Restock::Lines);
    let first = order_with("UPDATED", 1, "PROCESSED", "9", &in_snapshot("r1", "1"));
    let second = order_with("UPDATED", 1, "PROCESSED", "9", &in_snapshot("r2", "2"));
    check(&lines, &[first.clone(), second.clone()], "product:P committed 6");
    let state = play(None, &[&first, &second], &lines);
    assert!(state.ambiguous, "only the fingerprint told the two apart");
    assert_eq!(state.timeline.len(), 2);
}

#[test]
fn a_refund_that_cannot_be_told_to_a_line_restocks_nothing() {
    let lines = policy(|policy| policy.restock = Restock::Lines);
    let twice = json!([
        {"id": "l1", "product_id": "P", "quantity": 1},
        {"id": "l1", "product_id": "P", "quantity": 2},
    ]);
    let data = json!({"id": "O", "status": "PROCESSED", "items": twice});
    let events = [event("ECOMM_ORDER_CREATED", 0, &data), refund(1, "r1", "1")];
    check(&lines, &events, "product:P committed 3");
    let without_id = json!({"order_id": "O", "items": [{"id": "l1", "quantity": 1}]});
    let anonymous = event("ECOMM_REFUND_CREATED", 1, &without_id);
    let created = order("CREATED", 0, "PROCESSED", "3");
    check(&lines, &[created.clone(), anonymous], "product:P committed 3");
    let empty = order_with("UPDATED", 1, "PROCESSED", "3", &json!([{}]));
    check(&lines, &[created, empty], "product:P committed 3");
}

#[test]
fn refunded_lines_that_belong_to_no_line_are_counted_once() {
    let twice = json!([
        {"id": "l1", "product_id": "P", "quantity": 1},
        {"id": "l1", "product_id": "P", "quantity": 2},
    ]);
    let data = json!({"id": "O", "status": "PROCESSED", "items": twice});
    let created = event("ECOMM_ORDER_CREATED", 0, &data);
    let (first, again) = (refund(1, "r1", "1"), refund(1, "r1", "1"));
    let in_force = PolicyInForce { revision: 1, policy: Policy::default() };
    let mut counted = Vec::new();
    let mut state = None;
    for event in [&created, &first, &again, &first] {
        let arrival = Arrival {
            message_id: MessageId(uuid::Uuid::nil()),
            received_at: Timestamp::from_millis(T0),
            replays: 0,
            event_type: event.event_type.clone(),
        };
        let decision = decide(state, &[(&event.content, &arrival)], &in_force).unwrap();
        counted.push(decision.findings.refunds_unmatched);
        state = Some(decision.state);
    }
    assert_eq!(counted, [0, 1, 0, 0]);
}

#[test]
fn cancel_refund_and_deletion_give_the_same_units_back_once() {
    let full = policy(|policy| policy.restock = Restock::Full);
    let events = [
        order("CREATED", 0, "PROCESSED", "3"),
        order("UPDATED", 1, "CANCELLED", "3"),
        refund(2, "r1", "3"),
        deleted(3),
    ];
    check(&full, &events, "");
}

#[test]
fn lines_of_one_key_are_summed_and_keys_follow_the_precedence() {
    let items = json!([
        {"variation_id": "V", "product_id": "P", "sku": "S", "quantity": 1},
        {"variation_id": "", "product_id": "P", "quantity": "2.5"},
        {"variation_id": null, "product_id": "P", "quantity": 1e0},
        {"external_product_id": "E", "quantity": 1},
        {"id": "l9", "quantity": 4},
        {"name": "no key at all", "quantity": 7},
    ]);
    let data = json!({"id": "O", "status": "PROCESSED", "items": items});
    let created = event("ECOMM_ORDER_CREATED", 0, &data);
    let expected = "variation:V committed 1, product:P committed 3.5, \
                    external-product:E committed 1, line:l9 committed 4";
    check(&Policy::default(), from_ref(&created), expected);
    let by_sku = policy(|policy| policy.key_precedence = vec![StockKeyKind::Sku]);
    check(&by_sku, &[created], "sku:S committed 1");
}

#[test]
fn a_line_that_changes_its_key_is_noted_once_whichever_event_comes_first() {
    let items = |product: &str| {
        json!([
            {"id": "l1", "product_id": product, "quantity": 1},
            {"id": "l2", "product_id": "same", "quantity": 1},
            {"product_id": product, "quantity": 1},
        ])
    };
    let data = |product| json!({"id": "O", "status": "PROCESSED", "items": items(product)});
    let events = [
        event("ECOMM_ORDER_CREATED", 0, &data("P")),
        event("ECOMM_ORDER_UPDATED", 1, &data("Q")),
        event("ECOMM_ORDER_UPDATED", 2, &data("Q")),
    ];
    let in_force = PolicyInForce { revision: 1, policy: Policy::default() };
    for arrivals in permutations(&events) {
        let (mut state, mut counted) = (None, 0);
        for event in arrivals.iter().chain(&arrivals) {
            let arrival = Arrival {
                message_id: MessageId(uuid::Uuid::nil()),
                received_at: Timestamp::from_millis(T0),
                replays: 0,
                event_type: event.event_type.clone(),
            };
            let decision = decide(state, &[(&event.content, &arrival)], &in_force).unwrap();
            counted += decision.findings.lines_rekeyed;
            state = Some(decision.state);
        }
        let Some(EntityState::Order(state)) = state else { panic!("{state:?} is no order") };
        let noted: Vec<_> = state.timeline.iter().map(|entry| entry.rekeyed_lines).collect();
        assert_eq!((counted, noted.iter().sum()), (1, 1), "{arrivals:?}: {noted:?}");
    }
    let state = play(None, &[&events[0], &events[1], &events[2]], &Policy::default());
    let noted: Vec<_> = state.timeline.iter().map(|entry| entry.rekeyed_lines).collect();
    assert_eq!(noted, [0, 1, 0], "the event that brought it says so");
}

#[test]
fn an_empty_order_releases_what_it_held() {
    let data = json!({"id": "O", "status": "PROCESSED", "items": []});
    let emptied = event("ECOMM_ORDER_UPDATED", 1, &data);
    check(&Policy::default(), &[order("CREATED", 0, "PROCESSED", "3"), emptied], "");
}

#[test]
fn a_notice_holds_nothing_and_waits_for_its_details() {
    let data = json!({"siteAlias": "shop", "storeId": 7, "entityId": 1, "data": null});
    let created = event("STORE_ORDER_CREATED", 0, &data);
    check(&Policy::default(), from_ref(&created), "");
    let state = play(None, &[&created], &Policy::default());
    assert!(state.awaits_details());
    let deleted = event("STORE_ORDER_DELETED", 1, &data);
    assert!(!play(Some(state), &[&deleted], &Policy::default()).awaits_details());
}

#[test]
fn each_event_is_named_by_what_it_did() {
    let in_force = PolicyInForce { revision: 1, policy: Policy::default() };
    let mut state = None;
    let mut arrive = |event: &Event| {
        let arrival = Arrival {
            message_id: MessageId(uuid::Uuid::nil()),
            received_at: Timestamp::from_millis(T0),
            replays: 0,
            event_type: event.event_type.clone(),
        };
        let events = [(&event.content, &arrival)];
        let decision = decide(state.clone(), &events, &in_force).unwrap();
        let settled = decision.settled[0].unwrap();
        let changed = decision.changed;
        state = Some(decision.state);
        (settled.outcome, settled.reason, changed)
    };
    let created = order("CREATED", 0, "PROCESSED", "1");
    assert_eq!(arrive(&created), (Outcome::Applied, None, true));
    assert_eq!(arrive(&created), (Outcome::Duplicate, None, false));
    let third = order("UPDATED", 3, "PROCESSED", "3");
    assert_eq!(arrive(&third), (Outcome::Applied, None, true));
    let second = order("UPDATED", 2, "PROCESSED", "2");
    assert_eq!(arrive(&second), (Outcome::Superseded, None, true), "it enters the timeline");
    assert_eq!(arrive(&second), (Outcome::Duplicate, None, false));
    assert_eq!(arrive(&refund(1, "r", "1")), (Outcome::Applied, None, true));
    assert_eq!(arrive(&refund(1, "r", "1")), (Outcome::Duplicate, None, false));
    assert_eq!(arrive(&deleted(4)), (Outcome::Applied, None, true));
    let after = (Outcome::Superseded, Some(Reason::AfterDeletion), true);
    assert_eq!(arrive(&order("UPDATED", 5, "PROCESSED", "3")), after);
}

/// How each event is named, arriving one by one.
fn named(events: &[Event]) -> Vec<(Outcome, Option<Reason>)> {
    let in_force = PolicyInForce { revision: 1, policy: Policy::default() };
    let mut state = None;
    let mut named = Vec::new();
    for event in events {
        let arrival = Arrival {
            message_id: MessageId(uuid::Uuid::nil()),
            received_at: Timestamp::from_millis(T0),
            replays: 0,
            event_type: event.event_type.clone(),
        };
        let decision = decide(state, &[(&event.content, &arrival)], &in_force).unwrap();
        let settled = decision.settled[0].unwrap();
        named.push((settled.outcome, settled.reason));
        state = Some(decision.state);
    }
    named
}

#[test]
fn a_deletion_is_applied_even_if_something_later_came_before_it() {
    let native = [order("UPDATED", 5, "PROCESSED", "3"), deleted(3), deleted(2)];
    let notice = |kind: &str, at| {
        let data = json!({"siteAlias": "shop", "storeId": 7, "entityId": 1, "data": null});
        event(&format!("STORE_ORDER_{kind}"), at, &data)
    };
    let third_party = [notice("UPDATED", 5), notice("DELETED", 3), notice("DELETED", 2)];
    let applied = (Outcome::Applied, None);
    for events in [native, third_party] {
        assert_eq!(named(&events), [applied, applied, (Outcome::Superseded, None)]);
    }
    let after = named(&[notice("DELETED", 3), notice("UPDATED", 5)]);
    assert_eq!(after, [applied, (Outcome::Superseded, Some(Reason::AfterDeletion))]);
}

#[test]
fn two_refunds_of_the_same_lines_at_one_time_both_enter_the_timeline() {
    let events = [refund(1, "r1", "1"), refund(1, "r2", "1")];
    let state = play(None, &[&events[0], &events[1]], &Policy::default());
    assert_eq!(state.refunds.len(), 2);
    assert_eq!(state.timeline.len(), 2);
}

#[test]
fn the_timeline_keeps_the_highest_versions_whatever_the_order() {
    let updates: Vec<_> =
        (0..100).map(|at| order("UPDATED", at, "PROCESSED", &at.to_string())).collect();
    let rising: Vec<_> = updates.iter().collect();
    let falling: Vec<_> = updates.iter().rev().collect();
    let times = |events: &[&Event]| -> Vec<i64> {
        let state = play(None, events, &Policy::default());
        state.timeline.iter().map(|entry| entry.version.event_timestamp - T0).collect()
    };
    let expected: Vec<i64> = (36..100).rev().collect();
    assert_eq!(times(&rising), expected);
    assert_eq!(times(&falling), expected);
}

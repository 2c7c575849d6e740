//! The outcome of each event. Outcomes depend on the order of arrival, and no rule reads them.

use serde_json::json;

use super::*;
use crate::domain::Outcome::{Applied, Duplicate, Ignored, Superseded};
use crate::domain::Reason::{self, AfterDeletion, ReferenceReused, RefundWithoutId};
use crate::domain::{EventOutcome, Outcome};

/// Checks the outcome of each event when the events arrive one by one.
#[track_caller]
fn named(events: &[(Arrived, Outcome, Option<Reason>)]) {
    let mut shop = Shop::new(&Policy::default());
    for (place, (event, outcome, reason)) in events.iter().enumerate() {
        let settled = shop.arrive(&[event]).pop().unwrap().unwrap();
        let expected = EventOutcome { outcome: *outcome, reason: *reason };
        assert_eq!(settled, expected, "{place}: {}", event.event.event_type);
    }
}

#[test]
fn each_event_is_named_by_what_it_did() {
    let of = |millis, quantity| update(millis, &json!({"items": items(quantity)}));
    named(&[
        (created(&json!({})), Applied, None),
        (created(&json!({})), Duplicate, None),
        (of(3, 3), Applied, None),
        (of(2, 2), Superseded, None),
        (of(2, 2), Duplicate, None),
        (refund(1, "r", 1), Applied, None),
        (refund(1, "r", 1), Duplicate, None),
        (refund_with(2, "r", &json!({"items": []})), Superseded, None),
        // That it was made earlier is new.
        (refund(0, "r", 1), Applied, None),
        (deleted(4), Applied, None),
        (deleted(4), Duplicate, None),
        (of(5, 3), Superseded, Some(AfterDeletion)),
        // What it says about shipment counts.
        (says(6, "SHIPPED"), Applied, Some(AfterDeletion)),
    ]);
}

#[test]
fn a_deletion_is_applied_even_if_something_later_came_before_it() {
    let notice = |kind: &str, millis| {
        let data = json!({"siteAlias": "shop", "storeId": 7, "entityId": 1, "data": null});
        event(&format!("STORE_ORDER_{kind}"), millis, &data)
    };
    named(&[
        (says(5, "PROCESSED"), Applied, None),
        (deleted(3), Applied, None),
        (deleted(2), Superseded, None),
    ]);
    named(&[
        (notice("UPDATED", 5), Applied, None),
        (notice("DELETED", 3), Applied, None),
        (notice("DELETED", 2), Superseded, None),
    ]);
    named(&[
        (notice("DELETED", 3), Applied, None),
        (notice("UPDATED", 5), Superseded, Some(AfterDeletion)),
        (notice("UPDATED", 2), Superseded, None),
    ]);
}

#[test]
fn a_test_order_and_a_tie_say_why() {
    let test = created(&json!({"mode": "test"}));
    named(&[(test, Applied, Some(Reason::TestMode))]);
    let mut shop = Shop::new(&Policy::default());
    shop.arrive(&[&says(5, "PROCESSED")]);
    let tie = update(5, &json!({"items": items(3)}));
    let settled = shop.arrive(&[&tie]).pop().unwrap().unwrap();
    assert_eq!(settled.reason, Some(Reason::Ambiguous));
}

#[test]
fn a_refund_without_an_id_is_ignored_and_counted_once() {
    let refund = refund_with(1, "", &json!({"items": [{"id": "l", "quantity": 1}]}));
    let ignored = (refund, Ignored, Some(RefundWithoutId));
    named(&[(created(&json!({})), Applied, None), ignored.clone(), ignored]);
}

#[test]
fn a_reference_that_is_used_again_is_named_so() {
    let first = created(&json!({}));
    let seen = shown(std::slice::from_ref(&first));
    let by = |action, message: u128| correct(action, &seen, 1).by_message(message);
    named(&[
        (first, Applied, None),
        (by(Action::Hold, 5), Applied, None),
        (by(Action::Hold, 5), Duplicate, None),
        (by(Action::Hold, 6), Duplicate, None),
        (by(Action::Release, 7), Superseded, Some(ReferenceReused)),
        (by(Action::Release, 4), Applied, Some(ReferenceReused)),
    ]);
}

#[test]
fn two_refunds_of_the_same_lines_at_one_time_both_enter_the_timeline() {
    let shop = holds(&[refund(1, "r1", 1), refund(1, "r2", 1)], "");
    let record = shop.order("id:O").1;
    assert_eq!((record.refunds.len(), record.timeline.len()), (2, 2));
}

#[test]
fn an_event_that_changes_nothing_writes_nothing() {
    let first = [created(&json!({"invoice_number": "7", "external_id": "E"})), refund(1, "r", 1)];
    let mut shop = Shop::after(&Policy::default(), &first);
    for event in &first {
        let before = (shop.normal(), shop.findings);
        shop.arrive(&[event]);
        assert_eq!((shop.normal(), shop.findings), before);
    }
}

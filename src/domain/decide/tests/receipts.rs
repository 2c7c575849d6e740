//! Goods that come in, adjustments, counts, and the voiding of these.

use std::slice::from_ref;

use serde_json::json;

use super::*;
use crate::domain::{EventOutcome, Outcome, Reason};

fn goods(reference: &str, quantity: &str) -> Arrived {
    receipt(reference, &json!({"quantity": quantity, "reason": "damage", "actor": "ann"}))
}

fn void(reference: &str) -> Arrived {
    receipt(reference, &json!({"void": true}))
}

#[test]
fn a_receipt_counts_once_for_each_key_and_reference() {
    holds(&[goods("a", "10")], "product:P received 10");
    holds(&[goods("a", "10"), goods("b", "2.5")], "product:P received 12.5");
    let other = receipt("a", &json!({"key": "sku:S", "quantity": "1"}));
    holds(&[goods("a", "10"), other], "product:P received 10, sku:S received 1");
    let events = [goods("a", "10"), created(&json!({}))];
    holds(&events, "product:P received 10 committed 2");
}

#[test]
fn an_adjustment_may_be_less_than_nothing() {
    holds(&[goods("a", "-3")], "product:P received -3");
    holds(&[goods("a", "10"), goods("b", "-10")], "");
}

#[test]
fn a_count_adds_the_difference_that_it_was_asked_with() {
    let count = |difference: &str| receipt("c", &json!({"on_hand": "7", "difference": difference}));
    holds(&[goods("a", "10"), count("-3")], "product:P received 7");
    holds(
        &[goods("a", "10"), count("3"), created(&json!({}))],
        "product:P received 13 committed 2",
    );
}

#[test]
fn of_two_contents_under_one_reference_the_lower_message_counts() {
    let (low, high) = (goods("a", "10").by_message(1), goods("a", "4").by_message(2));
    holds(&[low.clone(), high.clone()], "product:P received 10");
    holds(&[low.by_message(3), high], "product:P received 4");
}

#[test]
fn a_void_takes_a_reference_back_whenever_it_comes() {
    holds(&[goods("a", "10"), void("a")], "");
    holds(&[goods("a", "10"), void("a"), goods("a", "4").by_message(1)], "");
    holds(&[goods("a", "10"), void("b"), goods("b", "1")], "product:P received 10");
    holds(from_ref(&void("a")), "");
    let count = receipt("a", &json!({"on_hand": "7", "difference": "7"}));
    holds(&[count, void("a"), void("a").by_message(9)], "");
}

#[test]
fn an_item_is_known_from_its_first_receipt_on_in_every_order() {
    let known = |events: &[&Arrived]| {
        let mut shop = Shop::new(&Policy::default());
        for event in events {
            shop.arrive(&[event]);
        }
        shop.stock.len()
    };
    let nothing = goods("a", "0");
    assert_eq!(known(&[&nothing]), 1);
    assert_eq!(known(&[&void("a")]), 0, "a mark on a reference is no receipt");
    assert_eq!(known(&[&nothing, &void("a")]), known(&[&void("a"), &nothing]));
}

#[test]
fn each_receipt_is_named_by_what_it_did() {
    let mut shop = Shop::new(&Policy::default());
    let mut named = |event: &Arrived| shop.arrive(&[event]).pop().unwrap().unwrap();
    let first = goods("a", "10").by_message(5);
    assert_eq!(named(&first), EventOutcome::plain(Outcome::Applied));
    assert_eq!(named(&first), EventOutcome::plain(Outcome::Duplicate));
    assert_eq!(named(&goods("a", "10").by_message(6)), EventOutcome::plain(Outcome::Duplicate));
    let reused = |outcome| EventOutcome::because(outcome, Reason::ReferenceReused);
    assert_eq!(named(&goods("a", "4").by_message(7)), reused(Outcome::Superseded));
    assert_eq!(named(&goods("a", "4").by_message(1)), reused(Outcome::Applied));
    assert_eq!(named(&void("a")), EventOutcome::plain(Outcome::Applied));
    assert_eq!(named(&void("a")), EventOutcome::plain(Outcome::Duplicate));
}

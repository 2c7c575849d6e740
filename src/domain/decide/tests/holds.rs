//! The rows of the table, under each policy.

use std::slice::from_ref;

use serde_json::json;

use super::*;
use crate::domain::{Cancelled, Deleted, Restock, StockKeyKind, TestMode};

fn cancelled(value: Cancelled) -> Policy {
    policy(|policy| policy.cancelled = value)
}

fn deleted_policy(value: Deleted) -> Policy {
    policy(|policy| policy.deleted = value)
}

#[test]
fn the_defaults_are_those_of_the_second_edition() {
    let policy = Policy::default();
    assert_eq!(policy.key_precedence, StockKeyKind::ALL);
    assert_eq!(policy.test_mode, TestMode::Ignore);
    assert_eq!(policy.cancelled, Cancelled::ReleaseUnlessShipped);
    assert_eq!(policy.deleted, Deleted::ReleaseUnlessShipped);
    assert_eq!(policy.restock, Restock::Unshipped);
}

#[test]
fn the_guides_order_holds_one_then_three_then_nothing() {
    let one = created(&json!({"items": items(1)}));
    let three = order("STATUS_UPDATED", 0, &json!({"items": items(3)}));
    holds(from_ref(&one), "product:P committed 1");
    holds(&[one.clone(), three.clone()], "product:P committed 3");
    holds(&[one, three, deleted(0)], "");
}

#[test]
fn each_status_holds_in_its_own_way() {
    for (status, expected) in [
        ("PENDING", "product:P committed 2"),
        ("IN_PROGRESS", "product:P committed 2"),
        ("PROCESSED", "product:P committed 2"),
        ("processed", "product:P committed 2"),
        ("DISPUTED", "product:P committed 2"),
        ("ON_THE_MOON", "product:P committed 2"),
        ("", "product:P committed 2"),
        ("DISPATCHED", "product:P fulfilled 2"),
        ("SHIPPED", "product:P fulfilled 2"),
        ("Shipped", "product:P fulfilled 2"),
        ("DELIVERED", "product:P fulfilled 2"),
        ("INCOMPLETE", ""),
        ("incomplete", ""),
        ("REFUNDED", ""),
        ("CANCELLED", ""),
        ("Cancelled", ""),
        ("CANCELED", ""),
        ("canceled", ""),
    ] {
        holds(&[created(&json!({"status": status}))], expected);
        holds(&[says(1, status)], expected);
    }
}

#[test]
fn an_order_holds_as_what_has_left_whatever_its_status() {
    for (status, expected) in [
        ("DISPUTED", "product:P fulfilled 2"),
        ("WHATEVER", "product:P fulfilled 2"),
        ("REFUNDED", "product:P fulfilled 2"),
        ("CANCELLED", "product:P fulfilled 2"),
        ("INCOMPLETE", ""),
        ("PROCESSED", "product:P committed 2"),
        ("PENDING", "product:P committed 2"),
        ("IN_PROGRESS", "product:P committed 2"),
    ] {
        holds(&[says(1, "SHIPPED"), says(2, status)], expected);
    }
}

#[test]
fn a_deleted_order_holds_nothing_unless_it_has_left() {
    let by_default = deleted_policy(Deleted::ReleaseUnlessShipped);
    let always = deleted_policy(Deleted::Release);
    let says_shipped = event(
        "ECOMM_ORDER_DELETED",
        3,
        &json!({"id": "O", "status": "SHIPPED", "items": items(9)}),
    );
    for (events, unless_shipped) in [
        (vec![created(&json!({})), deleted(3)], ""),
        (vec![says(1, "SHIPPED"), deleted(3)], "product:P fulfilled 2"),
        (vec![says(1, "DISPATCHED"), says(2, "PROCESSED"), deleted(3)], ""),
        (vec![created(&json!({})), says_shipped.clone()], "product:P fulfilled 2"),
        (vec![says_shipped], ""),
        (vec![deleted(3)], ""),
    ] {
        check(&by_default, &events, unless_shipped);
        check(&always, &events, "");
    }
}

#[test]
fn that_a_deletion_says_processed_says_nothing() {
    // It would revoke the shipment if it did.
    let events = [says(1, "SHIPPED"), deleted(5), says(2, "DISPUTED")];
    holds(&events, "product:P fulfilled 2");
}

#[test]
fn a_snapshot_above_a_deletion_never_commits_and_counts_for_what_it_says_of_shipment() {
    let first = created(&json!({}));
    let five = |millis, status| update(millis, &json!({"status": status, "items": items(5)}));
    let last = |event: Arrived| [first.clone(), deleted(3), event];
    for status in ["PROCESSED", "PENDING", "DISPUTED", "WHO_KNOWS"] {
        holds(&last(five(9, status)), "");
    }
    holds(&last(five(9, "SHIPPED")), "product:P fulfilled 5");
    check(&deleted_policy(Deleted::Release), &last(five(9, "SHIPPED")), "");
    // Goods that had left before stay fulfilled, with the lines of the latest snapshot, until a
    // snapshot revokes the shipment.
    let shipped = says(1, "SHIPPED");
    holds(&[shipped.clone(), deleted(3), five(9, "DISPUTED")], "product:P fulfilled 5");
    holds(&[shipped, deleted(3), five(9, "PROCESSED")], "");
}

#[test]
fn an_order_first_seen_as_cancelled_holds_nothing_unless_it_has_left() {
    holds(&[created(&json!({"status": "CANCELLED"}))], "");
    holds(&[says(5, "CANCELLED"), says(1, "DELIVERED")], "product:P fulfilled 2");
}

#[test]
fn cancelled_orders_hold_what_the_policy_says() {
    let not_left = [says(1, "PROCESSED"), says(2, "CANCELED")];
    let left = [says(1, "SHIPPED"), says(2, "CANCELLED")];
    for (value, of_not_left, of_left) in [
        (Cancelled::ReleaseUnlessShipped, "", "product:P fulfilled 2"),
        (Cancelled::Release, "", ""),
        (Cancelled::Keep, "product:P committed 2", "product:P fulfilled 2"),
    ] {
        check(&cancelled(value), &not_left, of_not_left);
        check(&cancelled(value), &left, of_left);
    }
}

#[test]
fn shipped_by_mistake_processed_again_and_cancelled_holds_nothing() {
    holds(&[says(1, "SHIPPED"), says(2, "PROCESSED"), says(3, "CANCELLED")], "");
}

#[test]
fn orders_of_mode_test_count_only_where_the_policy_says_so() {
    let count = policy(|policy| policy.test_mode = TestMode::Count);
    for mode in ["TEST", "test", "Test"] {
        let test = created(&json!({"mode": mode}));
        holds(from_ref(&test), "");
        check(&count, &[test], "product:P committed 2");
    }
    let shipped = [created(&json!({"mode": "TEST"})), says(1, "SHIPPED")];
    holds(&shipped, "");
    check(&count, &shipped, "product:P fulfilled 2");
    for mode in [json!("LIVE"), json!("live"), json!("OTHER"), json!(null), json!(""), json!(7)] {
        holds(&[created(&json!({"mode": mode}))], "product:P committed 2");
    }
}

#[test]
fn the_mode_of_the_highest_version_that_had_one_counts() {
    let test = created(&json!({"mode": "TEST"}));
    for silent in [json!(null), json!(""), json!(" "), json!(7), json!([])] {
        holds(&[test.clone(), update(1, &json!({"mode": silent}))], "");
    }
    let live = update(1, &json!({"mode": "LIVE"}));
    holds(&[test.clone(), live.clone()], "product:P committed 2");
    holds(&[test.clone(), live.clone(), update(2, &json!({"mode": "TEST"}))], "");
    // The mode need not come from the latest snapshot, nor from a snapshot at all.
    holds(&[test, live, update(2, &json!({}))], "product:P committed 2");
    let gone = event("ECOMM_ORDER_DELETED", 2, &json!({"id": "O", "mode": "TEST"}));
    holds(&[says(1, "SHIPPED"), deleted(2)], "product:P fulfilled 2");
    holds(&[says(1, "SHIPPED"), gone], "");
}

#[test]
fn what_the_store_calls_refunded_holds_nothing_while_it_says_so_and_has_not_left() {
    let never = policy(|policy| policy.restock = Restock::Never);
    let refunded = [says(1, "PROCESSED"), says(2, "REFUNDED")];
    holds(&refunded, "");
    check(&never, &refunded, "product:P committed 2");
    for restock in [Restock::Full, Restock::Lines] {
        check(&policy(|policy| policy.restock = restock), &refunded, "");
    }
    let left = [says(1, "SHIPPED"), says(2, "REFUNDED")];
    for restock in [Restock::Unshipped, Restock::Never, Restock::Full, Restock::Lines] {
        check(&policy(|policy| policy.restock = restock), &left, "product:P fulfilled 2");
    }
    // It creates no refund: the next snapshot holds again.
    let shop = holds(&[says(2, "REFUNDED"), says(3, "PROCESSED")], "product:P committed 2");
    assert!(shop.order("id:O").1.refunds.is_empty());
}

#[test]
fn the_rows_apply_one_after_the_other() {
    let all = policy(|policy| {
        policy.cancelled = Cancelled::Keep;
        policy.test_mode = TestMode::Count;
        policy.restock = Restock::Lines;
    });
    let cancelled = update(2, &json!({"status": "CANCELLED", "mode": "TEST"}));
    check(&all, from_ref(&cancelled), "product:P committed 2");
    check(&all, &[cancelled.clone(), refund(1, "r", 1)], "product:P committed 1");
    check(&all, &[cancelled, deleted(3)], "");
    let test = policy(|policy| policy.cancelled = Cancelled::Keep);
    check(&test, &[update(2, &json!({"status": "CANCELLED", "mode": "TEST"}))], "");
}

#[test]
fn cancel_refund_and_deletion_give_the_same_units_back_once() {
    let events = [created(&json!({})), says(1, "CANCELLED"), refund(2, "r", 2), deleted(3)];
    for restock in [Restock::Unshipped, Restock::Full, Restock::Lines, Restock::Never] {
        check(&policy(|policy| policy.restock = restock), &events, "");
    }
}

#[test]
fn lines_of_one_key_are_summed_and_keys_follow_the_precedence() {
    let items = json!([
        {"variation_id": "V", "product_id": "P", "sku": "S", "quantity": 1},
        {"variation_id": "", "product_id": "P", "quantity": "2.5"},
        {"variation_id": null, "product_id": "P", "quantity": 1e0},
        {"variation_id": " ", "external_variation_id": "EV", "external_product_id": "EP",
         "quantity": 1},
        {"external_product_id": "EP", "sku": "S", "quantity": 1},
        {"id": "l8", "sku": "S", "quantity": 6},
        {"id": "l9", "quantity": 4},
        {"name": "no key at all", "quantity": 7},
    ]);
    let event = created(&json!({"items": items}));
    let expected = "variation:V committed 1, product:P committed 3.5, \
                    external-variation:EV committed 1, external-product:EP committed 1, \
                    sku:S committed 6, line:l9 committed 4";
    let shop = holds(from_ref(&event), expected);
    assert_eq!(shop.findings.lines_unmapped, 1);
    let precedence = |kinds: &[StockKeyKind]| policy(|it| it.key_precedence = kinds.to_vec());
    check(&precedence(&[StockKeyKind::Sku]), from_ref(&event), "sku:S committed 8");
    let by_line = precedence(&[StockKeyKind::Line, StockKeyKind::Product]);
    let expected = "product:P committed 4.5, line:l8 committed 6, line:l9 committed 4";
    check(&by_line, &[event], expected);
}

#[test]
fn an_empty_order_releases_what_it_held() {
    holds(&[created(&json!({})), update(1, &json!({"items": []}))], "");
    for restock in [Restock::Full, Restock::Lines] {
        let policy = policy(|policy| policy.restock = restock);
        check(&policy, &[update(1, &json!({"items": [], "refunds": in_snapshot("r", 1)}))], "");
    }
}

#[test]
fn another_policy_means_what_it_would_have_meant_from_the_beginning() {
    let policies = [
        Policy::default(),
        cancelled(Cancelled::Keep),
        cancelled(Cancelled::Release),
        deleted_policy(Deleted::Release),
        policy(|policy| policy.test_mode = TestMode::Count),
        policy(|policy| policy.restock = Restock::Lines),
        policy(|policy| policy.key_precedence = vec![StockKeyKind::Line]),
        policy(|policy| policy.key_precedence = vec![StockKeyKind::Sku]),
    ];
    let named = |id: &str, status: &str, mode: &str| {
        update(5, &json!({"id": id, "external_id": id, "status": status, "mode": mode}))
    };
    let events = [
        named("A", "CANCELLED", "LIVE"),
        named("B", "PROCESSED", "TEST"),
        named("C", "SHIPPED", "LIVE"),
        event("ECOMM_ORDER_DELETED", 6, &json!({"id": "C"})),
        update(5, &json!({"id": null, "external_id": "A", "status": "DISPUTED"})),
        says(5, "SHIPPED"),
        refund(9, "r", 1),
    ];
    for first in &policies {
        for then in &policies {
            let mut shop = Shop::after(first, &events);
            shop.apply(then);
            let expected = Shop::after(then, &events);
            assert_eq!(shop.counts(), expected.counts(), "{first:?} {then:?}");
            for order in ["id:A", "id:B", "id:C", "id:O"] {
                assert_eq!(shop.lists(order), expected.lists(order), "{order}: {then:?}");
            }
        }
    }
}

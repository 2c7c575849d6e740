//! What an order holds: every row of the table, under every policy.

use super::*;

#[test]
fn the_status_says_where_the_units_are() {
    for status in ["PENDING", "IN_PROGRESS", "PROCESSED", "DISPUTED", "ODD", ""] {
        holds(&[created(AT, status, 2)], &["product:P 2/0"]);
    }
    for status in ["SHIPPED", "DISPATCHED", "DELIVERED"] {
        holds(&[created(AT, status, 2)], &["product:P 0/2"]);
        // Whatever later statuses say, unless they mean that it is still here.
        for other in ["DISPUTED", "ODD", "REFUNDED", "CANCELLED"] {
            holds(&[created(AT, status, 2), updated(AT + 1, other, 3)], &["product:P 0/3"]);
        }
        holds(&[created(AT, status, 2), updated(AT + 1, "PROCESSED", 3)], &["product:P 3/0"]);
        holds(&[created(AT, status, 2), updated(AT + 1, "INCOMPLETE", 3)], &[]);
    }
    for status in ["CANCELLED", "INCOMPLETE", "REFUNDED"] {
        holds(&[created(AT, status, 2)], &[]);
    }
}

#[test]
fn a_status_is_read_in_any_case_without_white_space_around_it() {
    for status in ["shipped", " Shipped\t"] {
        holds(&[created(AT, status, 2)], &["product:P 0/2"]);
    }
    for status in ["CANCELED", "canceled", "Cancelled "] {
        holds(&[created(AT, "PENDING", 2), updated(AT + 1, status, 2)], &[]);
    }
    let number = changed(AT, json!({"status": 7}));
    holds(&[number], &["product:P 1/0"]);
}

#[test]
fn a_deletion_takes_what_has_not_left() {
    holds(&[created(AT, "PROCESSED", 1), deleted(AT, "PROCESSED")], &[]);
    holds(&[deleted(AT, "PROCESSED")], &[]);
    holds(&[created(AT, "SHIPPED", 1), deleted(AT, "SHIPPED")], &["product:P 0/1"]);
    // A deletion with PROCESSED tells nothing; one with SHIPPED does.
    holds(&[created(AT, "SHIPPED", 1), deleted(AT + 1, "PROCESSED")], &["product:P 0/1"]);
    holds(&[created(AT, "ODD", 1), deleted(AT, "SHIPPED")], &["product:P 0/1"]);
    let guide = [
        created(AT, "PROCESSED", 1),
        order("ECOMM_ORDER_STATUS_UPDATED", AT, "PROCESSED", 3, json!({})),
        deleted(AT, "PROCESSED"),
    ];
    holds(&guide[..1], &["product:P 1/0"]);
    holds(&guide[..2], &["product:P 3/0"]);
    holds(&guide, &[]);
    // A deletion's lines are not read, and refunds that cannot be read count as none.
    let broken = json!({"items": "x", "refunds": [{"id": "R", "items": [
        {"id": "L", "quantity": 1}]}, 7]});
    let broken = order("ECOMM_ORDER_DELETED", AT, "SHIPPED", 1, broken);
    check(
        &restock(RestockedRefunds::Lines),
        &[created(AT, "PROCESSED", 1), broken],
        &["product:P 0/1"],
    );
    let release = policy(|policy| policy.deleted = DeletedOrders::Release);
    check(&release, &[created(AT, "SHIPPED", 1), deleted(AT, "SHIPPED")], &[]);
}

#[test]
fn what_comes_after_a_deletion_counts_only_if_it_says_that_the_goods_have_left() {
    let gone = [created(AT, "PROCESSED", 1), deleted(AT + 1, "PROCESSED")];
    let then = |later: Value| [gone[0].clone(), gone[1].clone(), later];
    let mentioned = then(updated(AT + 2, "PROCESSED", 4));
    holds(&mentioned, &[]);
    assert_eq!(listed(&observed(&mentioned), List::AfterDeletion), ["id:A"]);
    assert_eq!(listed(&observed(&gone), List::AfterDeletion), [""; 0]);
    holds(&then(updated(AT + 2, "SHIPPED", 4)), &["product:P 0/4"]);
    assert_eq!(observed(&mentioned).settled_orders(), [name("id:A")]);
}

#[test]
fn what_a_policy_keeps_of_cancelled_orders() {
    let cancelled = [created(AT, "PROCESSED", 1), updated(AT + 1, "CANCELLED", 2)];
    let shipped = [created(AT, "SHIPPED", 1), updated(AT + 1, "CANCELLED", 2)];
    holds(&cancelled, &[]);
    holds(&shipped, &["product:P 0/2"]);
    let keep = policy(|policy| policy.cancelled = CancelledOrders::Keep);
    check(&keep, &cancelled, &["product:P 2/0"]);
    check(&keep, &shipped, &["product:P 0/2"]);
    let release = policy(|policy| policy.cancelled = CancelledOrders::Release);
    check(&release, &cancelled, &[]);
    check(&release, &shipped, &[]);
}

#[test]
fn only_mode_test_is_special() {
    for (mode, expected) in [
        (json!("TEST"), vec![]),
        (json!("test"), vec![]),
        (json!("LIVE"), vec!["product:P 1/0"]),
        (json!(["TEST"]), vec!["product:P 1/0"]),
        (json!(null), vec!["product:P 1/0"]),
    ] {
        holds(&[changed(AT, json!({"mode": mode}))], &expected);
    }
    let test = changed(AT, json!({"mode": "TEST"}));
    let count = policy(|policy| policy.test_mode = TestOrders::Count);
    check(&count, &[test], &["product:P 1/0"]);
}

#[test]
fn the_newest_mode_that_was_said_counts() {
    let test = changed(AT, json!({"mode": "TEST"}));
    for silent in [json!(null), json!(""), json!(7), json!({})] {
        holds(&[test.clone(), changed(AT + 1, json!({"mode": silent}))], &[]);
    }
    holds(&[test, updated(AT + 1, "PROCESSED", 2)], &["product:P 2/0"]);
    // A deletion can state a mode too.
    let gone = order("ECOMM_ORDER_DELETED", AT + 1, "", 1, json!({"mode": "TEST"}));
    holds(&[created(AT, "SHIPPED", 1), gone], &[]);
}

#[test]
fn refunded_orders_hold_nothing_while_they_are_here_unless_nothing_is_restocked() {
    let refunded = [created(AT, "PROCESSED", 2), updated(AT + 1, "REFUNDED", 2)];
    for (restocked, expected) in [
        (RestockedRefunds::Unshipped, vec![]),
        (RestockedRefunds::Full, vec![]),
        (RestockedRefunds::Lines, vec![]),
        (RestockedRefunds::Never, vec!["product:P 2/0"]),
    ] {
        check(&restock(restocked), &refunded, &expected);
    }
    let later = [refunded[0].clone(), refunded[1].clone(), updated(AT + 2, "ODD", 2)];
    holds(&later, &["product:P 2/0"]);
}

#[test]
fn cancel_refund_and_deletion_give_back_once() {
    let other = event(
        "ECOMM_ORDER_CREATED",
        AT,
        json!({"id": "B", "status": "PENDING", "items": [{"product_id": "P", "quantity": 1}]}),
    );
    let bodies = [
        created(AT, "PROCESSED", 2),
        updated(AT + 1, "CANCELLED", 2),
        refund(AT + 2, "R", "L", json!(2)),
        deleted(AT + 3, "PROCESSED"),
        other,
    ];
    holds(&bodies, &["product:P 1/0"]);
    check(&restock(RestockedRefunds::Lines), &bodies, &["product:P 1/0"]);
}

#[test]
fn nothing_more_is_expected_of_deleted_delivered_and_cancelled_orders() {
    for (body, is_settled) in [
        (deleted(AT, "PROCESSED"), true),
        (updated(AT, "DELIVERED", 1), true),
        (updated(AT, "CANCELED", 1), true),
        (updated(AT, "SHIPPED", 1), false),
    ] {
        assert_eq!(observed([&body]).settled_orders().len(), usize::from(is_settled), "{body}");
    }
}

#[test]
fn a_policy_reads_the_settings_words() {
    let words = json!({"key_precedence": ["sku", "external-variation"], "test_mode": "count",
        "cancelled": "release-unless-shipped", "deleted": "release-unless-shipped",
        "restock": "unshipped"});
    let read: ModelPolicy = serde_json::from_value(words).unwrap();
    let expected = ModelPolicy {
        key_precedence: vec![KeyKind::Sku, KeyKind::ExternalVariation],
        test_mode: TestOrders::Count,
        ..ModelPolicy::default()
    };
    assert_eq!(read, expected);
}

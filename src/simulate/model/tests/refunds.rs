//! Which refunds change stock.

use super::*;

/// Returns an update that lists one refund.
fn listing(at_ms: i64, quantity: u32, refund: &Value) -> Value {
    order("ECOMM_ORDER_UPDATED", at_ms, "PROCESSED", quantity, json!({"refunds": [refund, {}]}))
}

fn entry(id: &str, quantity: u32) -> Value {
    json!({"id": id, "items": [{"id": "L", "quantity": quantity}]})
}

#[test]
fn a_refund_moves_stock_by_policy_only() {
    use RestockedRefunds::{Full, Lines, Never, Unshipped};
    let part = [created(AT, "PROCESSED", 3), refund(AT + 5, "R", "L", json!(1.25))];
    let left =
        |bodies: &[Value; 2]| [bodies[0].clone(), bodies[1].clone(), updated(AT + 6, "SHIPPED", 3)];
    let late =
        |bodies: &[Value; 2]| [bodies[0].clone(), bodies[1].clone(), updated(AT + 4, "SHIPPED", 3)];
    for (restocked, here, before, after) in [
        (Never, "3/0", "0/3", "0/3"),
        (Full, "3/0", "0/3", "0/3"),
        (Lines, "1.75/0", "0/1.75", "0/1.75"),
        (Unshipped, "1.75/0", "0/1.75", "0/3"),
    ] {
        let key = |counts: &str| format!("product:P {counts}");
        check(&restock(restocked), &part, &[&key(here)]);
        check(&restock(restocked), &left(&part), &[&key(before)]);
        check(&restock(restocked), &late(&part), &[&key(after)]);
    }
    let whole = [
        created(AT, "SHIPPED", 3),
        refund(AT, "R", "L", json!(1)),
        refund(AT, "Q", "L", json!("2.5")),
    ];
    for (restocked, expected) in [
        (Never, vec!["product:P 0/3"]),
        (Full, vec![]),
        (Lines, vec![]),
        (Unshipped, vec!["product:P 0/3"]),
    ] {
        check(&restock(restocked), &whole, &expected);
    }
    // An order without lines has nothing to refund.
    check(&restock(Full), &[changed(AT, json!({"items": []}))], &[]);
}

#[test]
fn refunds_are_a_union_of_all_that_was_said() {
    let lines = restock(RestockedRefunds::Lines);
    let old = listing(AT, 9, &entry("R", 1));
    // Superseded snapshots and deletions count, and absence removes nothing.
    check(&lines, &[old.clone(), updated(AT + 1, "PROCESSED", 5)], &["product:P 4/0"]);
    let gone = order("ECOMM_ORDER_DELETED", AT, "SHIPPED", 9, json!({"refunds": [entry("Q", 2)]}));
    check(&lines, &[old.clone(), gone], &["product:P 0/6"]);
    // Of one id the later entry counts; at the same time, the event's.
    check(&lines, &[old.clone(), listing(AT + 1, 9, &entry("R", 4))], &["product:P 5/0"]);
    check(&lines, &[old.clone(), refund(AT, "R", "L", json!(2))], &["product:P 7/0"]);
    check(&lines, &[old, refund(AT, "Q", "L", json!(2))], &["product:P 6/0"]);
}

#[test]
fn an_entry_with_lines_stands_over_a_stub() {
    let full = refund(AT, "R", "L", json!(4));
    let bought = updated(AT - 1, "PROCESSED", 9);
    for stub in [
        json!({"id": "R"}),
        json!({"id": "R", "items": null}),
        json!({"id": "R", "items": []}),
        // A line without a quantity is about money; one without an id matches no line.
        json!({"id": "R", "items": [{"id": "L", "quantity": null}, {"id": "L"}]}),
        json!({"id": "R", "items": [{"quantity": 9}, {"id": {}, "quantity": 9}]}),
    ] {
        holds(&[bought.clone(), full.clone(), listing(AT + 1, 9, &stub)], &["product:P 5/0"]);
    }
    let none = listing(AT + 1, 9, &json!({"id": "R", "items": [{"id": "L", "quantity": 0}]}));
    holds(&[bought, full, none], &["product:P 9/0"]);
}

#[test]
fn a_refund_was_made_when_it_first_says_so_else_when_it_was_first_heard_of() {
    let shipped = |at_ms: i64, refund: Value| {
        order("ECOMM_ORDER_UPDATED", at_ms, "SHIPPED", 10, json!({"refunds": [refund]}))
    };
    // Ten units left at AT + 100; the refund is first mentioned later.
    let left = updated(AT + 100, "SHIPPED", 10);
    let at = |entry: Value, created: Value| {
        let mut entry = entry;
        entry["created"] = created;
        entry
    };
    for (created, expected) in [
        (json!("2024-03-09T16:00:00.099Z"), "product:P 0/9"),
        (json!("2024-03-09T17:00:00.099+01:00"), "product:P 0/9"),
        (json!("2024-03-09T16:00:00.0999999Z"), "product:P 0/9"),
        (json!("2024-03-09T16:00:00.1Z"), "product:P 0/10"),
        (json!("2024-03-09T16:00:00.1000001Z"), "product:P 0/10"),
        (json!("2023-04-01T00:00:00Z"), "product:P 0/9"),
        // Not valid times: the refund was first mentioned after the goods had left.
        (json!("2024-03-09T16:00:00.099"), "product:P 0/10"),
        (json!("2009-12-31T23:59:59Z"), "product:P 0/10"),
        (json!("2100-01-01T00:00:00.000001Z"), "product:P 0/10"),
        (json!(1_710_000_000_099_i64), "product:P 0/10"),
        (json!(null), "product:P 0/10"),
    ] {
        holds(&[left.clone(), shipped(AT + 200, at(entry("R", 1), created))], &[expected]);
    }
    // The lowest time of all its entries counts, including stubs.
    let refund = refund(AT + 200, "R", "L", json!(1));
    let stub = shipped(AT + 300, at(json!({"id": "R"}), json!("2024-03-09T16:00:00Z")));
    holds(&[left.clone(), refund.clone()], &["product:P 0/10"]);
    holds(&[left.clone(), refund.clone(), stub], &["product:P 0/9"]);
    let early = listing(AT + 50, 10, &json!({"id": "R"}));
    holds(&[left, refund, early], &["product:P 0/9"]);
}

#[test]
fn what_names_no_line_that_counts_restocks_nothing() {
    let lines = restock(RestockedRefunds::Lines);
    let bought = created(AT, "SHIPPED", 3);
    let other = [bought.clone(), refund(AT, "R", "M", json!(3)), refund(AT, "", "L", json!(3))];
    check(&lines, &other, &["product:P 0/3"]);
    let nameless = json!({"id": "R", "order_id": "A", "items": [{"quantity": 3}]});
    check(&lines, &[bought, event("ECOMM_REFUND_CREATED", AT, nameless)], &["product:P 0/3"]);
    let twice = changed(
        AT,
        json!({"items": [{"id": "L", "product_id": "P", "quantity": 2},
        {"id": "L", "product_id": "P", "quantity": 2}]}),
    );
    check(&lines, &[twice, refund(AT, "R", "L", json!(1))], &["product:P 4/0"]);
}

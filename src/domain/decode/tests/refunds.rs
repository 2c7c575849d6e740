//! Refunds: in an order's `refunds`, and as events of their own.

use serde_json::json;

use super::*;

#[test]
fn refunds_are_read_as_strictly_as_lines() {
    for refunds in [json!(null), json!([]), json!([{}]), json!([{"id": "r", "items": null}])] {
        order(&order_with("refunds", refunds));
    }
    rejects(&order_with("refunds", json!("x")), Code::InvalidItems);
    rejects(&order_with("refunds", json!([5])), Code::InvalidLine);
    rejects(&order_with("refunds", json!([{"items": {}}])), Code::InvalidItems);
    rejects(&order_with("refunds", json!([{"items": [5]}])), Code::InvalidLine);
    let negative = json!([{"items": [{"id": "l", "quantity": -1}]}]);
    rejects(&order_with("refunds", negative), Code::InvalidQuantity);
    let many = json!([{"items": vec![json!({"id": "l"}); 1001]}]);
    rejects(&order_with("refunds", many), Code::TooManyLines);
    for data in [json!({"id": "r", "items": []}), json!({"order_id": "", "id": "r"})] {
        rejects(&envelope("ECOMM_REFUND_CREATED", &data).to_string(), Code::RefundNoOrder);
    }
    let odd = envelope("ECOMM_REFUND_CREATED", &json!({"order_id": 1.5, "id": "r"}));
    rejects(&odd.to_string(), Code::InvalidIdentifier);
}

#[test]
fn of_two_refunds_that_are_wrong_the_first_is_reported() {
    rejects(&order_with("refunds", json!([{"items": 7}, 5])), Code::InvalidItems);
    rejects(&order_with("refunds", json!([5, {"items": 7}])), Code::InvalidLine);
}

#[test]
fn a_refunded_line_without_a_quantity_is_about_money() {
    let items = json!([
        {"id": "l", "total": "9.00"},
        {"id": "l", "quantity": null},
        {"id": "l", "quantity": "1.25"},
        {"id": {}, "quantity": 2},
        {"quantity": 0.300_000_000_000_000_04},
    ]);
    let data = json!({"order_id": 7, "id": " r ", "items": items});
    let event = refund(&data);
    assert_eq!(event.order.to_string(), "id:7");
    let refund = event.refund.unwrap();
    assert_eq!(refund.id.as_str(), "r");
    let mut lines: Vec<_> = refund
        .entry
        .lines
        .iter()
        .map(|line| (line.id.as_ref().map(Identifier::as_str), line.quantity.to_string()))
        .collect();
    lines.sort();
    let expected = [(None, "0.3"), (None, "2"), (Some("l"), "1.25")];
    assert_eq!(lines, expected.map(|(id, quantity)| (id, quantity.to_owned())));
    let event = decoded(&envelope("ECOMM_REFUND_CREATED", &data).to_string());
    assert_eq!((event.oddities.names_unreadable, event.oddities.quantities_rounded), (1, 1));
}

#[test]
fn refunds_without_an_id_are_counted_unless_they_are_empty() {
    let line = json!([{"id": "l", "quantity": 1}]);
    let refunds = json!([{}, {"id": ""}, {"items": line}, {"id": [], "items": line}, {"id": "r"}]);
    let event = order(&order_with("refunds", refunds));
    assert_eq!((event.refunds_without_id, event.refunds.len()), (2, 1));
    assert_eq!(refund(&json!({"order_id": "O", "id": true, "items": line})).refund, None);
    // An id that occurs twice in a body is one refund.
    let twice = json!([{"id": "r"}, {"id": "r", "items": line}, {"id": "r", "items": null}]);
    let event = order(&order_with("refunds", twice));
    assert_eq!((event.refunds.len(), event.refunds[0].entry.lines.len()), (1, 1));
}

#[test]
fn a_refund_was_created_when_it_says_so_with_a_zone() {
    for (created, millis) in [
        (json!("2023-01-12T18:14:23.361Z"), Some(1_673_547_263_361)),
        (json!("2023-01-12T19:14:23.361+01:00"), Some(1_673_547_263_361)),
        (json!("2010-01-01T00:00:00Z"), Some(1_262_304_000_000)),
        (json!("2100-01-01T00:00:00Z"), Some(4_102_444_800_000)),
        (json!("2009-12-31T23:59:59.999Z"), None),
        (json!("2100-01-01T00:00:01Z"), None),
        (json!("2023-01-12T18:14:23.361"), None),
        (json!("2023-01-12"), None),
        (json!(1_673_547_263_361_i64), None),
        (json!(null), None),
    ] {
        let data = json!({"order_id": "O", "id": "r", "created": created});
        let entry = refund(&data).refund.unwrap().entry;
        assert_eq!(entry.created.map(Timestamp::millis), millis, "{created}");
        assert_eq!(entry.at().millis(), millis.unwrap_or(1_690_000_000_000));
    }
}

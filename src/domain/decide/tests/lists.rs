//! The lists that an order is in, for people who look for orders that need attention.

use serde_json::json;

use super::*;

#[track_caller]
fn lists(events: &[Arrived], expected: &[&str]) {
    let counts = Shop::after(&Policy::default(), events).counts();
    assert_eq!(holds(events, &counts).lists("id:O"), expected);
}

#[test]
fn an_order_is_settled_when_nothing_more_is_expected_of_it() {
    for (status, expected) in [
        ("DELIVERED", &["settled"][..]),
        ("CANCELLED", &["settled"]),
        ("CANCELED", &["settled"]),
        ("SHIPPED", &[]),
        ("DISPATCHED", &[]),
        ("REFUNDED", &[]),
        ("DISPUTED", &[]),
        ("UNHEARD_OF", &[]),
        ("PROCESSED", &[]),
    ] {
        lists(&[says(1, status)], expected);
    }
    lists(&[created(&json!({})), deleted(1)], &["settled"]);
    lists(&[deleted(1)], &["settled"]);
    lists(&[says(1, "DELIVERED"), says(2, "PROCESSED")], &[]);
}

#[test]
fn a_snapshot_above_a_deletion_is_listed_until_a_hold_takes_the_deletion_back() {
    let first = [created(&json!({})), deleted(3), says(9, "PROCESSED")];
    lists(&first, &["settled", "after-deletion"]);
    lists(&[deleted(3), says(2, "PROCESSED")], &["settled"]);
    let hold = correct(Action::Hold, &shown(&first), 1);
    let corrected = [first.as_slice(), &[hold]].concat();
    lists(&corrected, &["corrected"]);
}

#[test]
fn an_order_without_a_snapshot_waits() {
    lists(&[refund(1, "r", 1)], &["waiting"]);
    lists(&[refund(1, "r", 1), says(2, "PROCESSED")], &[]);
    lists(&[refund(1, "r", 1), deleted(2)], &["settled"]);
}

#[test]
fn an_order_with_a_line_without_a_key_is_unmapped_until_it_is_known() {
    let nameless = update(1, &json!({"items": [{"name": "a mug", "quantity": 1}]}));
    lists(std::slice::from_ref(&nameless), &["unmapped"]);
    lists(&[nameless, says(2, "PROCESSED")], &[]);
    let by_sku = policy(|policy| {
        policy.key_precedence = vec![crate::domain::StockKeyKind::Sku];
    });
    let shop = check(&by_sku, &[says(1, "PROCESSED")], "");
    assert_eq!(shop.lists("id:O"), ["unmapped"]);
    assert_eq!(shop.findings.lines_unmapped, 1);
    // A line whose name is remembered is mapped.
    let named = update(1, &json!({"items": [{"id": "l", "sku": "S", "quantity": 1}]}));
    let shop = check(&by_sku, &[named, says(2, "PROCESSED")], "sku:S committed 2");
    assert!(shop.lists("id:O").is_empty());
}

#[test]
fn a_person_finds_what_a_person_corrected() {
    let first = [created(&json!({}))];
    for action in Action::ALL {
        lists(&[first[0].clone(), correct(action, &shown(&first), 1)], &["corrected"]);
    }
}

#[test]
fn an_unknown_status_is_counted_and_shown_with_its_word() {
    let shop = holds(&[says(1, "ON_THE_MOON")], "product:P committed 2");
    assert_eq!(shop.findings.statuses_unknown, 1);
    let timeline = shop.order("id:O").1.timeline;
    assert_eq!(timeline[0].said.as_deref(), Some("ON_THE_MOON"));
    // So is a known status in another spelling. The status of a deletion says nothing.
    let shop = holds(&[says(1, "Shipped")], "product:P fulfilled 2");
    assert_eq!(shop.order("id:O").1.timeline[0].said.as_deref(), Some("Shipped"));
    assert_eq!(shop.findings.statuses_unknown, 0);
    let gone = event("ECOMM_ORDER_DELETED", 1, &json!({"id": "O", "status": "ON_THE_MOON"}));
    assert_eq!(holds(&[gone], "").findings.statuses_unknown, 0);
    let long = says(1, &"é".repeat(64));
    let shop = holds(&[long], "product:P committed 2");
    assert_eq!(shop.order("id:O").1.timeline[0].said.as_deref(), Some("é".repeat(32).as_str()));
}

#[test]
fn of_two_spellings_of_one_version_the_lower_messages_is_shown() {
    let spelled = [("CANCELED", 1), ("Cancelled", 2), ("CANCELLED", 3)];
    let events: Vec<_> =
        spelled.map(|(status, message)| says(5, status).by_message(message)).into();
    let shop = holds(&events, "");
    let timeline = shop.order("id:O").1.timeline;
    assert_eq!(timeline.len(), 1);
    assert_eq!(timeline[0].said.as_deref(), Some("CANCELED"));
}

#[test]
fn items_are_named_by_what_lines_call_them() {
    let line = json!([{"id": "l", "product_id": "P", "sku": "S", "name": "Mug\n4", "quantity": 1}]);
    let shop = holds(&[update(1, &json!({"items": line}))], "product:P committed 1");
    let [names] = shop.item_names.as_slice() else { panic!("{:?}", shop.item_names) };
    assert_eq!(names.key.to_string(), "product:P");
    let (version, name) = names.line.clone().unwrap();
    assert_eq!((version.event_timestamp, name.as_str()), (T0 + 1, "Mug 4"));
    let also: Vec<String> = names.also.iter().map(ToString::to_string).collect();
    assert_eq!(also, ["product:P", "sku:S"]);
}

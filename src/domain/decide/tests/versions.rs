//! Which of two events is later.

use serde_json::json;

use super::*;

fn of(quantity: u32) -> Value {
    json!({"items": items(quantity)})
}

#[test]
fn a_creation_precedes_every_other_event_whatever_the_clocks_say() {
    holds(&[order("CREATED", 5000, &of(1)), update(0, &of(3))], "product:P committed 3");
    holds(&[order("CREATED", 5000, &of(1)), deleted(0)], "");
    // A creation cannot revoke a shipment, and a shipment that it states does not outlast another
    // snapshot.
    holds(&[order("CREATED", 5000, &of(2)), says(0, "SHIPPED")], "product:P fulfilled 2");
    let shipped = order("CREATED", 5000, &json!({"status": "SHIPPED"}));
    holds(&[shipped, says(0, "PROCESSED")], "product:P committed 2");
}

#[test]
fn of_two_creations_the_later_counts() {
    holds(&[order("CREATED", 1, &of(1)), order("CREATED", 2, &of(3))], "product:P committed 3");
}

#[test]
fn at_one_time_the_rank_decides() {
    holds(&[order("CREATED", 5, &of(9)), update(5, &of(1))], "product:P committed 1");
    // CANCELLED comes after every other status of the same millisecond.
    let called_off = update(5, &json!({"status": "CANCELLED"}));
    let shop = holds(&[called_off.clone(), says(5, "DISPUTED")], "");
    assert_eq!(shop.order("id:O").1.latest.unwrap().version.status.as_str(), "CANCELLED");
    holds(&[called_off, says(5, "REFUNDED")], "");
    holds(&[update(5, &of(1)), deleted(5)], "");
}

#[test]
fn of_one_rank_the_status_that_comes_later_counts() {
    let statuses = [
        "WHO_KNOWS",
        "INCOMPLETE",
        "PENDING",
        "IN_PROGRESS",
        "PROCESSED",
        "DISPATCHED",
        "SHIPPED",
        "DELIVERED",
        "DISPUTED",
        "REFUNDED",
        "CANCELLED",
    ];
    for pair in statuses.windows(2) {
        let event =
            |status, quantity| update(5, &json!({"status": status, "items": items(quantity)}));
        let events = [event(pair[0], 9), event(pair[1], 1)];
        for arrivals in permutations(&events) {
            let mut shop = Shop::new(&Policy::default());
            shop.arrive(&arrivals);
            let latest = shop.order("id:O").1.latest.unwrap();
            assert_eq!(latest.snapshot.lines[0].quantity.to_string(), "1", "{pair:?}");
            assert!(!latest.is_ambiguous, "{pair:?}");
        }
    }
}

#[test]
fn both_names_of_an_update_are_one_kind() {
    let (one, other) = (order("STATUS_UPDATED", 5, &of(1)), update(5, &of(1)));
    let shop = holds(&[one, other], "product:P committed 1");
    assert!(!shop.order("id:O").1.latest.unwrap().is_ambiguous);
}

#[test]
fn a_tie_that_only_a_fingerprint_decides_is_ambiguous_until_a_later_snapshot() {
    let (one, three) = (update(5, &of(1)), update(5, &of(3)));
    let greater = if one_is_greater(&one, &three) { 1 } else { 3 };
    let expected = format!("product:P committed {greater}");
    let shop = holds(&[one.clone(), three.clone()], &expected);
    assert_eq!(shop.lists("id:O"), ["ambiguous"]);
    assert_eq!(shop.findings.ambiguous, 1);
    let shop = holds(&[one.clone(), three.clone(), update(6, &of(4))], "product:P committed 4");
    assert!(shop.lists("id:O").is_empty());
    // An older tie, and a repetition of the same body, have no effect.
    holds(&[one.clone(), three, update(4, &of(4))], &expected);
    let shop = holds(&[one.clone(), one], "product:P committed 1");
    assert!(shop.lists("id:O").is_empty());
}

fn one_is_greater(one: &Arrived, other: &Arrived) -> bool {
    use crate::domain::Content;
    let fingerprint = |it: &Arrived| {
        let Content::Order(order) = &it.event.content else { panic!("it is no order") };
        order.version.fingerprint
    };
    fingerprint(one) > fingerprint(other)
}

#[test]
fn a_tie_of_two_records_that_are_one_order_is_ambiguous() {
    let by_id = update(5, &of(1));
    let by_second = update(5, &json!({"id": null, "external_id": "E", "items": items(3)}));
    let both = order("CREATED", 0, &json!({"external_id": "E"}));
    let greater = if one_is_greater(&by_id, &by_second) { 1 } else { 3 };
    let shop = holds(&[by_id, by_second, both], &format!("product:P committed {greater}"));
    assert_eq!(shop.lists("id:O"), ["ambiguous"]);
}

#[test]
fn two_updates_of_one_millisecond_that_differ_only_in_refunds_both_count() {
    let refunded =
        |id, quantity| update(1, &json!({"items": items(9), "refunds": in_snapshot(id, quantity)}));
    let shop = holds(&[refunded("r1", 1), refunded("r2", 2)], "product:P committed 6");
    let record = shop.order("id:O").1;
    assert!(record.latest.unwrap().is_ambiguous, "only the fingerprint told the two apart");
    assert_eq!(record.timeline.len(), 2);
}

#[test]
fn a_body_stamped_days_ahead_is_applied_and_marked() {
    let ahead = update(2 * 86_400_000, &of(3)).received(at(0));
    // Whether a body is ahead of its receipt is determined when it is decoded.
    let body = json!({
        "event_type": "ECOMM_ORDER_UPDATED",
        "resource_data": {"site_name": "shop"},
        "event_timestamp": T0 + 2 * 86_400_000,
        "data": {"id": "O", "status": "PROCESSED", "items": items(3)},
    });
    let marked = webhook(&body.to_string(), at(0));
    assert_eq!(ahead.event.content, marked.event.content);
    let shop = holds(&[created(&of(1)), marked.clone()], "product:P committed 3");
    assert_eq!(shop.findings.timestamps_ahead, 1);
    let mut shop = Shop::new(&Policy::default());
    let settled = shop.arrive(&[&marked]).pop().unwrap().unwrap();
    assert_eq!(settled.reason, Some(crate::domain::Reason::TimestampAhead));
}

//! What is restocked when lines are refunded.

use serde_json::json;

use super::*;
use crate::domain::Restock;

fn restock(value: Restock) -> Policy {
    policy(|policy| policy.restock = value)
}

fn carrying(millis: i64, quantity: u32, refunds: &Value) -> Arrived {
    update(millis, &json!({"items": items(quantity), "refunds": refunds}))
}

#[test]
fn refunds_restock_what_the_policy_says() {
    let first = created(&json!({"items": items(3)}));
    let fraction = |quantity: &str| {
        let items = json!([{"id": "l", "quantity": quantity}]);
        [first.clone(), refund_with(1, "r", &json!({"items": items}))]
    };
    for (value, quantity, expected) in [
        (Restock::Unshipped, "3", ""),
        (Restock::Unshipped, "1.25", "product:P committed 1.75"),
        (Restock::Unshipped, "9", ""),
        (Restock::Never, "3", "product:P committed 3"),
        (Restock::Lines, "1.25", "product:P committed 1.75"),
        (Restock::Lines, "9", ""),
        (Restock::Full, "2.999999", "product:P committed 3"),
        (Restock::Full, "3", ""),
    ] {
        check(&restock(value), &fraction(quantity), expected);
    }
}

#[test]
fn once_the_goods_have_left_the_policy_says_which_refunds_are_about_goods() {
    for (refunded_at, unshipped) in [
        (1, "product:P fulfilled 1"),
        (4, "product:P fulfilled 1"),
        // Only refunds strictly before the departure count.
        (5, "product:P fulfilled 2"),
        (6, "product:P fulfilled 2"),
    ] {
        let events = [created(&json!({})), refund(refunded_at, "r", 1), says(5, "SHIPPED")];
        check(&restock(Restock::Unshipped), &events, unshipped);
        check(&restock(Restock::Never), &events, "product:P fulfilled 2");
        check(&restock(Restock::Lines), &events, "product:P fulfilled 1");
        check(&restock(Restock::Full), &events, "product:P fulfilled 2");
    }
    let whole = [refund(9, "r", 2), says(5, "SHIPPED")];
    check(&restock(Restock::Unshipped), &whole, "product:P fulfilled 2");
    check(&restock(Restock::Full), &whole, "");
    check(&restock(Restock::Lines), &whole, "");
}

#[test]
fn each_line_gives_back_no_more_than_it_has_before_lines_are_summed() {
    let items = json!([
        {"id": "l", "product_id": "P", "quantity": 1},
        {"id": "m", "product_id": "P", "quantity": 3},
    ]);
    let first = created(&json!({"items": items}));
    for value in [Restock::Lines, Restock::Unshipped] {
        let events = [first.clone(), refund(1, "r", 5)];
        check(&restock(value), &events, "product:P committed 3");
    }
}

#[test]
fn full_needs_a_line_and_every_line_refunded_to_its_quantity() {
    let full = restock(Restock::Full);
    let two = created(&json!({"items": [
        {"id": "l", "product_id": "P", "quantity": 1},
        {"id": "m", "product_id": "Q", "quantity": 2},
    ]}));
    let both = "product:P committed 1, product:Q committed 2";
    let of_m =
        |id, quantity| refund_with(1, id, &json!({"items": [{"id": "m", "quantity": quantity}]}));
    check(&full, &[two.clone(), refund(1, "r", 1)], both);
    check(&full, &[two.clone(), refund(1, "r", 1), of_m("s", 1)], both);
    // The sum over all refunds counts.
    check(&full, &[two, refund(1, "r", 1), of_m("s", 1), of_m("t", 1)], "");
    let nameless = created(&json!({"items": [{"product_id": "P", "quantity": 1}]}));
    check(&full, &[nameless, refund(1, "r", 1)], "product:P committed 1");
}

#[test]
fn refunds_of_snapshots_and_events_are_one_union() {
    let lines = restock(Restock::Lines);
    // A later snapshot without the refund revokes nothing; a superseded one with it still adds it.
    let refunded = carrying(1, 9, &in_snapshot("r1", 1));
    let later = update(2, &json!({"items": items(9)}));
    check(&lines, &[refunded.clone(), later], "product:P committed 8");
    // The same refund in both places counts once; another id is another refund.
    let events = [refunded.clone(), refund(1, "r1", 1), refund(3, "r2", 2)];
    check(&lines, &events, "product:P committed 6");
    // So does the refund of a deletion.
    let gone =
        event("ECOMM_ORDER_DELETED", 9, &json!({"id": "O", "refunds": in_snapshot("r1", 1)}));
    let shipped = update(5, &json!({"status": "SHIPPED", "items": items(9)}));
    check(&lines, &[shipped, gone], "product:P fulfilled 8");
}

#[test]
fn of_two_words_on_one_refund_the_later_wins_and_at_one_time_the_event() {
    let lines = restock(Restock::Lines);
    let refunded = carrying(1, 9, &in_snapshot("r", 1));
    check(&lines, &[refunded.clone(), refund(2, "r", 4)], "product:P committed 5");
    check(&lines, &[refunded.clone(), refund(0, "r", 4)], "product:P committed 8");
    check(&lines, &[refunded, refund(1, "r", 4)], "product:P committed 5");
    // Of two with the same kind and time, the same one wins in every order of arrival.
    let shop = check_one_of(&lines, &[refund(1, "r", 3), refund(1, "r", 4)]);
    assert!(["product:P committed 5", "product:P committed 6"].contains(&shop.as_str()), "{shop}");
}

fn check_one_of(policy: &Policy, refunds: &[Arrived]) -> String {
    let all = [refunds, &[created(&json!({"items": items(9)}))]].concat();
    let counts = Shop::after(policy, &all).counts();
    check(policy, &all, &counts);
    counts
}

#[test]
fn an_entry_with_lines_stands_over_a_stub_whatever_their_versions() {
    for value in [Restock::Lines, Restock::Unshipped] {
        let policy = restock(value);
        for stub in [
            json!([{"id": "r"}]),
            json!([{"id": "r", "items": []}]),
            json!([{"id": "r", "items": null, "reason": "late", "total": "-9.00"}]),
            // A line without a quantity is about money, and a line without an id does not count as
            // one.
            json!([{"id": "r", "items": [{"id": "l", "total": "9.00"}]}]),
            json!([{"id": "r", "items": [{"id": "l", "quantity": null}]}]),
            json!([{"id": "r", "items": [{"quantity": 2}]}]),
            json!([{"id": "r", "items": [{"id": true, "quantity": 2}]}]),
        ] {
            for stub_at in [0, 1, 2, 9] {
                let events =
                    [carrying(stub_at, 2, &stub), refund(1, "r", 1), update(9, &json!({}))];
                check(&policy, &events, "product:P committed 1");
            }
        }
    }
}

#[test]
fn a_refund_was_made_at_the_lowest_created_that_any_entry_states() {
    let shipped = says(1000, "SHIPPED");
    let created_at = |millis| json!(at(millis).to_string());
    let with = |millis, created: &Value| {
        let items = json!([{"id": "l", "quantity": 1}]);
        refund_with(millis, "r", &json!({"items": items, "created": created}))
    };
    let (before, after) = ("product:P fulfilled 1", "product:P fulfilled 2");
    holds(&[shipped.clone(), with(5000, &created_at(999))], before);
    holds(&[shipped.clone(), with(5000, &created_at(1000))], after);
    // A stated time wins over the time at which the refund was seen.
    holds(&[shipped.clone(), with(10, &created_at(2000))], after);
    // The lowest stated time counts, even if a stub states it.
    let stub = refund_with(7000, "r", &json!({"created": created_at(500)}));
    holds(&[shipped.clone(), with(5000, &created_at(2000)), stub.clone()], before);
    holds(&[shipped.clone(), with(5000, &json!(null)), stub], before);
    let other = with(9000, &created_at(3000));
    holds(&[shipped, with(5000, &created_at(10)), other], before);
}

#[test]
fn without_created_it_was_made_when_it_was_seen_first() {
    let shipped = says(1000, "SHIPPED");
    let (before, after) = ("product:P fulfilled 1", "product:P fulfilled 2");
    holds(&[shipped.clone(), refund(5000, "r", 1), refund(999, "r", 1)], before);
    holds(&[shipped.clone(), refund(5000, "r", 1), refund(1000, "r", 1)], after);
    let stub = refund_with(10, "r", &json!({}));
    holds(&[shipped.clone(), refund(5000, "r", 1), stub], before);
    for absent in [
        json!("2023-11-14T22:13:20"),
        json!("2023-11-14 22:13"),
        json!("2009-12-31T23:59:59.999Z"),
        json!("2100-01-02T00:00:00Z"),
        json!("yesterday"),
        json!(""),
        json!(1_700_000_000_000_i64),
        json!({}),
        json!(null),
    ] {
        let items = json!([{"id": "l", "quantity": 1}]);
        let refund = |millis| refund_with(millis, "r", &json!({"items": items, "created": absent}));
        holds(&[shipped.clone(), refund(999)], before);
        holds(&[shipped.clone(), refund(1001)], after);
    }
    // A time may have any zone.
    let zoned = json!("2010-01-01T01:00:00+01:00");
    let items = json!([{"id": "l", "quantity": 1}]);
    let refund = refund_with(5000, "r", &json!({"items": items, "created": zoned}));
    holds(&[shipped, refund], before);
}

#[test]
fn the_documented_refund_was_made_11_months_before_its_event() {
    let months_11 = 11 * 30 * 86_400_000;
    let created = json!(at(-months_11).to_string());
    let items = json!([{"id": "l", "quantity": 1.25}]);
    let refund = refund_with(5, "r", &json!({"items": items, "created": created}));
    holds(&[says(1, "DELIVERED"), refund], "product:P fulfilled 0.75");
}

#[test]
fn a_refund_that_cannot_be_told_to_a_line_restocks_nothing() {
    let first = created(&json!({}));
    for value in [Restock::Lines, Restock::Unshipped, Restock::Full] {
        let policy = restock(value);
        let without_id = refund_with(1, "", &json!({"items": [{"id": "l", "quantity": 2}]}));
        let unreadable = refund_with(1, "a\u{0}", &json!({"items": [{"id": "l", "quantity": 2}]}));
        let no_line = refund_with(1, "r", &json!({"items": [{"quantity": 2}]}));
        let not_ours = refund_with(1, "r", &json!({"items": [{"id": "m", "quantity": 2}]}));
        for refund in [without_id, unreadable, no_line, not_ours] {
            let shop = check(&policy, &[first.clone(), refund], "product:P committed 2");
            assert_eq!(shop.findings.refunds_unmatched, 1);
        }
        let empty = update(1, &json!({"refunds": [{}]}));
        let shop = check(&policy, &[first.clone(), empty], "product:P committed 2");
        assert_eq!(shop.findings.refunds_unmatched, 0);
        let nameless = update(1, &json!({"refunds": [{"items": [{"id": "l", "quantity": 2}]}]}));
        let shop = check(&policy, &[first.clone(), nameless], "product:P committed 2");
        assert_eq!(shop.findings.refunds_unmatched, 1);
        let twice = json!([
            {"id": "l", "product_id": "P", "quantity": 1},
            {"id": "l", "product_id": "P", "quantity": 2},
        ]);
        let twice = created(&json!({"items": twice}));
        let shop = check(&policy, &[twice, refund(1, "r", 1)], "product:P committed 3");
        assert_eq!(shop.findings.refunds_unmatched, 1);
        assert_eq!(crate::domain::refunds_unmatched(&shop.order("id:O").1), 1);
    }
}

#[test]
fn a_refunded_line_whose_id_an_edit_replaced_is_counted_when_it_is_known() {
    let edited = update(2, &json!({"items": [{"id": "l9", "product_id": "P", "quantity": 2}]}));
    let events = [created(&json!({})), refund(1, "r", 1), edited];
    let shop = check(&restock(Restock::Lines), &events, "product:P committed 2");
    assert_eq!(shop.findings.refunds_unmatched, 1);
    let back = [events.as_slice(), &[update(3, &json!({}))]].concat();
    let shop = check(&restock(Restock::Lines), &back, "product:P committed 1");
    assert_eq!(crate::domain::refunds_unmatched(&shop.order("id:O").1), 0);
}

#[test]
fn a_refund_may_come_before_its_order_and_waits() {
    let mut shop = Shop::new(&Policy::default());
    shop.arrive(&[&refund(1, "r", 1)]);
    assert_eq!(shop.lists("id:O"), ["waiting"]);
    assert_eq!(shop.findings.refunds_unmatched, 0);
    shop.arrive(&[&created(&json!({}))]);
    assert_eq!(shop.counts(), "product:P committed 1");
    assert!(shop.lists("id:O").is_empty());
}

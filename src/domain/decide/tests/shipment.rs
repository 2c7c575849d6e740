//! Whether the goods have left, and since when.

use serde_json::json;

use super::*;

#[test]
fn the_last_word_on_shipment_counts_and_only_some_statuses_are_one() {
    for (events, expected) in [
        (vec![says(1, "SHIPPED"), says(2, "PROCESSED")], "product:P committed 2"),
        (vec![says(1, "SHIPPED"), says(2, "PENDING")], "product:P committed 2"),
        (vec![says(1, "PROCESSED"), says(2, "DISPATCHED")], "product:P fulfilled 2"),
        (vec![says(1, "DELIVERED"), says(2, "REFUNDED")], "product:P fulfilled 2"),
        (
            vec![says(1, "SHIPPED"), says(2, "PROCESSED"), says(3, "DELIVERED")],
            "product:P fulfilled 2",
        ),
        (
            vec![says(1, "SHIPPED"), says(2, "PROCESSED"), says(3, "DISPUTED")],
            "product:P committed 2",
        ),
    ] {
        holds(&events, expected);
    }
}

#[test]
fn it_has_left_since_the_lowest_version_above_what_took_it_back() {
    // A refund between the first and the last statement about shipment is about money.
    let events = [says(10, "DISPATCHED"), says(20, "DELIVERED"), refund(15, "r", 1)];
    holds(&events, "product:P fulfilled 2");
    holds(
        &[says(10, "DISPATCHED"), says(20, "DELIVERED"), refund(9, "r", 1)],
        "product:P fulfilled 1",
    );
    // A departure that was revoked does not count.
    let events =
        [says(10, "SHIPPED"), says(20, "PROCESSED"), says(30, "SHIPPED"), refund(15, "r", 1)];
    holds(&events, "product:P fulfilled 1");
    let after = [events.as_slice(), &[refund(30, "s", 1)]].concat();
    holds(&after, "product:P fulfilled 1");
}

#[test]
fn a_deletion_that_says_shipped_is_a_departure() {
    let gone = event("ECOMM_ORDER_DELETED", 10, &json!({"id": "O", "status": "DELIVERED"}));
    let events = [created(&json!({})), gone.clone(), refund(9, "r", 1)];
    holds(&events, "product:P fulfilled 1");
    holds(&[created(&json!({})), gone, refund(10, "r", 1)], "product:P fulfilled 2");
}

#[test]
fn the_lowest_64_departures_and_the_highest_are_kept() {
    let shipped: Vec<Arrived> = (1..=70).map(|it| says(it * 10, "SHIPPED")).collect();
    let rising: Vec<_> = shipped.iter().collect();
    let falling: Vec<_> = shipped.iter().rev().collect();
    // Starts in the middle, so that the highest is not the last to arrive.
    let inner: Vec<_> = shipped.iter().skip(30).chain(shipped.iter().take(30)).collect();
    let play = |events: &[&Arrived], others: &[Arrived]| {
        let mut shop = Shop::new(&Policy::default());
        for event in events.iter().copied().chain(others) {
            shop.arrive(&[event]);
        }
        shop
    };
    let kept: Vec<i64> = (1..=64).chain([70]).map(|it| it * 10).collect();
    for arrivals in [&rising, &falling, &inner] {
        let record = play(arrivals, &[]).order("id:O").1;
        let times: Vec<i64> = record.shipped.iter().map(|it| it.event_timestamp - T0).collect();
        assert_eq!(times, kept);
        // The goods left at the first, unless all 64 are revoked: then they left at the highest.
        let back = says(655, "PROCESSED");
        let others = [back, refund(665, "r", 1)];
        assert_eq!(play(arrivals, &others).counts(), "product:P fulfilled 1");
        assert_eq!(play(arrivals, &others[1..]).counts(), "product:P fulfilled 2");
        let back = says(605, "PROCESSED");
        assert_eq!(
            play(arrivals, &[back.clone(), refund(609, "r", 1)]).counts(),
            "product:P fulfilled 1"
        );
        assert_eq!(play(arrivals, &[back, refund(610, "r", 1)]).counts(), "product:P fulfilled 2");
    }
}

//! The limits of a record.

use serde_json::json;

use super::*;
use crate::domain::{
    CORRECTIONS_MAX, Code, Outcome, REFUNDED_LINES_MAX, REFUNDS_MAX, Record, Refused,
    SECOND_NAMES_MAX, TIMELINE_LENGTH_MAX,
};

fn shop() -> Shop {
    Shop::new(&Policy::default())
}

fn outcomes(shop: &mut Shop, events: &[&Arrived]) -> Vec<Result<Outcome, Refused>> {
    let settled = shop.arrive(events).into_iter();
    settled.map(|settled| settled.map(|settled| settled.outcome)).collect()
}

fn record(shop: &Shop) -> Record {
    shop.order("id:O").1
}

/// Returns refunds with these numbers, each with this many lines.
fn refunds(numbers: std::ops::Range<usize>, lines: usize) -> Value {
    let lines: Vec<_> = (0..lines).map(|it| json!({"id": it.to_string(), "quantity": 1})).collect();
    numbers.map(|number| json!({"id": format!("r{number}"), "items": lines})).collect()
}

/// Creates a snapshot with a line that no refund refers to.
fn carrying(millis: i64, quantity: u32, refunds: &Value) -> Arrived {
    update(millis, &json!({"items": items(quantity), "refunds": refunds}))
}

fn held(quantity: u32) -> String {
    format!("product:P committed {quantity}")
}

const TOO_MANY: Result<Outcome, Refused> = Err(Refused::TooManyRefunds);
const APPLIED: Result<Outcome, Refused> = Ok(Outcome::Applied);

/// Creates a refund of a line that the order does not have.
fn refund(millis: i64, id: &str) -> Arrived {
    refund_with(millis, id, &json!({"items": [{"id": "0", "quantity": 1}]}))
}

#[test]
fn a_record_has_a_bounded_number_of_refunds_whichever_events_bring_them() {
    let mut shop = shop();
    let first = carrying(1, 1, &refunds(0..REFUNDS_MAX - 1, 1));
    assert_eq!(outcomes(&mut shop, &[&first]), [APPLIED]);
    assert_eq!(outcomes(&mut shop, &[&refund(2, "last")]), [APPLIED]);
    let full = record(&shop);
    // It is refused as a whole: neither its quantity nor a timeline entry remains.
    assert_eq!(outcomes(&mut shop, &[&refund(3, "more")]), [TOO_MANY]);
    let more = carrying(4, 9, &refunds(5..REFUNDS_MAX, 1));
    assert_eq!(outcomes(&mut shop, &[&more]), [TOO_MANY]);
    assert_eq!(record(&shop), full);
    // Known refunds, and events without new ones, still fit.
    assert_eq!(outcomes(&mut shop, &[&refund(2, "last")]), [Ok(Outcome::Duplicate)]);
    let known = carrying(5, 5, &refunds(0..10, 1));
    assert_eq!(outcomes(&mut shop, &[&known]), [APPLIED]);
    assert_eq!((shop.counts(), record(&shop).refunds.len()), (held(5), REFUNDS_MAX));
    assert_eq!(Refused::TooManyRefunds.code(), Code::TooManyRefunds);
}

#[test]
fn of_events_that_arrive_together_only_those_without_room_are_refused() {
    let mut shop = shop();
    let half = REFUNDS_MAX / 2;
    let events = [
        &carrying(1, 1, &refunds(0..half, 1)),
        &carrying(2, 2, &refunds(0..REFUNDS_MAX + 1 - half, 1)),
        &carrying(3, 3, &refunds(half..REFUNDS_MAX + 1, 1)),
        &refund(4, "more"),
        &carrying(5, 4, &json!([])),
    ];
    assert_eq!(outcomes(&mut shop, &events), [APPLIED, APPLIED, TOO_MANY, APPLIED, APPLIED]);
    assert_eq!((shop.counts(), record(&shop).refunds.len()), (held(4), half + 2));
}

#[test]
fn the_lines_of_all_refunds_are_bounded_together() {
    let (mut shop, lines) = (shop(), 1000);
    let most = REFUNDED_LINES_MAX / lines;
    for number in 0..most {
        let event = carrying(1, 1, &refunds(number..number + 1, lines));
        assert_ne!(outcomes(&mut shop, &[&event]), [TOO_MANY], "{number}");
    }
    assert_eq!(outcomes(&mut shop, &[&refund(2, "more")]), [TOO_MANY]);
    // A later statement about a refund replaces the earlier one.
    let less = carrying(3, 1, &refunds(0..1, lines - 1));
    assert_eq!(outcomes(&mut shop, &[&less]), [APPLIED]);
    assert_eq!(outcomes(&mut shop, &[&refund(4, "more")]), [APPLIED]);
    let again = carrying(5, 1, &refunds(0..1, lines));
    assert_eq!(outcomes(&mut shop, &[&again]), [TOO_MANY]);
}

#[test]
fn the_first_event_of_an_order_may_not_bring_more_either() {
    let mut shop = shop();
    let most = REFUNDED_LINES_MAX / 1000;
    let more = carrying(1, 1, &refunds(0..most + 1, 1000));
    assert_eq!(outcomes(&mut shop, &[&more]), [TOO_MANY]);
    assert_eq!((shop.counts().as_str(), shop.records.len()), ("", 0));
    let all = carrying(1, 1, &refunds(0..most, 1000));
    assert_eq!(outcomes(&mut shop, &[&all]), [APPLIED]);
}

#[test]
fn a_deletion_takes_effect_whether_its_refunds_have_room_or_not() {
    let mut shop = shop();
    shop.arrive(&[&carrying(1, 1, &refunds(0..REFUNDS_MAX, 1))]);
    let data = json!({"id": "O", "refunds": refunds(1..REFUNDS_MAX + 1, 1)});
    let gone = event("ECOMM_ORDER_DELETED", 2, &data);
    assert_eq!(outcomes(&mut shop, &[&gone]), [APPLIED]);
    assert_eq!((shop.counts().as_str(), record(&shop).refunds.len()), ("", REFUNDS_MAX));
    assert_eq!(outcomes(&mut shop, &[&gone]), [Ok(Outcome::Duplicate)]);
}

#[test]
fn the_limit_of_refunds_never_prevents_a_link() {
    let mut shop = shop();
    let by_second = carrying_of(&json!({"id": null, "external_id": "E"}), 0..REFUNDS_MAX);
    let by_id = carrying_of(&json!({"id": "O"}), 500..REFUNDS_MAX + 500);
    let both = order("CREATED", 0, &json!({"external_id": "E"}));
    assert_eq!(outcomes(&mut shop, &[&by_second, &by_id]), [APPLIED, APPLIED]);
    shop.arrive(&[&both]).pop().unwrap().unwrap();
    assert_eq!(record(&shop).refunds.len(), REFUNDS_MAX + 500);
    assert_eq!(shop.order("external-id:E").0.to_string(), "id:O");
}

fn carrying_of(names: &Value, numbers: std::ops::Range<usize>) -> Arrived {
    let mut change = names.clone();
    change["refunds"] = refunds(numbers, 1);
    update(1, &change)
}

#[test]
fn sixty_four_second_names_lead_to_an_id_and_no_more() {
    let mut shop = shop();
    let named = |number: usize| {
        let name = format!("E{number:02}");
        update(1, &json!({"external_id": name, "items": items(1)}))
    };
    for number in 0..SECOND_NAMES_MAX {
        shop.arrive(&[&named(number)]).pop().unwrap().unwrap();
    }
    let more = shop.arrive(&[&named(SECOND_NAMES_MAX)]).pop().unwrap();
    assert_eq!(more, Err(Refused::TooManyNames));
    assert_eq!(more.unwrap_err().code(), Code::TooManyNames);
    assert_eq!(shop.links.len(), SECOND_NAMES_MAX);
    // Events with known names, or without a name, still fit.
    for event in [named(0), update(9, &json!({"items": items(1)}))] {
        shop.arrive(&[&event]).pop().unwrap().unwrap();
    }
    assert_eq!(shop.counts(), held(1));
}

#[test]
fn an_order_keeps_64_corrections() {
    let mut shop = shop();
    let first = created(&json!({}));
    shop.arrive(&[&first]);
    let seen = shop.shown("id:O");
    let number = |it: usize| u32::try_from(it).unwrap();
    for it in 1..=CORRECTIONS_MAX {
        let action = if it % 2 == 0 { Action::Release } else { Action::Hold };
        shop.arrive(&[&correct(action, &seen, number(it))]).pop().unwrap().unwrap();
    }
    let before = record(&shop);
    let more = correct(Action::Hold, &seen, number(CORRECTIONS_MAX + 1));
    let refused = shop.arrive(&[&more]).pop().unwrap();
    assert_eq!(refused, Err(Refused::TooManyCorrections));
    assert_eq!(refused.unwrap_err().code(), Code::CorrectionInvalid);
    assert_eq!((record(&shop), shop.counts().as_str()), (before, ""));
    // A known reference is still accepted, and may replace another correction under it.
    let last = correct(Action::Hold, &seen, number(CORRECTIONS_MAX)).by_message(0);
    shop.arrive(&[&last]).pop().unwrap().unwrap();
    assert_eq!(shop.counts(), held(2));
    assert_eq!(record(&shop).corrections.len(), CORRECTIONS_MAX);
}

#[test]
fn the_timeline_keeps_the_64_highest_versions_whatever_the_order() {
    let updates: Vec<_> = (0..100).map(|at| update(at, &json!({"items": items(1)}))).collect();
    let times = |events: &[&Arrived]| -> Vec<i64> {
        let mut shop = shop();
        for event in events {
            shop.arrive(&[event]);
        }
        record(&shop).timeline.iter().map(|entry| entry.version.event_timestamp - T0).collect()
    };
    let expected: Vec<i64> = (36..100).rev().collect();
    assert_eq!(expected.len(), TIMELINE_LENGTH_MAX);
    assert_eq!(times(&updates.iter().collect::<Vec<_>>()), expected);
    assert_eq!(times(&updates.iter().rev().collect::<Vec<_>>()), expected);
}

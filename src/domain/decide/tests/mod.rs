//! What orders hold, case by case. Goal: each row and sentence of the rules has a case that would
//! fail without it. Method: [`check`] plays a history in every order of arrival, with each event
//! once and twice, one by one and folded into one decision, and compares everything that must not
//! depend on the order of arrival.

mod catalogue;
mod closing;
mod corrections;
mod field;
mod histories;
mod holds;
mod limits;
mod lists;
mod names;
mod outcomes;
mod receipts;
mod refunds;
mod remembered;
mod shipment;
mod shop;
mod versions;

use serde_json::{Value, json};

use super::Arrival;
use crate::domain::{
    Action, Decoded, Event, MessageId, Policy, Shown, Timestamp, decode_correction, decode_receipt,
    decode_webhook,
};
use shop::{Arrived, Shop};

/// The beginning of every history.
const T0: i64 = 1_700_000_000_000;

/// Returns the time this many milliseconds after the beginning.
const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(T0 + millis)
}

/// Creates the arrival of an event, by a message whose id depends only on the body.
fn arrived(event: Event, received_at: Timestamp, body: &str) -> Arrived {
    let message = body.bytes().fold(0_u64, |all, byte| {
        (all ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(7)
    });
    let arrival = Arrival {
        message_id: MessageId(uuid::Uuid::from_u128(u128::from(message))),
        received_at,
        replays: 0,
        event_type: event.event_type.clone(),
    };
    Arrived { event, arrival }
}

/// Decodes a webhook.
fn webhook(body: &str, received_at: Timestamp) -> Arrived {
    match decode_webhook(body.as_bytes(), received_at).unwrap() {
        Decoded::Event(event) => arrived(*event, received_at, body),
        Decoded::Unknown { event_type } => panic!("{event_type} is unknown"),
    }
}

/// Creates a webhook with this name and time.
fn event(name: &str, millis: i64, data: &Value) -> Arrived {
    let body = json!({
        "event_type": name,
        "resource_data": {"site_name": "shop"},
        "event_timestamp": T0 + millis,
        "data": data,
    });
    webhook(&body.to_string(), at(millis))
}

/// Creates an order "O" of two units of product P, with these members of it changed.
fn order(kind: &str, millis: i64, change: &Value) -> Arrived {
    let mut data = json!({"id": "O", "status": "PROCESSED", "items": items(2)});
    for (member, value) in change.as_object().unwrap() {
        data[member] = value.clone();
    }
    event(&format!("ECOMM_ORDER_{kind}"), millis, &data)
}

/// Returns one line "l" of product P.
fn items(quantity: u32) -> Value {
    json!([{"id": "l", "product_id": "P", "quantity": quantity}])
}

fn created(change: &Value) -> Arrived {
    order("CREATED", 0, change)
}

fn update(millis: i64, change: &Value) -> Arrived {
    order("UPDATED", millis, change)
}

/// Creates an update of two units with this status.
fn says(millis: i64, status: &str) -> Arrived {
    update(millis, &json!({"status": status}))
}

fn deleted(millis: i64) -> Arrived {
    event("ECOMM_ORDER_DELETED", millis, &json!({"id": "O", "status": "PROCESSED"}))
}

/// Creates a refund of this many units of line "l".
fn refund(millis: i64, id: &str, quantity: u32) -> Arrived {
    refund_with(millis, id, &json!({"items": [{"id": "l", "quantity": quantity}]}))
}

fn refund_with(millis: i64, id: &str, change: &Value) -> Arrived {
    let mut data = json!({"id": id, "order_id": "O"});
    for (member, value) in change.as_object().unwrap() {
        data[member] = value.clone();
    }
    event("ECOMM_REFUND_CREATED", millis, &data)
}

/// Returns a refund as a snapshot contains it.
fn in_snapshot(id: &str, quantity: u32) -> Value {
    json!([{"id": id, "items": [{"id": "l", "quantity": quantity}]}])
}

/// Creates the correction with this number: it has its own reference and message, and is received
/// this many seconds after the beginning.
fn correct(action: Action, shown: &Shown, number: u32) -> Arrived {
    correct_as("id:O", action, shown, number)
}

fn correct_as(order: &str, action: Action, shown: &Shown, number: u32) -> Arrived {
    let body = json!({
        "site": "shop",
        "order": order,
        "action": action.as_str(),
        "shown": shown.token(),
        "reference": format!("c{number}"),
        "reason": "counted",
        "actor": "ann",
    });
    let event = decode_correction(body.to_string().as_bytes()).unwrap();
    arrived(event, at(i64::from(number) * 1000), "").by_message(number.into())
}

/// Returns what a person is shown of order "O" after these events.
fn shown(events: &[Arrived]) -> Shown {
    Shop::after(&Policy::default(), events).shown("id:O")
}

/// Creates a receipt of item P.
fn receipt(reference: &str, change: &Value) -> Arrived {
    let mut body = json!({"site": "shop", "key": "product:P", "reference": reference});
    for (member, value) in change.as_object().unwrap() {
        body[member] = value.clone();
    }
    let body = body.to_string();
    arrived(decode_receipt(body.as_bytes()).unwrap(), at(0), &body)
}

fn permutations(events: &[Arrived]) -> Vec<Vec<&Arrived>> {
    let Some((first, rest)) = events.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for shorter in permutations(rest) {
        for place in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(place, first);
            all.push(longer);
        }
    }
    all
}

/// Checks what the shop counts after these events, in every order of arrival.
#[track_caller]
fn check(policy: &Policy, events: &[Arrived], expected: &str) -> Shop {
    let mut first: Option<Shop> = None;
    for arrivals in permutations(events) {
        let twice: Vec<_> = arrivals.iter().chain(&arrivals).copied().collect();
        let chunk_sizes = [("one by one", 1), ("in pairs", 2), ("folded", twice.len())];
        for (arrivals, times) in [(&arrivals, "once"), (&twice, "twice")] {
            for (how, size) in chunk_sizes {
                let mut shop = Shop::new(policy);
                for together in arrivals.chunks(size) {
                    shop.arrive(together);
                }
                let case = || {
                    let name = |it: &&Arrived| it.event.event_type.as_str().to_owned();
                    format!("{how}, {times}: {:?}", arrivals.iter().map(name).collect::<Vec<_>>())
                };
                assert_eq!(shop.counts(), expected, "{}", case());
                let first = first.get_or_insert_with(|| shop.clone());
                assert_eq!(shop.normal(), first.normal(), "{}", case());
            }
        }
    }
    first.unwrap()
}

/// Like [`check`], under the default policy.
#[track_caller]
fn holds(events: &[Arrived], expected: &str) -> Shop {
    check(&Policy::default(), events, expected)
}

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

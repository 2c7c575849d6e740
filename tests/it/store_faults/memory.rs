//! How much memory of Redis an order takes, open and closed.

use std::io::Write;

use serde_json::json;
use storekeeper::domain::{
    Arrival, Decoded, Event, List, MessageId, Policy, Timestamp, decode_webhook,
};
use storekeeper::duties::close_final;
use uuid::Uuid;

use super::{open, options, origin};
use crate::conformance::deciding::{RECEIVED, take};
use crate::servers::RedisServer;

const ORDERS: usize = 25_000;
/// Commits at a time.
const BATCH: usize = 500;
/// The most that the record of an order of three lines may take, without what its names, lists, items
/// and the feed say of it.
const OPEN_BYTES_MAX: u64 = 1100;
/// The most that a closed one may take, which had two names of its own. Of fewer closed orders each
/// takes more, as the sets that they share are not filled.
const CLOSED_BYTES_MAX: f64 = 20.0;

/// A delivered order of three lines, in which every name is a UUID.
fn delivered() -> (Event, Arrival) {
    let uuid = || Uuid::from_u128(rand::random()).to_string();
    // The same goods every time: what items take is not looked at.
    let line = |product: u128| {
        json!({
            "id": uuid(), "product_id": Uuid::from_u128(product).to_string(), "quantity": 2,
        })
    };
    let body = json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_700_000_000_000_i64,
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": uuid(), "external_id": uuid(), "invoice_number": "1234", "mode": "LIVE",
            "status": "DELIVERED", "items": [line(1), line(2), line(3)],
        },
    });
    let Decoded::Event(event) = decode_webhook(body.to_string().as_bytes(), RECEIVED).unwrap()
    else {
        panic!("an order is an event")
    };
    let message_id = MessageId(Uuid::now_v7());
    let event_type = event.event_type.clone();
    (*event, Arrival { message_id, received_at: RECEIVED, replays: 0, event_type })
}

/// What keys of a pattern take, all together.
fn memory(server: &RedisServer, pattern: &str) -> u64 {
    let mut connection = server.connection();
    let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query(&mut connection).unwrap();
    assert!(!keys.is_empty(), "there is no {pattern}");
    let usage = |key: &String| -> u64 {
        let mut usage = redis::cmd("MEMORY");
        usage.arg("USAGE").arg(key).arg("SAMPLES").arg(0).query(&mut connection).unwrap()
    };
    keys.iter().map(usage).sum()
}

#[tokio::test]
async fn an_order_takes_little_and_a_closed_one_next_to_nothing() {
    let server = RedisServer::start(&[]);
    let options = options(&server);
    let store = open(&options);
    let in_force = store.replace_policy(&Policy::default(), &origin()).await.unwrap();
    for _ in 0..ORDERS / BATCH {
        let events: Vec<_> = (0..BATCH).map(|_| delivered()).collect();
        let outcomes = take(&*store, &in_force, &events).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
    let orders = u64::try_from(ORDERS).unwrap();
    let parts = ["*:order:*", "*:names", "*:orders*"].map(|it| memory(&server, it) / orders);
    let open = parts[0];
    let before: Timestamp = RECEIVED.plus_micros(1);
    let mut count = 0;
    loop {
        match close_final(&*store, before).await.unwrap() {
            0 => break,
            closed => count += closed,
        }
    }
    assert_eq!(count, orders);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let closed = memory(&server, "*:closed:*") as f64 / orders as f64;
    // Not `eprintln!`, which is shown for tests that fail only.
    let said = format!(
        "an open order takes {open} bytes of Redis, its names and lists {} and {}, a closed one \
         {closed:.1}\n",
        parts[1], parts[2]
    );
    std::io::stderr().write_all(said.as_bytes()).unwrap();
    assert!(open < OPEN_BYTES_MAX, "{open}");
    assert!(closed < CLOSED_BYTES_MAX, "{closed}");
    assert_eq!(store.count_listed(List::All).await.unwrap(), 0);
}

//! How much memory of Redis an order takes, open and closed.

use std::io::Write;

use serde_json::json;
use storekeeper::domain::{
    Arrival, Decoded, MessageId, Policy, PolicyInForce, Timestamp, close, decide, decode_webhook,
};
use storekeeper::store::{Closing, Commit, Committed, EntityId, PageRequest};
use uuid::Uuid;

use super::{open, options, site};
use crate::servers::RedisServer;

const ORDERS: usize = 25_000;
/// Commits at a time.
const BATCH: usize = 500;
/// The most that an order of three lines may take, without what its items and the feed say of it.
const OPEN_BYTES_MAX: u64 = 800;
/// The most that a closed one may take, which had two names of its own. Of fewer closed orders each
/// takes more, as the sets that they share are not filled.
const CLOSED_BYTES_MAX: f64 = 20.0;

/// The first commit of a delivered order of three lines, in which every name is a UUID.
fn delivered(in_force: &PolicyInForce) -> Commit {
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
    let received_at = Timestamp::from_millis(1_700_000_001_000);
    let Decoded::Event(event) = decode_webhook(body.to_string().as_bytes(), received_at).unwrap()
    else {
        panic!("an order is an event")
    };
    let message_id = MessageId(Uuid::now_v7());
    let event_type = event.event_type.clone();
    let arrival = Arrival { message_id, received_at, replays: 0, event_type };
    let decision = decide(None, &[(&event.content, &arrival)], in_force).unwrap();
    Commit {
        entity: EntityId { site: event.site.clone(), name: event.content.entity() },
        loaded: None,
        state: decision.state,
        changes: decision.changes,
        message_id,
        at: received_at,
    }
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
    let in_force = store.replace_policy(&Policy::default()).await.unwrap();
    for _ in 0..ORDERS / BATCH {
        let commits: Vec<_> = (0..BATCH).map(|_| delivered(&in_force)).collect();
        let committed = store.commit(commits).await.unwrap();
        let is_written = |it: &Committed| matches!(it, Committed::Written { .. });
        assert!(committed.iter().all(is_written), "{committed:?}");
    }
    let orders = u64::try_from(ORDERS).unwrap();
    let open = memory(&server, "*:order:*") / orders;
    let before = Timestamp::from_millis(1_700_000_002_000);
    loop {
        let settled = store.settled_orders(before, &PageRequest::first(BATCH)).await.unwrap();
        if settled.items.is_empty() {
            break;
        }
        let closings = settled.items.into_iter().map(|it| Closing {
            remains: close(&it.order, &it.state, in_force.revision).unwrap(),
            site: it.site,
            order: it.order,
            loaded: it.revision,
            before,
        });
        let closed = store.close_orders(closings.collect()).await.unwrap();
        assert!(closed.iter().all(|closed| *closed));
    }
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let closed = memory(&server, "*:closed:*") as f64 / orders as f64;
    // Not `eprintln!`, which is shown for tests that fail only.
    let said = format!("an open order takes {open} bytes of Redis, a closed one {closed:.1}\n");
    std::io::stderr().write_all(said.as_bytes()).unwrap();
    assert!(open < OPEN_BYTES_MAX, "{open}");
    assert!(closed < CLOSED_BYTES_MAX, "{closed}");
    assert!(store.orders(&site("shop"), &PageRequest::first(1)).await.unwrap().items.is_empty());
}

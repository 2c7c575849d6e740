//! The rules alone: decode and decide for one order of the usual size.

use bytes::Bytes;
use storekeeper::domain::{
    Arrival, Decoded, EntityState, MessageId, Policy, PolicyInForce, Timestamp, check, decide,
    decode_webhook,
};
use storekeeper::simulate::history::Kind;
use storekeeper::simulate::{History, HistoryOptions};
use tokio::time::Instant;

use crate::{Arguments, ROUNDS, median};

const BYTES: std::ops::Range<usize> = 2400..2800;

pub(crate) fn run(arguments: &Arguments) {
    let bodies = orders();
    let bytes: usize = bodies.iter().map(Bytes::len).sum();
    let repeats = arguments.scaled(200);
    let rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..repeats {
                for body in &bodies {
                    std::hint::black_box(one(std::hint::black_box(body)));
                }
            }
            began.elapsed().as_secs_f64() * 1e6 / f64::from(repeats) / bodies.len() as f64
        })
        .collect();
    println!(
        "rules: {:.1} us to decode and decide an order of {} bytes (median of {ROUNDS} rounds)",
        median(rounds),
        bytes / bodies.len(),
    );
}

/// Creations of the size that Duda's own samples have.
fn orders() -> Vec<Bytes> {
    let options = HistoryOptions { seed: 1, orders: 200, duplicates_per_mille: 0 };
    let history = History::write(options);
    let created =
        history.deliveries.into_iter().filter(|delivery| delivery.kind == Kind::OrderCreated);
    created.map(|delivery| delivery.body).filter(|body| BYTES.contains(&body.len())).collect()
}

fn one(body: &[u8]) -> Option<EntityState> {
    let received_at = Timestamp::from_millis(1_800_000_000_000);
    let Decoded::Event(event) = decode_webhook(body, received_at).unwrap() else { return None };
    let in_force = PolicyInForce { revision: 1, policy: Policy::default() };
    check(&event, &in_force.policy).unwrap();
    let arrival = Arrival {
        message_id: MessageId(uuid::Uuid::nil()),
        received_at,
        replays: 0,
        event_type: event.event_type.clone(),
    };
    let decision = decide(None, &[(&event.content, &arrival)], &in_force)?;
    Some(decision.state)
}

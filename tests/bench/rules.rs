//! The rules alone, for one order of the usual size: decode and decide, and its record as it is
//! stored.

use storekeeper::domain::{
    Arrival, Decision, Decoded, EntityState, MessageId, Policy, PolicyInForce, Reading, Timestamp,
    decide_orders, decode_webhook,
};
use storekeeper::store::state::{
    decode_entity, decode_entity_bytes, encode_entity, encode_entity_bytes,
};
use storekeeper::store::{EntityId, EntityName};
use tokio::time::Instant;

use crate::corpus::Webhook;
use crate::{Arguments, median};

const ROUNDS: usize = 5;

pub(crate) fn run(arguments: &Arguments) {
    let bodies: Vec<String> = (0..200).map(|order| Webhook::usual(order).body()).collect();
    let repeats = arguments.scaled(200);
    let decided = measure(repeats, &bodies, |body| decide(body.as_bytes()));
    println!(
        "rules: {decided:.1} us to decode and decide an order of {} bytes (median of {ROUNDS} \
         rounds)",
        mean(bodies.iter().map(String::len)),
    );
    let records: Vec<(EntityId, EntityState)> =
        bodies.iter().flat_map(|body| written(body.as_bytes())).collect();
    let texts: Vec<_> = records.iter().map(|(_, state)| encode_entity(state).unwrap()).collect();
    let bytes: Vec<_> =
        records.iter().map(|(_, state)| encode_entity_bytes(state).unwrap()).collect();
    let as_text = measure(repeats, &records, |(_, state)| encode_entity(state).unwrap());
    let as_bytes = measure(repeats, &records, |(_, state)| encode_entity_bytes(state).unwrap());
    let named: Vec<_> = records.iter().map(|(name, _)| name).zip(&texts).collect();
    let from_text = measure(repeats, &named, |(name, text)| decode_entity(name, text).unwrap());
    let named: Vec<_> = records.iter().map(|(name, _)| name).zip(&bytes).collect();
    let from_bytes =
        measure(repeats, &named, |(name, bytes)| decode_entity_bytes(name, bytes).unwrap());
    println!(
        "states: {as_text:.1} us to write the record of such an order as text of {} bytes, and \
         {from_text:.1} us to read it; {as_bytes:.1} us and {from_bytes:.1} us in the compact \
         form of {} bytes",
        mean(texts.iter().map(String::len)),
        mean(bytes.iter().map(Vec::len)),
    );
}

/// How many microseconds something takes for one of these, in the median of some rounds.
fn measure<T, R>(repeats: u32, all: &[T], one: impl Fn(&T) -> R) -> f64 {
    let round = |_| {
        let began = Instant::now();
        for _ in 0..repeats {
            for it in all {
                std::hint::black_box(one(std::hint::black_box(it)));
            }
        }
        began.elapsed().as_secs_f64() * 1e6 / f64::from(repeats) / all.len() as f64
    };
    median((0..ROUNDS).map(round).collect())
}

fn mean(sizes: impl ExactSizeIterator<Item = usize>) -> usize {
    let count = sizes.len();
    sizes.sum::<usize>() / count
}

/// The record of an order of the usual size, as text and in the compact form.
pub(crate) fn record() -> (String, Vec<u8>) {
    let (_, state) = written(Webhook::usual(0).body().as_bytes()).swap_remove(0);
    (encode_entity(&state).unwrap(), encode_entity_bytes(&state).unwrap())
}

/// The records that such an order makes.
fn written(body: &[u8]) -> Vec<(EntityId, EntityState)> {
    let (site, decision) = decide(body);
    let entity = |name: EntityName| EntityId { site: site.clone(), name };
    let writes = decision.writes.into_iter();
    writes.filter_map(|write| Some((entity(write.name), write.state?))).collect()
}

/// Decides an order of which nothing is known yet.
fn decide(body: &[u8]) -> (storekeeper::domain::Site, Decision) {
    let received_at = Timestamp::from_millis(1_800_000_000_000);
    let event = match decode_webhook(body, received_at).unwrap() {
        Decoded::Event(event) => event,
        Decoded::Unknown { event_type } => unreachable!("{event_type} is no order's creation"),
    };
    let in_force = PolicyInForce { revision: 1, policy: Policy::default() };
    let arrival = Arrival {
        message_id: MessageId(uuid::Uuid::nil()),
        received_at,
        replays: 0,
        event_type: event.event_type.clone(),
    };
    let names = event.content.names().unwrap();
    let mut reading = Reading::default();
    loop {
        let missing = reading.missing([&names]);
        if missing.is_nothing() {
            break;
        }
        missing.records.into_iter().for_each(|name| drop(reading.records.insert(name, None)));
        missing.links.into_iter().for_each(|name| drop(reading.links.insert(name, None)));
    }
    let part = reading.part([&names]);
    (event.site.clone(), decide_orders(&part, &[(&event, &arrival)], &in_force))
}

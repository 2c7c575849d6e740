//! Decoding and deciding an event, and encoding and decoding a state.

use std::hint::black_box;

use storekeeper::domain::{
    Arrival, EntityName, EntityState, Event, MessageId, Policy, PolicyInForce, Reading, Site,
    decide_orders,
};
use storekeeper::store::EntityId;
use storekeeper::store::state::{decode_entity_bytes, encode_entity_bytes};
use uuid::Uuid;

use super::callgrind::cost;
use crate::bodies::webhooks;
use crate::generators::{RECEIVED, decoded};
use crate::histories::memory::Memory;

/// Creations, updates, repeats, refunds and deletions of orders, as Duda sends them, in this order.
const WEBHOOKS: [&str; 12] = [
    "order_created.json",
    "order_updated.json",
    "order_created.json",
    "order_created_external.json",
    "order_updated_external.json",
    "order_updated_external.json",
    "order_created_every_stock_key.json",
    "order_updated_shipped.json",
    "order_updated_cancelled.json",
    "order_updated_refunded.json",
    "refund_created_for_order.json",
    "order_deleted.json",
];
/// How often the work is done in one run; in the other, twice as often.
const ROUNDS: u32 = 20;

/// An event, and what is known when it arrives.
struct Case {
    body: String,
    part: Reading,
}

/// The events, and what is known after all of them.
fn cases() -> (Vec<Case>, Memory) {
    let bodies = webhooks();
    let (mut memory, mut cases) = (Memory::default(), Vec::new());
    for wanted in WEBHOOKS {
        let (_, body) = bodies.iter().find(|(name, _)| name == wanted).unwrap();
        let event = decoded(body.as_bytes());
        let part = memory.read(&[event.content.names().unwrap()]);
        cases.push(Case { body: body.clone(), part });
        let arrival = arrival(&event);
        memory.take(&[(event, arrival)], &in_force());
    }
    (cases, memory)
}

fn arrival(event: &Event) -> Arrival {
    let (message_id, event_type) = (MessageId(Uuid::nil()), event.event_type.clone());
    Arrival { message_id, received_at: RECEIVED, replays: 0, event_type }
}

fn in_force() -> PolicyInForce {
    PolicyInForce { revision: 1, policy: Policy::default() }
}

#[test]
fn decoding_and_deciding_an_event_costs_what_it_did() {
    const DECIDING_INSTRUCTIONS: f64 = 959_000.0;
    const DECIDING_ALLOCATIONS: f64 = 74.9;

    let ((cases, _), in_force) = (cases(), in_force());
    let test = concat!(module_path!(), "::decoding_and_deciding_an_event_costs_what_it_did");
    let counted = cost(test, ROUNDS, || {
        for case in &cases {
            let event = decoded(black_box(case.body.as_bytes()));
            let arrival = arrival(&event);
            black_box(decide_orders(&case.part, &[(&event, &arrival)], &in_force));
        }
    });
    let Some(counted) = counted else { return };
    let events = ROUNDS * u32::try_from(cases.len()).unwrap();
    let accepted = (DECIDING_INSTRUCTIONS, DECIDING_ALLOCATIONS);
    counted.compare(events, "DECIDING", accepted).unwrap();
}

/// The states that the events leave, by name.
fn states() -> Vec<(EntityId, EntityState)> {
    let site = Site::parse("shop").unwrap();
    let (_, memory) = cases();
    let entity = |name| EntityId { site: site.clone(), name: EntityName::Order(name) };
    let state = |record| EntityState::Order(Box::new(record));
    memory.records.into_iter().map(|(name, record)| (entity(name), state(record))).collect()
}

#[test]
fn encoding_a_state_costs_what_it_did() {
    const STATE_ENCODING_INSTRUCTIONS: f64 = 102_000.0;
    const STATE_ENCODING_ALLOCATIONS: f64 = 21.8;

    let states = states();
    let test = concat!(module_path!(), "::encoding_a_state_costs_what_it_did");
    let counted = cost(test, ROUNDS, || {
        for (_, state) in &states {
            black_box(encode_entity_bytes(black_box(state)).unwrap());
        }
    });
    let Some(counted) = counted else { return };
    let all = ROUNDS * u32::try_from(states.len()).unwrap();
    let accepted = (STATE_ENCODING_INSTRUCTIONS, STATE_ENCODING_ALLOCATIONS);
    counted.compare(all, "STATE_ENCODING", accepted).unwrap();
}

#[test]
fn decoding_a_state_costs_what_it_did() {
    const STATE_DECODING_INSTRUCTIONS: f64 = 130_000.0;
    const STATE_DECODING_ALLOCATIONS: f64 = 31.2;

    let states = states();
    let encode = |(entity, state)| (entity, encode_entity_bytes(&state).unwrap());
    let states: Vec<(EntityId, Vec<u8>)> = states.into_iter().map(encode).collect();
    let test = concat!(module_path!(), "::decoding_a_state_costs_what_it_did");
    let counted = cost(test, ROUNDS, || {
        for (entity, bytes) in &states {
            black_box(decode_entity_bytes(entity, black_box(bytes)).unwrap());
        }
    });
    let Some(counted) = counted else { return };
    let all = ROUNDS * u32::try_from(states.len()).unwrap();
    let accepted = (STATE_DECODING_INSTRUCTIONS, STATE_DECODING_ALLOCATIONS);
    counted.compare(all, "STATE_DECODING", accepted).unwrap();
}

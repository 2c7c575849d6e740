//! Whole histories: the order of arrival, repetition and batching leave no trace in the stock.
//!
//! Method: random histories of up to twelve events over four orders, with ties, refunds in both
//! places, names that orders share, deletions, TEST orders and any policy. Each is played in
//! several orders of arrival, with repetitions, in batches of several sizes, and must end as the
//! model says, which was written from the rules and shares no code with them.
//! `STOREKEEPER_TEST_LONG=1` plays 100,000 cases; `STOREKEEPER_TEST_SEED` plays the cases of a seed
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::Config;
use rust_decimal::Decimal;
use serde_json::Value;
use storekeeper::domain::{
    Arrival, EntityName, EntityState, Event, MessageId, Policy, PolicyInForce, decide,
};
use storekeeper::simulate::Model;

use crate::generators::{
    Dice, RECEIVED, decoded, events, greatest_fingerprint, model_policy, policies, runner,
};
use crate::harness::{is_long, seed};

/// Stock items by site and key; items that count nothing are left out.
type Stock = BTreeMap<(String, String), (Decimal, Decimal)>;
/// What was said of each order's names, by site and order.
type Names = BTreeMap<(String, String), BTreeSet<String>>;

#[test]
fn every_order_of_arrival_ends_in_the_stock_of_the_model() {
    let cases = if is_long() { 100_000 } else { 300 };
    let seed = seed();
    let mut runner = runner(seed, Config { cases, ..Config::default() });
    let history = prop::collection::vec(events(&["shop"]), 1..=12);
    let given = (policies(), history, any::<u64>());
    let result = runner.run(&given, |(policy, bodies, shuffle)| {
        check(&policy, &bodies, shuffle);
        Ok(())
    });
    if let Err(error) = result {
        panic!("STOREKEEPER_TEST_SEED={seed} shows it again: {error}");
    }
}

fn check(policy: &Policy, bodies: &[Value], shuffle: u64) {
    let bodies: Vec<Bytes> = bodies.iter().map(|body| Bytes::from(body.to_string())).collect();
    let mut model = Model::new(model_policy(policy)).with_tie_break(greatest_fingerprint);
    for body in &bodies {
        model.observe(body, RECEIVED.millis());
    }
    let expected: Stock = model
        .stock()
        .into_iter()
        .map(|(item, counts)| ((item.site, item.key), (counts.committed, counts.fulfilled)))
        .collect();
    // Of what says nothing, nothing is kept.
    let mut expected_names = model.names().clone();
    expected_names.retain(|_, names| !names.is_empty());
    let mut dice = Dice(shuffle);
    for round in 0..5 {
        let arrivals = arrange(&bodies, round, &mut dice);
        let (stock, names) = play(&arrivals, policy, &mut dice);
        assert_eq!(stock, expected, "arrivals:\n{}", listing(&arrivals));
        assert_eq!(names, expected_names, "arrivals:\n{}", listing(&arrivals));
    }
}

/// An order of arrival: as it was, reversed, or shuffled with repetitions.
fn arrange(bodies: &[Bytes], round: usize, dice: &mut Dice) -> Vec<Bytes> {
    let mut arrivals = bodies.to_vec();
    match round {
        0 => {}
        1 => arrivals.reverse(),
        _ => {
            let repeated = dice.below(bodies.len() + 1);
            for _ in 0..repeated {
                arrivals.push(bodies[dice.below(bodies.len())].clone());
            }
            for place in (1..arrivals.len()).rev() {
                arrivals.swap(place, dice.below(place + 1));
            }
        }
    }
    arrivals
}

/// Plays arrivals as a worker does: batches of random size, events of an order folded.
fn play(arrivals: &[Bytes], policy: &Policy, dice: &mut Dice) -> (Stock, Names) {
    let in_force = PolicyInForce { revision: 1, policy: policy.clone() };
    let mut states: BTreeMap<(String, EntityName), EntityState> = BTreeMap::new();
    let mut rest = arrivals;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at((1 + dice.below(6)).min(rest.len()));
        rest = later;
        let mut groups: BTreeMap<_, Vec<Event>> = BTreeMap::new();
        for body in batch {
            let event = decoded(body);
            let entity = (event.site.to_string(), event.content.entity());
            groups.entry(entity).or_default().push(event);
        }
        for (entity, events) in groups {
            let arrivals: Vec<_> = events.iter().map(arrival).collect();
            let contents: Vec<_> =
                events.iter().map(|event| &event.content).zip(&arrivals).collect();
            let before = states.remove(&entity);
            let decision = decide(before.clone(), &contents, &in_force).unwrap();
            assert_eq!(decision.settled.len(), events.len());
            // What a worker does not write must be what is there.
            match before {
                Some(before) if !decision.changed => states.insert(entity, before),
                None if !decision.changed => None,
                Some(_) | None => states.insert(entity, decision.state),
            };
        }
    }
    let (mut stock, mut names) = (Stock::new(), Names::new());
    for ((site, name), state) in &states {
        let (EntityName::Order(id), EntityState::Order(order)) = (name, state) else { continue };
        let order_names = names.entry((site.clone(), id.to_string())).or_default();
        order_names.extend(order.aliases.iter().map(ToString::to_string));
        for (key, hold) in &order.applied {
            let counts = stock.entry((site.clone(), key.to_string())).or_default();
            counts.0 += hold.committed.to_decimal();
            counts.1 += hold.fulfilled.to_decimal();
        }
    }
    names.retain(|_, names| !names.is_empty());
    (stock, names)
}

fn arrival(event: &Event) -> Arrival {
    Arrival {
        message_id: MessageId(uuid::Uuid::nil()),
        received_at: RECEIVED,
        replays: 0,
        event_type: event.event_type.clone(),
    }
}

fn listing(arrivals: &[Bytes]) -> String {
    arrivals.iter().fold(String::new(), |mut listing, body| {
        writeln!(listing, "{}", String::from_utf8_lossy(body)).unwrap();
        listing
    })
}

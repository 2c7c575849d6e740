//! Whole histories: the order of arrival, repetition and batching leave no trace in the stock.
//!
//! Method: random histories of up to twelve events and four corrections over a few orders, with
//! several names for an order, ties, refunds in both places, deletions, TEST orders and any policy.
//! Each is played in several orders of arrival, with repetitions, in batches of several sizes, with
//! the policy switched on the way or not, and must end as the model says, which was written from
//! the rules and shares no code with them. A second pass must write nothing.
//! `STOREKEEPER_TEST_LONG=1` plays 100,000 cases; `STOREKEEPER_TEST_SEED` plays the cases of a seed
//! again.

pub(crate) mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use serde_json::{Value, json};
use storekeeper::domain::{
    Arrival, Event, MessageId, Names, OrderId, Policy, PolicyInForce, Record, Timestamp,
    decode_correction,
};
use storekeeper::simulate::Model;
use storekeeper::simulate::model::{Action, Correction};

use crate::generators::{
    Dice, RECEIVED, decoded, events, greatest_fingerprint, model_policy, policies, runner,
};
use crate::harness::{is_long, seed};
use memory::{Holds, Memory};

const SITE: &str = "shop";

/// What a person says of an order, having seen it after so many of the history's events.
#[derive(Debug, Clone)]
struct Said {
    order: &'static str,
    after: usize,
    action: &'static str,
    reference: &'static str,
    received_at: i64,
    message: u128,
}

fn said() -> impl Strategy<Value = Said> {
    let orders = vec!["id:A", "id:A", "id:7", "external-id:E", "external-id:constant"];
    let actions = vec!["release", "hold", "hold", "ship"];
    let (orders, actions) = (select(orders), select(actions));
    let references = select(vec!["c1", "c2", "c3"]);
    (orders, 1..13_usize, actions, references, 0..3_i64, any::<u64>()).prop_map(
        |(order, after, action, reference, received_at, message)| Said {
            order,
            after,
            action,
            reference,
            received_at,
            message: message.into(),
        },
    )
}

#[test]
fn every_order_of_arrival_ends_in_the_stock_of_the_model() {
    let cases = if is_long() { 100_000 } else { 300 };
    let seed = seed();
    let mut runner = runner(seed, Config { cases, ..Config::default() });
    let history = prop::collection::vec(events(&[SITE]), 1..=12);
    let corrections = prop::collection::vec(said(), 0..=4);
    let given = (policies(), policies(), history, corrections, any::<u64>());
    let result = runner.run(&given, |(policy, first, bodies, said, shuffle)| {
        check(&policy, &first, &bodies, &said, shuffle);
        Ok(())
    });
    if let Err(error) = result {
        panic!("STOREKEEPER_TEST_SEED={seed} shows it again: {error}");
    }
}

fn check(policy: &Policy, first: &Policy, bodies: &[Value], said: &[Said], shuffle: u64) {
    let bodies: Vec<Bytes> = bodies.iter().map(|body| Bytes::from(body.to_string())).collect();
    let mut model = model_of(policy, &bodies);
    let mut history: Vec<(Event, Arrival)> = bodies.iter().map(|body| webhook(body)).collect();
    for said in said {
        let until = said.after.min(bodies.len());
        if let Some((correction, event)) = correct(said, policy, &bodies[..until]) {
            model.correct(correction);
            history.push(event);
        }
    }
    let expected = Expected::of(&model);
    let mut dice = Dice(shuffle);
    for round in 0..5 {
        let arrivals = arrange(&history, round, &mut dice);
        let policies = if round % 2 == 0 { (policy, policy) } else { (first, policy) };
        let memory = play(&arrivals, policies, &mut dice);
        assert_eq!(Expected::found(&memory), expected, "arrivals:\n{}", listing(&arrivals));
    }
}

/// What must be, whatever the order of arrival.
#[derive(Debug, PartialEq)]
struct Expected {
    holds: Holds,
    links: BTreeMap<String, BTreeSet<String>>,
    contested: BTreeSet<String>,
    lists: BTreeMap<String, BTreeSet<String>>,
}

impl Expected {
    fn of(model: &Model) -> Self {
        let mut holds = Holds::new();
        for (item, holders) in model.holders() {
            for holder in holders {
                let quantity = |text: String| {
                    storekeeper::domain::Quantity::exact(&text).expect("the model is exact")
                };
                let hold = storekeeper::domain::Hold {
                    committed: quantity(holder.committed.to_string()),
                    fulfilled: quantity(holder.fulfilled.to_string()),
                };
                holds.insert((holder.order, item.key.clone()), hold);
            }
        }
        let leading = model.links().iter().filter(|(_, ids)| ids.len() == 1);
        let lists = model.lists().into_iter().map(|((_, order), lists)| {
            let lists = lists.iter().map(|list| format!("{list:?}"));
            (order, lists.collect())
        });
        Self {
            holds,
            links: leading.map(|((_, name), ids)| (name.clone(), ids.clone())).collect(),
            contested: model.contested_names().into_iter().map(|(_, name)| name).collect(),
            lists: lists.collect(),
        }
    }

    fn found(memory: &Memory) -> Self {
        let seconds = memory.links.iter().filter(|(name, _)| name.kind.is_second_name());
        let (contested, leading): (Vec<_>, Vec<_>) =
            seconds.partition(|(_, link)| link.is_contested());
        let orders = memory
            .records
            .iter()
            .filter(|(_, record)| record.lists.has(storekeeper::domain::List::All));
        let lists = orders.map(|(order, record)| {
            let shown = record.lists.iter().filter(|list| {
                use storekeeper::domain::List;
                !matches!(list, List::All | List::Final)
            });
            (order.to_string(), shown.map(|list| format!("{list:?}")).collect())
        });
        Self {
            holds: memory.holds().clone(),
            links: leading
                .into_iter()
                .map(|(name, link)| {
                    (name.to_string(), link.ids.iter().map(ToString::to_string).collect())
                })
                .collect(),
            contested: contested.into_iter().map(|(name, _)| name.to_string()).collect(),
            lists: lists.collect(),
        }
    }
}

fn model_of(policy: &Policy, bodies: &[Bytes]) -> Model {
    let mut model = Model::new(model_policy(policy)).with_tie_break(greatest_fingerprint);
    for body in bodies {
        model.observe(body, RECEIVED.millis());
    }
    model
}

/// What a person says, in the words of the model and of the rules; `None` if nothing was to be seen.
fn correct(said: &Said, policy: &Policy, seen: &[Bytes]) -> Option<(Correction, (Event, Arrival))> {
    let in_force = PolicyInForce { revision: 1, policy: policy.clone() };
    let mut memory = Memory::default();
    for body in seen {
        memory.take(&[webhook(body)], &in_force);
    }
    let order = OrderId::parse(said.order).unwrap();
    let names = [Names::only(order.clone())];
    let reading = memory.read(&names);
    let lead = reading.lead(&order);
    let members: Vec<&Record> =
        reading.members(&lead).into_iter().map(|(_, record)| record).collect();
    let shown = Record::union(&members).shown();
    let expected = model_of(policy, seen).shown(SITE, said.order);
    assert_eq!(shown.is_some(), expected.is_some(), "{said:?}");
    let body = json!({
        "site": SITE,
        "order": said.order,
        "action": said.action,
        "shown": shown?.token(),
        "reference": said.reference,
    });
    let event = decode_correction(body.to_string().as_bytes()).unwrap();
    let message_id = MessageId(uuid::Uuid::from_u128(said.message));
    let received_at = Timestamp::from_micros(RECEIVED.micros() + said.received_at);
    let correction = Correction {
        site: SITE.to_owned(),
        order: said.order.to_owned(),
        action: match said.action {
            "release" => Action::Release,
            "hold" => Action::Hold,
            _ => Action::Ship,
        },
        shown: expected?,
        reference: said.reference.to_owned(),
        message_id: message_id.to_string(),
        received_at_us: received_at.micros(),
    };
    let event_type = event.event_type.clone();
    Some((correction, (event, Arrival { message_id, received_at, replays: 0, event_type })))
}

fn webhook(body: &[u8]) -> (Event, Arrival) {
    let event = decoded(body);
    let arrival = Arrival {
        message_id: MessageId(uuid::Uuid::nil()),
        received_at: RECEIVED,
        replays: 0,
        event_type: event.event_type.clone(),
    };
    (event, arrival)
}

/// An order of arrival: as it was, reversed, or shuffled with repetitions.
fn arrange(history: &[(Event, Arrival)], round: usize, dice: &mut Dice) -> Vec<(Event, Arrival)> {
    let mut arrivals = history.to_vec();
    match round {
        0 => {}
        1 => arrivals.reverse(),
        _ => {
            let repeated = dice.below(history.len() + 1);
            for _ in 0..repeated {
                arrivals.push(history[dice.below(history.len())].clone());
            }
            for place in (1..arrivals.len()).rev() {
                arrivals.swap(place, dice.below(place + 1));
            }
        }
    }
    arrivals
}

/// Plays arrivals as a worker does: in batches of random size, under the first policy until a
/// random moment. Playing them again must write nothing.
fn play(
    arrivals: &[(Event, Arrival)],
    (first, then): (&Policy, &Policy),
    dice: &mut Dice,
) -> Memory {
    let switched_at = dice.below(arrivals.len() + 1);
    let mut in_force = PolicyInForce { revision: 1, policy: first.clone() };
    let mut memory = Memory::default();
    let mut rest = arrivals;
    while !rest.is_empty() {
        if in_force.revision == 1 && arrivals.len() - rest.len() >= switched_at {
            in_force = PolicyInForce { revision: 2, policy: then.clone() };
            memory.recompute(&in_force);
        }
        let (batch, later) = rest.split_at((1 + dice.below(6)).min(rest.len()));
        rest = later;
        memory.take(batch, &in_force);
    }
    if in_force.revision == 1 {
        in_force = PolicyInForce { revision: 2, policy: then.clone() };
        memory.recompute(&in_force);
    }
    for arrival in arrivals {
        let is_written = memory.take(std::slice::from_ref(arrival), &in_force);
        assert!(!is_written, "the second pass writes: {arrival:?}");
    }
    memory
}

fn listing(arrivals: &[(Event, Arrival)]) -> String {
    arrivals.iter().fold(String::new(), |mut listing, (event, arrival)| {
        writeln!(listing, "{} {:?} {:?}", event.event_type, arrival.received_at, event.content)
            .unwrap();
        listing
    })
}

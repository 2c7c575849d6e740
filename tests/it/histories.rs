//! Whole histories: the order of arrival, repetition and batching leave no trace in the stock.
//!
//! Method: random histories of up to twelve events over three orders, with ties, refunds in both
//! places, deletions, TEST orders and any policy. Each is played in several orders of arrival, with
//! repetitions, in batches of several sizes, and must end as the model says, which was written
//! from the rules and shares no code with them. `STOREKEEPER_TEST_LONG=1` plays 100,000 cases;
//! `STOREKEEPER_TEST_SEED` plays the cases of a seed again.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use storekeeper::domain::{
    Arrival, Cancelled, Content, Decoded, Deleted, EntityName, EntityState, Event, MessageId,
    Policy, PolicyInForce, RefundLine, Restock, StockKeyKind, TestMode, Timestamp, decide,
    decode_webhook,
};
use storekeeper::simulate::model::{
    CancelledOrders, DeletedOrders, KeyKind, Refund, RestockedRefunds, TestOrders, Tied,
};
use storekeeper::simulate::{Model, ModelPolicy};

use crate::harness::{is_long, seed};

const T0: i64 = 1_700_000_000_000;
const RECEIVED: Timestamp = Timestamp::from_millis(T0 + 1000);

/// Stock items by site and key; items that count nothing are left out.
type Stock = BTreeMap<(String, String), (Decimal, Decimal)>;

#[test]
fn every_order_of_arrival_ends_in_the_stock_of_the_model() {
    let cases = if is_long() { 100_000 } else { 300 };
    let seed = seed();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let given = (policies(), prop::collection::vec(events(), 1..=12), any::<u64>());
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
    let mut dice = Dice(shuffle);
    for round in 0..5 {
        let arrivals = arrange(&bodies, round, &mut dice);
        let stock = play(&arrivals, policy, &mut dice);
        assert_eq!(stock, expected, "arrivals:\n{}", listing(&arrivals));
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
fn play(arrivals: &[Bytes], policy: &Policy, dice: &mut Dice) -> Stock {
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
    let mut stock = Stock::new();
    for ((site, _), state) in &states {
        let EntityState::Order(order) = state else { continue };
        for (key, hold) in &order.applied {
            let counts = stock.entry((site.clone(), key.to_string())).or_default();
            counts.0 += hold.committed.to_decimal();
            counts.1 += hold.fulfilled.to_decimal();
        }
    }
    stock
}

fn decoded(body: &[u8]) -> Event {
    match decode_webhook(body, RECEIVED).unwrap() {
        Decoded::Event(event) => *event,
        Decoded::Unknown { event_type } => panic!("{event_type} is unknown"),
    }
}

fn arrival(event: &Event) -> Arrival {
    Arrival {
        message_id: MessageId(uuid::Uuid::nil()),
        received_at: RECEIVED,
        event_type: event.event_type.clone(),
    }
}

/// The model knows no hash: of contents that only a fingerprint tells apart, the rules choose.
fn greatest_fingerprint(tied: &Tied<'_>) -> usize {
    let fingerprints: Vec<u64> = match tied {
        Tied::Snapshots(snapshots) => snapshots.iter().map(|tied| snapshot(&tied.body)).collect(),
        Tied::Refunds(refunds) => refunds.iter().map(|tied| refund(tied)).collect(),
    };
    let greatest = fingerprints.iter().max().unwrap();
    fingerprints.iter().position(|fingerprint| fingerprint == greatest).unwrap()
}

fn snapshot(body: &[u8]) -> u64 {
    let Content::Order(order) = decoded(body).content else { panic!("it is no order") };
    order.version.fingerprint.0
}

/// The fingerprint of a refund; 0 if its own body says something greater of the same id.
fn refund(tied: &Refund) -> u64 {
    let refunds = match decoded(&tied.body).content {
        Content::Order(order) => order.refunds,
        Content::Refund(event) => event.refund.into_iter().collect(),
        Content::Catalogue(_) | Content::Notice(_) | Content::Receipt(_) => Vec::new(),
    };
    let entry = refunds.into_iter().find(|refund| refund.id.as_str() == tied.id).unwrap().entry;
    let mut lines: Vec<_> =
        tied.lines.iter().map(|line| (line.id.clone(), line.quantity.normalize())).collect();
    let id = |line: &RefundLine| line.id.as_ref().map(|id| id.as_str().to_owned());
    let mut kept: Vec<_> =
        entry.lines.iter().map(|line| (id(line), line.quantity.to_decimal())).collect();
    lines.sort();
    kept.sort();
    if lines == kept { entry.fingerprint.0 } else { 0 }
}

fn listing(arrivals: &[Bytes]) -> String {
    arrivals.iter().fold(String::new(), |mut listing, body| {
        writeln!(listing, "{}", String::from_utf8_lossy(body)).unwrap();
        listing
    })
}

/// A small generator of its own, so that the order of arrival shrinks with the history.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

fn policies() -> impl Strategy<Value = Policy> {
    let precedence = subsequence(StockKeyKind::ALL.to_vec(), 1..=6).prop_shuffle();
    let cancelled =
        select(vec![Cancelled::Release, Cancelled::Keep, Cancelled::ReleaseUnlessShipped]);
    let deleted = select(vec![Deleted::Release, Deleted::ReleaseUnlessShipped]);
    let restock = select(vec![Restock::Never, Restock::Full, Restock::Lines]);
    let test_mode = select(vec![TestMode::Ignore, TestMode::Count]);
    (precedence, test_mode, cancelled, deleted, restock).prop_map(
        |(key_precedence, test_mode, cancelled, deleted, restock)| Policy {
            key_precedence,
            test_mode,
            cancelled,
            deleted,
            restock,
        },
    )
}

fn model_policy(policy: &Policy) -> ModelPolicy {
    let kinds = policy.key_precedence.iter();
    ModelPolicy {
        key_precedence: kinds
            .map(|kind| KeyKind::ALL.into_iter().find(|k| k.word() == kind.as_str()).unwrap())
            .collect(),
        test_mode: match policy.test_mode {
            TestMode::Ignore => TestOrders::Ignore,
            TestMode::Count => TestOrders::Count,
        },
        cancelled: match policy.cancelled {
            Cancelled::Release => CancelledOrders::Release,
            Cancelled::Keep => CancelledOrders::Keep,
            Cancelled::ReleaseUnlessShipped => CancelledOrders::ReleaseUnlessShipped,
        },
        deleted: match policy.deleted {
            Deleted::Release => DeletedOrders::Release,
            Deleted::ReleaseUnlessShipped => DeletedOrders::ReleaseUnlessShipped,
        },
        restock: match policy.restock {
            Restock::Never => RestockedRefunds::Never,
            Restock::Full => RestockedRefunds::Full,
            Restock::Lines => RestockedRefunds::Lines,
        },
    }
}

/// Three orders, of which the third has no id, as in Duda's guide.
const ORDERS: [(&str, &str); 3] = [("id", "A"), ("id", "B"), ("external_id", "A")];

fn events() -> impl Strategy<Value = Value> {
    prop_oneof![8 => order_events(), 3 => refund_events()]
}

fn order_events() -> impl Strategy<Value = Value> {
    let names = vec!["CREATED", "UPDATED", "UPDATED", "STATUS_UPDATED", "DELETED"];
    let statuses = vec![
        "PENDING",
        "IN_PROGRESS",
        "PROCESSED",
        "PROCESSED",
        "DISPATCHED",
        "SHIPPED",
        "DELIVERED",
        "DISPUTED",
        "CANCELLED",
        "ON_THE_MOON",
    ];
    let refunds = prop::collection::vec((refund_ids(), refund_lines()), 0..3);
    let lines = prop::collection::vec(lines(), 0..4);
    let test = prop::bool::weighted(0.1);
    let when = 0..4_i64;
    (select(names), select(statuses), select(ORDERS.to_vec()), when, lines, refunds, test).prop_map(
        |(name, status, (field, id), at, lines, refunds, test)| {
            let refunds: Vec<Value> =
                refunds.into_iter().map(|(id, items)| json!({"id": id, "items": items})).collect();
            let mode = if test { "TEST" } else { "LIVE" };
            let mut data =
                json!({"status": status, "mode": mode, "items": lines, "refunds": refunds});
            data[field] = json!(id);
            webhook(&format!("ECOMM_ORDER_{name}"), at, &data)
        },
    )
}

fn refund_events() -> impl Strategy<Value = Value> {
    (refund_ids(), select(vec!["A", "B"]), 0..4_i64, refund_lines()).prop_map(
        |(id, order, at, items)| {
            let data = json!({"id": id, "order_id": order, "items": items});
            webhook("ECOMM_REFUND_CREATED", at, &data)
        },
    )
}

fn webhook(event_type: &str, at: i64, data: &Value) -> Value {
    json!({
        "event_type": event_type,
        "resource_data": {"site_name": "shop"},
        "event_timestamp": T0 + at,
        "data": data,
    })
}

fn lines() -> impl Strategy<Value = Value> {
    let name = |names: &[&'static str]| {
        let names: Vec<Option<&str>> =
            names.iter().map(|name| Some(*name)).chain([None, None, Some("")]).collect();
        select(names)
    };
    let quantities =
        select(vec![json!(0), json!(1), json!("2"), json!("1.25"), json!(0.5), json!("1e1")]);
    (name(&["l1", "l2"]), name(&["V"]), name(&["P", "Q"]), name(&["E"]), name(&["S"]), quantities)
        .prop_map(|(id, variation, product, external, sku, quantity)| {
            json!({
                "id": id,
                "variation_id": variation,
                "product_id": product,
                "external_product_id": external,
                "sku": sku,
                "quantity": quantity,
            })
        })
}

fn refund_ids() -> impl Strategy<Value = Option<&'static str>> {
    select(vec![Some("r1"), Some("r1"), Some("r2"), None])
}

fn refund_lines() -> impl Strategy<Value = Vec<Value>> {
    let ids = select(vec![Some("l1"), Some("l1"), Some("l2"), Some("elsewhere"), None]);
    let quantities = select(vec![json!(1), json!("0.5"), json!(10), json!("1.25")]);
    let line = (ids, quantities).prop_map(|(id, quantity)| json!({"id": id, "quantity": quantity}));
    prop::collection::vec(line, 0..3)
}

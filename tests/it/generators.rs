//! What random tests of whole histories are made of: policies, events, and the judge of ties.
//!
//! Events are of four orders and a few instants, so that they tie, overtake and contradict each
//! other often. Each order is named by one field throughout, as the rules ask of a history; beside
//! it, events give it other names, which two orders may share.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use storekeeper::domain::{
    Cancelled, Content, Decoded, Deleted, Event, Policy, RefundLine, Restock, StockKeyKind,
    TestMode, Timestamp, decode_webhook,
};
use storekeeper::simulate::ModelPolicy;
use storekeeper::simulate::model::{
    CancelledOrders, DeletedOrders, KeyKind, Refund, RestockedRefunds, TestOrders, Tied,
};

const T0: i64 = 1_700_000_000_000;
/// A time at which all events could have been received.
pub(crate) const RECEIVED: Timestamp = Timestamp::from_millis(T0 + 1000);

/// A runner of so many cases; the same seed gives the same cases.
pub(crate) fn runner(seed: u64, mut config: Config) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    config.failure_persistence = None;
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

pub(crate) fn decoded(body: &[u8]) -> Event {
    match decode_webhook(body, RECEIVED).unwrap() {
        Decoded::Event(event) => *event,
        Decoded::Unknown { event_type } => panic!("{event_type} is unknown"),
    }
}

/// The model knows no hash: of contents that only a fingerprint tells apart, the rules choose.
pub(crate) fn greatest_fingerprint(tied: &Tied<'_>) -> usize {
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

/// A small generator of its own, so that the order of arrival shrinks with the history.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number from 0 to just before `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

pub(crate) fn policies() -> impl Strategy<Value = Policy> {
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

/// The same policy in the words of the model.
pub(crate) fn model_policy(policy: &Policy) -> ModelPolicy {
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

/// An order of each field that can name one, and two of the first.
const ORDERS: [(&str, &str); 4] =
    [("id", "A"), ("id", "B"), ("external_id", "A"), ("invoice_number", "A")];

/// The fields that name an order, the first that is there before the others.
const NAMES: [&str; 3] = ["id", "external_id", "invoice_number"];

/// Events of one of the sites.
pub(crate) fn events(sites: &[&'static str]) -> impl Strategy<Value = Value> {
    let content = prop_oneof![8 => order_events(), 3 => refund_events()];
    (select(sites.to_vec()), content).prop_map(|(site, mut event)| {
        event["resource_data"] = json!({"site_name": site});
        event
    })
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
    (select(names), select(statuses), order_names(), when, lines, refunds, test).prop_map(
        |(name, status, order, at, lines, refunds, test)| {
            let refunds: Vec<Value> =
                refunds.into_iter().map(|(id, items)| json!({"id": id, "items": items})).collect();
            let mode = if test { "TEST" } else { "LIVE" };
            let mut data =
                json!({"status": status, "mode": mode, "items": lines, "refunds": refunds});
            for (field, name) in order {
                data[field] = name;
            }
            webhook(&format!("ECOMM_ORDER_{name}"), at, &data)
        },
    )
}

/// What the fields that name an order say of one: nothing in those before its own, and in those
/// after it another name, or nothing.
fn order_names() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let others = vec![json!("A"), json!("B"), json!("C"), json!(""), Value::Null, Value::Null];
    let nothing = select(vec![json!(""), Value::Null]);
    let names = (select(ORDERS.to_vec()), nothing, [select(others.clone()), select(others)]);
    names.prop_map(|((own, name), nothing, others)| {
        let place = NAMES.iter().position(|field| *field == own).unwrap();
        let before = NAMES[..place].iter().map(|field| (*field, nothing.clone()));
        let after = NAMES[place + 1..].iter().copied().zip(others);
        before.chain([(own, json!(name))]).chain(after).collect()
    })
}

/// Refunds of the orders that an id names, and of one that never comes: an order's other names do
/// not lead a refund to it.
fn refund_events() -> impl Strategy<Value = Value> {
    let orders = select(vec!["A", "A", "B", "B", "C"]);
    (refund_ids(), orders, 0..4_i64, refund_lines()).prop_map(|(id, order, at, items)| {
        let data = json!({"id": id, "order_id": order, "items": items});
        webhook("ECOMM_REFUND_CREATED", at, &data)
    })
}

fn webhook(event_type: &str, at: i64, data: &Value) -> Value {
    json!({
        "event_type": event_type,
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
    let of_product = (name(&["V"]), name(&["P", "Q"]));
    let of_erp = (name(&["W"]), name(&["E"]));
    (name(&["l1", "l2"]), of_product, of_erp, name(&["S"]), quantities).prop_map(
        |(id, (variation, product), (external_variation, external_product), sku, quantity)| {
            json!({
                "id": id,
                "variation_id": variation,
                "product_id": product,
                "external_variation_id": external_variation,
                "external_product_id": external_product,
                "sku": sku,
                "quantity": quantity,
            })
        },
    )
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

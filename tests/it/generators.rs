//! What random tests of whole histories are made of: policies, events, and the judge of ties.
//!
//! Events are of few orders and a few instants, so that they tie, overtake and contradict each
//! other often. They name their orders by one field or several, which may lead to one another, or
//! be contested; what they write may be padded, a number, or in another case.

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

pub(crate) const T0: i64 = 1_700_000_000_000;
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
        Content::Catalogue(_)
        | Content::Notice(_)
        | Content::Correction(_)
        | Content::Receipt(_) => panic!("it has no refunds"),
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
    let restock = select(vec![Restock::Unshipped, Restock::Never, Restock::Full, Restock::Lines]);
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
            Restock::Unshipped => RestockedRefunds::Unshipped,
            Restock::Never => RestockedRefunds::Never,
            Restock::Full => RestockedRefunds::Full,
            Restock::Lines => RestockedRefunds::Lines,
        },
    }
}

/// Events of one of the sites.
pub(crate) fn events(sites: &[&'static str]) -> impl Strategy<Value = Value> {
    let content = prop_oneof![10 => order_events(), 3 => refund_events(), 1 => notices()];
    (select(sites.to_vec()), content).prop_map(|(site, mut event)| {
        event["resource_data"] = json!({"site_name": site});
        event
    })
}

fn order_events() -> impl Strategy<Value = Value> {
    let happened = vec!["CREATED", "UPDATED", "UPDATED", "UPDATED", "STATUS_UPDATED", "DELETED"];
    let statuses = vec![
        "INCOMPLETE",
        "PENDING",
        "IN_PROGRESS",
        "PROCESSED",
        "PROCESSED",
        "processed",
        "DISPATCHED",
        "SHIPPED",
        "Delivered",
        "DISPUTED",
        "REFUNDED",
        "CANCELLED",
        "canceled",
        "ON_THE_MOON",
    ];
    let modes = select(vec![
        json!("LIVE"),
        json!("LIVE"),
        json!("LIVE"),
        json!(""),
        Value::Null,
        json!(5),
        json!("test"),
    ]);
    let refunds = prop::collection::vec((refund_ids(), created(), refund_lines()), 0..3);
    let lines = prop::collection::vec(lines(), 0..4);
    let when = 0..5_i64;
    (select(happened), select(statuses), order_names(), when, lines, refunds, modes).prop_map(
        |(happened, status, order, at, lines, refunds, mode)| {
            let refunds: Vec<Value> = refunds
                .into_iter()
                .map(|(id, created, items)| json!({"id": id, "created": created, "items": items}))
                .collect();
            let mut data =
                json!({"status": status, "mode": mode, "items": lines, "refunds": refunds});
            for (field, name) in order {
                data[field] = name;
            }
            webhook(&format!("ECOMM_ORDER_{happened}"), at, &data)
        },
    )
}

/// What the fields that name an order say: two ids, second names that may lead to either or be
/// contested, one constant that every order may bear, and an invoice number.
fn order_names() -> impl Strategy<Value = [(&'static str, Value); 3]> {
    let ids = select(vec![json!("A"), json!(" A"), json!(7), json!("7"), Value::Null, json!(" ")]);
    let seconds = select(vec![
        json!("E"),
        json!("E"),
        json!("F"),
        json!(" F\t"),
        json!("constant"),
        Value::Null,
        Value::Null,
        json!(""),
    ]);
    let invoices = select(vec![json!("A"), Value::Null, json!("N")]);
    let has_name =
        |name: &Value| name.as_str().map_or_else(|| !name.is_null(), |it| !it.trim().is_empty());
    (ids, seconds, invoices).prop_filter_map("it has no name", move |(id, second, invoice)| {
        let names = [("id", id), ("external_id", second), ("invoice_number", invoice)];
        names.iter().any(|(_, name)| has_name(name)).then_some(names)
    })
}

/// Refunds of the orders that an id names, and of one that never comes.
fn refund_events() -> impl Strategy<Value = Value> {
    let orders = select(vec![json!("A"), json!("A"), json!(7), json!("7"), json!("C")]);
    (refund_ids(), orders, 0..5_i64, created(), refund_lines()).prop_map(
        |(id, order, at, created, items)| {
            let data = json!({"id": id, "order_id": order, "created": created, "items": items});
            webhook("ECOMM_REFUND_CREATED", at, &data)
        },
    )
}

/// Notices of a third-party store, by either of its names.
fn notices() -> impl Strategy<Value = Value> {
    let happened = select(vec!["CREATED", "UPDATED", "DELETED"]);
    let entities = select(vec![json!(1), json!("2"), Value::Null]);
    let orders = select(vec![json!("x"), json!("y"), Value::Null]);
    (happened, entities, orders, 0..5_i64).prop_filter_map(
        "it has no name",
        |(happened, entity, order, at)| {
            let is_named = !(entity.is_null() && order.is_null());
            let data = json!({"storeId": 9, "entityId": entity, "data": {"orderId": order}});
            is_named.then(|| webhook(&format!("STORE_ORDER_{happened}"), at, &data))
        },
    )
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
    let quantities = select(vec![
        json!(0),
        json!(1),
        json!("2"),
        json!("1.25"),
        json!(0.5),
        json!("1e1"),
        json!("0.30000000000000004"),
    ]);
    let of_product = (name(&["V", "W"]), name(&["P", "Q"]));
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

/// When a refund was made, before or after a shipment of the same history.
fn created() -> impl Strategy<Value = Value> {
    let at = |millis: i64| json!(format!("2023-11-14T22:13:20.00{millis}Z"));
    select(vec![at(0), at(2), at(4), Value::Null, Value::Null, json!("yesterday")])
}

fn refund_lines() -> impl Strategy<Value = Vec<Value>> {
    let ids = select(vec![Some("l1"), Some("l1"), Some("l2"), Some("elsewhere"), None]);
    let quantities = select(vec![json!(1), json!("0.5"), json!(10), json!("1.25"), Value::Null]);
    let line = (ids, quantities).prop_map(|(id, quantity)| json!({"id": id, "quantity": quantity}));
    prop::collection::vec(line, 0..3)
}

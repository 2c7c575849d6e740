//! Tests of every domain rule that the model states: bodies, and the stock that they must lead to.

mod arrival;
mod bodies;
mod corrections;
mod field;
mod identity;
mod keys;
mod names;
mod quantities;
mod receipts;
mod refunds;
mod shipment;
mod stock;
mod versions;

use serde_json::{Value, json};

use super::*;

const AT: i64 = 1_710_000_000_000;
const RECEIVED: i64 = AT + 1000;

/// Returns an event of order `id:A` with one line `product:P`, changed by `change`.
fn order(event_type: &str, at_ms: i64, status: &str, quantity: u32, change: Value) -> Value {
    let mut data = json!({
        "id": "A", "status": status, "mode": "LIVE",
        "items": [{"id": "L", "product_id": "P", "quantity": quantity}],
    });
    let Value::Object(change) = change else { panic!("{change} is no object") };
    data.as_object_mut().unwrap().extend(change);
    event(event_type, at_ms, data)
}

fn event(event_type: &str, at_ms: i64, data: Value) -> Value {
    let mut body = json!({"event_type": event_type, "event_timestamp": at_ms,
        "resource_data": {"site_name": "s"}});
    body["data"] = data;
    body
}

fn created(at_ms: i64, status: &str, quantity: u32) -> Value {
    order("ECOMM_ORDER_CREATED", at_ms, status, quantity, json!({}))
}

fn updated(at_ms: i64, status: &str, quantity: u32) -> Value {
    order("ECOMM_ORDER_UPDATED", at_ms, status, quantity, json!({}))
}

/// Returns an update of order `id:A` with other fields.
fn changed(at_ms: i64, change: Value) -> Value {
    order("ECOMM_ORDER_UPDATED", at_ms, "PROCESSED", 1, change)
}

fn deleted(at_ms: i64, status: &str) -> Value {
    order("ECOMM_ORDER_DELETED", at_ms, status, 9, json!({}))
}

fn refund(at_ms: i64, id: &str, line: &str, quantity: Value) -> Value {
    let mut items = json!([{"id": line}]);
    items[0]["quantity"] = quantity;
    event("ECOMM_REFUND_CREATED", at_ms, json!({"id": id, "order_id": "A", "items": items}))
}

fn policy(change: impl FnOnce(&mut ModelPolicy)) -> ModelPolicy {
    let mut policy = ModelPolicy::default();
    change(&mut policy);
    policy
}

fn restock(restock: RestockedRefunds) -> ModelPolicy {
    policy(|policy| policy.restock = restock)
}

fn bytes(body: &Value) -> Bytes {
    Bytes::from(body.to_string())
}

fn name(order: &str) -> (String, String) {
    ("s".to_owned(), order.to_owned())
}

/// Returns a model under the default policy that has observed bodies.
fn observed<'a>(bodies: impl IntoIterator<Item = &'a Value>) -> Model {
    let mut model = Model::new(ModelPolicy::default());
    for body in bodies {
        let verdict = model.observe(&bytes(body), RECEIVED);
        assert!(!matches!(verdict, Verdict::DeadLetter(_)), "{verdict:?} for {body}");
    }
    model
}

/// Returns the stock as `key committed/fulfilled`.
fn stock(model: &Model) -> Vec<String> {
    let stock = model.stock().into_iter().map(|(item, counts)| {
        let (committed, fulfilled) = (counts.committed.normalize(), counts.fulfilled.normalize());
        format!("{} {committed}/{fulfilled}", item.key)
    });
    stock.collect()
}

/// Checks the stock after the bodies, in this order and in reverse.
#[track_caller]
fn check(policy: &ModelPolicy, bodies: &[Value], expected: &[&str]) {
    for is_reversed in [false, true] {
        let mut model = Model::new(policy.clone());
        let mut bodies: Vec<&Value> = bodies.iter().collect();
        if is_reversed {
            bodies.reverse();
        }
        for body in bodies {
            for _ in 0..2 {
                let verdict = model.observe(&bytes(body), RECEIVED);
                assert!(matches!(verdict, Verdict::Counted { .. }), "{verdict:?} for {body}");
            }
        }
        assert_eq!(stock(&model), expected, "reversed: {is_reversed}");
        assert_eq!(model.ambiguous_orders(), []);
    }
}

#[track_caller]
fn holds(bodies: &[Value], expected: &[&str]) {
    check(&ModelPolicy::default(), bodies, expected);
}

/// Returns the orders in a list.
fn listed(model: &Model, list: List) -> Vec<String> {
    let lists = model.lists().into_iter().filter(|(_, lists)| lists.contains(&list));
    lists.map(|((_, order), _)| order).collect()
}

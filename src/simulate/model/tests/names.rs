//! How the names that events give an order link its records.

use super::*;

/// Returns a snapshot with these names and one line `sku:S`.
fn named(at_ms: i64, names: Value, quantity: u32) -> Value {
    let mut data = json!({"status": "PROCESSED", "items": [{"id": "L", "sku": "S",
        "quantity": quantity}]});
    let Value::Object(names) = names else { panic!("{names} is no object") };
    data.as_object_mut().unwrap().extend(names);
    event("ECOMM_ORDER_UPDATED", at_ms, data)
}

/// Returns the holders of `sku:S`, as `order quantity`.
fn holders(model: &Model) -> Vec<String> {
    let holders = model.holders().into_values().flatten();
    holders.map(|holder| format!("{} {}", holder.order, holder.committed.normalize())).collect()
}

#[track_caller]
fn check_holders(bodies: &[Value], expected: &[&str]) {
    assert_eq!(holders(&observed(bodies)), expected);
    assert_eq!(holders(&observed(bodies.iter().rev())), expected);
}

#[test]
fn a_second_name_leads_to_the_only_id_that_was_seen_beside_it() {
    let by_external = named(AT + 5, json!({"external_id": "E"}), 3);
    let by_id = named(AT, json!({"id": "A"}), 1);
    let both = named(AT + 1, json!({"id": "A", "external_id": " E "}), 2);
    check_holders(std::slice::from_ref(&by_external), &["external-id:E 3"]);
    check_holders(&[by_external.clone(), by_id.clone()], &["external-id:E 3", "id:A 1"]);
    // The order holds once, by the highest version of all its records.
    check_holders(&[by_external.clone(), by_id.clone(), both.clone()], &["id:A 3"]);
    let model = observed(&[by_external, by_id, both]);
    assert_eq!(model.orders_observed(), 1);
    let ids = BTreeSet::from(["id:A".to_owned()]);
    assert_eq!(*model.links(), BTreeMap::from([(name("external-id:E"), ids)]));
    assert_eq!(model.contested_names(), BTreeSet::new());
}

#[test]
fn a_contested_name_leads_nowhere_for_good() {
    let bodies = [
        named(AT, json!({"id": "A", "external_id": "E"}), 1),
        named(AT + 1, json!({"id": "B", "external_id": "E"}), 2),
        named(AT + 2, json!({"external_id": "E"}), 5),
    ];
    check_holders(&bodies[..1], &["id:A 1"]);
    check_holders(&[bodies[0].clone(), bodies[2].clone()], &["id:A 5"]);
    check_holders(&bodies, &["external-id:E 5", "id:A 1", "id:B 2"]);
    let model = observed(&bodies);
    assert_eq!(model.contested_names(), BTreeSet::from([name("external-id:E")]));
    assert_eq!(listed(&model, List::Contested), ["external-id:E", "id:A", "id:B"]);
    assert_eq!(observed(&bodies[..1]).contested_names(), BTreeSet::new());
}

#[test]
fn several_names_may_lead_to_one_id() {
    let bodies = [
        named(AT, json!({"id": "A", "external_id": "E"}), 1),
        named(AT + 1, json!({"id": "A", "external_id": "F"}), 2),
        named(AT + 2, json!({"external_id": "E"}), 3),
        named(AT + 3, json!({"external_id": "F"}), 4),
    ];
    check_holders(&bodies, &["id:A 4"]);
}

#[test]
fn an_invoice_number_leads_nowhere() {
    let bodies = [
        named(AT, json!({"id": "A", "invoice_number": "1"}), 1),
        named(AT + 1, json!({"invoice_number": "1"}), 2),
    ];
    check_holders(&bodies, &["id:A 1", "invoice-number:1 2"]);
}

#[test]
fn sites_are_apart_and_so_are_kinds_of_names() {
    let mut elsewhere = named(AT, json!({"id": "A", "external_id": "E"}), 1);
    elsewhere["resource_data"]["site_name"] = json!("S");
    let bodies = [
        elsewhere,
        named(AT, json!({"external_id": "E"}), 2),
        named(AT, json!({"invoice_number": "E"}), 4),
        named(AT, json!({"id": "E"}), 8),
    ];
    check_holders(&bodies, &["id:A 1", "external-id:E 2", "id:E 8", "invoice-number:E 4"]);
}

#[test]
fn a_refund_names_an_id_and_links_nothing() {
    let order = named(AT, json!({"external_id": "A"}), 2);
    let bodies = [order, refund(AT + 1, "R", "L", json!(1))];
    check_holders(&bodies, &["external-id:A 2"]);
    let model = observed(&bodies);
    assert_eq!(listed(&model, List::Waiting), ["id:A"]);
    let links = BTreeMap::from([(name("external-id:A"), BTreeSet::new())]);
    assert_eq!(*model.links(), links);
}

#[test]
fn notices_link_names_and_hold_nothing_and_their_deletion_is_a_tombstone() {
    let notice =
        |what: &str, at_ms: i64, data: Value| event(&format!("STORE_ORDER_{what}"), at_ms, data);
    let both =
        notice("CREATED", AT, json!({"storeId": 7, "entityId": 1, "data": {"orderId": "X"}}));
    let second = notice("UPDATED", AT, json!({"storeId": "7", "data": {"orderId": "X"}}));
    let gone = notice("DELETED", AT, json!({"storeId": 7, "entityId": "1", "data": null}));
    let model = observed([&second]);
    assert_eq!(listed(&model, List::Waiting), ["store-order-id:7/X"]);
    let model = observed(&[second, both.clone()]);
    assert_eq!(listed(&model, List::Waiting), ["store-order:7/1"]);
    assert_eq!(model.settled_orders(), []);
    assert_eq!(model.stock(), BTreeMap::new());
    let model = observed(&[gone, both]);
    assert_eq!(model.settled_orders(), [name("store-order:7/1")]);
    assert_eq!(model.orders_observed(), 1);
    // The separator between a store and its order occurs only once.
    let odd = notice("DELETED", AT, json!({"storeId": "a/b%", "entityId": "c/d"}));
    assert_eq!(observed(&[odd]).settled_orders(), [name("store-order:a%2Fb%25/c%2Fd")]);
}

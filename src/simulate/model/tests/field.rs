//! Inputs from the field that the first release got wrong, each with the correct value.

use super::*;

/// Returns a body of an order or refund for field cases: id `o`, one line `l` of `variation:V`.
fn body(event_type: &str, at_ms: i64, data: Value) -> Value {
    let event_type = match event_type {
        "C" => "ECOMM_ORDER_CREATED",
        "U" => "ECOMM_ORDER_UPDATED",
        "D" => "ECOMM_ORDER_DELETED",
        "R" => "ECOMM_REFUND_CREATED",
        other => other,
    };
    event(event_type, AT + at_ms, data)
}

fn units(status: &str, quantity: u32) -> Value {
    let line = json!({"id": "l", "variation_id": "V", "quantity": quantity});
    json!({"id": "o", "mode": "LIVE", "status": status, "items": [line], "refunds": []})
}

/// Returns the same data with some fields changed.
fn but(mut data: Value, change: Value) -> Value {
    let Value::Object(change) = change else { panic!("{change} is no object") };
    data.as_object_mut().unwrap().extend(change);
    data
}

fn lines() -> ModelPolicy {
    restock(RestockedRefunds::Lines)
}

#[test]
fn c01_a_creation_is_stamped_after_its_update() {
    holds(
        &[body("C", 5000, units("PROCESSED", 1)), body("U", 0, units("PROCESSED", 3))],
        &["variation:V 3/0"],
    );
}

#[test]
fn c03_an_update_comes_after_the_deletion_and_a_person_holds_it() {
    let bodies = [
        body("C", 0, units("PROCESSED", 2)),
        body("D", 1000, units("PROCESSED", 2)),
        body("U", 60_000, units("PROCESSED", 2)),
    ];
    holds(&bodies, &[]);
    let mut model = observed(&bodies);
    assert_eq!(listed(&model, List::AfterDeletion), ["id:o"]);
    model.correct(Correction {
        site: "s".into(),
        order: "id:o".into(),
        action: Action::Hold,
        shown: model.shown("s", "id:o").unwrap(),
        reference: "r".into(),
        message_id: "m".into(),
        received_at_us: 0,
    });
    assert_eq!(stock(&model), ["variation:V 2/0"]);
}

#[test]
fn c04_canceled_has_one_l() {
    let cancelled = body("U", 1000, units("CANCELED", 2));
    holds(&[body("C", 0, units("PROCESSED", 2)), cancelled], &[]);
}

#[test]
fn c06_a_quantity_is_too_fine() {
    let items = json!([{"id": "l1", "variation_id": "KG", "quantity": 0.300_000_000_000_000_04},
        {"id": "l2", "variation_id": "V", "quantity": 4}]);
    let data = but(units("PROCESSED", 1), json!({"items": items}));
    holds(&[body("C", 0, data)], &["variation:KG 0.3/0", "variation:V 4/0"]);
}

#[test]
fn c07_and_c08_a_name_is_a_number_or_ends_in_a_tab() {
    let invoice = but(units("PROCESSED", 1), json!({"invoice_number": 1066}));
    holds(&[body("C", 0, invoice)], &["variation:V 1/0"]);
    for sku in [json!(40017), json!("MUG-4\t")] {
        let line = json!({"id": "l", "variation_id": "V", "sku": sku, "quantity": 1});
        let data = but(units("PROCESSED", 1), json!({"items": [line]}));
        holds(&[body("C", 0, data)], &["variation:V 1/0"]);
    }
}

#[test]
fn c16_an_update_has_no_mode() {
    let test = but(units("PROCESSED", 4), json!({"mode": "TEST"}));
    let mut silent = units("SHIPPED", 4);
    silent.as_object_mut().unwrap().remove("mode");
    holds(&[body("C", 0, test), body("U", 1000, silent)], &[]);
}

#[test]
fn c19_a_donation_is_counted_as_any_item() {
    // That it is not tracked is shown, and changes no stock.
    let product = json!({"id": "DON", "type": "DONATION", "managed_inventory": false});
    let line = json!({"id": "l", "product_id": "DON", "quantity": 25});
    let order = but(units("PROCESSED", 1), json!({"items": [line]}));
    let model = observed(&[body("ECOMM_PRODUCT_CREATED", 0, product), body("C", 1000, order)]);
    assert_eq!(stock(&model), ["product:DON 25/0"]);
}

#[test]
fn c21_everything_is_refunded_before_anything_left() {
    let refund = json!({"id": "r", "order_id": "o", "items": [{"id": "l", "quantity": 2}]});
    holds(&[body("C", 0, units("PROCESSED", 2)), body("R", 1000, refund)], &[]);
}

#[test]
fn c23_the_product_is_deleted_between_sale_and_shipment() {
    let sold = json!({"id": "l", "product_id": "P", "variation_id": "V", "sku": "MUG",
        "quantity": 3});
    let lost = json!({"id": "l", "product_id": null, "variation_id": null, "sku": "MUG",
        "quantity": 3});
    let sold = but(units("PROCESSED", 3), json!({"items": [sold]}));
    let shipped = but(units("SHIPPED", 3), json!({"items": [lost]}));
    holds(&[body("C", 0, sold), body("U", 2000, shipped)], &["variation:V 0/3"]);
}

#[test]
fn c26_it_is_delivered_and_then_cancelled() {
    let cancelled = body("U", 1000, units("CANCELLED", 1));
    holds(&[body("C", 0, units("DELIVERED", 1)), cancelled], &["variation:V 0/1"]);
}

#[test]
fn c33_a_refund_names_a_line_that_a_later_edit_replaced() {
    let refund = json!({"id": "r", "items": [{"id": "l1", "quantity": 1}]});
    let line = |id: &str| json!([{"id": id, "variation_id": "V", "quantity": 2}]);
    let bodies = [
        body("C", 0, but(units("PROCESSED", 2), json!({"items": line("l1")}))),
        body("R", 1000, but(refund.clone(), json!({"order_id": "o"}))),
        body(
            "U",
            2000,
            but(units("PROCESSED", 2), json!({"items": line("l9"), "refunds": [refund]})),
        ),
    ];
    check(&lines(), &bodies[..2], &["variation:V 1/0"]);
    check(&lines(), &bodies, &["variation:V 2/0"]);
}

#[test]
fn c34_a_stub_comes_after_the_refund_with_lines() {
    let refund = json!({"id": "r", "order_id": "o", "items": [{"id": "l", "quantity": 1}]});
    let stub = json!({"refunds": [{"id": "r", "reason": "late", "total": "-9.00"}]});
    let bodies = [
        body("C", 0, units("PROCESSED", 2)),
        body("R", 1000, refund),
        body("U", 2000, but(units("PROCESSED", 2), stub)),
    ];
    check(&lines(), &bodies, &["variation:V 1/0"]);
}

#[test]
fn c42_the_order_is_known_by_its_external_id_and_the_refund_names_the_id() {
    let by_external = but(units("PROCESSED", 1), json!({"id": null, "external_id": "E-1"}));
    let refund = json!({"id": "r", "order_id": "0d3c", "items": [{"id": "l", "quantity": 1}]});
    let bodies = [body("C", 0, by_external.clone()), body("R", 1000, refund)];
    check(&lines(), &bodies, &["variation:V 1/0"]);
    assert_eq!(listed(&observed(&bodies), List::Waiting), ["id:0d3c"]);
    let both = body("U", 2000, but(by_external, json!({"id": "0d3c"})));
    let linked = [bodies[0].clone(), bodies[1].clone(), both];
    check(&lines(), &linked, &[]);
    assert_eq!(listed(&observed(&linked), List::Waiting), [""; 0]);
}

#[test]
fn c53_it_is_shipped_by_mistake_processed_again_and_cancelled() {
    let bodies = [
        body("C", 0, units("SHIPPED", 1)),
        body("U", 1000, units("PROCESSED", 1)),
        body("U", 2000, units("CANCELLED", 1)),
    ];
    holds(&bodies, &[]);
}

#[test]
fn c60_a_plugin_writes_the_same_external_id_on_every_order() {
    let names = |id: Value, quantity: u32| {
        but(units("PROCESSED", quantity), json!({"id": id, "external_id": "shop"}))
    };
    let bodies = [
        body("C", 0, names(json!("A"), 1)),
        body("C", 1, names(json!("B"), 2)),
        body("U", 2, names(json!(null), 5)),
    ];
    holds(&bodies, &["variation:V 8/0"]);
    let contested = BTreeSet::from([name("external-id:shop")]);
    assert_eq!(observed(&bodies).contested_names(), contested);
}

#[test]
fn c61_it_is_dispatched_and_deleted_by_a_body_that_says_processed() {
    let bodies = [body("U", 0, units("DISPATCHED", 3)), body("D", 5, units("PROCESSED", 3))];
    holds(&bodies, &["variation:V 0/3"]);
}

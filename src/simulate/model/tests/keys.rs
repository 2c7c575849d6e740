//! The stock key of a line, by its own names and by remembered ones.

use super::*;

const NAMES: [(&str, &str); 6] = [
    ("variation_id", "variation:V"),
    ("product_id", "product:P"),
    ("external_variation_id", "external-variation:EV"),
    ("external_product_id", "external-product:EP"),
    ("sku", "sku:S"),
    ("id", "line:L"),
];

fn all_names() -> Value {
    json!({"variation_id": "V", "product_id": "P", "external_variation_id": "EV",
        "external_product_id": "EP", "sku": "S", "id": "L", "quantity": 1})
}

/// Returns an update at a time with one line of one unit that has these names beside its id.
fn line(at_ms: i64, names: Value) -> Value {
    let mut line = json!({"id": "L", "quantity": 1});
    let Value::Object(names) = names else { panic!("{names} is no object") };
    line.as_object_mut().unwrap().extend(names);
    changed(at_ms, json!({"items": [line]}))
}

#[test]
fn the_first_name_that_a_line_has_is_its_key() {
    for nothing in [json!(null), json!(""), json!(" \t"), json!({}), json!("a\u{1}b")] {
        let mut line = all_names();
        for (field, key) in NAMES {
            let items = json!({"items": [line.clone()]});
            holds(&[changed(AT, items)], &[&format!("{key} 1/0")]);
            line[field] = nothing.clone();
        }
        // No name is left, so it holds nothing.
        let body = changed(AT, json!({"items": [line, {"sku": "S", "quantity": 1}]}));
        holds(std::slice::from_ref(&body), &["sku:S 1/0"]);
        assert_eq!(listed(&observed([&body]), List::Unmapped), ["id:A"]);
    }
    let by_sku = policy(|policy| policy.key_precedence = vec![KeyKind::Sku, KeyKind::Product]);
    let items = json!({"items": [all_names(), {"variation_id": "V", "quantity": 5},
        {"sku": "S\t", "quantity": "0.5"}, {"product_id": 7, "quantity": 2}]});
    check(&by_sku, &[changed(AT, items)], &["product:7 2/0", "sku:S 1.5/0"]);
}

#[test]
fn a_line_keeps_the_names_that_it_lost() {
    let full = line(AT, json!({"variation_id": "V", "product_id": "P", "sku": "S"}));
    for (names, expected) in [
        (json!({}), "variation:V 1/0"),
        (json!({"sku": "S"}), "variation:V 1/0"),
        (json!({"sku": "S", "variation_id": null}), "variation:V 1/0"),
        // A contradicting name means other goods.
        (json!({"sku": "T"}), "sku:T 1/0"),
        (json!({"product_id": "Q"}), "product:Q 1/0"),
        // A name that was never given contradicts nothing.
        (json!({"external_product_id": "EP"}), "variation:V 1/0"),
    ] {
        holds(&[full.clone(), line(AT + 1, names)], &[expected]);
    }
    // Names are remembered by version, so a creation's are lowest.
    let creation = order(
        "ECOMM_ORDER_CREATED",
        AT + 9,
        "PENDING",
        1,
        json!({"items": [{"id": "L", "variation_id": "V0", "quantity": 1}]}),
    );
    holds(&[creation, full, line(AT + 1, json!({}))], &["variation:V 1/0"]);
}

#[test]
fn names_are_remembered_together_and_newest_first() {
    // The newest version has another product; the one before agrees with it, the first does not.
    let first = line(AT, json!({"variation_id": "V1", "sku": "S1"}));
    let second = line(AT + 1, json!({"external_product_id": "EP", "sku": "S2"}));
    let third = line(AT + 2, json!({"sku": "S2"}));
    let lost = line(AT + 3, json!({}));
    holds(&[first.clone(), second.clone(), lost.clone()], &["external-product:EP 1/0"]);
    // `second` is kept for its kind, though `third` is newer for the other kind.
    holds(&[first.clone(), second, third.clone(), lost.clone()], &["external-product:EP 1/0"]);
    holds(&[first.clone(), third, lost], &["sku:S2 1/0"]);
    // A contradicting version is skipped, and the next one is tried.
    let other = line(AT + 1, json!({"product_id": "Q", "sku": "T"}));
    holds(&[first, other, line(AT + 2, json!({"sku": "S1"}))], &["variation:V1 1/0"]);
}

#[test]
fn only_a_line_whose_id_stands_once_remembers() {
    let named = json!({"id": "L", "product_id": "P", "quantity": 1});
    let lost = json!({"id": "L", "quantity": 1});
    let bare = json!({"quantity": 1});
    let body = |at_ms: i64, items: Value| changed(at_ms, json!({"items": items}));
    holds(&[body(AT, json!([named])), body(AT + 1, json!([lost]))], &["product:P 1/0"]);
    holds(&[body(AT, json!([named, lost])), body(AT + 1, json!([lost]))], &["line:L 1/0"]);
    holds(&[body(AT, json!([named])), body(AT + 1, json!([lost, lost]))], &["line:L 2/0"]);
    holds(&[body(AT, json!([named])), body(AT + 1, json!([bare]))], &[]);
    // Neither another line nor a deletion contributes names.
    let other = json!([{"id": "M", "quantity": 1}]);
    holds(&[body(AT, json!([named])), body(AT + 1, other)], &["line:M 1/0"]);
    let gone = order("ECOMM_ORDER_DELETED", AT, "SHIPPED", 1, json!({"items": [named]}));
    let shipped = order("ECOMM_ORDER_UPDATED", AT + 1, "SHIPPED", 1, json!({"items": [lost]}));
    holds(&[gone, shipped], &["line:L 0/1"]);
}

#[test]
fn names_are_remembered_over_all_records_of_an_order() {
    let mut by_external = line(AT, json!({"variation_id": "V"}));
    by_external["data"]["id"] = json!(null);
    by_external["data"]["external_id"] = json!("E");
    let lost = line(AT + 1, json!({}));
    let mut both = line(AT + 2, json!({}));
    both["data"]["external_id"] = json!("E");
    holds(&[by_external.clone(), lost.clone()], &["line:L 1/0", "variation:V 1/0"]);
    holds(&[by_external, lost, both], &["variation:V 1/0"]);
}

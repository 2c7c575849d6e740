//! Catalogue entries: they never change stock, and decide what is counted at all.

use serde_json::json;

use super::*;
use crate::domain::{CatalogueEntry, Outcome};

fn product(kind: &str, millis: i64, change: &Value) -> Arrived {
    let mut data = json!({"id": "P"});
    for (member, value) in change.as_object().unwrap() {
        data[member] = value.clone();
    }
    event(&format!("ECOMM_PRODUCT_{kind}"), millis, &data)
}

fn named(kind: &str, millis: i64, name: &str) -> Arrived {
    product(kind, millis, &json!({"name": name}))
}

fn entry(events: &[Arrived]) -> CatalogueEntry {
    let shop = holds(events, "");
    assert_eq!(shop.catalogue.len(), 1);
    shop.catalogue.into_values().next().unwrap()
}

#[test]
fn the_latest_word_on_an_entry_counts_and_never_touches_stock() {
    let events = [named("CREATED", 1, "a"), named("UPDATED", 2, "b")];
    assert_eq!(entry(&events).description.name.as_deref(), Some("b"));
    // A creation has no precedence here: a later one restores an entry.
    let gone = product("DELETED", 3, &json!({}));
    let deleted = [events.as_slice(), std::slice::from_ref(&gone)].concat();
    assert!(entry(&deleted).is_deleted());
    assert_eq!(entry(&deleted).description.name.as_deref(), Some("b"), "what it was called");
    let back = [deleted.as_slice(), &[named("CREATED", 4, "c")]].concat();
    assert!(!entry(&back).is_deleted());
    assert_eq!(entry(&back).description.name.as_deref(), Some("c"));
    // At equal timestamps, the deletion is the latest.
    assert!(entry(&[named("UPDATED", 3, "d"), gone]).is_deleted());
    let events = [named("CREATED", 5, "a"), named("UPDATED", 5, "b")];
    assert_eq!(entry(&events).description.name.as_deref(), Some("b"));
}

#[test]
fn an_entry_says_whether_anybody_counts_its_stock() {
    for (change, expected) in [
        (json!({}), false),
        (json!({"managed_inventory": true}), false),
        (json!({"managed_inventory": null}), false),
        (json!({"managed_inventory": false}), true),
        (json!({"type": "DONATION"}), true),
        (json!({"type": "donation", "managed_inventory": true}), true),
        (json!({"type": "SERVICE"}), true),
        (json!({"type": "PHYSICAL"}), false),
        (json!({"type": "DIGITAL"}), false),
    ] {
        let described = entry(&[product("CREATED", 1, &change)]).description;
        assert_eq!(described.is_untracked, expected, "{change}");
    }
}

#[test]
fn an_entry_gives_its_name_to_what_it_may_be_called() {
    let change = json!({
        "name": "Mug", "external_id": 7, "sku": "MUG ",
        "variations": [{"id": "V", "external_id": null, "sku": "MUG-4\t"}, {"id": []}, "odd"],
    });
    let keys = entry(&[product("CREATED", 1, &change)]).description.stock_keys();
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["variation:V", "product:P", "external-product:7", "sku:MUG", "sku:MUG-4"]);
}

#[test]
fn each_event_of_an_entry_is_named_by_what_it_did() {
    let mut shop = Shop::new(&Policy::default());
    let mut outcome = |event: &Arrived| shop.arrive(&[event]).pop().unwrap().unwrap().outcome;
    assert_eq!(outcome(&named("UPDATED", 2, "b")), Outcome::Applied);
    assert_eq!(outcome(&named("UPDATED", 2, "b")), Outcome::Duplicate);
    assert_eq!(outcome(&named("CREATED", 1, "a")), Outcome::Superseded);
    assert_eq!(outcome(&product("DELETED", 3, &json!({}))), Outcome::Applied);
}

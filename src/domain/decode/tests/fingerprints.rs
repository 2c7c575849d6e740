//! Fingerprints and words are pinned: a change would decide old ties differently, or disable every
//! correction. Such a change needs a new format number.

use serde_json::json;

use super::*;

/// Returns the `data` that the tests below change in one place.
fn full() -> Value {
    json!({
        "id": "O",
        "status": "SHIPPED",
        "mode": "LIVE",
        "items": [
            {"id": "l", "product_id": "P", "sku": "S", "quantity": "1.50"},
            {"variation_id": "V", "quantity": 2},
        ],
        "refunds": [{
            "id": "r", "created": "2023-01-12T18:14:23.361Z",
            "items": [{"id": "l", "quantity": 1}],
        }],
    })
}

fn event(event_type: &str, data: &Value) -> OrderEvent {
    order(&envelope(event_type, data).to_string())
}

fn with(pointer: &str, value: Value) -> Value {
    let mut data = full();
    *data.pointer_mut(pointer).unwrap() = value;
    data
}

fn text(fingerprint: Fingerprint) -> String {
    format!("{:016x}", fingerprint.0)
}

fn fingerprint(data: &Value) -> String {
    text(event("ECOMM_ORDER_UPDATED", data).version.fingerprint)
}

fn words(data: &Value) -> String {
    text(event("ECOMM_ORDER_UPDATED", data).snapshot.unwrap().words)
}

#[test]
fn the_texts_that_are_hashed_are_these() {
    // The form is written down only here: sorted keys, millionths, a format number.
    let hash = |text: &str| {
        use sha2::{Digest, Sha256};
        let hash = Sha256::digest(text);
        let number = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{number:016x}")
    };
    let refund =
        hash(r#"{"created":1673547263361000,"format":2,"lines":[{"id":"l","quantity":1000000}]}"#);
    let nameless = r#"{"external_product":null,"external_variation":null,"id":null,"product":null,"quantity":2000000,"sku":null,"variation":"V"}"#;
    let named = r#"{"external_product":null,"external_variation":null,"id":"l","product":"P","quantity":1500000,"sku":"S","variation":null}"#;
    let by_id = named.replace("\"P\"", "null").replace("\"S\"", "null");
    let whole = format!(
        r#"{{"format":2,"lines":[{nameless},{named}],"mode":"LIVE","refunds":[["r","{refund}"]],"status":"SHIPPED"}}"#
    );
    assert_eq!(fingerprint(&full()), hash(&whole));
    let gone = format!(
        r#"{{"format":2,"lines":null,"mode":"LIVE","refunds":[["r","{refund}"]],"status":"SHIPPED"}}"#
    );
    let deletion = event("ECOMM_ORDER_DELETED", &full());
    assert_eq!(text(deletion.version.fingerprint), hash(&gone));
    let said = format!(r#"{{"format":1,"lines":[{nameless},{by_id}],"status":"SHIPPED"}}"#);
    assert_eq!(words(&full()), hash(&said));
}

#[test]
fn fingerprints_and_words_are_pinned() {
    assert_eq!(fingerprint(&full()), "e886dc93664bc469");
    assert_eq!(text(event("ECOMM_ORDER_DELETED", &full()).version.fingerprint), "19e5a6378080f099");
    assert_eq!(words(&full()), "4900073e134ce8ad");
    let entry = refund(&json!({"order_id": "O", "id": "r"})).refund.unwrap().entry;
    assert_eq!(text(entry.fingerprint), "1d19f9085258c66a");
}

#[test]
fn what_a_fingerprint_is_over() {
    let same = fingerprint(&full());
    for (pointer, value) in [
        ("/status", json!("DELIVERED")),
        ("/status", json!("ODD")),
        ("/mode", json!("TEST")),
        ("/mode", json!(null)),
        ("/items/0/id", json!("m")),
        ("/items/0/product_id", json!("Q")),
        ("/items/0/sku", json!(null)),
        ("/items/0/quantity", json!(1)),
        ("/items", json!([])),
        ("/refunds/0/id", json!("s")),
        ("/refunds/0/created", json!(null)),
        ("/refunds/0/items", json!([])),
        ("/refunds/0/items/0/quantity", json!(2)),
        ("/refunds", json!([])),
    ] {
        assert_ne!(fingerprint(&with(pointer, value.clone())), same, "{pointer} {value}");
    }
    let mut other_names = full();
    for (kind, name) in [("external_variation_id", "V"), ("external_product_id", "P")] {
        other_names["items"][1][kind] = json!(name);
        assert_ne!(fingerprint(&other_names), same);
        other_names["items"][1][kind] = json!(null);
    }
    assert_eq!(fingerprint(&other_names), same);
}

#[test]
fn what_no_rule_reads_and_how_it_is_written_changes_no_fingerprint() {
    let (same, same_words) = (fingerprint(&full()), words(&full()));
    for (pointer, value) in [
        ("/id", json!("P")),
        ("/status", json!("shipped")),
        ("/mode", json!("live")),
        ("/items/0/quantity", json!(1.5)),
        ("/items/0/quantity", json!("15e-1")),
        ("/items/0/id", json!(" l\t")),
        ("/refunds/0/created", json!("2023-01-12T19:14:23.361+01:00")),
    ] {
        let data = with(pointer, value.clone());
        assert_eq!(
            (fingerprint(&data), words(&data)),
            (same.clone(), same_words.clone()),
            "{value}"
        );
    }
    let mut odd = full();
    odd["total"] = json!("9.99");
    odd["items"][0]["name"] = json!("Mug");
    odd["items"][0]["external_product_id"] = json!({});
    odd["items"].as_array_mut().unwrap().reverse();
    assert_eq!((fingerprint(&odd), words(&odd)), (same, same_words));
}

#[test]
fn words_are_the_status_and_what_tells_each_line_and_its_quantity() {
    let same = words(&full());
    for (pointer, value) in [
        ("/items/0/product_id", json!("Q")),
        ("/items/0/sku", json!(null)),
        ("/mode", json!("TEST")),
        ("/refunds", json!([])),
    ] {
        assert_eq!(words(&with(pointer, value)), same, "{pointer}");
    }
    for (pointer, value) in [
        ("/status", json!("DELIVERED")),
        ("/items/0/quantity", json!(1)),
        ("/items/0/id", json!("m")),
        ("/items/1/variation_id", json!("W")),
        ("/items/1/quantity", json!(3)),
    ] {
        assert_ne!(words(&with(pointer, value.clone())), same, "{pointer} {value}");
    }
    // An unknown status counts as it is written, a known one as we write it.
    let of = |status: &str| words(&with("/status", json!(status)));
    assert_ne!(of("odd"), of("ODD"));
    assert_eq!(of("canceled"), of("CANCELLED"));
}

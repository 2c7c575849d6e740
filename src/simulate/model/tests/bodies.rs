//! How bodies are classified, and the code of each malformed one.

use super::*;

#[track_caller]
pub(super) fn verdict(body: impl AsRef<[u8]>) -> Verdict {
    Model::new(ModelPolicy::default()).observe(&Bytes::copy_from_slice(body.as_ref()), RECEIVED)
}

#[track_caller]
pub(super) fn counts(body: impl AsRef<[u8]>) {
    let body = body.as_ref();
    let verdict = verdict(body);
    let is_counted = matches!(verdict, Verdict::Counted { .. });
    assert!(is_counted, "{verdict:?} for {}", String::from_utf8_lossy(body));
}

#[track_caller]
pub(super) fn dead(body: impl AsRef<[u8]>, code: &'static str) {
    let body = body.as_ref();
    assert_eq!(verdict(body), Verdict::DeadLetter(code), "{}", String::from_utf8_lossy(body));
}

#[test]
fn a_body_that_is_no_event_is_a_dead_letter() {
    for body in [
        &b""[..],
        b"{",
        b"{} {}",
        b"\xff{}",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"{'a':1}",
        b"{\"a\":01}",
    ] {
        dead(body, "decode.not_json");
    }
    for body in ["[]", "1", "null", "\"x\"", r#""\ud83c""#, "\u{feff}true"] {
        dead(body, "decode.not_an_object");
    }
    let long = "x".repeat(257);
    for event_type in [json!(null), json!(1), json!(""), json!(long), json!("A\nB")] {
        dead(json!({"event_type": event_type}).to_string(), "decode.invalid_event_type");
    }
    dead("{}", "decode.invalid_event_type");
}

#[test]
fn an_unknown_name_is_ignored_whatever_else_it_says() {
    for body in
        [r#"{"event_type":"UNPUBLISH","data":1}"#, r#"{"event_type":"ECOMM_STORE_CREATED"}"#]
    {
        assert_eq!(verdict(body), Verdict::Ignored);
    }
    assert_eq!(verdict(br#"{"event_type":"x","deep":[[[{"n":1e999}]]]}"#), Verdict::Ignored);
    // A key that is half of a surrogate pair is skipped.
    let broken = r#"{"\ud83c":1,"event_type":"x\ud83d\ude00"}"#;
    assert_eq!(verdict(broken), Verdict::Ignored);
    // The last of equal keys counts.
    let twice = r#"{"event_type":"ECOMM_ORDER_CREATED","event_type":"PUBLISH"}"#;
    assert_eq!(verdict(twice), Verdict::Ignored);
}

/// Returns a creation with one field (a JSON pointer) replaced or, with `None`, removed.
pub(super) fn with(pointer: &str, value: Option<Value>) -> String {
    let mut body = created(AT, "PROCESSED", 1);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    body.to_string()
}

#[test]
fn the_envelope_of_an_order_is_checked_in_order() {
    let missing = "decode.missing_site";
    dead(with("/resource_data", None), missing);
    dead(with("/resource_data", Some(json!([]))), missing);
    for time in [
        json!(null),
        json!("now"),
        json!(""),
        json!("-1"),
        json!(1.5),
        json!(1_262_303_999_999_i64),
        json!(4_102_444_800_001_i64),
        json!("+1710000000000"),
        json!("99999999999999999999"),
        json!(true),
    ] {
        dead(with("/event_timestamp", Some(time)), "decode.invalid_timestamp");
    }
    dead(with("/event_timestamp", None), "decode.invalid_timestamp");
    // However far the time is ahead of the clock.
    for time in [json!(1_262_304_000_000_i64), json!(4_102_444_800_000_i64), json!("1704067200000")]
    {
        counts(with("/event_timestamp", Some(time)));
    }
    let raw = with("/event_timestamp", Some(json!(7))).replace(":7", ":1710000000000.0");
    dead(raw, "decode.invalid_timestamp");
    for data in [None, Some(json!(null)), Some(json!([])), Some(json!("x"))] {
        dead(with("/data", data), "decode.missing_data");
    }
}

#[test]
fn lines_and_refunds_have_their_form() {
    for items in [None, Some(json!(null)), Some(json!({})), Some(json!("x"))] {
        dead(with("/data/items", items), "decode.invalid_items");
    }
    for items in [json!([1]), json!([{"quantity": 1}, null])] {
        dead(with("/data/items", Some(items)), "decode.invalid_line");
    }
    let line = json!({"quantity": 1});
    dead(with("/data/items", Some(json!(vec![json!(null); 1001]))), "decode.too_many_lines");
    counts(with("/data/items", Some(json!(vec![line; 1000]))));
    for (refunds, code) in [
        (json!({}), "decode.invalid_items"),
        (json!([7]), "decode.invalid_line"),
        (json!([{"items": 7}]), "decode.invalid_items"),
        (json!([{"items": [7]}]), "decode.invalid_line"),
        (json!([{"items": [{"id": "L", "quantity": ""}]}]), "decode.invalid_quantity"),
        (json!([{"items": [{"id": "L", "quantity": -1}]}]), "decode.invalid_quantity"),
        (json!([{"items": vec![json!({}); 1001]}]), "decode.too_many_lines"),
        (json!(vec![json!({}); 1001]), "decode.too_many_lines"),
    ] {
        dead(with("/data/refunds", Some(refunds)), code);
    }
    for refunds in [
        json!(null),
        json!([]),
        json!([{}]),
        json!([{"id": "R", "items": null}]),
        json!([{"id": {}, "items": [{"id": "L"}, {"id": [], "quantity": 1}]}]),
    ] {
        counts(with("/data/refunds", Some(refunds)));
    }
    let refund = json!({"order_id": "A", "items": {}});
    dead(event("ECOMM_REFUND_CREATED", AT, refund).to_string(), "decode.invalid_items");
}

#[test]
fn catalogue_entries_and_notices_are_told_from_orders() {
    for kind in ["ECOMM_PRODUCT", "PRODUCT", "ECOMM_CATEGORY", "CATEGORY"] {
        for what in ["CREATED", "UPDATED", "DELETED"] {
            let body = event(&format!("{kind}_{what}"), AT, json!({"id": "x"}));
            assert_eq!(verdict(body.to_string()), Verdict::Catalogue);
        }
    }
    let data = json!({"siteAlias": "s", "storeId": 1, "entityId": "7", "data": null});
    for kind in ["STORE_ORDER", "STORE_PRODUCT", "STORE_CATEGORY"] {
        for what in ["CREATED", "UPDATED", "DELETED"] {
            let name = format!("{kind}_{what}");
            let found = verdict(event(&name, AT, data.clone()).to_string());
            if name == "STORE_ORDER_DELETED" {
                let order = "store-order:1/7".to_owned();
                assert_eq!(found, Verdict::Counted { site: "s".to_owned(), order });
            } else {
                assert_eq!(found, Verdict::Notice);
            }
        }
    }
}

//! What a body is taken for, and the code of what is none.

use super::*;

#[track_caller]
fn verdict(body: &[u8]) -> Verdict {
    Model::new(ModelPolicy::default()).observe(&Bytes::copy_from_slice(body), RECEIVED)
}

#[track_caller]
fn dead(body: impl AsRef<[u8]>, code: &'static str) {
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
        assert_eq!(verdict(body.as_bytes()), Verdict::Ignored);
    }
    assert_eq!(verdict(br#"{"event_type":"x","deep":[[[{"n":1e999}]]]}"#), Verdict::Ignored);
    // A key that is half of a surrogate pair is nobody's name.
    let broken = r#"{"\ud83c":1,"event_type":"x\ud83d\ude00"}"#;
    assert_eq!(verdict(broken.as_bytes()), Verdict::Ignored);
    // The last of equal keys counts.
    let twice = r#"{"event_type":"ECOMM_ORDER_CREATED","event_type":"PUBLISH"}"#;
    assert_eq!(verdict(twice.as_bytes()), Verdict::Ignored);
}

/// A creation with one field (a JSON pointer) replaced or, by `None`, removed.
fn with(pointer: &str, value: Option<Value>) -> String {
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
    for site in [json!(null), json!(""), json!(7)] {
        dead(with("/resource_data/site_name", Some(site)), missing);
    }
    for site in ["a\tb".to_owned(), "é".repeat(129)] {
        dead(with("/resource_data/site_name", Some(json!(site))), "decode.invalid_identifier");
    }
    for time in [
        json!(null),
        json!("now"),
        json!(""),
        json!("-1"),
        json!(1.5),
        json!(1_262_303_999_999_i64),
        json!(RECEIVED + 86_400_001),
        json!("99999999999999999999"),
        json!(true),
    ] {
        dead(with("/event_timestamp", Some(time)), "decode.invalid_timestamp");
    }
    dead(with("/event_timestamp", None), "decode.invalid_timestamp");
    for time in [json!(1_262_304_000_000_i64), json!(RECEIVED + 86_400_000), json!("1704067200000")]
    {
        let body = with("/event_timestamp", Some(time));
        assert!(matches!(verdict(body.as_bytes()), Verdict::Counted { .. }), "{body}");
    }
    let raw = with("/event_timestamp", Some(json!(7))).replace(":7", ":1710000000000.0");
    dead(raw, "decode.invalid_timestamp");
    for data in [None, Some(json!(null)), Some(json!([])), Some(json!("x"))] {
        dead(with("/data", data), "decode.missing_data");
    }
}

#[test]
fn names_are_short_texts() {
    let long = "é".repeat(129);
    for name in ["id", "external_id", "invoice_number"] {
        for value in [json!(7), json!({}), json!("a\u{7f}b"), json!(long)] {
            dead(with(&format!("/data/{name}"), Some(value)), "decode.invalid_identifier");
        }
    }
    dead(with("/data/id", None), "order.no_identity");
    let mut line = created(AT, "PROCESSED", 1);
    for kind in KeyKind::ALL {
        line["data"]["items"] = json!([{"quantity": 1, kind.field(): 7}]);
        dead(line.to_string(), "decode.invalid_identifier");
    }
    let fits = with("/data/id", Some(json!("é".repeat(128))));
    assert!(matches!(verdict(fits.as_bytes()), Verdict::Counted { .. }));
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
    let most = with("/data/items", Some(json!(vec![line; 1000])));
    assert!(matches!(verdict(most.as_bytes()), Verdict::Counted { .. }));
    for (refunds, code) in [
        (json!({}), "decode.invalid_items"),
        (json!([7]), "decode.invalid_line"),
        (json!([{"items": 7}]), "decode.invalid_items"),
        (json!([{"id": 7}]), "decode.invalid_identifier"),
        (json!([{"items": [7]}]), "decode.invalid_line"),
        (json!([{"items": [{"id": "L"}]}]), "decode.invalid_quantity"),
        (json!([{"items": [{"id": 1, "quantity": 1}]}]), "decode.invalid_identifier"),
        (json!([{"items": vec![json!({}); 1001]}]), "decode.too_many_lines"),
        (json!(vec![json!({}); 1001]), "decode.too_many_lines"),
    ] {
        dead(with("/data/refunds", Some(refunds)), code);
    }
    for refunds in [json!(null), json!([]), json!([{}]), json!([{"id": "R", "items": null}])] {
        let body = with("/data/refunds", Some(refunds));
        assert!(matches!(verdict(body.as_bytes()), Verdict::Counted { .. }), "{body}");
    }
    for (data, code) in [
        (json!({"id": "R"}), "refund.no_order"),
        (json!({"order_id": 7}), "decode.invalid_identifier"),
        (json!({"order_id": "A", "items": {}}), "decode.invalid_items"),
    ] {
        dead(event("ECOMM_REFUND_CREATED", AT, data).to_string(), code);
    }
}

#[test]
fn quantities_are_exact_and_bounded() {
    let body = |quantity: &str| {
        with("/data/items", Some(json!([{"quantity": "Q"}]))).replace("\"Q\"", quantity)
    };
    for (text, expected) in [
        ("1", "1"),
        ("1.0", "1"),
        ("1.25", "1.25"),
        ("1e2", "100"),
        ("12.5e-1", "1.25"),
        ("1E+2", "100"),
        ("0", "0"),
        ("0.0e999999999999999999999", "0"),
        ("0.1000000000000000000000000000000", "0.1"),
        ("100000000000000000000e-20", "1"),
        ("999999999.999999", "999999999.999999"),
        ("1000000000.000", "1000000000"),
        ("0.000001", "0.000001"),
    ] {
        let found = quantity_of(text).map(|quantity| quantity.normalize().to_string());
        assert_eq!(found.as_deref(), Some(expected), "{text}");
        for written in [text.to_owned(), format!("\"{text}\"")] {
            let body = body(&written);
            assert!(matches!(verdict(body.as_bytes()), Verdict::Counted { .. }), "{body}");
        }
    }
    for text in [
        "-1",
        "-0",
        "\"-0.0\"",
        "1e-7",
        "1.0000001",
        "1000000000.000001",
        "1e10",
        "1e999999999999999999999",
        "1e-999999999999999999999",
        "null",
        "true",
        "[]",
        "\"\"",
        "\" 1\"",
        "\"1 \"",
        "\"01\"",
        "\"1.\"",
        "\".5\"",
        "\"+1\"",
        "\"1e\"",
        "\"NaN\"",
        "\"0x1\"",
        "\"1,5\"",
        "\"١\"",
    ] {
        dead(body(text), "decode.invalid_quantity");
    }
    dead(with("/data/items", Some(json!([{}]))), "decode.invalid_quantity");
    let half = json!({"sku": "S", "quantity": 500_000_000});
    let fits = with("/data/items", Some(json!([half, half, {"quantity": 500_000_000}])));
    assert!(matches!(verdict(fits.as_bytes()), Verdict::Counted { .. }));
    let more = json!([half, half, {"sku": "S", "quantity": "0.000001"}]);
    dead(with("/data/items", Some(more)), "decode.invalid_quantity");
}

#[test]
fn catalogue_entries_and_notices_only_need_a_name() {
    for kind in ["ECOMM_PRODUCT", "PRODUCT", "ECOMM_CATEGORY", "CATEGORY"] {
        for what in ["CREATED", "UPDATED", "DELETED"] {
            let name = format!("{kind}_{what}");
            let body = event(&name, AT, json!({"id": "x"})).to_string();
            assert_eq!(verdict(body.as_bytes()), Verdict::Catalogue);
            dead(event(&name, AT, json!({"id": ""})).to_string(), "catalogue.no_identity");
        }
    }
    for kind in ["STORE_ORDER", "STORE_PRODUCT", "STORE_CATEGORY"] {
        for what in ["CREATED", "UPDATED", "DELETED"] {
            let notice = |data: Value| event(&format!("{kind}_{what}"), AT, data).to_string();
            let by_entity = json!({"siteAlias": "s", "storeId": 1, "entityId": "7", "data": null});
            assert_eq!(verdict(notice(by_entity).as_bytes()), Verdict::Notice);
            let by_order = notice(json!({"storeId": "1", "data": {"orderId": "XJ"}}));
            if kind == "STORE_ORDER" {
                assert_eq!(verdict(by_order.as_bytes()), Verdict::Notice);
            } else {
                dead(by_order, "notice.no_identity");
            }
            dead(notice(json!({"entityId": 1})), "notice.no_identity");
            dead(notice(json!({"storeId": 1})), "notice.no_identity");
            dead(notice(json!({"siteAlias": "S", "storeId": 1})), "store.site_mismatch");
            dead(notice(json!({"storeId": 1.5, "entityId": 1})), "decode.invalid_identifier");
        }
    }
}

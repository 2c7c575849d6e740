//! Identifiers: which values can be read as one, and what happens to those that cannot.

use super::bodies::{counts, dead, verdict, with};
use super::*;

const INVALID: &str = "decode.invalid_identifier";

/// Returns values that are present and cannot be read as a name.
fn unreadable() -> Vec<Value> {
    vec![
        json!({}),
        json!([]),
        json!(true),
        json!(0),
        json!(-7),
        json!(1.5),
        json!("a\u{7f}b"),
        json!("a\tb"),
        json!("é".repeat(129)),
    ]
}

/// Returns the record that an order with these names joins.
#[track_caller]
fn record(names: Value) -> String {
    let body = order("ECOMM_ORDER_CREATED", AT, "PENDING", 1, names).to_string();
    let verdict = verdict(&body);
    let Verdict::Counted { order, .. } = verdict else { panic!("{verdict:?} for {body}") };
    order
}

#[test]
fn names_are_short_texts_or_counting_numbers_without_white_space_around_them() {
    for (name, expected) in [
        (json!("X"), "id:X"),
        (json!(" \u{2003}X y\t\n"), "id:X y"),
        (json!(42), "id:42"),
        (json!("042"), "id:042"),
        (json!(" "), "external-id:E"),
        (json!(null), "external-id:E"),
    ] {
        assert_eq!(record(json!({"id": name, "external_id": "E"})), expected);
    }
    assert_eq!(record(json!({"id": "é".repeat(128)})), format!("id:{}", "é".repeat(128)));
    // An exponent is not a digit, and half of a surrogate pair is not a text.
    for broken in ["1e3", "1.0", "12345678901234567890e0", "\"\\ud83d\""] {
        dead(with("/data/id", Some(json!("?"))).replace("\"?\"", broken), INVALID);
    }
    counts(with("/data/id", Some(json!("?"))).replace("\"?\"", &"9".repeat(256)));
    dead(with("/data/id", Some(json!("?"))).replace("\"?\"", &"9".repeat(257)), INVALID);
}

#[test]
fn an_order_with_an_unreadable_name_needs_another_one_that_identifies() {
    for name in unreadable() {
        assert_eq!(record(json!({"id": name, "external_id": "E"})), "external-id:E");
        assert_eq!(record(json!({"id": "X", "external_id": name})), "id:X");
        assert_eq!(record(json!({"id": "X", "invoice_number": name})), "id:X");
        for names in [
            json!({"id": name}),
            json!({"id": name, "invoice_number": "I"}),
            json!({"id": null, "external_id": name, "invoice_number": "I"}),
        ] {
            dead(order("ECOMM_ORDER_CREATED", AT, "PENDING", 1, names).to_string(), INVALID);
        }
        let invoice = json!({"id": "", "invoice_number": name});
        let body = order("ECOMM_ORDER_CREATED", AT, "PENDING", 1, invoice).to_string();
        dead(body, "order.no_identity");
    }
    dead(with("/data/id", None), "order.no_identity");
}

#[test]
fn a_record_is_named_by_the_first_of_id_external_id_and_invoice_number() {
    for (names, expected) in [
        (json!({"id": "X", "external_id": "Y", "invoice_number": "Z"}), "id:X"),
        (json!({"id": null, "external_id": "Y", "invoice_number": "Z"}), "external-id:Y"),
        (json!({"id": "", "external_id": "", "invoice_number": 1066}), "invoice-number:1066"),
    ] {
        assert_eq!(record(names), expected);
    }
}

#[test]
fn a_site_is_a_name_that_has_to_be_there() {
    let site = |site: &Value| with("/resource_data/site_name", Some(site.clone()));
    for missing in [json!(null), json!(""), json!(" \t"), json!(0), json!(1.5), json!({})] {
        dead(site(&missing), "decode.missing_site");
    }
    for invalid in [json!("a\tb"), json!("é".repeat(129))] {
        dead(site(&invalid), INVALID);
    }
    for (written, expected) in [(json!(" s\t"), "s"), (json!("S"), "S"), (json!(7), "7")] {
        let Verdict::Counted { site, .. } = verdict(site(&written)) else { panic!("{written}") };
        assert_eq!(site, expected);
    }
}

#[test]
fn refunds_and_catalogue_entries_cannot_do_without_their_name() {
    for (event_type, field, absent) in [
        ("ECOMM_REFUND_CREATED", "order_id", "refund.no_order"),
        ("ECOMM_PRODUCT_CREATED", "id", "catalogue.no_identity"),
        ("CATEGORY_DELETED", "id", "catalogue.no_identity"),
    ] {
        let body = |name: &Value| {
            let mut data = json!({});
            data[field] = name.clone();
            event(event_type, AT, data).to_string()
        };
        for name in [json!(null), json!(""), json!(" \t")] {
            dead(body(&name), absent);
        }
        for name in &unreadable() {
            dead(body(name), INVALID);
        }
        for name in [json!("x"), json!(7)] {
            let verdict = verdict(body(&name));
            assert!(!matches!(verdict, Verdict::DeadLetter(_)), "{verdict:?}");
        }
    }
}

#[test]
fn a_notice_needs_a_store_and_something_within_it() {
    const ABSENT: &str = "notice.no_identity";
    let body = |kind: &str, data: Value| event(&format!("{kind}_UPDATED"), AT, data).to_string();
    for kind in ["STORE_ORDER", "STORE_PRODUCT", "STORE_CATEGORY"] {
        for (data, code) in [
            (json!({"entityId": 1}), ABSENT),
            (json!({"storeId": 1}), ABSENT),
            (json!({"storeId": " ", "entityId": 1}), ABSENT),
            (json!({"storeId": 1.5, "entityId": 1}), INVALID),
            (json!({"storeId": 1, "entityId": {}}), INVALID),
            // Together they are too long.
            (json!({"storeId": "1", "entityId": "e".repeat(256)}), INVALID),
            (json!({"siteAlias": "S", "storeId": 1, "entityId": 1}), "store.site_mismatch"),
        ] {
            dead(body(kind, data), code);
        }
        let trimmed = json!({"siteAlias": " s ", "storeId": 1, "entityId": 1});
        assert_eq!(verdict(body(kind, trimmed)), Verdict::Notice);
        let by_order = body(kind, json!({"storeId": "1", "data": {"orderId": "XJ"}}));
        if kind == "STORE_ORDER" {
            assert_eq!(verdict(by_order), Verdict::Notice);
        } else {
            dead(by_order, ABSENT);
        }
    }
    let either = json!({"storeId": 1, "entityId": {}, "data": {"orderId": "XJ"}});
    assert_eq!(verdict(body("STORE_ORDER", either)), Verdict::Notice);
}

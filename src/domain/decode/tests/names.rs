//! The names of orders, lines and entries, and unreadable names.

use serde_json::{Value, json};

use super::*;

#[test]
fn an_order_is_joined_into_the_record_of_its_first_name() {
    for (change, expected) in [
        (
            json!({"external_id": "B", "invoice_number": "C"}),
            &["id:O", "external-id:B", "invoice-number:C"][..],
        ),
        (
            json!({"id": "", "external_id": "B", "invoice_number": "C"}),
            &["external-id:B", "invoice-number:C"],
        ),
        (json!({"id": null, "invoice_number": " C "}), &["invoice-number:C"]),
        (
            json!({"id": 7, "external_id": 8, "invoice_number": 1066}),
            &["id:7", "external-id:8", "invoice-number:1066"],
        ),
        (json!({"id": "\u{a0}\u{2003}O\t\n", "external_id": "\u{85}"}), &["id:O"]),
        (json!({"id": "O p"}), &["id:O p"]),
    ] {
        assert_eq!(names(&order(&order_as(&change).to_string())), expected, "{change}");
    }
    let nothing = order_as(&json!({"id": " ", "external_id": "", "invoice_number": null}));
    rejects(&nothing.to_string(), Code::NoIdentity);
    rejects(&order_as(&json!({"id": null, "invoice_number": {}})).to_string(), Code::NoIdentity);
}

/// Returns values that cannot be read as a name, written as JSON.
fn unreadable() -> Vec<String> {
    let written = [
        "0",
        "-5",
        "1.0",
        "1e3",
        "true",
        "{}",
        "[\"x\"]",
        r#""a\u0000""#,
        r#""a\tb""#,
        r#""\ud800""#,
    ];
    let long = format!("\"{}é\"", "x".repeat(255));
    written.map(str::to_owned).into_iter().chain([long]).collect()
}

#[test]
fn a_name_that_cannot_be_read_counts_as_absent_and_is_counted() {
    for json in unreadable() {
        let body = |change: Value| order_as(&change).to_string().replace("\"ODD\"", &json);
        for (change, expected) in [
            (json!({"id": "ODD", "external_id": "B"}), &["external-id:B"][..]),
            (json!({"external_id": "ODD"}), &["id:O"]),
            (json!({"external_id": "ODD", "invoice_number": "C"}), &["id:O", "invoice-number:C"]),
            (json!({"invoice_number": "ODD"}), &["id:O"]),
        ] {
            let event = decoded(&body(change));
            assert_eq!(event.oddities.names_unreadable, 1, "{json}");
            let Content::Order(order) = event.content else { panic!("it is no order") };
            assert_eq!(names(&order), expected, "{json}");
        }
        // An invoice number beside it is not enough.
        for change in [
            json!({"id": "ODD"}),
            json!({"id": "ODD", "invoice_number": "C"}),
            json!({"id": null, "external_id": "ODD", "invoice_number": "C"}),
        ] {
            rejects(&body(change), Code::InvalidIdentifier);
        }
    }
}

#[test]
fn a_line_is_known_by_what_of_its_names_can_be_read() {
    for json in unreadable() {
        let line = json!({"id": "ODD", "variation_id": "ODD", "sku": " MUG-4\t", "quantity": 1});
        let body = order_with("items", json!([line])).replace("\"ODD\"", &json);
        let event = decoded(&body);
        assert_eq!(event.oddities.names_unreadable, 2);
        let Content::Order(order) = event.content else { panic!("it is no order") };
        let [line] = order.snapshot.unwrap().lines.try_into().unwrap();
        assert_eq!(
            (&line.id, line.key(&StockKeyKind::ALL).unwrap().to_string()),
            (&None, "sku:MUG-4".to_owned())
        );
        let line = json!({"id": "ODD", "sku": "ODD", "quantity": 1});
        let body = order_with("items", json!([line])).replace("\"ODD\"", &json);
        let lines = order_lines(&body);
        assert_eq!(lines[0].key(&StockKeyKind::ALL), None, "it is an unmapped line");
    }
    let number = order_lines(&order_with("items", json!([{"sku": 40017, "quantity": 1}])));
    assert_eq!(number[0].key(&StockKeyKind::ALL).unwrap().to_string(), "sku:40017");
}

#[test]
fn identifiers_are_at_most_256_bytes_once_trimmed() {
    let longest = "é".repeat(128);
    let padded = format!(" {longest}\t");
    assert_eq!(names(&order(&order_with("id", json!(padded)))), [format!("id:{longest}")]);
    let digits = "9".repeat(256);
    let body = order_with("id", json!("D")).replace("\"D\"", &digits);
    assert_eq!(names(&order(&body)), [format!("id:{digits}")]);
    let body = body.replace(&digits, &format!("{digits}9"));
    rejects(&body, Code::InvalidIdentifier);
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    let body = order_with("id", json!("O")).replace(r#""id":"O""#, r#""id":"X","id":"O""#);
    assert_eq!(names(&order(&body)), ["id:O"]);
}

#[test]
fn a_notice_is_named_by_store_and_entity_whatever_their_type() {
    let read = |data: Value| decode(&envelope("STORE_ORDER_UPDATED", &data).to_string());
    let named = |data: Value| match read(data).unwrap() {
        Decoded::Event(event) => {
            let names = event.content.names().unwrap();
            names.all().map(ToString::to_string).collect::<Vec<_>>()
        }
        Decoded::Unknown { .. } => panic!("it is known"),
    };
    let number = named(json!({"siteAlias": " shop ", "storeId": 7, "entityId": 1}));
    assert_eq!(number, ["store-order:7/1"]);
    let text = named(json!({"storeId": "7", "entityId": " 1", "data": {"orderId": "X"}}));
    assert_eq!(text, ["store-order:7/1", "store-order-id:7/X"]);
    let by_order_id = named(json!({"storeId": 7, "entityId": true, "data": {"orderId": "a/b"}}));
    assert_eq!(by_order_id, ["store-order-id:7/a%2Fb"]);
    let code = |data: Value| read(data).unwrap_err().code;
    let other = json!({"siteAlias": "other", "storeId": 7, "entityId": 1});
    assert_eq!(code(other), Code::SiteMismatch);
    assert_eq!(code(json!({"entityId": 1})), Code::NoticeNoIdentity);
    assert_eq!(code(json!({"storeId": 7, "data": null})), Code::NoticeNoIdentity);
    assert_eq!(code(json!({"storeId": 7, "entityId": true})), Code::InvalidIdentifier);
    assert_eq!(code(json!({"storeId": 7.5, "entityId": 1})), Code::InvalidIdentifier);
    // A slash in either part is not a boundary.
    let parts = named(json!({"storeId": "a/b", "entityId": "c"}));
    assert_ne!(parts, named(json!({"storeId": "a", "entityId": "b/c"})));
}

#[test]
fn both_spellings_of_a_catalogue_event_name_the_same_entry() {
    let name = |event_type| {
        let body = envelope(event_type, &json!({"id": "C", "title": "Tops", "parent_id": "ROOT"}));
        let Content::Catalogue(event) = decoded(&body.to_string()).content else {
            panic!("it is no entry")
        };
        event.entry.to_string()
    };
    assert_eq!(name("CATEGORY_CREATED"), name("ECOMM_CATEGORY_DELETED"));
    assert_eq!(name("PRODUCT_UPDATED"), name("ECOMM_PRODUCT_CREATED"));
    assert_ne!(name("PRODUCT_UPDATED"), name("CATEGORY_UPDATED"));
    let nameless = envelope("ECOMM_PRODUCT_DELETED", &json!({"external_id": "E"}));
    rejects(&nameless.to_string(), Code::CatalogueNoIdentity);
    let store = envelope("STORE_PRODUCT_DELETED", &json!({"storeId": 7, "entityId": 1}));
    let Content::Catalogue(event) = decoded(&store.to_string()).content else { panic!() };
    assert_eq!(event.entry.to_string(), "store-product:7/1");
}

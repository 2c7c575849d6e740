//! What bodies mean, and which can never mean anything. Goal: every code has a body that gets it,
//! and nothing that no rule reads can get one.

use serde_json::{Value, json};

use super::{Decoded, decode_receipt, decode_webhook};
use crate::domain::event::{Content, Event};
use crate::domain::{Code, OrderEvent, Rejection, Timestamp};

const RECEIVED: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn decode(body: &str) -> Result<Decoded, Box<Rejection>> {
    decode_webhook(body.as_bytes(), RECEIVED)
}

fn decoded(body: &str) -> Event {
    match decode(body).unwrap() {
        Decoded::Event(event) => *event,
        Decoded::Unknown { event_type } => panic!("{event_type} is unknown"),
    }
}

fn order(body: &str) -> OrderEvent {
    let Content::Order(order) = decoded(body).content else { panic!("it is no order") };
    order
}

fn envelope(event_type: &str, data: &Value) -> Value {
    json!({
        "data": data,
        "source": null,
        "resource_data": {"site_name": "shop"},
        "event_timestamp": 1_690_000_000_000_i64,
        "event_type": event_type,
    })
}

/// A full order with one member of `data` replaced.
fn order_with(member: &str, value: Value) -> String {
    let mut data = json!({
        "id": "O",
        "status": "PROCESSED",
        "items": [{"id": "l", "product_id": "P", "quantity": 1}],
    });
    data[member] = value;
    envelope("ECOMM_ORDER_CREATED", &data).to_string()
}

fn top_with(member: &str, value: Value) -> String {
    let mut body: Value = serde_json::from_str(&order_with("mode", json!("LIVE"))).unwrap();
    body[member] = value;
    body.to_string()
}

#[track_caller]
fn rejects(body: &str, code: Code) -> Rejection {
    let start: String = body.chars().take(300).collect();
    let rejection = *decode(body).expect_err(&start);
    assert_eq!(rejection.code, code, "{}: {start}", rejection.detail);
    rejection
}

#[test]
fn what_is_no_json_object_is_refused_as_such() {
    for body in ["", " ", "{", "{\"a\":1", "{'a':1}", "{\"a\":NaN}", "{} {}", "{}x", "\u{feff}"] {
        rejects(body, Code::NotJson);
    }
    let invalid_utf8 = decode_webhook(b"{\"a\":\"\xff\"}", RECEIVED).unwrap_err();
    assert_eq!(invalid_utf8.code, Code::NotJson);
    rejects(&"[".repeat(10_000), Code::NotJson);
    for body in ["[]", "null", "1", "\"text\"", " [{}] "] {
        rejects(body, Code::NotAnObject);
    }
    rejects(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), Code::NotAnObject);
}

#[test]
fn one_byte_order_mark_and_surrounding_space_are_no_matter() {
    let body = format!("\u{feff} \t\r\n{} \n", order_with("id", json!("O")));
    assert_eq!(order(&body).order.to_string(), "id:O");
}

#[test]
fn the_envelope_must_say_what_where_and_when() {
    for value in
        [json!(null), json!(""), json!(5), json!({}), json!("a\nb"), json!("x".repeat(257))]
    {
        rejects(&top_with("event_type", value), Code::InvalidEventType);
    }
    for value in
        [json!(null), json!({}), json!("x"), json!({"site_name": ""}), json!({"site_name": 1})]
    {
        rejects(&top_with("resource_data", value), Code::MissingSite);
    }
    let long = json!({"site_name": "x".repeat(257)});
    rejects(&top_with("resource_data", long), Code::InvalidIdentifier);
    for value in [json!(null), json!([]), json!("x"), json!(7)] {
        rejects(&top_with("data", value), Code::MissingData);
    }
}

#[test]
fn a_timestamp_is_whole_milliseconds_between_2010_and_a_day_after_receipt() {
    let ahead = RECEIVED.millis() + 86_400_000;
    for value in [json!(1_262_304_000_000_i64), json!("1690000000000"), json!(ahead)] {
        decode(&top_with("event_timestamp", value)).unwrap();
    }
    let seconds = json!(1_690_000_000);
    let microseconds = json!(1_690_000_000_000_000_i64);
    for value in [
        json!(null),
        json!(""),
        json!("soon"),
        json!(-1),
        json!(1.69e12),
        json!("1690000000000.5"),
        json!([1_690_000_000_000_i64]),
        json!(1_262_303_999_999_i64),
        json!(ahead + 1),
        json!("9".repeat(400)),
        seconds,
        microseconds,
    ] {
        rejects(&top_with("event_timestamp", value), Code::InvalidTimestamp);
    }
}

#[test]
fn an_unknown_name_is_never_an_error() {
    for name in ["ECOMM_STORE_CREATED", "PUBLISH", "ECOMM_REFUND_DELETED", "x", "ECOMM_ORDER_"] {
        for data in ["1532482228987", "null", "{}", "[]"] {
            let body = format!(r#"{{"event_type":"{name}","data":{data}}}"#);
            assert!(matches!(decode(&body), Ok(Decoded::Unknown { .. })), "{body}");
        }
    }
    assert!(matches!(decode(r#"{"event_type":"UNPUBLISH"}"#), Ok(Decoded::Unknown { .. })));
}

#[test]
fn an_order_is_named_by_the_first_name_that_it_has() {
    let named = |data: Value| {
        let mut data = data;
        data["items"] = json!([]);
        order(&envelope("ECOMM_ORDER_CREATED", &data).to_string())
    };
    let all = named(json!({"id": "A", "external_id": "B", "invoice_number": "C"}));
    assert_eq!(all.order.to_string(), "id:A");
    assert_eq!(all.aliases.len(), 3);
    let no_id = named(json!({"id": "", "external_id": "B", "invoice_number": "C"}));
    assert_eq!(no_id.order.to_string(), "external-id:B");
    let invoice = named(json!({"id": null, "invoice_number": "C"}));
    assert_eq!(invoice.order.to_string(), "invoice-number:C");
    let nothing = envelope("ECOMM_ORDER_CREATED", &json!({"items": []})).to_string();
    rejects(&nothing, Code::NoIdentity);
    for value in [json!(5), json!({}), json!("x".repeat(257)), json!("a\u{0}")] {
        rejects(&order_with("external_id", value), Code::InvalidIdentifier);
    }
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    let body = order_with("id", json!("O")).replace(r#""id":"O""#, r#""id":"X","id":"O""#);
    assert_eq!(order(&body).order.to_string(), "id:O");
}

#[test]
fn an_order_must_have_its_items_and_each_its_quantity() {
    for value in [json!(null), json!({}), json!("x"), json!(1)] {
        rejects(&order_with("items", value), Code::InvalidItems);
    }
    let missing = envelope("ECOMM_ORDER_UPDATED", &json!({"id": "O"})).to_string();
    let rejection = rejects(&missing, Code::InvalidItems);
    assert_eq!(rejection.detail, "data.items: expected an array, found nothing");
    assert_eq!(rejection.order.unwrap().to_string(), "id:O");
    for value in [json!([1]), json!([null]), json!([[]])] {
        rejects(&order_with("items", value), Code::InvalidLine);
    }
    for quantity in ["null", "\"\"", "\"x\"", "true", "[]", "-1", "-0", "1e400", "0.0000001"] {
        let body = order_with("items", json!([{"quantity": "Q"}])).replace("\"Q\"", quantity);
        rejects(&body, Code::InvalidQuantity);
    }
    rejects(&order_with("items", json!([{"sku": "S"}])), Code::InvalidQuantity);
    rejects(&order_with("items", json!([{"sku": 5, "quantity": 1}])), Code::InvalidIdentifier);
    let line = json!({"quantity": 1});
    decode(&order_with("items", json!(vec![line.clone(); 1000]))).unwrap();
    rejects(&order_with("items", json!(vec![line; 1001])), Code::TooManyLines);
}

#[test]
fn quantities_are_exact() {
    for (quantity, millionths) in [
        ("1.25", 1_250_000),
        ("\"1.25\"", 1_250_000),
        ("1e2", 100_000_000),
        ("0.1000000000000000000000000000000000001e-0", 0),
        ("999999999.999999", 999_999_999_999_999),
    ] {
        let body = order_with("items", json!([{"quantity": "Q"}])).replace("\"Q\"", quantity);
        if millionths == 0 {
            rejects(&body, Code::InvalidQuantity);
        } else {
            let lines = order(&body).snapshot.unwrap().lines;
            assert_eq!(lines[0].quantity.millionths(), millionths, "{quantity}");
        }
    }
}

#[test]
fn what_no_rule_reads_may_be_anything() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (member, value) in [
        ("metadata", "\"\""),
        ("metadata", "{\"a\":{}}"),
        ("total", "1e400"),
        ("billing_address", "[1,2]"),
        ("payment", deep.as_str()),
        ("email", "\"\\ud800\""),
    ] {
        let body = order_with(member, json!("HERE")).replace("\"HERE\"", value);
        order(&body);
    }
    let text = order_with("shipping_instructions", json!("x".repeat(1 << 20)));
    order(&text);
    for status in [json!(5), json!(null), json!("SOMETHING")] {
        order(&order_with("status", status));
    }
    for mode in [json!(5), json!(null), json!("live")] {
        assert!(!order(&order_with("mode", mode)).snapshot.unwrap().test);
    }
}

#[test]
fn a_deletion_needs_no_lines_and_reads_none() {
    for items in [json!(null), json!("x"), json!([{"quantity": -5}])] {
        let data = json!({"id": "O", "status": "PROCESSED", "items": items, "refunds": 7});
        let deletion = order(&envelope("ECOMM_ORDER_DELETED", &data).to_string());
        assert!(deletion.snapshot.is_none() && deletion.refunds.is_empty());
    }
}

#[test]
fn refunds_are_read_as_strictly_as_lines() {
    for refunds in [json!(null), json!([]), json!([{}]), json!([{"id": "r", "items": null}])] {
        order(&order_with("refunds", refunds));
    }
    rejects(&order_with("refunds", json!("x")), Code::InvalidItems);
    rejects(&order_with("refunds", json!([5])), Code::InvalidLine);
    rejects(&order_with("refunds", json!([{"id": 5}])), Code::InvalidIdentifier);
    rejects(&order_with("refunds", json!([{"items": {}}])), Code::InvalidItems);
    rejects(&order_with("refunds", json!([{"items": [5]}])), Code::InvalidLine);
    rejects(&order_with("refunds", json!([{"items": [{"id": "l"}]}])), Code::InvalidQuantity);
    let no_order = envelope("ECOMM_REFUND_CREATED", &json!({"id": "r", "items": []}));
    rejects(&no_order.to_string(), Code::RefundNoOrder);
}

#[test]
fn a_notice_is_named_by_store_and_entity_whatever_their_type() {
    let read = |data: Value| decode(&envelope("STORE_ORDER_UPDATED", &data).to_string());
    let name = |data: Value| match read(data).unwrap() {
        Decoded::Event(event) => event.content.entity(),
        Decoded::Unknown { .. } => panic!("it is known"),
    };
    let number = name(json!({"siteAlias": "shop", "storeId": 7, "entityId": 1}));
    assert_eq!(number, name(json!({"storeId": "7", "entityId": "1", "data": {"orderId": "1"}})));
    let crate::domain::EntityName::Order(order) = number else { panic!("it is an order") };
    assert_eq!(order.to_string(), "store-order:7/1");
    let by_order_id = name(json!({"storeId": 7, "data": {"orderId": "a/b"}}));
    let crate::domain::EntityName::Order(order) = by_order_id else { panic!("it is an order") };
    assert_eq!(order.to_string(), "store-order-id:7/a%2Fb");
    let code = |data: Value| read(data).unwrap_err().code;
    assert_eq!(
        code(json!({"siteAlias": "other", "storeId": 7, "entityId": 1})),
        Code::SiteMismatch
    );
    assert_eq!(code(json!({"entityId": 1})), Code::NoticeNoIdentity);
    assert_eq!(code(json!({"storeId": 7, "data": null})), Code::NoticeNoIdentity);
    assert_eq!(code(json!({"storeId": 7, "entityId": true})), Code::InvalidIdentifier);
    assert_eq!(code(json!({"storeId": 7.5, "entityId": 1})), Code::InvalidIdentifier);
}

#[test]
fn both_spellings_of_a_catalogue_event_name_the_same_entry() {
    let name = |event_type| {
        let body = envelope(event_type, &json!({"id": "C", "title": "Tops", "parent_id": "ROOT"}));
        decoded(&body.to_string()).content.entity()
    };
    assert_eq!(name("CATEGORY_CREATED"), name("ECOMM_CATEGORY_DELETED"));
    assert_eq!(name("PRODUCT_UPDATED"), name("ECOMM_PRODUCT_CREATED"));
    assert_ne!(name("PRODUCT_UPDATED"), name("CATEGORY_UPDATED"));
    let nameless = envelope("ECOMM_PRODUCT_DELETED", &json!({"external_id": "E"}));
    rejects(&nameless.to_string(), Code::CatalogueNoIdentity);
}

#[test]
fn receipts_are_goods_or_a_count() {
    let receipt = |body: Value| decode_receipt(body.to_string().as_bytes());
    let base = json!({"site": "shop", "key": "sku:S", "reference": "r"});
    let with = |extra: Value| {
        let mut body = base.clone();
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        receipt(body)
    };
    with(json!({"quantity": "2.5"})).unwrap();
    with(json!({"on_hand": "7", "difference": "-3"})).unwrap();
    for extra in [
        json!({}),
        json!({"quantity": 2}),
        json!({"quantity": "-2"}),
        json!({"on_hand": "7"}),
        json!({"quantity": "1", "on_hand": "7", "difference": "0"}),
        json!({"quantity": "1", "key": "S"}),
        json!({"quantity": "1", "reference": ""}),
    ] {
        assert_eq!(with(extra.clone()).unwrap_err().code, Code::ReceiptInvalid, "{extra}");
    }
    assert_eq!(decode_receipt(b"[").unwrap_err().code, Code::ReceiptInvalid);
    let detail = |extra: Value| with(extra).unwrap_err().detail;
    let found = detail(json!({"on_hand": "x", "difference": "1"}));
    assert_eq!(found, "on_hand: is not a number");
    let found = detail(json!({"on_hand": "1", "difference": "-x"}));
    assert_eq!(found, "difference: is not a number");
}

/// A changed fingerprint would decide old ties anew: such a change needs a new format number.
#[test]
fn fingerprints_are_pinned() {
    let items = json!([{"id": "l", "product_id": "P", "quantity": "1.50"}]);
    let refunds = json!([{"id": "r", "items": [{"id": "l", "quantity": 1}]}]);
    let data = json!({"id": "O", "status": "SHIPPED", "items": items, "refunds": refunds});
    let fingerprint = |event_type: &str, data: &Value| {
        let event = order(&envelope(event_type, data).to_string());
        String::from(event.version.fingerprint)
    };
    assert_eq!(fingerprint("ECOMM_ORDER_CREATED", &data), "048d90d3213f8908");
    assert_eq!(fingerprint("ECOMM_ORDER_DELETED", &data), "fc509377effeaa59");
    let reordered = json!([{"quantity": 1.5, "sku": "", "product_id": "P", "id": "l"}]);
    let mut same = data.clone();
    same["items"] = reordered;
    same["total"] = json!("9.99");
    let expected = fingerprint("ECOMM_ORDER_CREATED", &data);
    assert_eq!(fingerprint("ECOMM_ORDER_CREATED", &same), expected, "unread things do not count");
}

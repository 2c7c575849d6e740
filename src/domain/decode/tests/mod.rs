//! What bodies mean, and which can never mean anything. Goal: every code has a body that gets it,
//! and a field that no rule reads never leads to one.

mod fingerprints;
mod names;
mod ours;
mod refunds;

use serde_json::{Value, json};

use super::{Decoded, decode_webhook};
use crate::domain::{
    Action, Class, Code, Content, Event, Fingerprint, Identifier, Line, Mode, Oddities, OrderEvent,
    Quantity, Rank, ReceiptContent, RefundEvent, Rejection, Shown, Status, StockKeyKind, Timestamp,
};

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

fn refund(data: &Value) -> RefundEvent {
    let event = decoded(&envelope("ECOMM_REFUND_CREATED", data).to_string());
    let Content::Refund(refund) = event.content else { panic!("it is no refund") };
    refund
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

/// Returns a full order with these members of `data` replaced.
fn order_as(change: &Value) -> Value {
    let mut data = json!({
        "id": "O",
        "status": "PROCESSED",
        "items": [{"id": "l", "product_id": "P", "quantity": 1}],
    });
    data.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    envelope("ECOMM_ORDER_CREATED", &data)
}

fn order_with(member: &str, value: impl Into<Value>) -> String {
    let value: Value = value.into();
    order_as(&json!({member: value})).to_string()
}

fn top_with(member: &str, value: Value) -> String {
    let mut body = order_as(&json!({}));
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

fn order_lines(body: &str) -> Vec<Line> {
    order(body).snapshot.unwrap().lines
}

/// Returns all names of an order, the record's own first.
fn names(order: &OrderEvent) -> Vec<String> {
    order.names.all().map(ToString::to_string).collect()
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
    assert_eq!(names(&order(&body)), ["id:O"]);
    rejects(&format!("\u{feff}{body}"), Code::NotJson);
}

#[test]
fn the_envelope_must_say_what_where_and_when() {
    for value in
        [json!(null), json!(""), json!(5), json!({}), json!("a\nb"), json!("x".repeat(257))]
    {
        rejects(&top_with("event_type", value), Code::InvalidEventType);
    }
    for site in [json!(""), json!(" \t"), json!(null), json!(true), json!([]), json!(1.5)] {
        rejects(&top_with("resource_data", json!({"site_name": site})), Code::MissingSite);
    }
    for value in [json!(null), json!({}), json!("x"), json!([])] {
        rejects(&top_with("resource_data", value), Code::MissingSite);
    }
    for (site, expected) in [(json!(" Shop\n"), "Shop"), (json!(1066), "1066")] {
        let body = top_with("resource_data", json!({"site_name": site}));
        assert_eq!(decoded(&body).site.as_str(), expected);
    }
    let long = json!({"site_name": "x".repeat(257)});
    rejects(&top_with("resource_data", long), Code::InvalidIdentifier);
    for value in [json!(null), json!([]), json!("x"), json!(7)] {
        rejects(&top_with("data", value), Code::MissingData);
    }
}

#[test]
fn a_timestamp_is_whole_milliseconds_from_2010_to_2100() {
    let day_ahead = RECEIVED.millis() + 86_400_000;
    for (value, is_ahead) in [
        (json!(1_262_304_000_000_i64), false),
        (json!("1690000000000"), false),
        (json!(day_ahead), false),
        (json!(day_ahead + 1), true),
        (json!((day_ahead + 1).to_string()), true),
        (json!(4_102_444_800_000_i64), true),
    ] {
        let event = decoded(&top_with("event_timestamp", value.clone()));
        assert_eq!(event.oddities.is_ahead, is_ahead, "{value}");
    }
    let (seconds, micros) = (json!(1_690_000_000), json!(1_690_000_000_000_000_i64));
    for value in [
        json!(null),
        json!(""),
        json!("soon"),
        json!(-1),
        json!(1.69e12),
        json!("1690000000000.5"),
        json!("-1690000000000"),
        json!([1_690_000_000_000_i64]),
        json!(true),
        json!(1_262_303_999_999_i64),
        json!(4_102_444_800_001_i64),
        json!("9".repeat(400)),
        seconds,
        micros,
    ] {
        rejects(&top_with("event_timestamp", value), Code::InvalidTimestamp);
    }
}

#[test]
fn an_unknown_name_is_never_an_error() {
    let unheard_of =
        ["ECOMM_STORE_CREATED", "PUBLISH", "ECOMM_REFUND_DELETED", "x", "ECOMM_ORDER_"];
    for name in unheard_of.into_iter().chain(["STORE_CREATED", "ecomm_order_created"]) {
        for data in ["1532482228987", "null", "{}", "[]"] {
            let body = format!(r#"{{"event_type":"{name}","data":{data}}}"#);
            assert!(matches!(decode(&body), Ok(Decoded::Unknown { .. })), "{body}");
        }
    }
    assert!(matches!(decode(r#"{"event_type":"UNPUBLISH"}"#), Ok(Decoded::Unknown { .. })));
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
    // Of two faulty lines, the first is reported.
    let rejection =
        rejects(&order_with("items", json!([{"quantity": "x"}, 7])), Code::InvalidQuantity);
    assert!(rejection.detail.starts_with("data.items[0].quantity"), "{}", rejection.detail);
    rejects(&order_with("items", json!([7, {"quantity": "x"}])), Code::InvalidLine);
    let no_quantities = ["null", "\"\"", "\"x\"", "true", "[]", "-1", "-0", "1e400", "1e9999"];
    for quantity in no_quantities.into_iter().chain(["1000000000.000001", "\" 1\"", "\"NaN\""]) {
        let body = order_with("items", json!([{"quantity": "Q"}])).replace("\"Q\"", quantity);
        rejects(&body, Code::InvalidQuantity);
    }
    rejects(&order_with("items", json!([{"sku": "S"}])), Code::InvalidQuantity);
    let line = json!({"quantity": 1});
    decode(&order_with("items", json!(vec![line.clone(); 1000]))).unwrap();
    rejects(&order_with("items", json!(vec![line; 1001])), Code::TooManyLines);
    assert!(order_lines(&order_with("items", json!([]))).is_empty(), "a real empty order");
}

#[test]
fn quantities_are_exact_or_rounded_half_to_even_and_counted() {
    for (quantity, millionths, rounded) in [
        ("1.25", 1_250_000, 0),
        ("\"1.25\"", 1_250_000, 0),
        ("1e2", 100_000_000, 0),
        ("1.0000000000", 1_000_000, 0),
        ("999999999.999999", 999_999_999_999_999, 0),
        ("0.30000000000000004", 300_000, 1),
        ("\"0.0000005\"", 0, 1),
        ("0.0000015", 2, 1),
        ("0.1000000000000000000000000000000000001e-0", 100_000, 1),
    ] {
        let body = order_with("items", json!([{"quantity": "Q"}])).replace("\"Q\"", quantity);
        assert_eq!(order_lines(&body)[0].quantity.millionths(), millionths, "{quantity}");
        assert_eq!(decoded(&body).oddities.quantities_rounded, rounded, "{quantity}");
    }
}

#[test]
fn statuses_are_read_in_any_case_and_kept_as_they_were_written() {
    for (written, status, said) in [
        (json!("SHIPPED"), Status::Shipped, None),
        (json!("Shipped"), Status::Shipped, Some("Shipped")),
        (json!("in_progress"), Status::InProgress, Some("in_progress")),
        (json!("CANCELLED"), Status::Cancelled, None),
        (json!("CANCELED"), Status::Cancelled, Some("CANCELED")),
        (json!("canceled"), Status::Cancelled, Some("canceled")),
        (json!("CANCELLLED"), Status::Unknown, Some("CANCELLLED")),
        (json!("PAID"), Status::Unknown, Some("PAID")),
        (json!(null), Status::Unknown, None),
        (json!(5), Status::Unknown, None),
    ] {
        let event = order(&order_with("status", written.clone()));
        assert_eq!((event.version.status, event.said.as_deref()), (status, said), "{written}");
    }
}

#[test]
fn only_test_in_any_case_is_a_special_mode() {
    for (written, mode) in [
        (json!("TEST"), Some(Mode::Test)),
        (json!("test"), Some(Mode::Test)),
        (json!("LIVE"), Some(Mode::Live)),
        (json!("anything"), Some(Mode::Live)),
        (json!(""), None),
        (json!(null), None),
        (json!(5), None),
        (json!({}), None),
    ] {
        assert_eq!(order(&order_with("mode", written.clone())).mode, mode, "{written}");
    }
    assert_eq!(order(&order_with("other", json!(1))).mode, None);
}

#[test]
fn versions_say_what_kind_of_event_it_is() {
    let version = |event_type: &str, status: &str| {
        let mut body = order_as(&json!({"status": status}));
        body["event_type"] = json!(event_type);
        let version = order(&body.to_string()).version;
        assert_eq!((version.event_timestamp, version.observed_at), (1_690_000_000_000, 0));
        (version.class, version.rank, version.status)
    };
    let (creation, later) = (Class::Creation, Class::Later);
    let cancelled = Status::Cancelled;
    assert_eq!(
        version("ECOMM_ORDER_CREATED", "PENDING"),
        (creation, Rank::Created, Status::Pending)
    );
    assert_eq!(version("ECOMM_ORDER_CREATED", "CANCELLED"), (creation, Rank::Created, cancelled));
    assert_eq!(version("ECOMM_ORDER_UPDATED", "SHIPPED"), (later, Rank::Updated, Status::Shipped));
    assert_eq!(
        version("ECOMM_ORDER_STATUS_UPDATED", "Canceled"),
        (later, Rank::Cancelled, cancelled)
    );
    let deleted = version("ECOMM_ORDER_DELETED", "DELIVERED");
    assert_eq!(deleted, (later, Rank::Deleted, Status::Delivered));
    let ranks = [Rank::Created, Rank::Updated, Rank::Cancelled, Rank::Deleted];
    assert!(ranks.is_sorted() && creation < later);
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
        assert_eq!(decoded(&body).oddities, Oddities::default());
    }
    order(&order_with("shipping_instructions", json!("x".repeat(1 << 20))));
    for name in [json!(5), json!({}), json!("\u{0}"), json!("x".repeat(9999))] {
        order(&order_with("items", json!([{"name": name, "quantity": 1}])));
    }
}

#[test]
fn a_deletion_needs_no_lines_and_reads_none() {
    for items in [json!(null), json!("x"), json!([{"quantity": -5}])] {
        let data = json!({"id": "O", "status": "SHIPPED", "mode": "TEST", "items": items});
        let deletion = order(&envelope("ECOMM_ORDER_DELETED", &data).to_string());
        assert!(deletion.snapshot.is_none() && deletion.refunds.is_empty());
        assert_eq!((deletion.version.status, deletion.mode), (Status::Shipped, Some(Mode::Test)));
    }
    for (refunds, count) in [
        (json!(7), 0),
        (json!([{"id": "r", "items": [{"id": "l", "quantity": -1}]}]), 0),
        (json!([{"id": "r", "items": [{"id": "l", "quantity": 1}]}]), 1),
    ] {
        let data = json!({"id": "O", "refunds": refunds});
        let event = decoded(&envelope("ECOMM_ORDER_DELETED", &data).to_string());
        assert_eq!(event.oddities, Oddities::default());
        let Content::Order(deletion) = event.content else { panic!("it is no order") };
        assert_eq!(deletion.refunds.len(), count, "{refunds}");
    }
    let nobody = envelope("ECOMM_ORDER_DELETED", &json!({"items": []}));
    rejects(&nobody.to_string(), Code::NoIdentity);
}

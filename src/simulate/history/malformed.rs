//! Bodies that can never be applied, and the code of the dead letter that each one becomes.
//!
//! Each is an order with a single fault, as a faulty sender would write it.

use bytes::Bytes;

use super::dice::Dice;
use super::json::{Fields, Json, Layout};
use super::shop::Shop;
use super::webhook::envelope;
use super::{DAY_MS, Event, FIRST_DAY_MS, Kind};

/// The fault. Values are JSON as it is written; `None` leaves the field out.
#[derive(Clone, Copy)]
enum Fault {
    /// The bytes are changed.
    Bytes(fn(&str) -> Vec<u8>),
    /// A field of the body is replaced or left out.
    Body(&'static str, Option<&'static str>),
    /// A field of the order is replaced or left out.
    Order(&'static str, Option<&'static str>),
    /// A field of the order's line is replaced or left out.
    Line(&'static str, Option<&'static str>),
    /// The event has another name and this data.
    Data(&'static str, &'static str),
    /// The order has this many lines.
    Lines(usize),
    /// The order's id has this length.
    IdLength(usize),
}

const FAULTS: [(&str, Fault); 25] = [
    ("decode.not_json", Fault::Bytes(cut_off)),
    ("decode.invalid_quantity", Fault::Line("quantity", Some("-1"))),
    ("decode.missing_site", Fault::Body("resource_data", Some("{}"))),
    ("decode.not_json", Fault::Bytes(without_a_comma)),
    ("order.no_identity", Fault::Order("id", Some("\"\""))),
    ("decode.invalid_items", Fault::Order("items", None)),
    ("decode.invalid_timestamp", Fault::Body("event_timestamp", Some("\"yesterday\""))),
    ("decode.invalid_line", Fault::Order("items", Some("[\"a teapot\"]"))),
    ("decode.invalid_identifier", Fault::IdLength(257)),
    ("decode.too_many_lines", Fault::Lines(1001)),
    ("decode.not_an_object", Fault::Bytes(in_a_list)),
    ("decode.invalid_event_type", Fault::Body("event_type", Some("7"))),
    ("decode.missing_data", Fault::Body("data", Some("null"))),
    ("refund.no_order", Fault::Data("ECOMM_REFUND_CREATED", r#"{"id":"refund_1","items":[]}"#)),
    ("catalogue.no_identity", Fault::Data("ECOMM_PRODUCT_UPDATED", r#"{"name":"Teapot"}"#)),
    ("notice.no_identity", Fault::Data("STORE_ORDER_DELETED", r#"{"storeId":7,"data":null}"#)),
    (
        "store.site_mismatch",
        Fault::Data("STORE_ORDER_DELETED", r#"{"siteAlias":"elsewhere","storeId":7,"entityId":1}"#),
    ),
    ("decode.not_json", Fault::Bytes(in_latin_1)),
    ("decode.missing_site", Fault::Body("resource_data", Some(r#"{"site_name":""}"#))),
    ("decode.invalid_timestamp", Fault::Body("event_timestamp", Some("1704067200"))),
    ("decode.invalid_items", Fault::Order("items", Some("{}"))),
    ("decode.invalid_quantity", Fault::Line("quantity", None)),
    ("decode.invalid_quantity", Fault::Line("quantity", Some("\"1,5\""))),
    ("decode.invalid_quantity", Fault::Line("quantity", Some("1e10"))),
    ("decode.invalid_identifier", Fault::Order("id", Some("{}"))),
];

/// One order in this many has a malformed body beside it.
const ONE_IN: u32 = 20;

/// Returns the malformed body beside the n-th order, if there is one; the faults take turns.
pub(super) fn beside(number: u32, shops: &[Shop], dice: &mut Dice) -> Option<Event> {
    if number % ONE_IN != ONE_IN / 2 {
        return None;
    }
    let turn = usize::try_from(number / ONE_IN).ok()? % FAULTS.len();
    let (code, fault) = *FAULTS.get(turn)?;
    let at_ms = FIRST_DAY_MS + dice.time(300 * DAY_MS);
    let body = Bytes::from(write(fault, &dice.pick(shops).site, dice, at_ms));
    Some(Event { at_ms, kind: Kind::Malformed(code), order: None, body })
}

fn write(fault: Fault, site: &str, dice: &mut Dice, at_ms: i64) -> Vec<u8> {
    let mut event_type = "ECOMM_ORDER_CREATED";
    let mut data = order(dice);
    let mut line = line(dice);
    if let Fault::Line(field, value) = fault {
        set(&mut line, field, value);
    }
    let lines = if let Fault::Lines(count) = fault { count } else { 1 };
    data.push(("items", Json::List(vec![Json::Object(line); lines])));
    match fault {
        Fault::Order(field, value) => set(&mut data, field, value),
        Fault::IdLength(length) => {
            data.retain(|(name, _)| *name != "id");
            data.push(("id", Json::text(dice.hex(length))));
        }
        Fault::Data(..) | Fault::Bytes(_) | Fault::Body(..) | Fault::Line(..) | Fault::Lines(_) => {
        }
    }
    let mut data = Json::Object(data);
    if let Fault::Data(name, text) = fault {
        event_type = name;
        data = Json::Raw(text);
    }
    let mut body = envelope(Some(data), site, at_ms, event_type);
    if let Fault::Body(field, value) = fault {
        set(&mut body, field, value);
    }
    let text = Json::Object(body).write(Layout::Compact);
    if let Fault::Bytes(damage) = fault { damage(&text) } else { text.into_bytes() }
}

fn order(dice: &mut Dice) -> Fields {
    vec![
        ("mode", Json::text("LIVE")),
        ("id", Json::text(dice.uuid())),
        ("status", Json::text("PROCESSED")),
        ("email", Json::text("nobody@example.com")),
        ("refunds", Json::List(Vec::new())),
    ]
}

fn line(dice: &mut Dice) -> Fields {
    vec![
        ("id", Json::text(dice.uuid())),
        ("product_id", Json::text(dice.short_id())),
        ("name", Json::text("Teapot")),
        ("quantity", Json::number(2)),
        ("unit_price", Json::text("45.00")),
    ]
}

fn set(fields: &mut Fields, name: &str, value: Option<&'static str>) {
    match (fields.iter().position(|(field, _)| *field == name), value) {
        (Some(place), None) => drop(fields.remove(place)),
        (Some(place), Some(text)) => {
            if let Some((_, found)) = fields.get_mut(place) {
                *found = Json::Raw(text);
            }
        }
        (None, _) => {}
    }
}

fn cut_off(text: &str) -> Vec<u8> {
    text.bytes().take(text.len() / 2).collect()
}

/// The same mistake as in the refund sample of Duda's documentation.
fn without_a_comma(text: &str) -> Vec<u8> {
    text.replacen(",\"", "\"", 1).into_bytes()
}

fn in_a_list(text: &str) -> Vec<u8> {
    format!("[{text}]").into_bytes()
}

/// Inserts a name encoded in Latin-1.
fn in_latin_1(text: &str) -> Vec<u8> {
    let (before, behind) = text.split_once("Teapot").unwrap_or((text, ""));
    [before.as_bytes(), b"Th\xe9i\xe8re", behind.as_bytes()].concat()
}

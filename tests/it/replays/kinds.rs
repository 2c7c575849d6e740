//! Dead letters with which each outcome and each reason occurs that the rules know.

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use storekeeper::broker::EnvelopeKind;
use storekeeper::domain::{
    Arrival, Code, EntityState, Policy, PolicyInForce, REFUNDS_MAX, Reading, Rejection,
    SECOND_NAMES_MAX, Timestamp, decide_orders,
};
use storekeeper::store::{DeadLetter, DeadLetterName};

use super::letter;
use crate::generators::decoded;

/// When events happen.
const TIME: i64 = 1_700_000_000_000;
/// Every outcome that a dead letter can have here, and every reason, [`always`] has at least once.
pub(super) const OUTCOMES: [&str; 4] = ["applied", "superseded", "duplicate", "ignored"];
pub(super) const REASONS: [&str; 10] = [
    "",
    "after_deletion",
    "test_mode",
    "ambiguous",
    "refund_without_id",
    "timestamp_ahead",
    "reference_reused",
    "unknown_event_type",
    "edited",
    "discarded",
];
/// Why dead letters come back; of the ways not to be decoded only some.
pub(super) const CODES: [Code; 14] = [
    Code::NotJson,
    Code::EditInvalid,
    Code::InvalidItems,
    Code::NoIdentity,
    Code::TooManyRefunds,
    Code::TooManyNames,
    Code::OrderExpired,
    Code::RefundNoOrder,
    Code::SiteMismatch,
    Code::SiteNotAllowed,
    Code::SourceUnknown,
    Code::StockOverflow,
    Code::ReceiptInvalid,
    Code::CorrectionInvalid,
];

/// A webhook about the shop that the dead letters are of.
fn event(name: &str, at: i64, data: &Value) -> DeadLetter {
    event_of("shop", name, at, data)
}

fn event_of(site: &str, name: &str, at: i64, data: &Value) -> DeadLetter {
    let body = json!({
        "event_type": name,
        "event_timestamp": TIME + at,
        "resource_data": {"site_name": site},
        "data": data,
    });
    of_kind(EnvelopeKind::Webhook, body.to_string())
}

fn of_kind(kind: EnvelopeKind, body: impl Into<Bytes>) -> DeadLetter {
    let mut letter = letter(0, false);
    letter.envelope.kind = kind;
    letter.envelope.body = body.into();
    // After the closing of an order, however long that took.
    letter.envelope.received_at = letter.envelope.received_at.plus_micros(1_000_000);
    letter
}

fn from(source: &str, mut letter: DeadLetter) -> DeadLetter {
    letter.envelope.source = String::from(source);
    letter
}

/// An order of one line, with the name that the line's refunds use.
fn order_data(id: &str, status: &str, mode: &str, product: &str, units: u32) -> Value {
    let items = json!([{"id": "L", "product_id": product, "quantity": units}]);
    json!({"id": id, "status": status, "mode": mode, "items": items})
}

/// A snapshot of an order of the product that most are of.
fn order(id: &str, status: &str, units: u32, at: i64) -> DeadLetter {
    event("ECOMM_ORDER_UPDATED", at, &order_data(id, status, "LIVE", "P", units))
}

/// The body of an order that is closed before the dead letters are replayed, with an external id.
pub(super) fn closed_order() -> Bytes {
    linked(Some("closed"), "closed too", "DELIVERED", 2).envelope.body
}

/// A snapshot of an order that goes by an external id too, or by that alone.
fn linked(id: Option<&str>, external: &str, status: &str, units: u32) -> DeadLetter {
    let mut data = order_data("", status, "LIVE", "P", units);
    (data["id"], data["external_id"]) = (json!(id), json!(external));
    event("ECOMM_ORDER_UPDATED", 0, &data)
}

/// What a person says of an order of which a dead letter says all that they saw.
fn correction(seen: &DeadLetter, action: &str, reference: &str) -> DeadLetter {
    let event = decoded(&seen.envelope.body);
    let names = event.content.names().unwrap();
    let arrival = Arrival {
        message_id: seen.envelope.message_id,
        received_at: seen.envelope.received_at,
        replays: 0,
        event_type: event.event_type.clone(),
    };
    let in_force = PolicyInForce { revision: 1, policy: Policy::default() };
    let decision = decide_orders(&Reading::default(), &[(&event, &arrival)], &in_force);
    let Some(EntityState::Order(record)) = &decision.writes[0].state else {
        panic!("{decision:?}")
    };
    let body = json!({
        "site": "shop",
        "order": names.own().to_string(),
        "action": action,
        "shown": record.shown().unwrap().token(),
        "reference": reference,
    });
    of_kind(EnvelopeKind::Correction, body.to_string())
}

fn refund(order: Option<&str>, id: Option<&str>, units: u32) -> DeadLetter {
    let items = json!([{"id": "L", "quantity": units}]);
    let data = json!({"order_id": order, "id": id, "items": items});
    event("ECOMM_REFUND_CREATED", 0, &data)
}

fn notice(alias: &str) -> DeadLetter {
    let data = json!({"siteAlias": alias, "storeId": 7, "entityId": 1, "data": null});
    event("STORE_ORDER_CREATED", 0, &data)
}

fn receipt(key: &str, reference: &str, quantity: &str) -> DeadLetter {
    let body = json!({"site": "shop", "key": key, "reference": reference, "quantity": quantity});
    of_kind(EnvelopeKind::Receipt, body.to_string())
}

/// What a person asked for about a dead letter that is not parked.
fn name() -> DeadLetterName {
    DeadLetterName { message_id: letter(0, false).envelope.message_id, generation: 1 }
}

/// Dead letters of every kind, and dead letters that come to what they do because those came
/// before.
pub(super) fn always(closed_at: Timestamp) -> [Vec<DeadLetter>; 2] {
    let mut before_closing = order("closed", "DELIVERED", 3, 1);
    before_closing.envelope.received_at = closed_at.plus_micros(-1);
    let refunds: Vec<_> = (0..REFUNDS_MAX).map(|n| json!({"id": format!("r{n}")})).collect();
    let mut full = order_data("full", "PROCESSED", "LIVE", "P", 1);
    full["refunds"] = refunds.into();
    let of_test = order_data("test", "PROCESSED", "TEST", "P", 1);
    let elsewhere = || {
        let data = order_data("E", "PROCESSED", "LIVE", "P", 1);
        event_of("elsewhere", "ECOMM_ORDER_UPDATED", 0, &data)
    };
    let held = order("held", "CANCELLED", 4, 0);
    let named = |number: usize| linked(Some("named"), &format!("N{number}"), "PROCESSED", 1);
    // Stamped two days after now.
    let ahead = closed_at.millis() + 2 * 86_400_000 - TIME;
    let void = json!({"site": "shop", "key": "sku:NEW", "reference": "V", "void": true});
    let no_action = json!({"site": "shop", "order": "id:held", "reference": "none"});
    let mut first = vec![
        correction(&held, "hold", "C1"),
        correction(&held, "release", "C2"),
        held,
        order("ahead", "PROCESSED", 2, ahead),
        // A name that led to an order that was closed: by itself it is that order, and beside
        // another id it leads nowhere.
        linked(None, "closed too", "PROCESSED", 5),
        linked(Some("other"), "closed too", "PROCESSED", 6),
        // Two orders that become one.
        linked(None, "later", "PROCESSED", 7),
        linked(Some("led"), "later", "PROCESSED", 8),
        of_kind(EnvelopeKind::Correction, no_action.to_string()),
        of_kind(EnvelopeKind::Receipt, void.to_string()),
        receipt("sku:NEW", "V", "9"),
        receipt("sku:NEW", "damage", "-3"),
        order("passed", "PROCESSED", 2, 5),
        order("twice", "PROCESSED", 2, 0),
        order("tied", "PROCESSED", 1, 0),
        event("ECOMM_ORDER_UPDATED", 0, &of_test),
        event("ECOMM_ORDER_DELETED", 0, &json!({"id": "gone"})),
        event("ECOMM_ORDER_UPDATED", 0, &order_data("back", "PROCESSED", "LIVE", "R", 3)),
        refund(Some("back"), Some("REF"), 1),
        refund(Some("back"), None, 1),
        refund(None, Some("REF"), 1),
        event("ECOMM_ORDER_UPDATED", 0, &full),
        event("ECOMM_ORDER_CREATED", 0, &json!({"id": "no list"})),
        event("ECOMM_ORDER_CREATED", 0, &json!({"items": []})),
        of_kind(EnvelopeKind::Webhook, "{\"half\": "),
        event("ECOMM_PRODUCT_CREATED", 0, &json!({"id": "P", "name": "a product"})),
        event("SOMETHING_NEW", 0, &json!(7)),
        notice("shop"),
        notice("another"),
        // The default source of these dead letters may not write that shop.
        elsewhere(),
        from("all", elsewhere()),
        from("of nobody", order("E", "PROCESSED", 1, 0)),
        order("closed", "DELIVERED", 3, 1),
        before_closing,
        receipt("sku:NEW", "R", "3"),
        // The item never had room for so many.
        receipt("sku:FULL", "too many", "11"),
        receipt("sku:NEW", "no number", "a lot"),
        of_kind(EnvelopeKind::Edit, name().edit_body(b"{}")),
        of_kind(EnvelopeKind::Discard, name().discard_body()),
        of_kind(EnvelopeKind::Discard, name().edit_body(b"no discard has a body")),
    ];
    first.extend((0..SECOND_NAMES_MAX).map(named));
    let second = vec![
        named(SECOND_NAMES_MAX),
        order("passed", "PROCESSED", 1, 0),
        order("twice", "PROCESSED", 2, 0),
        order("tied", "PROCESSED", 2, 0),
        order("gone", "PROCESSED", 2, 5),
        refund(Some("full"), Some("one more"), 1),
        receipt("sku:NEW", "R", "2"),
    ];
    [first, second]
}

/// A dead letter of which the dice say what it is: of few orders and receipts, which meet often.
pub(super) fn any(dice: &mut ChaCha8Rng) -> DeadLetter {
    let id = format!("O{}", dice.random_range(0..6));
    let (units, at) = (dice.random_range(1..9), dice.random_range(0..4));
    match dice.random_range(0..8) {
        0 => order(&id, "PROCESSED", units, at),
        1 => order(&id, "SHIPPED", units, at),
        2 => order(&id, "CANCELLED", units, at),
        3 => {
            let data = order_data(&id, "PROCESSED", "TEST", "P", units);
            event("ECOMM_ORDER_CREATED", at, &data)
        }
        4 => event("ECOMM_ORDER_DELETED", at, &json!({"id": id})),
        5 => refund(Some(&id), Some(&format!("REF{}", units % 3)), units),
        6 => event("ECOMM_PRODUCT_CREATED", at, &json!({"id": id, "name": "a product"})),
        // Some fit, and then the item is full.
        _ => receipt("sku:FULL", &format!("R{units}"), "3"),
    }
}

/// The dead letter, put aside for any reason.
pub(super) fn for_any_reason(dice: &mut ChaCha8Rng, mut letter: DeadLetter) -> DeadLetter {
    let reason = Code::ALL[dice.random_range(0..Code::ALL.len())];
    letter.rejection = Rejection::new(reason, "it does not matter why");
    letter
}
